"""Runs the commands on a character's photos and captions."""
