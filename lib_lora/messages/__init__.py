"""Holds sentences that can be said in another language: a template, and the values that fill it."""
