"""Runs ``python -m lib_lora try``: the main job on the bundled photos and the bundled small base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import UserError, command, typed
from lib_lora.setup import environment
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter
from lib_lora.workflows.train.main_job import run_main_job
from lib_lora.workspace.workspace import Workspace, data_root


def home_of(root: Path | None) -> Path:
    """The data folder of ``try``: the one that is named, or one of its own inside the user's."""
    return root or Workspace(data_root()).demo


def try_it(root: Path | None, steps: int | None = None) -> Path | None:
    """Run the main job on 24 photos of a person who does not exist; returns the LoRA.

    Args:
        root: see `home_of`.
        steps: of training; None = the preset's.

    Raises:
        UserError: the bundled photos or the model are missing.
        StoppedByUser: stopped; ``resume`` goes on.
    """
    photos = environment.bundled("tests/data/personas/mara")
    base = environment.bundled("tests/data/mini-face") / "mini-face.safetensors"
    for path in (photos, base):
        if not path.exists():
            raise UserError(
                f"`try` needs {path}, which is part of SameFace but missing; install SameFace again.",
                code="demo-file-missing",
                file=path,
            )
    home = home_of(root)
    file_permissions.keep(home)
    print(
        "This trains a LoRA of a person who does not exist from 24 photos, paints 20 test pictures with and without "
        "it, and says whether the face holds. The base model is a small one that paints faces of 128 x 128 pixels and "
        "nothing else (docs/mini-face.md), so that it takes 2 to 10 minutes on two CPU cores.\n"
    )
    overrides: dict[str, Any] = {} if steps is None else {"steps": steps}
    request = TrainingRequest(base, overrides=overrides, out=home / "out", grid_steps=20, fit=True)
    lora = run_main_job(home, NewCharacter("mara", "mrxa", "woman", "fictional"), photos, request)
    print(
        f"\nThe LoRA: {lora}\nWith your own photos and checkpoint: {command()} run PHOTOS --base CHECKPOINT "
        "--name NAME --trigger WORD --class woman --consent fictional"
        f"\nAll of this as a page in the browser: {typed('ui', '--data', str(home))}"
    )
    return lora
