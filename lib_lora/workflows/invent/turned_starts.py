"""Makes the pictures that side views are painted over, by turning the head in a picture that is there.

Each is a file in ``<character>/invented/turned/``, made once.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_lora import file_permissions
from lib_lora.character.photo_files import open_photo
from lib_lora.faces.face import FaceEngine
from lib_lora.files import atomic_file, explained
from lib_lora.workflows.invent.head_turn import turned
from lib_lora.workflows.invent.invented_folder import TURNED

DEGREES = (10, 15, 20, 25, 30, 35, 40)  # that are tried
# Of `Face.yaw`, to be reached in turn, so that views differ; three-quarter views begin at 0.35.
YAWS = (0.42, 0.52, 0.37, 0.47)


class TurnedStarts:
    """The turned pictures of one character; remembers which cannot be made, as looking for a face takes its time.

    Args:
        engine: measures how far a head looks to a side.
        folder: of the invented pictures.
        size: of a side in pixels, to which they are scaled.
    """

    def __init__(self, engine: FaceEngine, folder: Path, size: int) -> None:
        self._engine, self._folder, self._size = engine, folder, size
        self._impossible: set[Path] = set()

    def made(self, file: str, side: str, number: int) -> Path | None:
        """A picture whose head looks to one side; None where its face is not found, or cannot be turned so far.

        Args:
            file: of the picture, relative to the folder.
            side: "left" or "right" in the picture.
            number: how often one was gone out from before for this picture and side; each of `YAWS` in
                turn, or the next lower one where that cannot be reached.

        Raises:
            UserError: a file cannot be read or written.
        """
        wanted = YAWS[number % len(YAWS)]
        for yaw in sorted((yaw for yaw in YAWS if yaw <= wanted), reverse=True):
            path = self._folder / TURNED / f"{Path(file).parent.name}-{Path(file).stem}-{side}-{round(100 * yaw)}.png"
            if path.is_file() or (path not in self._impossible and self._make(path, file, side, yaw)):
                return path
        return None

    def _make(self, path: Path, file: str, side: str, yaw: float) -> bool:
        image = open_photo(self._folder / file).resize((self._size, self._size), Image.Resampling.LANCZOS)
        made = _turned_until(self._engine, image, -yaw if side == "left" else yaw)
        if made is None:
            self._impossible.add(path)
            return False
        with explained(path):
            file_permissions.make_folder(path.parent)
        with atomic_file(path) as stream:
            made.save(stream, "PNG")
        return True


def _turned_until(engine: FaceEngine, image: Image.Image, yaw: float) -> Image.Image | None:
    faces = engine.faces(image)
    if not faces:
        return None
    sign = 1 if yaw > 0 else -1
    for degrees in DEGREES:
        there = turned(image, faces[0].points, sign * degrees)
        seen = engine.faces(there)
        if seen and sign * seen[0].yaw >= abs(yaw):
            return there
    return None
