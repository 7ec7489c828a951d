"""Imports a package from a folder for one caller, so that nobody else in the process finds it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from threading import Lock
from types import ModuleType

_IMPORTING = Lock()


@dataclass(frozen=True)
class _Finder(MetaPathFinder):
    """Finds these packages in a folder, and nothing else of what lies there."""

    names: Collection[str]
    folder: Path

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(self.folder)], target) if name in self.names else None


def private_import(
    name: str, folder: Path, use: Callable[[ModuleType], object], needs: Collection[str] = ()
) -> ModuleType:
    """Import a package that this Python lacks from a folder, for the caller alone.

    With the folder on ``sys.path``, the webui and other extensions would find all that lies there, and paint other
    pictures than without SameFace: Forge Neo's tokenizer mends a prompt where ftfy can be imported.

    Args:
        name: of the package.
        folder: where it lies.
        use: called with it, so that the parts that it imports only when they are first used are imported too.
        needs: other packages that it imports, also from the folder; what this Python has comes first.

    Raises:
        ImportError: it is not there.
    """
    finder = _Finder((name, *needs), folder)
    with _IMPORTING:
        before = {*sys.modules}
        importlib.invalidate_caches()
        sys.meta_path.append(finder)
        try:
            package = importlib.import_module(name)
            use(package)
            return package
        finally:
            sys.meta_path.remove(finder)
            for new in {*sys.modules} - before:
                if new.partition(".")[0] in finder.names:
                    file = getattr(sys.modules[new], "__file__", None)
                    if file and Path(file).is_relative_to(folder):
                        del sys.modules[new]
