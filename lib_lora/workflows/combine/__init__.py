"""Finds up to which weight of another LoRA beside the character's the face survives."""
