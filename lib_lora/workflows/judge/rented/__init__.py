"""Painting on a GPU that is rented for it, and what that will cost."""
