"""Presets for faces, each value with its reason.

The values are the middle of what kohya's docs, its presets, EasyPhoto, hollowstrawberry's notebooks,
OneTrainer and Hugging Face's guides use for 20 to 50 photos of one face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.training.plan.train_settings import TrainSettings

if TYPE_CHECKING:
    from lib_lora.models.family import Family

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
        "passes": 56,  # 336 steps with 24 photos
        "batch_size": 4,  # a small step costs little more for four than for one
        "precision": "fp32",  # its products are so small that bf16 takes longer, even where a processor has it
        "optimizer": "adamw",
        # narrow layers need larger changes: half of these keep less of the face, twice make pictures alike
        "unet_lr": 4e-3,
        "te_lr": 2e-3,
        "face_weight": 2.0,  # keeps a little more of the face in the same steps, and the pictures as varied
        "sample_steps": 5,  # its pictures look the same after 5 as after 20, and two of them are 4 % of the time
        "lora": {"rank": 32, "alpha": 16, "te": True},
        "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
    },
}

# for which family, whether only for narrow models, and one line for the user
TOLD: dict[str, tuple[Family, bool, str]] = {
    "sd15-face": ("sd1", False, "A face on Stable Diffusion 1.5: UNet and text encoder, 512 pixels, fits 8 GB."),
    "sd2-face": ("sd2", False, "A face on Stable Diffusion 2: UNet and text encoder, the encoder at a lower rate."),
    "sdxl-face": ("sdxl", False, "A face on Stable Diffusion XL: the UNet alone, 1024 pixels, from 10 GB."),
    NARROW: ("sd1", True, "A face on a small model of small pictures, minutes on a processor: for trying things out."),
}


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
    own = NARROW if narrow else next(one for one, its in TOLD.items() if its[0] == family)
    name = name or own
    if name not in PRESETS:
        raise UserError(
            f"There is no preset {name!r}; there are {', '.join(PRESETS)}.", code="preset-unknown", preset=name
        )
    if TOLD[name][0] != family or (TOLD[name][1] and not narrow):
        raise UserError(
            f"The preset {name!r} is for another kind of base model; use {own!r}.",
            code="preset-of-other-family",
            preset=name,
            suggestion=own,
        )
    values = merged({**PRESETS[name], "preset": name}, overrides or {})
    return typed_settings.from_dict(TrainSettings, values, f"preset {name}")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested tables in one, in which `over` counts."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
