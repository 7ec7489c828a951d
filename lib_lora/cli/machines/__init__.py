"""Holds the commands about other machines, rented GPUs, and many jobs at once."""
