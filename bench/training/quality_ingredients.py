"""Ingredients of a training that SameFace has no settings for, laid over its trainer for `bench.training.quality`.

Each is tried before it becomes a setting; one that does not win stays here with its row in docs/quality.md. What is
trained stays an ordinary file: a LoKr is written as a LoRA of full rank, which computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional as F

from lib_lora.lora.adapter import adapter as adapters
from lib_lora.lora.adapter.adapter import AdaptedLayer
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.dora import DoraLayer
from lib_lora.models.families.model_family import ModelFamily
from lib_lora.training import loop, session
from lib_lora.training.forward import Sample
from lib_lora.training.preservation import OutputPreservation

TIMESTEPS = 1000


@contextmanager
def laid_over(ingredients: Mapping[str, float]) -> Iterator[None]:
    """Train with these ingredients while the block runs; a number says how much of one."""
    with ExitStack() as stack:
        for name, amount in ingredients.items():
            stack.enter_context(KNOWN[name](amount))
        yield


@contextmanager
def painted_anew() -> Iterator[None]:
    """Have the base model paint for output preservation in each training, as in a user's first, so that seconds can be
    compared."""
    with patch.object(session, "cached", lambda _folder, _key, compute: compute()):
        yield


@contextmanager
def lora_plus(ratio: float) -> Iterator[None]:
    """LoRA+ (Hayou et al., arXiv 2402.12354): `up` learns `ratio` times as fast as `down`."""

    def split(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for group in groups:  # an adapter's parameters come in turn: down, up
            down, up = group["params"][::2], group["params"][1::2]
            found += [{**group, "params": down}, {**group, "params": up, "lr": group["lr"] * ratio}]
        return found

    with _groups(split):
        yield


@contextmanager
def text_decay(decay: float) -> Iterator[None]:
    """Another weight decay of the text encoder's adapters."""
    # the UNet's group comes first; a trigger's vectors have a decay of their own
    with _groups(lambda groups: [groups[0], *({"weight_decay": decay, **group} for group in groups[1:])]):
        yield


