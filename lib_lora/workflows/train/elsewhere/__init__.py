"""Training on other machines and rented GPUs: keeping, probing, prices, what is sent."""
