"""ComfyUI: workflows as values, its HTTP interface, and a painter that paints through one that runs."""
