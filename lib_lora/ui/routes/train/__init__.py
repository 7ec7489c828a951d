"""Answers the routes of training: plans, runs, other machines and rented GPUs."""
