"""Offers faster operations that compute the same, and knows what this machine has for them: processor, memory, load."""
