"""Captions as phrases: written from facts, checked, edited; captioners and trigger words."""
