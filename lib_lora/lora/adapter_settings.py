"""The settings of an adapter. Knows nothing about models; imports no torch, so the tab may use it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LoraSettings:
    """What is attached to a model, and how strong it is.

    The change of a weight is ``alpha / rank * up @ down``.

    Attributes:
        rank: how much can be learned: of linear layers and 1x1 convolutions; the file grows with it.
        alpha: how strongly it acts, as alpha/rank; half the rank trains calmly.
        dropout: share of the adapter's inputs set to zero in training, 0..1.
        conv_rank: rank in the 3x3 convolutions; 0 = the UNet's residual blocks and samplers get no adapter at all.
        conv_alpha: alpha in the 3x3 convolutions.
        te: adapt the text encoders too.
        te_rank, te_alpha, te_dropout: the same in the text encoders; empty (None) = as in the UNet.
        use_rslora: divide alpha by the root of the rank (Kalajdzievski, arXiv 2312.03732).
        use_dora: learn the length of each input column apart from its direction (Liu et al., arXiv 2402.09353),
            on the input axis, which is the one that A1111 computes.

    Raises:
        ValueError: a value outside its range.
    """

    rank: int = 32
    alpha: float = 16.0
    dropout: float = 0.0
    conv_rank: int = 0
    conv_alpha: float = 1.0
    te: bool = True
    te_rank: int | None = None
    te_alpha: float | None = None
    te_dropout: float | None = None
    use_rslora: bool = False
    use_dora: bool = False

    def __post_init__(self) -> None:
        for name, least in (("rank", 1), ("te_rank", 1), ("conv_rank", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}.")
        for name in ("alpha", "te_alpha", "conv_alpha"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}; it must be above 0 (at 0 the adapter has no effect).")
        for name in ("dropout", "te_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 0 and below 1.")

    @property
    def convolutions(self) -> bool:
        """Whether the UNet's residual blocks and samplers are adapted (LoCon)."""
        return self.conv_rank > 0

    def of_part(self, part: str) -> tuple[int, float, float]:
        """Rank, alpha and dropout of the linear layers of "unet", "te1" or "te2"."""
        if part == "unet":
            return self.rank, self.alpha, self.dropout
        rank = self.rank if self.te_rank is None else self.te_rank
        alpha = self.alpha if self.te_alpha is None else self.te_alpha
        dropout = self.dropout if self.te_dropout is None else self.te_dropout
        return rank, alpha, dropout
