"""Reads what each checkpoint file is, once, and remembers it by path, size and time of change."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.files import write_json
from lib_lora.ui.http.request_context import RequestContext
from lib_lora.workspace.file_cache import mark
from lib_lora.workspace.workspace import Workspace

VERSION = 1  # raise it whenever the same file may be told otherwise
PATIENCE = 3.0  # seconds that a list of checkpoints may take; what is left is looked at the next time
_lock = Lock()


@dataclass(frozen=True)
class BaseRecord:
    """What a checkpoint file is.

    Attributes:
        family: name of its family; empty where it cannot be trained on.
        prediction: what it predicts; empty where that takes a look at the weights, which a list does not wait for.
        side: in pixels, of the pictures it knows; 0 where that depends on the prediction.
        narrow: see `ModelInfo`.
        guidance: the scale at which it is tested.
        why: it cannot be trained on, one sentence; empty where it can.
    """

    family: str = ""
    prediction: str = ""
    side: int = 0
    narrow: bool = False
    guidance: float = 7.0
    why: str = ""


def listed(context: RequestContext) -> list[dict[str, Any]]:
    """All checkpoints that the host knows."""
    until, current = time.monotonic() + PATIENCE, context.host.current_checkpoint()
    found = []
    for checkpoint in context.host.checkpoints():
        base = known(context.root, checkpoint.path)
        if base is None and time.monotonic() < until:
            base = inspect_base(context.root, checkpoint.path)
        record = base or BaseRecord(why="is being looked at")
        found.append(
            {
                "title": checkpoint.title,
                "path": str(checkpoint.path),
                "family": record.family,
                "side": record.side,
                "usable": not record.why,
                "why": record.why,
                "pending": base is None,
                "current": current is not None and checkpoint.path == current,
            }
        )
    return found


def known(root: Path, path: Path) -> BaseRecord | None:
    """What is remembered of a file; None where it is another one now, or was never looked at."""
    found = _all(root).get(_key(path))
    try:
        return typed_settings.from_dict(BaseRecord, found, "bases.json") if found is not None else None
    except UserError:
        return None


def inspect_base(root: Path, path: Path, whole: bool = False) -> BaseRecord:
    """Look at a file, and remember what it is.

    Args:
        root: the data folder.
        path: of the checkpoint.
        whole: also where its weights must be looked at, which can take a minute.
    """
    from lib_lora.models.families.identify import identify

    try:
        info = identify(path, None if whole else "epsilon")
        if not whole and not info.model_family.prediction_in_weights:
            info = identify(path)
    except UserError as error:
        base = BaseRecord(why=str(error))
    else:
        sure = whole or not info.model_family.prediction_in_weights
        prediction, side = (info.prediction, info.resolution) if sure else ("", info.small_side or 0)
        base = BaseRecord(info.family, prediction, side, info.narrow, info.guidance)
    with _lock:
        there = {key: value for key, value in _all(root).items() if not key.startswith(f"{path}|")}
        write_json(Workspace(root).bases, {**there, _key(path): asdict(base)})
    return base


def of(context: RequestContext, path: Path) -> BaseRecord:
    """What a checkpoint is, in full.

    Raises:
        UserError: it cannot be trained on.
    """
    found = known(context.root, path)
    if found is None or (not found.why and not found.prediction):
        found = inspect_base(context.root, path, whole=True)
    if found.why:
        raise UserError(found.why, code="base-model-unusable", file=path)
    return found


def _key(path: Path) -> str:
    found = mark(path) or (0, 0, 0)
    beside = mark(path.with_suffix(".yaml")) or (0, 0, 0)
    return f"{path}|{found[1]}|{found[0]}|{beside[0]}|{VERSION}"


def _all(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((Workspace(root).bases).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # a damaged one is made again
    return found if isinstance(found, dict) else {}
