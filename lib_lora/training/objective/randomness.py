"""Seeds every random draw of training as a pure function of its purpose, so that nothing random has to be saved.

Every draw has its own generator, named by (seed, purpose, step, slot, ...). So a resumed run needs no saved
random state, and two processes that share a batch draw what one process would have drawn. The module knows
nothing of what is drawn.
"""

from __future__ import annotations

import hashlib
import operator
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def _mixed(seed: int, keys: tuple[int | str, ...]) -> int:
    """A number of 63 bits; lengths and kinds are part of the text, so (1, 23) and (12, 3) and ("1", 23) differ."""
    parts = [f"i{operator.index(seed)}"]
    for key in keys:
        parts.append(f"s{len(key)}:{key}" if isinstance(key, str) else f"i{operator.index(key)}")
    digest = hashlib.sha256(";".join(parts).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *keys: int | str) -> torch.Generator:
    """A fresh torch generator on the CPU for one purpose.

    The CPU's generator (Mersenne twister) keeps only the low 32 bits of its seed. Two of a run's draws may
    therefore, rarely, be the same numbers; for noise that does no harm.

    Args:
        seed: the run's seed, any whole number.
        keys: what the draw is for, e.g. ("noise", step, slot).

    Raises:
        TypeError: a key is neither a whole number nor a string.
    """
    import torch

    return torch.Generator().manual_seed(_mixed(seed, keys))


def python_random(seed: int, *keys: int | str) -> random.Random:
    """A fresh `random.Random` for one purpose: the order of photos, caption dropout, tag shuffle.

    Raises:
        TypeError: a key is neither a whole number nor a string.
    """
    return random.Random(_mixed(seed, keys))
