"""Saves and restores the full state of a run after some step, to go on as if it had never ended.

Noise, timesteps and the order of the photos are pure functions of seed and step
(`lib_lora.training.objective.randomness`), so no random state has to be kept beside the step's number.

A file is two lines, the second with the SHA-256 of all that follows, and then what `torch.save` writes: digest and
content come with one rename, and stay together when the file is copied. (torch looks at no checksum when it loads.)
Files of older versions are what `torch.save` writes alone; that is a zip, which has checksums of its own.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lib_lora.files import atomic_file
from lib_lora.models.fast.memory import is_out_of_memory

LAYOUT = 1
_HEAD = b"SameFace training state\nsha256 %s\n"  # without "PK", by which a zip begins
_ZIP = b"PK\x03\x04"


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


@dataclass(frozen=True)
class FoundState:
    """What `newest` gives.

    Attributes:
        state: the newest that is whole; None = none is.
        path: its file.
        damaged: newer files that cannot be used, the newest first, each with the reason.
        useless: those of them that will never be of use; others may be whole.
    """

    state: State | None = None
    path: Path | None = None
    damaged: tuple[tuple[Path, str], ...] = ()
    useless: tuple[Path, ...] = ()


class DamagedError(Exception):
    """A file that is no whole state; says why."""


class UnreadableError(DamagedError):
    """A file that cannot be used here and now: another program holds it, or another version has written it."""


def save(folder: Path, state: State, keep: int, useless: Collection[Path] = ()) -> Path:
    """Write the state; then delete what it replaces: of the older ones all but the newest `keep`, and the `useless`."""
    path = folder / f"{state.step:06d}.pt"
    buffer = io.BytesIO()  # torch's own writer turns a full disk into an error without its cause
    torch.save({"layout": LAYOUT, **_shallow(state)}, buffer)
    with atomic_file(path) as stream:
        stream.write(_head(buffer.getbuffer()))
        stream.write(buffer.getbuffer())
    gone = [old for old in useless if old != path]
    older = [one for one in _files(folder) if one not in gone and int(one.stem) <= state.step]
    for old in [*gone, *older[keep:]]:
        with suppress(OSError):  # on Windows a scanner may hold it; it goes with the next one
            old.unlink(missing_ok=True)
    return path


def _head(content: bytes | memoryview) -> bytes:
    return _HEAD % hashlib.sha256(content).hexdigest().encode("ascii")


def _shallow(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in State.__dataclass_fields__}


def newest(folder: Path) -> FoundState:
    """The newest state that is whole. Tensors come on the CPU; who loads them moves them."""
    damaged, useless = list[tuple[Path, str]](), list[Path]()
    for path in _files(folder):
        try:
            return FoundState(load(path), path, tuple(damaged), tuple(useless))
        except DamagedError as error:  # the one before it is as good a place to go on from
            damaged.append((path, str(error)))
            useless += [] if isinstance(error, UnreadableError) else [path]
    return FoundState(damaged=tuple(damaged), useless=tuple(useless))


def load(path: Path) -> State:
    """Read a state.

    Raises:
        DamagedError: the file is not as it was written; `UnreadableError`: it cannot be read, or not by this version.
        MemoryError, RuntimeError: memory does not suffice.
    """
    try:
        with open(path, "rb") as stream:
            old = stream.read(len(_ZIP)) == _ZIP
            stream.seek(0)
            head = b"" if old else stream.read(len(_head(b"")))
            content = stream.read()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror or error})") from error
    if not old and head != _head(content):
        raise DamagedError("is damaged: its SHA-256 is not the one that it was written with")
    try:
        if old:
            _check_zip(content)
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the readers of zips and pickles stumble over
        if not old or is_out_of_memory(error):
            raise
        raise DamagedError(f"is damaged: {_short(error)}") from error
    if not isinstance(values, dict) or values.pop("layout", None) != LAYOUT or values.keys() != _fields():
        raise UnreadableError("is of another version of SameFace")
    return State(**values)


def _check_zip(content: bytes) -> None:
    """By the checksums that `torch.save` writes for each part; torch itself does not look at them."""
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        wrong = parts.testzip()
    if wrong is not None:
        raise zipfile.BadZipFile(f"the checksum of {wrong} is wrong")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}, {text[:100]}" if text else type(error).__name__


def _fields() -> set[str]:
    return set(State.__dataclass_fields__)


def _files(folder: Path) -> list[Path]:
    """The states, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if re.fullmatch(r"\d{6,}\.pt", path.name)), reverse=True)
