"""Measures pictures against a character's template.

Knows no rule and no verdict.
"""
