"""Attaches the trainable adapter to a model's parts, and gives its state for resuming and its tensors for the file.

Knows peft (0.13 to 0.17) and the DoRA layer of this room. Knows nothing about training or about files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from lib_lora.errors import Misfit, UserError
from lib_lora.lora.adapter.fused import FusedLayer
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.dora import DoraLayer
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.model_family import ModelFamily
from lib_lora.models.families.registry import family_named
from lib_lora.models.textual_inversion import TextualInversion

_PEFT_NAME = "default"


@dataclass(frozen=True)
class AdaptedLayer:
    """One layer's adapter.

    Attributes:
        part, path: "unet", "te1" or "te2", and the layer's dotted path in it.
        down: [rank, in] or [rank, in, h, w], float32.
        up: [out, rank] or [out, rank, 1, 1], float32.
        alpha: as it stands in the file; the change is ``alpha / rank * up @ down``.
        magnitude: DoRA's, [1, in] or [1, in, 1, 1], or None.
    """

    part: str
    path: str
    down: nn.Parameter
    up: nn.Parameter
    alpha: float
    magnitude: nn.Parameter | None

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by its own name."""
        found = {"down": self.down, "up": self.up}
        return found if self.magnitude is None else {**found, "magnitude": self.magnitude}


class Adapter:
    """What `attach` has put into a model. All its parameters are float32; do not cast the model afterwards."""

    def __init__(self, family: str, settings: LoraSettings, layers: list[AdaptedLayer]) -> None:
        self.family = family
        self.settings = settings
        self.layers = layers
        self.trigger: TextualInversion | None = None  # a word whose vectors are trained too

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that have adapters, e.g. ("unet", "te1")."""
        return tuple(dict.fromkeys(layer.part for layer in self.layers))

    def trainable(self, part: str) -> list[nn.Parameter]:
        """The parameters of one part, in the order of the model; an empty list where it has no adapter."""
        return [item for layer in self.layers if layer.part == part for item in layer.parameters().values()]

    def state(self) -> dict[str, torch.Tensor]:
        """Every parameter as an exact float32 copy on the CPU, by ``<part>.<path>.<down|up|magnitude>``."""
        return {name: item.detach().cpu().clone() for name, item in self._named().items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave. Nothing is changed unless all of it fits.

        Raises:
            UserError: the state is of another model or of other settings.
        """
        named = self._named()
        fits = state.keys() == named.keys() and all(state[key].shape == item.shape for key, item in named.items())
        if not fits:
            raise UserError(
                "The saved state belongs to an adapter of another size or with other targets; keep the run's settings.",
                code="state-of-other-adapter",
            )
        with torch.no_grad():
            for key, item in named.items():
                item.copy_(state[key])

    @torch.no_grad()
    def scale(self, weight: float) -> None:
        """Multiply the change of each layer's weight, in place, as a host does at this weight; the
        trigger's vectors stay.

        Raises:
            ValueError: DoRA, whose change does not grow with its numbers.
        """
        if weight == 1:
            return
        if any(layer.magnitude is not None for layer in self.layers):
            raise Misfit("a LoRA with DoRA cannot be scaled.", "weight")
        for layer in self.layers:
            layer.up.mul_(weight)

    def vectors(self) -> dict[str, nn.Parameter]:
        """The trigger's vectors by the text encoder that hears them; empty where it has none."""
        found = self.trigger.vectors if self.trigger else ()
        return {f"te{n}": cast(nn.Parameter, one) for n, one in enumerate(found, 1)}

    def export(self) -> dict[str, torch.Tensor]:
        """The tensors of a kohya file: float32 copies on the CPU, alpha of no dimension (rsLoRA's root in it)."""
        tensors: dict[str, torch.Tensor] = {}
        for layer in self.layers:
            name = kohya_name(self.family, layer.part, layer.path)
            tensors[f"{name}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float32)
            tensors[f"{name}.lora_down.weight"] = _copy(layer.down)
            tensors[f"{name}.lora_up.weight"] = _copy(layer.up)
            if layer.magnitude is not None:
                tensors[f"{name}.dora_scale"] = _copy(layer.magnitude)
        if self.trigger:
            tensors |= bundled_tensors(self.trigger.word, [_copy(one) for one in self.vectors().values()])
        return tensors

    def _named(self) -> dict[str, nn.Parameter]:
        return {
            f"{layer.part}.{layer.path}.{what}": item
            for layer in self.layers
            for what, item in layer.parameters().items()
        } | {f"{part}.trigger": item for part, item in self.vectors().items()}


def _copy(parameter: nn.Parameter) -> torch.Tensor:
    return parameter.detach().to("cpu", torch.float32, copy=True).contiguous()


def attach(parts: Mapping[str, nn.Module], family: str, settings: LoraSettings) -> Adapter:
    """Freeze `parts` and put adapters into them, in place.

    Dropout acts while a part is in training mode (``part.train()``), as everywhere in torch; loaded models are not.

    The first numbers come from torch's global generator, which the caller seeds: kaiming-uniform for `down`,
    zeros for `up`, so that an untrained adapter changes nothing.

    Args:
        parts: "unet", "te1", "te2" with diffusers' and transformers' modules. Text encoders are frozen but
            get no adapter where ``settings.te`` is off.
        family: name of the model family.
        settings: sizes and kinds.

    Raises:
        UserError: a part does not have exactly the layers of its family.
        ValueError: a part that the family does not have, or one that has an adapter already.
    """
    layers: list[AdaptedLayer] = []
    model = family_named(family)
    for part, module in parts.items():
        if any(isinstance(inner, (LoraLayer, DoraLayer, FusedLayer)) for inner in module.modules()):
            raise Misfit(f"{part} has an adapter already.", part)
        expected = model.expected_paths(part, module, settings.convolutions)
        module.requires_grad_(False)
        if part == "unet" or settings.te:
            _refuse_other_layers(model, part, module, settings.convolutions, expected)
            layers += (_attach_dora if settings.use_dora else _attach_peft)(model, part, module, settings)
            module.train(module.training)  # new layers begin in training mode, whatever the model is in
    if not layers:
        raise Misfit("there is nothing to train: no UNet was given, and the text encoders are switched off.", "parts")
    return Adapter(family, settings, layers)


def _layers(model: ModelFamily, part: str, module: nn.Module, convolutions: bool) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers to adapt, by path, in the order of the model."""
    wanted = re.compile(model.adapter_pattern(part, convolutions))
    return {
        path: layer
        for path, layer in module.named_modules()
        if wanted.fullmatch(path) and isinstance(layer, (nn.Linear, nn.Conv2d))
    }


def _refuse_other_layers(
    model: ModelFamily, part: str, module: nn.Module, convolutions: bool, expected: tuple[str, ...]
) -> None:
    """Found early: after hours of training the file could not be written."""
    found = _layers(model, part, module, convolutions).keys()
    odd = sorted(found ^ set(expected))
    if odd:
        raise UserError(
            f"The model's {part} has {len(found)} of the {len(expected)} layers that its family has "
            f"({odd[0]} differs); train on an unpruned model.",
            code="model-pruned",
            part=part,
        )


def _attach_peft(model: ModelFamily, part: str, module: nn.Module, settings: LoraSettings) -> list[AdaptedLayer]:
    rank, alpha, dropout = settings.of_part(part)
    convolutions = model.convolution_ends if settings.convolutions else ()
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=model.adapter_pattern(part, settings.convolutions),
        rank_pattern=dict.fromkeys(convolutions, settings.conv_rank),
        alpha_pattern=dict.fromkeys(convolutions, settings.conv_alpha),
        use_rslora=settings.use_rslora,
    )
    inject_adapter_in_model(config, module, adapter_name=_PEFT_NAME)
    found = []
    for path, layer in module.named_modules():
        if isinstance(layer, LoraLayer):
            down, up = layer.lora_A[_PEFT_NAME].float(), layer.lora_B[_PEFT_NAME].float()
            file_alpha = _file_alpha(layer.lora_alpha[_PEFT_NAME], layer.r[_PEFT_NAME], settings)
            found.append(AdaptedLayer(part, path, _weight(down), _weight(up), file_alpha, None))
    return found


def _attach_dora(model: ModelFamily, part: str, module: nn.Module, settings: LoraSettings) -> list[AdaptedLayer]:
    found = []
    for path, base in _layers(model, part, module, settings.convolutions).items():
        rank, alpha, dropout = settings.of_part(part)
        if isinstance(base, nn.Conv2d) and base.kernel_size != (1, 1):
            rank, alpha = settings.conv_rank, settings.conv_alpha
        layer = DoraLayer(base, rank, alpha, dropout, settings.use_rslora)
        parent, _, leaf = path.rpartition(".")
        setattr(module.get_submodule(parent), leaf, layer)
        file_alpha = _file_alpha(alpha, rank, settings)
        found.append(AdaptedLayer(part, path, _weight(layer.down), _weight(layer.up), file_alpha, layer.magnitude))
    return found


def _file_alpha(alpha: float, rank: int, settings: LoraSettings) -> float:
    """The alpha for which a reader's alpha / rank is the scale that was trained with."""
    return alpha * math.sqrt(rank) if settings.use_rslora else float(alpha)


def _weight(layer: nn.Module) -> nn.Parameter:
    return cast(nn.Parameter, layer.weight)
