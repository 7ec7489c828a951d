"""Adapts SameFace to the webuis: A1111 and its forks."""
