"""Knows which packages SameFace needs and which are there, installs them, and tracks their releases.

The checks of the page's scripts are here too.
"""
