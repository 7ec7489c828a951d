"""Gives the presets for faces: what all share, with what a family adds (`models.families`), each value with its reason.

The values are the middle of what kohya's docs, its presets, EasyPhoto, hollowstrawberry's notebooks,
OneTrainer and Hugging Face's guides use for 20 to 50 photos of one face.
"""

from __future__ import annotations

from typing import Any

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.models.families.model_family import FamilyPreset, ModelFamily
from lib_lora.models.families.registry import families, usual_family
from lib_lora.training.plan.train_settings import TrainSettings

_COMMON: dict[str, Any] = {
    "passes": 100,  # guides lie between 70 and 200 views a photo; checkpoints let the score choose
    "lr_schedule": "cosine",  # ends with small steps: the last checkpoints differ little from each other
    "warmup": 0.05,  # Adam's averages settle before the full rate
    "optimizer": "adamw8bit",  # a quarter of the optimizer's memory; plain AdamW where it does not work
    "max_grad_norm": 1.0,  # one bad batch cannot throw the run off
    "likeness_curve": True,  # a few pictures at five checkpoints show when more steps bring nothing
    "caption_dropout": 0.0,  # with 15 to 30 photos each caption is needed
    "seed": 42,
}


def usual_preset() -> str:
    """The name of the preset that is meant where no base model is known yet."""
    return next(iter(usual_family().presets))


def presets() -> dict[str, tuple[ModelFamily, FamilyPreset]]:
    """All presets by name, each with the family that it is for."""
    found = [(name, family, one) for family in families() for name, one in family.presets.items()]
    in_order = sorted(found, key=lambda one: (one[2].narrow, one[1].name))
    return {name: (family, one) for name, family, one in in_order}


def preset(
    name: str | None, family: str, overrides: dict[str, Any] | None = None, narrow: bool = False
) -> TrainSettings:
    """The settings of a preset, with `overrides` laid over them (nested tables merge).

    Args:
        name: None = the one for this base model.
        family: of the base model.
        overrides: settings by name.
        narrow: the base model is a small one (`ModelInfo.narrow`).

    Raises:
        UserError: no such preset, one for another kind of base model, or an override that is no setting.
    """
    known = presets()
    usual = [key for key, (its, one) in known.items() if its.name == family and one.narrow <= narrow]
    own = next((key for key in usual if known[key][1].narrow), usual[0])
    name = name or own
    if name not in known:
        raise UserError(
            f"There is no preset {name!r}; there are {', '.join(known)}.", code="preset-unknown", preset=name
        )
    if name not in usual:
        raise UserError(
            f"The preset {name!r} is for another family of base models; use {own!r}.",
            code="preset-of-other-family",
            preset=name,
            suggestion=own,
        )
    values = merged({**_COMMON, **known[name][1].settings, "preset": name}, overrides or {})
    return typed_settings.from_dict(TrainSettings, values, f"preset {name}")


def asked_beside(train: TrainSettings, family: str, narrow: bool = False) -> dict[str, Any]:
    """The settings that differ from their preset, by dotted key: somebody asked for these.

    Args:
        train: the settings.
        family, narrow: see `preset`.
    """
    flat = typed_settings.by_dotted_key
    usual = flat(typed_settings.to_dict(preset(train.preset, family, narrow=narrow)))
    return {key: value for key, value in flat(typed_settings.to_dict(train)).items() if usual.get(key) != value}


def asked_in_run(train: TrainSettings, family: str) -> dict[str, Any]:
    """The settings in which a run differs from its preset as it is now, by dotted key; none where there is no such
    preset any more."""
    known = presets().get(train.preset)
    asked = asked_beside(train, family, known[1].narrow) if known else {}
    if asked.get("likeness_curve") is False:
        del asked["likeness_curve"]  # runs of earlier versions have none, and nobody asked for that
    if asked.get("preservation_painted") == 0:
        del asked["preservation_painted"]  # nor for this
    if not train.trigger_vectors:
        asked.pop("vectors_lr", None)  # nor for a rate of vectors that there are not
    return asked


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested tables in one, in which `over` counts."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
