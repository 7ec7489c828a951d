"""What runs: the main job from photos to a LoRA, and the events it says."""
