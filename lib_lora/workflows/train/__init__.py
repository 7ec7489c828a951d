"""Leads from photos to a trained and tested LoRA."""
