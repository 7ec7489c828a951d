"""A face engine that looks at each picture once; grids repeat their pictures, and a look takes a fifth of a second."""

from __future__ import annotations

from PIL import Image

from lib_lora.faces.face import Face, FaceEngine


class Remembering:
    """Answers as `engine` does.

    Args:
        engine: that looks.
        name: its id; None = the engine's own.
    """

    def __init__(self, engine: FaceEngine, name: str | None = None) -> None:
        self._engine = engine
        self.id, self.licence = name or engine.id, engine.licence
        self._known: dict[tuple[tuple[int, int], bytes], list[Face]] = {}

    def faces(self, image: Image.Image) -> list[Face]:
        key = (image.size, image.convert("RGB").tobytes())
        if key not in self._known:
            self._known[key] = self._engine.faces(image)
        return self._known[key]
