"""Answers the routes of a character: its photos, captions, invention and undone changes."""
