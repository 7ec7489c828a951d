"""The prompts of a production: lists, wildcards, further LoRAs in them."""
