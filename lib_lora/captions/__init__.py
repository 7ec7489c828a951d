"""Writes, checks and edits captions as lists of phrases, with captioners and trigger words."""
