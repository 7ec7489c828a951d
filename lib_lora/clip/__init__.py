"""Measures with CLIP models that are already on this machine how well a picture fits a prompt."""
