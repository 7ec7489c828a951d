"""Keeps the data folder private to its owner (0700 folders, 0600 files); LoRA files stay readable by other programs.

On Windows nothing is changed: a folder there inherits who may read it. The user's profile keeps other accounts out; a
data folder elsewhere is as open as the folder around it. Knows nothing of what is in a file.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path

FOLDERS = (
    "characters",
    "jobs",
    "deleted",
    "uploads",
    "remote",
    "fleets",
    "civitai",
)  # in a data folder, with all that is below them
SHARED = ("loras", "models", "out", "blip", "try", "wildcards")  # in a data folder, and not closed
_FILES = re.compile(
    r"jobs\.sqlite.*|(settings|bases|probes|hashes|licences|confirmed|places|api-keys|base-addresses)\.json|settings\.json\.lock|pods\.jsonl|api-keys\.keyring|c2pa-(home-made|own)\.pem"
    r"|page-[0-9]+\.(html|token)|.*\.tmp"
)
_MARKS = ("characters", "jobs.sqlite")  # by these a folder with other things in it is a data folder all the same
_OTHERS = 0o077
_homes: set[str] = set()  # the data folders of this process


def keep(root: Path) -> None:
    """From now on all that is made in the data folder `root` is its owner's alone; what is there already becomes so.

    The folder itself is closed, too, if nothing lies in it but what is SameFace's: one that the user has for other
    things as well stays as it is. So does all that is in one that is no data folder yet: another program's ``uploads``,
    say. What belongs to another account, or cannot be changed, stays as it is.

    Args:
        root: the data folder; it may not be there yet.
    """
    if os.name == "nt":
        return
    _homes.update({os.path.abspath(root), os.path.realpath(root)})  # noqa: PTH100 - links stay
    try:
        with os.scandir(root) as found:
            names = [entry.name for entry in found]
    except OSError:
        return
    ours = [name for name in names if name in FOLDERS or _FILES.fullmatch(name)]
    alone = len(ours) == len([name for name in names if name not in SHARED])
    if not alone and not is_data_folder(root):
        return
    for name in ours:
        _close(root / name)
    if alone:
        _close(root)


def is_data_folder(root: Path) -> bool:
    """Whether a folder is one, whatever else lies in it."""
    return any((root / one).exists() for one in _MARKS)


def is_ours(name: str) -> bool:
    """Whether a file of this name, directly in a data folder, is SameFace's."""
    return bool(_FILES.fullmatch(name))


def _close(path: Path) -> None:
    if sys.platform == "win32":  # a folder inherits who may read it, and modes say nothing
        return
    with suppress(OSError):
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid == os.geteuid() and mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)


def is_private(path: Path) -> bool:
    """Whether what is made at `path` must be its owner's alone."""
    where = os.path.abspath(path)  # noqa: PTH100 - links stay
    for home in _homes:
        if where == home:
            return True
        if where.startswith(home + os.sep):
            first, *rest = Path(where[len(home) + 1 :]).parts
            if first in FOLDERS or (not rest and first not in SHARED):
                return True
    return False


def rights(folder: Path) -> int:
    """The mode with which a folder is made."""
    return 0o700 if is_private(folder) else 0o777


def make_folder(path: Path) -> None:
    """Like ``path.mkdir(parents=True, exist_ok=True)``, but a private folder gets 0700."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    path.mkdir(rights(path), exist_ok=True)


def opener(path: str, flags: int) -> int:
    """For ``open(path, ..., opener=opener)``: what is private is made with 0600."""
    return os.open(path, flags, 0o600 if is_private(Path(path)) else 0o666)
