"""Sentences that can be said in another language: a template, and what fills it."""
