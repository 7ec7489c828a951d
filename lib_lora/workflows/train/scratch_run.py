"""Makes a folder for a run that is thrown away again.

Imports nothing heavy.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_lora.files import explained
from lib_lora.workspace.workspace import CharacterFolder

_PREFIX = ".probe-"
_OLD = 86_400  # seconds after which the folder that was left by a kill is taken away


@contextmanager
def scratch_folder(folder: CharacterFolder) -> Iterator[Path]:
    """A folder in the character's own that is gone after the block; one that was left by a kill goes too."""
    for left in folder.path.glob(f"{_PREFIX}*"):
        with explained(left, "read"):
            old = time.time() - left.stat().st_mtime > _OLD
        if old:
            shutil.rmtree(left, ignore_errors=True)
    with explained(folder.path):
        place = Path(tempfile.mkdtemp(dir=folder.path, prefix=_PREFIX))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
