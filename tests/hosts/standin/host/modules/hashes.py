"""Hashes by title; from the cache alone, unless asked to read."""

import hashlib
import os

_cache = {}


def sha256_from_cache(filename, title, use_addnet_hash=False):
    found = _cache.get(title)
    return found[1] if found and os.path.getmtime(filename) <= found[0] else None


def sha256(filename, title, use_addnet_hash=False):
    if (known := sha256_from_cache(filename, title)) is None:
        with open(filename, "rb") as file:
            known = hashlib.sha256(file.read()).hexdigest()
        _cache[title] = (os.path.getmtime(filename), known)
    return known
