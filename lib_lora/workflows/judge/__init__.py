"""Painting test grids and judging pictures."""
