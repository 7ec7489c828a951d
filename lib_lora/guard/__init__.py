"""Judges the user's own pictures in txt2img and img2img as they are painted: the guard."""
