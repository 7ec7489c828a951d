"""Model families: one object each for all that differs between them, and what a checkpoint file is."""
