"""Keeps the character that a LoRA shows: name, trigger word, class word, consent, and the folder for it all."""
