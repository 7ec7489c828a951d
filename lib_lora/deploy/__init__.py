"""Puts a finished LoRA where it is used: the webui's folder, ComfyUI's, or any other; and makes its prompt."""
