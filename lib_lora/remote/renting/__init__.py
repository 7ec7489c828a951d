"""GPUs that are rented for a job, whoever lets them: offers, prices, the pods, their limits and what they cost."""
