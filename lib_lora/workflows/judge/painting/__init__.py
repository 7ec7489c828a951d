"""The painters of pictures to judge: this machine, ComfyUI, other machines, rented GPUs, several together."""
