"""Reads files of models without trusting them."""
