"""Plans and paints the pictures that test a LoRA."""
