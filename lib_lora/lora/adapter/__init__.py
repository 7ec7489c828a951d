"""The adapter in a model: attaching it, computing it quickly, merging it."""
