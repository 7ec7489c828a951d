"""Keeps an exponential moving average of the adapter's weights beside them.

The trained weights are never swapped out: the average is read, and written to a file, from its own tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from lib_lora.errors import Misfit


class EMA:
    """Averages of some tensors: shadow = d * shadow + (1 - d) * weight, with d = min(decay, (1 + n) / (10 + n)).

    n counts the updates, the first being 1, so the random start is forgotten quickly (TensorFlow's rule).

    Args:
        params: the float32 tensors to follow; the list is kept, and read at each update.
        decay: 0 .. below 1, e.g. 0.99 for 1,000 steps, 0.999 for 10,000.

    Raises:
        ValueError: a decay out of range, or a tensor that is not float32 (in half precision the small
            differences would be lost).
    """

    def __init__(self, params: Iterable[torch.Tensor], decay: float) -> None:
        if not 0 <= decay < 1:
            raise Misfit(f"the decay of the average must be 0 or more and below 1, got {decay}", "decay")
        self._params = list(params)
        for tensor in self._params:
            if tensor.dtype != torch.float32:
                raise Misfit(f"the average needs float32 tensors, got {tensor.dtype}", "params")
        self.decay = decay
        self.updates = 0
        self._shadows = [tensor.detach().clone() for tensor in self._params]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; call it after each optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for shadow, tensor in zip(self._shadows, self._params, strict=True):
            shadow.lerp_(tensor.detach(), 1 - decay)

    def tensors(self) -> list[torch.Tensor]:
        """The averages, in the order of `params`; the live tensors, to be read and not written."""
        return list(self._shadows)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs; plain enough for `torch.load(weights_only=True)`."""
        return {"decay": self.decay, "updates": self.updates, "tensors": [shadow.clone() for shadow in self._shadows]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved average, exactly. The decay stays the one this object was made with.

        Raises:
            ValueError: it is the average of other tensors.
        """
        tensors = state["tensors"]
        if [tuple(one.shape) for one in tensors] != [tuple(one.shape) for one in self._shadows]:
            raise Misfit("the saved average belongs to another adapter: its tensors have other shapes", "state")
        self.updates = int(state["updates"])
        for shadow, saved in zip(self._shadows, tensors, strict=True):
            shadow.copy_(saved)
