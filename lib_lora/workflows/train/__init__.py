"""From photos to a trained and tested LoRA."""
