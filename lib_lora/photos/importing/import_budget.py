"""Limits what an import may cost: pixels for the bytes that it brings, and seconds.

A picture of 100 megapixels that is black fits into 12 kB, forty of them into a zip of 10 kB, and each keeps a core busy
for a second. Photos bring far more bytes for their pixels, so they pay for themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lib_lora.errors import UserError

FREE = 50_000_000  # pixels: small files are welcome too, a few of them however empty
FOR_A_BYTE = 300  # pixels: photos of 12 megapixels have 142 at WebP's quality 20, 7 as a good JPEG
SECONDS = 1800.0  # 2,000 photos of 12 megapixels take 10 minutes on one core


class OverBudget(UserError):
    """A picture that costs more than is left."""


@dataclass
class Budget:
    """What one import may still cost.

    Attributes:
        free: pixels that are decoded for nothing; `for_a_byte` more for each byte that was brought.
        seconds: how long it may take.
        clock: seconds that only grow.
    """

    free: int = FREE
    for_a_byte: int = FOR_A_BYTE
    seconds: float = SECONDS
    clock: Callable[[], float] = time.monotonic
    _left: int = field(init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._began = self.free, self.clock()

    def spend(self, pixels: int, size: int) -> None:
        """Pay for the pixels of a picture before they are decoded, with the bytes that it brings.

        Raises:
            TooDear: there is not enough left; nothing changes.
        """
        left = self._left + size * self.for_a_byte - pixels
        if left < 0:
            raise OverBudget("This picture has far more pixels than its file has bytes for.", code="photo-over-budget")
        self._left = left

    def over(self) -> bool:
        """Whether the time is up."""
        return self.clock() - self._began > self.seconds
