"""The full state of a run after some step: all that is needed to go on as if it had never ended.

Noise, timesteps and the order of the photos are pure functions of seed and step
(`lib_lora.training.randomness`), so no random state has to be kept beside the step's number.
"""

from __future__ import annotations

import io
import pickle
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lib_lora.files import atomic_file

LAYOUT = 1


@dataclass(frozen=True)
class State:
    """What is kept.

    Attributes:
        step: optimizer steps done.
        adapter: the adapter's tensors, as `Adapter.state` gives them.
        optimizer: its state dict.
        ema: the running average's state, where one is kept.
        scaler: the gradient scaler's state, in fp16.
        loss_average: of the progress line.
    """

    step: int
    adapter: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    ema: dict[str, Any] | None
    scaler: dict[str, Any] | None
    loss_average: float | None


def copied(state: State) -> State:
    """The same, all on the CPU and apart from what goes on being trained. `adapter` is that already."""
    rest = {name: _copied(getattr(state, name)) for name in ("optimizer", "ema", "scaler")}
    return replace(state, **rest)


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item) for item in value)
    return value


def save(folder: Path, state: State, keep: int) -> Path:
    """Write the state and delete all but the newest `keep`."""
    path = folder / f"{state.step:06d}.pt"
    buffer = io.BytesIO()  # torch's own writer turns a full disk into an error without its cause
    torch.save({"layout": LAYOUT, **_shallow(state)}, buffer)
    with atomic_file(path) as stream:
        stream.write(buffer.getbuffer())
    for old in _files(folder)[keep:]:
        with suppress(OSError):  # on Windows a scanner may hold it; it goes with the next one
            old.unlink()
    return path


def _shallow(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in State.__dataclass_fields__}


def newest(folder: Path) -> State | None:
    """The newest state that can be read, or None. Tensors come on the CPU; who loads them moves them."""
    for path in _files(folder):
        try:
            content = torch.load(str(path), map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            continue  # damaged by the disk; the one before it is as good a place to go on from
        if isinstance(content, dict) and content.pop("layout", None) == LAYOUT:
            return State(**content)
    return None


def _files(folder: Path) -> list[Path]:
    """The states, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if re.fullmatch(r"\d{6,}\.pt", path.name)), reverse=True)
