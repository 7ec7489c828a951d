"""What is painted to test a LoRA, and who paints it."""
