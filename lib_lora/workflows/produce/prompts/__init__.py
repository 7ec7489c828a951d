"""Reads the prompts of a production: lists, wildcards, further LoRAs in them."""
