"""Paints test grids and judges pictures."""
