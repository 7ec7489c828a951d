"""Trains a LoRA of one character and measures that the face stays the same: SameFace."""

__version__ = "0.1.0"
