"""The photos of a character: taking them in, and judging them from plain facts."""
