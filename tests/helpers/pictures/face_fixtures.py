"""One engine for all tests of this room, and the portraits' faces, found once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import Face

PERSONAS = Path(__file__).resolve().parents[2] / "data" / "personas"


@pytest.fixture(scope="session")
def engine() -> SFaceEngine:
    return SFaceEngine()


@pytest.fixture(scope="session")
def photos() -> Callable[[str], list[Path]]:
    """photos("mara"): the files of a synthetic person, by name."""
    return lambda name: sorted((PERSONAS / name).glob("*.jpg"))


@pytest.fixture(scope="session")
def portrait(photos: Callable[[str], list[Path]]) -> Callable[[str, int], Image.Image]:
    """portrait("mara", 0): one picture, 640 x 640."""
    return lambda name, number: open_photo(photos(name)[number])


@pytest.fixture(scope="session")
def face(engine: SFaceEngine, portrait: Callable[[str, int], Image.Image]) -> Callable[[str, int], Face]:
    """face("mara", 0): the only face of that portrait."""

    @cache
    def find(name: str, number: int) -> Face:
        (only,) = engine.faces(portrait(name, number))
        return only

    return find
