"""Presets for faces, each value with its reason.

The values are the middle of what kohya's docs, its presets, EasyPhoto, hollowstrawberry's notebooks,
OneTrainer and Hugging Face's guides use for 20 to 50 photos of one face.
"""

from __future__ import annotations

from typing import Any

from lib_lora import settings
from lib_lora.errors import UserError
from lib_lora.models.family import Family
from lib_lora.training.settings import TrainSettings

_COMMON: dict[str, Any] = {
    "passes": 100,  # guides lie between 70 and 200 views a photo; checkpoints let the score choose
    "lr_schedule": "cosine",  # ends with small steps: the last checkpoints differ little from each other
    "warmup": 0.05,  # Adam's averages settle before the full rate
    "optimizer": "adamw8bit",  # a quarter of the optimizer's memory; plain AdamW where it does not work
    "max_grad_norm": 1.0,  # one bad batch cannot throw the run off
    "caption_dropout": 0.0,  # with 15 to 30 photos each caption is needed
    "seed": 42,
}

NARROW = "mini-face"

PRESETS: dict[str, dict[str, Any]] = {
    "sd15-face": {
        **_COMMON,
        "batch_size": 2,  # smoother than 1, fits 8 GB
        "unet_lr": 1e-4,  # the common ground of all sources
        "te_lr": 5e-5,  # half the UNet's: the trigger word is learned without forgetting the others
        "lora": {"rank": 32, "alpha": 16, "te": True},  # a face needs more than style; alpha half for stability
        # noise offset: dark and bright portraits; min-SNR 5: equal progress at all noise levels (2303.09556)
        "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
    },
    "sd2-face": {
        **_COMMON,
        "batch_size": 2,
        "unet_lr": 1e-4,
        "te_lr": 2.5e-5,  # OpenCLIP-H is larger and forgets sooner
        "lora": {"rank": 32, "alpha": 16, "te": True},
        "objective": {"min_snr_gamma": 5.0},  # no offset: the v objective already learns brightness
    },
    "sdxl-face": {
        **_COMMON,
        "batch_size": 1,  # 1024 pixels; more only with much memory
        "unet_lr": 1e-4,
        "te_lr": 0.0,  # kohya's docs "highly recommend" the UNet alone; saves both encoders' memory
        "gradient_checkpointing": True,  # without it 1024 pixels need more than 16 GB
        "lora": {"rank": 32, "alpha": 16, "te": False},
        # offset .0357: the value SDXL itself was trained with
        "objective": {"noise_offset": 0.0357, "min_snr_gamma": 5.0},
    },
    # for a small model of small pictures, on a CPU (docs/mini-face.md has the measurements)
    NARROW: {
        **_COMMON,
        "passes": 84,  # 504 steps with 24 photos: four minutes
        "batch_size": 4,  # a small step costs little more for four than for one
        "optimizer": "adamw",
        "unet_lr": 2e-3,  # narrow layers need larger changes; 1e-3 keeps less of the face in the same steps
        "te_lr": 1e-3,
        "lora": {"rank": 32, "alpha": 16, "te": True},
        "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
    },
}

_FAMILIES: dict[str, Family] = {"sd15-face": "sd1", "sd2-face": "sd2", "sdxl-face": "sdxl", NARROW: "sd1"}


def preset(
    name: str | None, family: Family, overrides: dict[str, Any] | None = None, narrow: bool = False
) -> TrainSettings:
    """The settings of a preset, with `overrides` laid over them (nested tables merge).

    Args:
        name: None = the one for this base model.
        family: of the base model.
        overrides: settings by name.
        narrow: the base model is a small one (`models.family.ModelInfo.narrow`).

    Raises:
        UserError: no such preset, one for another kind of base model, or an override that is no setting.
    """
    own = NARROW if narrow else next(one for one, its in _FAMILIES.items() if its == family)
    name = name or own
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    if _FAMILIES[name] != family or (name == NARROW and not narrow):
        raise UserError(f"The preset {name!r} is for another kind of base model; use {own!r}.")
    values = _merged({**PRESETS[name], "preset": name}, overrides or {})
    return settings.from_dict(TrainSettings, values, f"preset {name}")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
