"""The face engine looks at each picture once in a run of the tests; its own tests have it as it is."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shared import run_folder

from lib_lora.faces.engines.opencv_engine import SFaceEngine

ENGINES_OWN = Path(__file__).resolve().parents[2] / "faces"


@pytest.fixture(scope="session")
def faces_seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of a run keep what the engine has said of a picture."""
    return run_folder(tmp_path_factory, "faces")


@pytest.fixture(scope="module", autouse=True)
def _each_picture_once(request: pytest.FixtureRequest, faces_seen: Path) -> Iterator[None]:
    """Photos and grids return in hundreds of tests, and a look takes a fifth of a second."""
    if request.path.is_relative_to(ENGINES_OWN):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("faces", "boxes"):
            patch.setattr(SFaceEngine, name, _once(name, getattr(SFaceEngine, name), faces_seen))
        yield


def _once(name: str, look: Callable[[SFaceEngine, Image.Image], Any], folder: Path) -> Any:
    def looked(self: SFaceEngine, image: Image.Image) -> Any:
        digest = hashlib.sha256(f"{name} {self.id} {image.size}".encode())
        digest.update(image.convert("RGB").tobytes())
        file = folder / digest.hexdigest()
        if file.exists():
            return pickle.loads(file.read_bytes())
        found = look(self, image)
        part = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
        part.write_bytes(pickle.dumps(found))
        part.replace(file)
        return found

    return looked
