"""Addresses of routes with their identifiers filled in."""

from __future__ import annotations

import re


def filled(path: str, value: str, slug: str | None = None) -> str:
    """`path` with every identifier `value`, but for the slug where one is given."""
    if slug is not None:
        path = path.replace("{slug}", slug)
    return re.sub(r"\{[^}]+\}", lambda _: value, path)
