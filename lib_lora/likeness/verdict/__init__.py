"""Derives facts from measurements, and from facts one verdict with one piece of advice."""
