"""``python -m lib_lora try``: the main job on the bundled photos and a toy base model, to see that all works here."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from lib_lora.character.store import data_root
from lib_lora.errors import UserError, command
from lib_lora.jobs.main_job import run_main_job

_SOURCE = Path(__file__).resolve().parents[2]
_SIDE = 128  # pixels; a toy paints noise at any size


def try_it(root: Path | None, steps: int) -> Path | None:
    """Run the main job on a toy; returns the LoRA.

    Args:
        root: the data folder; None = a folder of its own inside the user's.
        steps: of training.

    Raises:
        UserError: this is an installed package without the bundled photos.
    """
    photos = _SOURCE / "tests" / "data" / "personas" / "mara"
    if not photos.is_dir():
        raise UserError("`try` needs SameFace's source folder, which holds the photos for it; run it in that folder.")
    home = root or data_root() / "try"
    base = home / "toy-sd15.safetensors"
    print(
        "This makes a toy base model (random numbers in the shape of Stable Diffusion 1.5, some 160 times smaller) "
        "and does the whole job on it with 24 photos of a person who does not exist.\n"
        "A toy paints noise, with and without a LoRA: what you see is that every step works on this machine, "
        f"not how good the result is. With a real checkpoint use: {command()} run PHOTOS --base CHECKPOINT ...\n"
    )
    if not base.exists():
        part = _toys().write_toy("sd1", base.with_suffix(f".{os.getpid()}.tmp"))
        part.replace(base)  # whole or absent: half a toy would spoil every later try
    return run_main_job(
        home,
        photos=photos,
        name="mara",
        trigger="mrxa",
        class_word="woman",
        consent="fictional",
        base=base,
        out=home / "out",
        overrides={
            "steps": steps,
            "resolution": _SIDE,
            "precision": "fp32",
            "optimizer": "adamw",
            "unet_lr": 2e-3,
            "te_lr": 1e-3,
        },
        grid_steps=10,
    )


def _toys() -> Any:
    """The builder of toy models, which lies with the tests."""
    spec = importlib.util.spec_from_file_location("sameface_toys", _SOURCE / "tests" / "toys.py")
    if spec is None or spec.loader is None:
        raise UserError(f"{_SOURCE / 'tests' / 'toys.py'} is missing; restore the source folder.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
