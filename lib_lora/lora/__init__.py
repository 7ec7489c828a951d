"""Knows the adapter and its file: where it attaches, kohya's names, metadata, hashes, reading, writing, merging."""
