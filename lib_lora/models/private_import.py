"""Imports a package from a folder for one caller, so that nobody else in the process finds it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from threading import Lock
from types import ModuleType

_IMPORTING = Lock()


def private_import(name: str, folder: Path) -> ModuleType:
    """Import a package that this Python lacks from a folder, for the caller alone.

    With the folder on ``sys.path``, the webui and other extensions would find all that lies there, and paint other
    pictures than without SameFace: Forge Neo's tokenizer mends a prompt where ftfy can be imported.

    Raises:
        ImportError: it is not there.
    """
    with _IMPORTING:
        before = {*sys.modules}
        sys.path.append(str(folder))  # last: what the webui has comes first
        importlib.invalidate_caches()
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(folder))
            for new in {*sys.modules} - before:
                file = getattr(sys.modules[new], "__file__", None)
                if file and Path(file).is_relative_to(folder):
                    del sys.modules[new]
