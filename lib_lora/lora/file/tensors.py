"""Groups the tensors of a kohya LoRA file by layer, and checks what may be written.

Knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lib_lora.errors import UserError
from lib_lora.lora import key_names
from lib_lora.lora.bundled import words_in
from lib_lora.lora.dora import low_rank
from lib_lora.lora.layers import keys_by_layer
from lib_lora.models.families.registry import family_named
from lib_lora.models.families.unet_layers import TEXT_ATTENTION


class NothingLearnedError(UserError):
    """An adapter that would change nothing (yet)."""


@dataclass(frozen=True)
class LayerTensors:
    """What the file says of one layer.

    Attributes:
        down: [rank, in] or [rank, in, h, w]; [rank, in, 1, 1] where there is a middle.
        up: [out, rank] or [out, rank, 1, 1].
        mid: [rank, rank, h, w] of a Tucker-decomposed convolution, or None.
        alpha: one number, or None: then the scale is 1.
        dora_scale: DoRA's magnitude, [1, in] or [1, in, 1, 1], or None.
    """

    down: torch.Tensor
    up: torch.Tensor
    mid: torch.Tensor | None = None
    alpha: torch.Tensor | None = None
    dora_scale: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """The number of rows of `down`."""
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """alpha / rank, or 1."""
        return 1.0 if self.alpha is None else float(self.alpha) / self.rank

    def delta(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
        """The change of a weight of `shape`, before DoRA, float32, computed on `device`.

        Raises:
            ValueError: the adapter belongs to a weight of another size.
        """
        up, down = self.up.to(device).float(), self.down.to(device).float()
        columns = down[0].numel() if self.mid is None else down.shape[1] * self.mid[0, 0].numel()
        if up.shape[0] != shape[0] or columns != shape[1:].numel():
            raise ValueError(f"it is for a weight of {up.shape[0]} x {columns}, the model's is {tuple(shape)}")
        if self.mid is None:
            return low_rank(up, down, shape) * self.scale
        whole = torch.einsum("nmkl,in,mj->ijkl", self.mid.to(device).float(), up.flatten(1), down.flatten(1))
        return whole.reshape(shape) * self.scale


def group(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, LayerTensors]:
    """The tensors by layer, in the order of their first appearance; see `layers.keys_by_layer`.

    Raises:
        UserError: as there.
    """
    keys = keys_by_layer({key: tuple(tensor.shape) for key, tensor in tensors.items()}, where)
    return {
        name: LayerTensors(**{field: tensors[key] for field, key in fields.items()}) for name, fields in keys.items()
    }


def check(tensors: Mapping[str, torch.Tensor], family: str) -> dict[str, int]:
    """Make sure that A1111 will load these tensors and that they do something.

    Args:
        tensors: kohya-named, as they will be written.
        family: name of the model family.

    Returns:
        The number of layers of each part: UNet 192 or, with convolutions, 278 (SDXL 722, 788); text encoders
        SD1 72, SD2 138, SDXL 72 and 192.

    Raises:
        UserError: a non-finite number, a part that is all zero, an incomplete q/k/v/out set, a layer that is
            missing or does not belong there.
    """
    where = "The LoRA was not written"
    layers = group(tensors, where)
    if not layers:
        raise UserError(f"{where}: it is empty.", code="tensors-empty")
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise UserError(
            f"{where}: {broken[0]} holds values that are not numbers (NaN or infinite), as do {len(broken) - 1} more "
            "tensors; the training has diverged: start again from an earlier checkpoint, with a lower learning rate.",
            code="tensors-not-finite",
            tensor=broken[0],
        )
    _refuse_lost_vectors(tensors, family, where)
    present: dict[str, set[str]] = {}
    for name in layers:
        place = key_names.locate(family, name)
        if place is None or key_names.kohya_name(family, *place) != name:
            raise UserError(
                f"{where}: {name} is not a layer of a {family} model, so A1111 would not find it.",
                code="tensor-of-no-layer",
                tensor=name,
                family=family,
            )
        present.setdefault(place[0], set()).add(place[1])
    for part, paths in present.items():
        _refuse_partial(family, part, paths, where)
        if not any(_does_something(layers[key_names.kohya_name(family, part, path)]) for path in paths):
            raise NothingLearnedError(
                f"{where}: its {part} is all zero, so it would change nothing; train for more steps.",
                code="nothing-learned",
                part=part,
            )
    return {part: len(paths) for part, paths in present.items()}


def _refuse_lost_vectors(tensors: Mapping[str, torch.Tensor], family: str, where: str) -> None:
    """Vectors of a word must be there for each text encoder, under the names that go with their number."""
    encoders = len(family_named(family).parts) - 1
    for word, keys in words_in({key: tuple(tensor.shape) for key, tensor in tensors.items()}, where).items():
        if len(keys) != encoders:
            raise UserError(
                f"{where}: it has vectors of {word!r} for {len(keys)} text encoders, a {family} model has {encoders}.",
                code="lora-embedding-unfit",
                word=word,
                family=family,
            )


def _does_something(layer: LayerTensors) -> bool:
    return bool(layer.up.any()) and bool(layer.down.any()) and layer.scale != 0


def incomplete_attention(paths: set[str]) -> dict[str, set[str]]:
    """Text encoder attentions of which some but not all of q, k, v and out are among `paths`, with the missing.

    A1111 has them as one module in SD2's and SDXL's OpenCLIP encoders, and applies nothing unless all are there.
    """
    owners = {path.rpartition(".self_attn.")[0] for path in paths if ".self_attn." in path}
    wanted = {owner: {f"{owner}.{leaf}" for leaf in TEXT_ATTENTION} for owner in owners}
    return {owner: whole - paths for owner, whole in wanted.items() if whole - paths}


def _refuse_partial(family: str, part: str, paths: set[str], where: str) -> None:
    if part != "unet":
        for missing in incomplete_attention(paths).values():
            raise UserError(
                f"{where}: {part} has an attention without {sorted(missing)[0]}; A1111 would ignore it.",
                code="attention-incomplete",
                part=part,
            )
    complete = family_named(family).complete_sets(part, paths)
    if paths not in complete:
        whole = complete[-1] if paths & (complete[-1] - complete[0]) else complete[0]
        raise UserError(
            f"{where}: its {part} has {len(paths)} of {len(whole)} layers, without {sorted(whole - paths)[0]}.",
            code="layers-missing",
            part=part,
            layers=len(paths),
        )
