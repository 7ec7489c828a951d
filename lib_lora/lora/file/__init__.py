"""Writes, checks, reads and describes LoRA files."""
