"""Adapts SameFace to the programs that it runs in: A1111, its forks, or none.

No other package imports these programs' modules.
"""
