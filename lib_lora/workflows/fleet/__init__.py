"""Runs many jobs of one kind, for many characters or settings, spread over the machines that do them."""
