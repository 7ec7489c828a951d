"""Who paints the pictures that are judged: this machine, ComfyUI, other machines, rented GPUs."""
