"""Files of models, read without trusting them."""
