"""Rents GPUs for jobs from any provider: offers, prices, the pods, their limits and what they cost."""
