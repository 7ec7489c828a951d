"""Switches a model's adapters off for a while, so that the frozen base model can be asked without loading it twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from peft.tuners.lora import LoraLayer
from torch import nn

from lib_lora.lora.adapter.fused import FusedLayer
from lib_lora.lora.dora import DoraLayer


class AdapterSwitch:
    """The adapters of some parts.

    Args:
        parts: with their adapters, of whichever kind they are when the switch is made.
    """

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        layers = [layer for part in parts for layer in part.modules()]
        self._own = [layer for layer in layers if isinstance(layer, (FusedLayer, DoraLayer))]
        self._peft = [layer for layer in layers if isinstance(layer, LoraLayer)]

    @contextmanager
    def off(self) -> Iterator[None]:
        """Inside the block the parts compute what they did before `attach`; nothing learns from what is done there."""
        self._enable(False)
        try:
            yield
        finally:
            self._enable(True)

    def _enable(self, enabled: bool) -> None:
        for own in self._own:
            own.enabled = enabled
        for layer in self._peft:
            layer.enable_adapters(enabled)
