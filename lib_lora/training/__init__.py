"""From photos and captions to checkpoints of a LoRA: settings, data, objective, the loop, the run folder."""
