"""Compares reports: two sets of pictures, or the checkpoints and weights of a run."""
