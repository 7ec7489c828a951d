"""Where a finished LoRA goes: the webui's folder, ComfyUI's, any other; and the words that use it."""
