"""Faster operations that compute the same, and what this machine has for them: processor, memory, load."""
