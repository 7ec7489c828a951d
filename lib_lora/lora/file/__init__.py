"""The LoRA file: writing, checking, reading and describing it."""
