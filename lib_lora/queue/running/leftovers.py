"""Deletes the temporary files that killed processes left (`files.atomic_file`).

Imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from lib_lora import file_permissions
from lib_lora.queue import queue_file
from lib_lora.workspace.workspace import Workspace

_OURS = re.compile(r".+\.([0-9]{1,10})\.tmp")  # the number is that of the process that writes it
_QUIET = 10.0  # seconds in which who still writes, perhaps on another machine, would have changed it
_DAY = 86_400.0  # so long nobody writes a file, even where its process's number belongs to another one by now


def sweep(root: Path) -> list[Path]:
    """Delete what is left in a data folder; what cannot be deleted stays until next time.

    Args:
        root: what is no data folder (around a run that was moved, say) is not touched.

    Returns:
        The files that were deleted.
    """
    if not file_permissions.is_data_folder(root):
        return []
    found = [path for path in _files(root, deep=False) if file_permissions.is_ours(path.name.rsplit(".", 2)[0])]
    workspace = Workspace(root)
    for folder in (workspace.characters, workspace.jobs):  # the others are not written this way
        found += _files(folder, deep=True)
    mending = workspace.jobs / queue_file.MENDING
    with suppress(OSError):
        for copy in mending.glob("tmp*"):
            if time.time() - copy.stat().st_mtime > _QUIET:
                shutil.rmtree(copy, ignore_errors=True)
    return [path for path in found if _swept(path)]


def sweep_beside(name: str, out: Path) -> list[Path]:
    """Delete what is left of the delivery of a LoRA in a folder of the user's; other programs' files are not touched.

    Args:
        name: of its file, without suffix.
        out: the folder.
    """
    ours = re.compile(rf"{re.escape(name)}(-[0-9]+)?\.(safetensors|json|png)(\.[0-9a-f]+)?\.[0-9]+\.tmp")
    return [path for path in _files(out, deep=False) if ours.fullmatch(path.name) and _swept(path)]


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    with suppress(OSError):
        for path in folder.rglob("*.tmp") if deep else folder.glob("*.tmp"):
            if _OURS.fullmatch(path.name) and path.is_file():
                yield path


def _swept(path: Path) -> bool:
    match = _OURS.fullmatch(path.name)
    try:
        age = time.time() - path.stat().st_mtime
        if match is None or age < _QUIET or (age < _DAY and _may_write(int(match[1]))):
            return False
        path.unlink()
    except OSError:
        return False
    return True


def _may_write(pid: int) -> bool:
    """Whether the process is there, and is another one than this: this one is not at it so long."""
    return pid != os.getpid() and psutil.pid_exists(pid)
