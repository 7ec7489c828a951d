"""The settings of a training as the fields of a form, made from the dataclasses and their docstrings: name, kind,
choices, default and one line of text have no other source. Only the titles are written here. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from typing import Any

from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.training.objective.objective import ObjectiveSettings
from lib_lora.training.plan.presets import presets
from lib_lora.training.plan.train_settings import TrainSettings

NO_FIELDS = ("preset", "version")
PATHS = ("class_photos",)

_PHOTOS = (
    "resolution",
    "bucket_step",
    "upscale",
    "caption_dropout",
    "tag_dropout",
    "shuffle_tags",
    "keep_tokens",
    "class_photos",
    "class_caption",
    "face_weight",
)
_KINDS = {int: "int", float: "float", bool: "bool", str: "text", list[str]: "lines"}

_LABELS = {
    "steps": "Steps",
    "passes": "Views of each photo",
    "batch_size": "Batch size",
    "accumulation": "Gradient accumulation",
    "resolution": "Resolution",
    "bucket_step": "Bucket step",
    "upscale": "Enlarge small photos",
    "seed": "Seed",
    "precision": "Precision",
    "optimizer": "Optimizer",
    "unet_lr": "UNet learning rate",
    "te_lr": "Text encoder learning rate",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Gradient clipping",
    "lr_schedule": "Learning rate schedule",
    "warmup": "Warm-up",
    "gradient_checkpointing": "Gradient checkpointing",
    "ema": "Running average (EMA)",
    "save_every": "Save every N steps",
    "keep_states": "States kept for resuming",
    "samples": "Sample pictures",
    "sample_prompts": "Prompts of sample pictures",
    "sample_steps": "Sampling steps of samples",
    "clip_skip": "Clip skip",
    "caption_dropout": "Caption dropout",
    "tag_dropout": "Phrase dropout",
    "shuffle_tags": "Shuffle phrases",
    "keep_tokens": "Phrases kept at the start",
    "class_photos": "Folder of class pictures",
    "class_caption": "Caption of class pictures",
    "face_weight": "Weight of the face",
    "lora.rank": "Rank",
    "lora.alpha": "Alpha",
    "lora.dropout": "Dropout",
    "lora.conv_rank": "Convolution rank",
    "lora.conv_alpha": "Convolution alpha",
    "lora.te": "Train the text encoders",
    "lora.te_rank": "Text encoder rank",
    "lora.te_alpha": "Text encoder alpha",
    "lora.te_dropout": "Text encoder dropout",
    "lora.use_rslora": "rsLoRA",
    "lora.use_dora": "DoRA",
    "objective.noise_offset": "Noise offset",
    "objective.adaptive_noise_scale": "Adaptive noise scale",
    "objective.multires_iterations": "Multi-resolution noise",
    "objective.multires_discount": "Multi-resolution discount",
    "objective.ip_noise_gamma": "Input noise (ip-noise)",
    "objective.min_snr_gamma": "Min-SNR gamma",
    "objective.debiased": "Debiased estimation",
    "objective.loss_type": "Loss",
    "objective.huber_c": "Huber threshold",
    "objective.huber_schedule": "Huber schedule",
    "objective.prior_loss_weight": "Weight of class pictures",
    "objective.scale_v_pred_loss": "Scale v-prediction loss",
    "objective.min_timestep": "Lowest timestep",
    "objective.max_timestep": "Highest timestep",
}


def fields() -> list[dict[str, Any]]:
    """Every setting of a training that a person may change, in the order of the dataclasses.

    Returns:
        Tables of plain values: key (dotted), label, text (one line), kind ("int", "float", "bool", "choice", "text", or
        "lines" for a list of texts), choices (empty for all but "choice"), default, group ("Training", "Photos", "LoRA"
        or "Objective"), and optional (true where the value may be null), path (true where a text names a folder).
    """
    own = _of(TrainSettings, "")
    inner = [*_of(LoraSettings, "lora"), *_of(ObjectiveSettings, "objective")]
    order = ("Training", "Photos", "LoRA", "Objective")
    return sorted([*own, *inner], key=lambda field: order.index(field["group"]))


def flat(train: TrainSettings) -> dict[str, Any]:
    """The settings by dotted key, without those that are no fields."""
    values = dataclasses.asdict(train)
    found = {name: value for name, value in values.items() if not isinstance(value, dict) and name not in NO_FIELDS}
    for table in ("lora", "objective"):
        found |= {f"{table}.{name}": value for name, value in values[table].items()}
    return found


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key as the tables that `training.plan.presets.preset` takes; nested ones pass as they are."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        if table:
            found[table] = {**found.get(table, {}), name: value}
        elif isinstance(value, dict):
            found[key] = {**found.get(key, {}), **value}
        else:
            found[key] = value
    return found


def presets_told(family: str | None = None, narrow: bool = False) -> list[dict[str, str]]:
    """Name and text of the presets; with `family` only those for such a base model (see `presets.preset`)."""
    return [
        {"name": name, "text": one.description}
        for name, (its, one) in presets().items()
        if family is None or (its.name == family and (narrow or not one.narrow))
    ]


def _of(kind: type[Any], table: str) -> list[dict[str, Any]]:
    hints, texts = typing.get_type_hints(kind), _texts(kind)
    found = []
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]) or (not table and field.name in NO_FIELDS):
            continue
        key = f"{table}.{field.name}" if table else field.name
        hint, optional = _plain(hints[field.name])
        make = field.default_factory
        choices = list(typing.get_args(hint)) if typing.get_origin(hint) is typing.Literal else []
        found.append(
            {
                "key": key,
                "label": _LABELS[key],
                "text": texts[field.name],
                "kind": "choice" if choices else _KINDS[hint],
                "choices": choices,
                "default": field.default if make is dataclasses.MISSING else make(),
                "group": _group(table, field.name),
                "optional": optional,
                "path": field.name in PATHS,
            }
        )
    return found


def _group(table: str, name: str) -> str:
    if table:
        return {"lora": "LoRA", "objective": "Objective"}[table]
    return "Photos" if name in _PHOTOS else "Training"


def _plain(hint: Any) -> tuple[Any, bool]:
    """A type without its None, and whether None was there."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [one for one in typing.get_args(hint) if one is not type(None)]
    return rest[0], True


def _texts(kind: type[Any]) -> dict[str, str]:
    """What the docstring's section "Attributes" says of each, as one line: a sentence with a capital at its start."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\nRaises:")[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        begun = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if begun:
            names = begun[1].split(", ")
        text = begun[2] if begun else line.strip()
        for name in names:
            found[name] = f"{found.get(name, '')} {text}".strip()
    return {name: (text[:1].upper() + text[1:]).replace("`", "") for name, text in found.items()}
