"""SameFace: train a LoRA of one character and measure that the face stays the same."""

__version__ = "0.1.0"
