"""Training on other machines: which there are, what goes there, what a rented one costs."""
