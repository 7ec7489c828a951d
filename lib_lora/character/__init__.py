"""The character that a LoRA shows: name, trigger word, class word, consent, and the folder that holds it all."""
