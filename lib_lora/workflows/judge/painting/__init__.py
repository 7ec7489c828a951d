"""Has the pictures that are judged painted: on this machine, by ComfyUI, on other machines, on rented GPUs."""
