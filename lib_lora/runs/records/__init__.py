"""Reads runs and test grids from disk as records."""
