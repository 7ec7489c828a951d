"""The routes of training: plans, runs, other machines and rented GPUs."""
