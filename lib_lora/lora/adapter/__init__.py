"""Attaches an adapter to a model, computes it quickly, and merges one."""
