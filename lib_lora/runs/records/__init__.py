"""Runs and test grids as they lie on disk, read as records."""
