"""Finds what is wrong with a photo or with a set, from plain facts, and keeps the user's decisions."""