@contextmanager
def _groups(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Iterator[None]:
    made = session.make_optimizer  # type: ignore[attr-defined]

    def make(name: str, groups: list[dict[str, Any]], **more: Any) -> Any:
        return made(name, change(list(groups)), **more)

    with patch.object(session, "make_optimizer", make):
        yield


@contextmanager
def weight_noise(sigma: float) -> Iterator[None]:
    """Each pass sees the adapter's weights with noise of `sigma` times their root mean square, and learns from it."""
    plain = loop._Loop._accumulate

    def noisy(self: Any, micro: int) -> Any:
        draw = torch.Generator().manual_seed(micro)
        parameters = self.session.parameters
        kept = [one.detach().clone() for one in parameters]
        with torch.no_grad():
            for one in parameters:
                one += torch.randn(one.shape, generator=draw) * one.square().mean().sqrt() * sigma
        try:
            return plain(self, micro)
        finally:
            with torch.no_grad():
                for one, before in zip(parameters, kept, strict=True):
                    one.copy_(before)

    with patch.object(loop._Loop, "_accumulate", noisy):
        yield


@contextmanager
def timestep_rank(least: float) -> Iterator[None]:
    """T-LoRA's mask (arXiv 2507.05964) in training: at the highest timestep only the share `least` of the rank acts.

    Webuis have no such mask, so pictures are painted without it.
    """
    opened = session.open_session
    times: list[torch.Tensor] = []

    def hear(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        times[:] = [torch.as_tensor(kwargs["timestep"] if "timestep" in kwargs else args[1]).reshape(-1)]

    def mask(module: nn.Module, _args: tuple[Any, ...], out: torch.Tensor) -> torch.Tensor:
        rank: int = module.weight.shape[0]  # type: ignore[union-attr, index, assignment]
        share = least + (1 - least) * (1 - times[0].float() / TIMESTEPS)
        kept = (torch.arange(rank) < (share * rank).ceil()[:, None]).to(out.dtype)  # [B, rank]
        kept = kept.repeat(out.shape[0] // kept.shape[0], 1)
        return out * (kept[:, :, None, None] if out.ndim == 4 else kept[:, None, :])

    def open_masked(*args: Any, **kwargs: Any) -> Any:
        made = opened(*args, **{**kwargs, "fast": False})
        denoiser = made.forward.denoiser
        denoiser.register_forward_pre_hook(hear, with_kwargs=True)
        for layer in denoiser.modules():
            if isinstance(layer, LoraLayer):
                layer.lora_A["default"].register_forward_hook(mask)
        return made

    with patch.object(loop, "open_session", open_masked):
        yield


class LokrLayer(DoraLayer):
    """A frozen layer with a change that is one Kronecker product: LoKr (Yeh et al., arXiv 2309.14859), both factors
    whole.

    Args:
        base: the layer: linear, or a convolution of one cell.
        factor: rows and columns of the small factor, where they divide the layer's.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, factor: int) -> None:
        nn.Module.__init__(self)
        self.base = base.requires_grad_(False)
        self.enabled = True
        out, into = base.weight.shape[:2]
        rows, columns = (factor if size % factor == 0 else 1 for size in (out, into))
        self.small = nn.Parameter(torch.randn(rows, columns) / columns**0.5)
        self.large = nn.Parameter(torch.zeros(out // rows, into // columns))

    def change(self) -> torch.Tensor:
        """What is added to the weight, [out, in]."""
        return torch.kron(self.small, self.large)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the base layer, changed where the adapter is enabled."""
        plain: torch.Tensor = self.base(x)
        if not self.enabled:
            return plain
        if isinstance(self.base, nn.Conv2d):
            return plain + F.conv2d(x, self.change()[:, :, None, None])
        return plain + F.linear(x, self.change())


def factors(layer: LokrLayer) -> tuple[torch.Tensor, torch.Tensor]:
    """`up` and `down` of the LoRA of full rank that changes the layer alike, in the shapes of a file."""
    left, size, right = torch.linalg.svd(layer.change().detach(), full_matrices=False)
    up, down = left, size[:, None] * right
    return (up[:, :, None, None], down[:, :, None, None]) if isinstance(layer.base, nn.Conv2d) else (up, down)


class _WrittenAsLora(AdaptedLayer):
    layer: LokrLayer

    def parameters(self) -> dict[str, nn.Parameter]:
        return {"small": self.layer.small, "large": self.layer.large}


@contextmanager
def lokr(factor: float) -> Iterator[None]:
    """LoKr in place of LoRA, at its learning rates, which nobody has tuned for it."""
    exported = adapters.Adapter.export

    def attach(model: ModelFamily, part: str, module: nn.Module, settings: LoraSettings) -> list[AdaptedLayer]:
        found: list[AdaptedLayer] = []
        for path, base in adapters._layers(model, part, module, settings.convolutions).items():
            layer = LokrLayer(base, int(factor))
            parent, _, leaf = path.rpartition(".")
            setattr(module.get_submodule(parent), leaf, layer)
            one = _WrittenAsLora(part, path, layer.small, layer.large, float(min(base.weight.shape[:2])), None)
            object.__setattr__(one, "layer", layer)
            found.append(one)
        return found

    def export(self: adapters.Adapter) -> dict[str, torch.Tensor]:
        layers = []
        for one in self.layers:
            layer: LokrLayer = one.layer  # type: ignore[attr-defined]
            up, down = factors(layer)
            layers.append(AdaptedLayer(one.part, one.path, nn.Parameter(down), nn.Parameter(up), one.alpha, None))
        return exported(adapters.Adapter(self.family, self.settings, layers))

    with patch.object(adapters, "_attach_peft", attach), patch.object(adapters.Adapter, "export", export):
        yield


@contextmanager
def preserved_between(least: int, below: int) -> Iterator[None]:
    """Output preservation of photos at timesteps from `least` on and below `below` alone."""
    plain = OutputPreservation._has_turn

    def turn(self: OutputPreservation, sample: Sample, slot: int, painted: bool) -> bool:
        return least <= float(sample.times[slot]) < below and plain(self, sample, slot, painted)

    with patch.object(OutputPreservation, "_has_turn", turn):
        yield


KNOWN: dict[str, Callable[[float], Any]] = {
    "lora_plus": lora_plus,
    "text_decay": text_decay,
    "weight_noise": weight_noise,
    "timestep_rank": timestep_rank,
    "lokr": lokr,
    "preserved_from": lambda least: preserved_between(int(least), TIMESTEPS),
    "preserved_below": lambda below: preserved_between(0, int(below)),
}
