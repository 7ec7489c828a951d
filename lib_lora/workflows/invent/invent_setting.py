"""Holds what the steps of inventing share: the base model as a plan, the painter, and one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_lora.errors import StoppedByUser, typed
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.invent.invented_folder import InventedFolder, InventedPicture, InventPlan
from lib_lora.workspace.workspace import Workspace

FIRST_SEED, STEPS = 1, 20
_WAIT = "wait for it, or stop it with Ctrl-C"


def plan_for(root: Path, base: Path, info: ModelInfo, describe: str, seed: int, steps: int) -> InventPlan:
    """The plan of a description on a base model; its hash is remembered in the data folder."""
    digest = cached_sha256(base, Workspace(root).hashes)
    return InventPlan(
        describe, str(base.absolute()), digest, info.prediction, seed, steps, info.guidance, info.resolution
    )


@contextmanager
def alone(invented: InventedFolder, command: str) -> Iterator[None]:
    """One process at a time on the folder; a stop by the user says how to go on, with `command`.

    Raises:
        UserError: another process is at work on it.
        StoppedByUser: Ctrl-C was pressed.
    """
    with only_process(invented.path, _WAIT):
        try:
            yield
        except KeyboardInterrupt as stop:
            raise StoppedByUser(
                f"Stopped; what was painted is kept. Continue with: {command}",
                code="inventing-stopped",
                again=command,
            ) from stop


def begin_command(name: str) -> str:
    """What to type first."""
    return typed("invent", name, "--describe", "WHO", "--base", "CHECKPOINT")


def silent(one: InventedPicture) -> None:
    """Is told of a picture and says nothing."""
