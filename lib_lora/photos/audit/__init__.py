"""What is wrong with a photo or with a set, from plain facts; the user's decisions on it."""
