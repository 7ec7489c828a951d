"""Has pictures painted for judging: on this machine, by ComfyUI, on other machines, on rented GPUs."""
