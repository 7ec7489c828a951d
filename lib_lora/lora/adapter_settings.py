"""Defines the settings of an adapter.

Knows nothing about models, and loads no torch, so that the tab may use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lib_lora.errors import Misfit
from lib_lora.typed_settings import check_least, described


@dataclass(frozen=True)
class LoraSettings:
    """What is attached to a model, and how strong it is.

    The change of a weight is ``alpha / rank * up @ down``.

    The metadata of each field says what it means and names its title in forms.

    Raises:
        ValueError: a value outside its range.
    """

    rank: int = field(
        default=32,
        metadata=described(
            "Rank",
            "How much can be learned: of linear layers and 1x1 convolutions; the file grows with it.",
            least=1,
        ),
    )
    alpha: float = field(
        default=16.0,
        metadata=described("Alpha", "How strongly it acts, as alpha/rank; half the rank trains gently."),
    )
    dropout: float = field(
        default=0.0,
        metadata=described("Dropout", "Share of the adapter's inputs set to zero in training, 0..1."),
    )
    conv_rank: int = field(
        default=0,
        metadata=described(
            "Convolution rank",
            "Rank in the 3x3 convolutions; 0 = the UNet's residual blocks and samplers get no adapter at all.",
            least=0,
        ),
    )
    conv_alpha: float = field(default=1.0, metadata=described("Convolution alpha", "Alpha in the 3x3 convolutions."))
    te: bool = field(default=True, metadata=described("Train the text encoders", "Adapt the text encoders too."))
    te_rank: int | None = field(
        default=None,
        metadata=described("Text encoder rank", "Rank in the text encoders; empty (null) = as in the UNet.", least=1),
    )
    te_alpha: float | None = field(
        default=None,
        metadata=described("Text encoder alpha", "Alpha in the text encoders; empty (null) = as in the UNet."),
    )
    te_dropout: float | None = field(
        default=None,
        metadata=described("Text encoder dropout", "Dropout in the text encoders; empty (null) = as in the UNet."),
    )
    use_rslora: bool = field(
        default=False,
        metadata=described(
            "rsLoRA",
            "Divide alpha by the root of the rank (Kalajdzievski, arXiv 2312.03732). The LoRA then acts more strongly"
            " by that root, and probably needs lower learning rates.",
        ),
    )
    use_dora: bool = field(
        default=False,
        metadata=described(
            "DoRA",
            "Learn the length of each input column apart from its direction (Liu et al., arXiv 2402.09353), on the"
            " input axis, which is the one that A1111 computes.",
        ),
    )

    def __post_init__(self) -> None:
        check_least(self)
        for name in ("alpha", "te_alpha", "conv_alpha"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise Misfit(f"{name} is {value}; it must be above 0 (at 0 the adapter has no effect).", name)
        for name in ("dropout", "te_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise Misfit(f"{name} is {value}; it must be at least 0 and below 1.", name)

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
