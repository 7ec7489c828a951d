"""Reads from disk what the page shows."""
