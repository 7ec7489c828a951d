"""Trains checkpoints of a LoRA from photos and captions: settings, data, objective, the loop, the run folder."""
