"""Another LoRA beside the character's: up to which weight the face survives it."""
