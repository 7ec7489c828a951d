"""Fits settings to the memory of a GPU, by what is known of the families.

How many bytes of tensors a step takes is counted (``python bench/speed/memory.py``, docs/performance.md), and a fifth
more is added for the gaps between them and what CUDA's libraries work with, which nobody has measured here; Stable
Diffusion 2 is taken for as large as 1.5. So they are good to about a gigabyte: what they decide is which savings are
turned on, and a probe (`workflows.train.speed_probe`) measures the rest. Pure functions; loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from lib_lora.models.families.registry import family_named
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.typed_settings import by_dotted_key

GB = 1 << 30
_ALWAYS = 0.8  # GB: CUDA itself, and a desktop
_RESERVE = 1.0  # GB that must be left by these rough figures: Windows spills over silently, and is then 10 times slower
_PAINTS = 3.0  # GB: VAE and activations of a picture, a guess
_STATE = {"adamw": 16, "adamw8bit": 10, "adafactor": 9, "prodigy": 24, "lion": 12}  # bytes with weight and gradient
_SMALL_RANK = 16
_AUTOCAST = 1.35  # fp16 is autocast, which keeps float32 copies around every norm; reckoned on small models
AS_IT_IS = "the preset fits as it is"
_PLENTY = 0.75  # of a GPU: if all fits into that, memory need not be saved


def fitted(
    family: str,
    memory_bytes: int | None,
    settings: TrainSettings,
    fixed: Collection[str] = (),
    free_bytes: int | None = None,
) -> tuple[TrainSettings, str]:
    """`settings` with what must be changed so that a GPU of this size can train with them.

    Gradient checkpointing goes where there is plenty of memory. Else one saving after the other is turned on until it
    fits: first those that cost only time (gradient checkpointing, smaller batches with as many photos a step), then
    those that cost something of the result.

    Args:
        family: name of the base model's family.
        memory_bytes: of the whole GPU; None = there is none, or it is unknown.
        settings: e.g. a preset's.
        fixed: names of settings that are not to be changed, those of a table with a dot: "lora.rank".
        free_bytes: what other programs leave of it now; None = all.

    Returns:
        The settings, and a sentence for the user (empty where `memory_bytes` is None; else it says `AS_IT_IS` where
        nothing is changed and all fits).
    """
    if memory_bytes is None:
        return settings, ""
    size = max(1, round(memory_bytes / GB))
    here = f"For this GPU ({size} GB): "
    train, said = settings, []
    whole = replace(settings, gradient_checkpointing=False)
    room = min(_PLENTY * size * GB, memory_bytes if free_bytes is None else free_bytes) - _RESERVE * GB
    if whole != settings and "gradient_checkpointing" not in fixed and memory_needed(family, whole) <= room:
        train = whole
        said.append("gradient checkpointing off, which it has no need of")
    for change, words in _savings(family):
        if _fits(family, size, train):
            break
        changed = change(train)
        if changed != train and not set(by_dotted_key(differences(train, changed))) & set(fixed):
            said.append(words(changed))
            train = changed
    if not _fits(family, size, train):
        smaller = family_named(family).memory.hint
        needed = math.ceil(memory_needed(family, train) / GB + _RESERVE)
        said.append(f"and still it may fail, as about {needed} GB are needed; {smaller}")
    return train, here + (", ".join(said) if said else AS_IT_IS) + "."


def _fits(family: str, size: int, train: TrainSettings) -> bool:
    return memory_needed(family, train) <= (size - _RESERVE) * GB


def memory_needed(family: str, train: TrainSettings) -> int:
    """About how many bytes of a GPU a run needs, good to a gigabyte."""
    number = 4 if train.precision == "fp32" else 2
    lora, model = train.lora, family_named(family)
    figures = model.memory
    adapter = figures.denoiser_rank * lora.rank + figures.convolution_rank * lora.conv_rank
    frozen = figures.denoiser * number
    if train.hears_text:
        frozen += figures.text * number
    if train.trains_text:
        adapter += figures.text_rank * lora.of_part("te1")[0]
    state = adapter / 1000 * (_STATE[train.optimizer] + (4 if train.ema else 0))
    pictures = train.batch_size * ((train.resolution or model.largest_side) / figures.side) ** 2
    pictures *= _AUTOCAST if train.precision == "fp16" else 1
    each = figures.recomputed if train.gradient_checkpointing else figures.activations
    activations = pictures * each * number / 2
    return round((_ALWAYS + activations) * GB + (frozen + state) * 1e9)


@dataclass(frozen=True)
class GpuNeed:
    """How large a GPU must be, in GB.

    Attributes:
        whole: the settings stay as they are.
        least: all savings are turned on that may be.
    """

    whole: int
    least: int


def gpu_need(family: str, settings: TrainSettings, fixed: Collection[str] = ()) -> GpuNeed:
    """How large a GPU must be for some settings; see `fitted`."""
    whole = math.ceil(memory_needed(family, settings) / GB + _RESERVE)
    for size in range(1, whole):
        if _fits(family, size, fitted(family, size * GB, settings, fixed)[0]):
            return GpuNeed(whole, size)
    return GpuNeed(whole, whole)


def painting_memory(family: str, settings: TrainSettings) -> GpuNeed:
    """How large a GPU must be to paint with a LoRA that was trained with some settings: the whole model is in its
    memory, and what it works with, which nobody has measured on a GPU."""
    number = 4 if settings.precision == "fp32" else 2
    figures = family_named(family).memory
    model = (figures.denoiser + figures.text) * number * 1e9 / GB
    size = math.ceil(model + _PAINTS + _ALWAYS + _RESERVE)
    return GpuNeed(size, size)


def lower(train: TrainSettings) -> str:
    """What can still be made smaller in `train`, for a sentence about memory that ran out: "use ..."."""
    found = []
    if train.batch_size > 1:
        found.append("batch_size 1")
    if not train.gradient_checkpointing:
        found.append("gradient_checkpointing true")
    if train.trains_text:
        found.append("te_lr 0")
    if train.trigger_vectors:  # else the text encoders stay
        found.append("trigger_vectors 0")
    if train.lora.rank > _SMALL_RANK:
        found.append(f"lora.rank {_SMALL_RANK}")
    return ", ".join(found) + " or a smaller resolution" if found else "a smaller resolution"


def _recomputed(train: TrainSettings) -> TrainSettings:
    return replace(train, gradient_checkpointing=True)


def _one_by_one(train: TrainSettings) -> TrainSettings:
    """As many photos a step, one forward pass for each."""
    return replace(train, batch_size=1, accumulation=train.batch_size * train.accumulation)


def _without_text(train: TrainSettings) -> TrainSettings:
    return replace(train, te_lr=0.0, lora=replace(train.lora, te=False))


def _what_is_left(train: TrainSettings) -> str:
    return "the UNet and the trigger's vectors alone" if train.trigger_vectors else "the UNet alone"


def _in_8_bit(train: TrainSettings) -> TrainSettings:
    return replace(train, optimizer="adamw8bit") if train.optimizer == "adamw" else train


def _lower_rank(train: TrainSettings) -> TrainSettings:
    if train.lora.rank <= _SMALL_RANK:
        return train
    alpha = train.lora.alpha * _SMALL_RANK / train.lora.rank  # as strong as before
    return replace(train, lora=replace(train.lora, rank=_SMALL_RANK, alpha=alpha))


def _savings(family: str) -> list[tuple[Any, Any]]:
    """The savings in the order in which they are turned on, each with the words for it."""
    found: list[tuple[Any, Any]] = [
        (_recomputed, lambda train: "gradient checkpointing"),  # noqa: ARG005
        (_one_by_one, lambda train: f"batches of 1 with {train.accumulation} a step"),
        (_in_8_bit, lambda train: "8-bit AdamW"),  # noqa: ARG005
    ]
    if family_named(family).memory.text_last:
        found.append((_without_text, _what_is_left))
    return [*found, (_lower_rank, lambda train: f"rank {train.lora.rank}")]


def differences(before: TrainSettings, after: TrainSettings) -> dict[str, Any]:
    """What `fitted` has changed, in nested tables as `training.plan.presets.preset` takes them."""
    changed: dict[str, Any] = {
        name: getattr(after, name)
        for name in ("gradient_checkpointing", "batch_size", "accumulation", "optimizer", "te_lr")
        if getattr(after, name) != getattr(before, name)
    }
    lora = {
        name: getattr(after.lora, name)
        for name in ("rank", "alpha", "te")
        if getattr(after.lora, name) != getattr(before.lora, name)
    }
    return {**changed, "lora": lora} if lora else changed
