"""Trains on other machines and rented GPUs: keeps and probes machines, quotes prices, shows what is sent."""
