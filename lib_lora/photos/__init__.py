"""Takes in the photos of a character, and judges them from plain facts."""
