"""Answers the routes of what a LoRA paints: test grids, combined LoRAs and productions."""
