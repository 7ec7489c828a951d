"""Addresses of routes with their identifiers filled in."""

import re


def filled(path, value, slug=None):
    """`path` with every identifier `value`, but for the slug where one is given."""
    if slug is not None:
        path = path.replace("{slug}", slug)
    return re.sub(r"\{[^}]+\}", lambda _: value, path)
