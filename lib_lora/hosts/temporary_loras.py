"""Puts LoRA files into a webui's Lora folder for as long as it paints with them.

Knows under which names they lie there, and deletes what a killed webui has left.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib_lora.files import explained
from lib_lora.hosts.host_protocol import Host

FOLDER = "sameface-tests"  # within the Lora folder
_DAY = 24 * 3600.0
_left: set[str] = set()  # names of files that Windows would not give up while they were in use


@contextmanager
def temporary_loras(host: Host, files: set[Path]) -> Iterator[dict[Path, str]]:
    """Each LoRA under a name in the webui's Lora folder that it has never seen, while the block runs.

    The webui remembers what it knows of a LoRA under its name, so no name is used twice.
    """
    if not files:
        yield {}
        return
    folder = host.roots().loras[0] / FOLDER
    stems = {file: f"sameface-test-{int(time.time()):x}-{uuid.uuid4().hex[:8]}" for file in files}
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        for file, stem in stems.items():
            with explained(file, "use"):
                _put(file, folder / f"{stem}.safetensors")
        yield stems
    finally:
        _left.update(stems.values())
        _sweep(folder)
        with suppress(OSError):
            folder.rmdir()
        host.refresh_loras("")


def _sweep(folder: Path) -> None:
    """Delete what was put there, and what a killed webui left; another webui that shares the folder may be painting.

    The file's own times are those of the LoRA that it is a link to, so the time is in its name.
    """
    for path in folder.glob("sameface-test-*"):
        try:
            age = time.time() - int(path.stem.split("-")[2], 16)
        except ValueError:
            age = 2 * _DAY
        if path.stem in _left or abs(age) > _DAY:
            with suppress(OSError):
                path.unlink()
    _left.intersection_update([path.stem for path in folder.glob("sameface-test-*")])


def _put(file: Path, target: Path) -> None:
    """Link or copy, and never half a file under a name that the webui reads."""
    try:
        os.link(file, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(file, target.with_suffix(".tmp"))
        target.with_suffix(".tmp").replace(target)
