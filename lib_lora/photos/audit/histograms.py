"""How alike colour histograms are. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def largest_group(histograms: Sequence[Sequence[float]], limit: float) -> int:
    """Of n >= 1 histograms, how many lie within `limit` (as in `apart`) of the one with most neighbours."""
    roots = np.sqrt(np.asarray(histograms, np.float64))
    return int((np.sqrt(np.maximum(0.0, 1 - roots @ roots.T)) < limit).sum(1).max())


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Hellinger distance of two histograms of shares, 0 (equal) .. 1 (nothing in common)."""
    return math.sqrt(max(0.0, 1 - float(np.sqrt(np.asarray(one) * np.asarray(other)).sum())))
