"""Pictures that a view from the side is painted over: one that is there, its head turned until it looks there.

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

FOLDER = "turned"
DEGREES = (15, 20, 25, 30, 35, 40)  # that are tried
_YAWS = (
    0.42,
    0.52,
)  # of `Face.yaw`: to be reached, in turn; three-quarter views begin at 0.35, and painting takes some


def turned_start(engine: FaceEngine, folder: Path, file: str, side: str, number: int, size: int) -> Path | None:
    """A picture whose head looks to one side; None where its face is not found, or cannot be turned so far.

    Args:
        engine: measures how far it looks there.
        folder: of the invented pictures.
        file: of the picture, relative to it.
        side: "left" or "right" in the picture.
        number: how often this was made before for this picture and side; every other one looks further.
        size: of a side in pixels, to which it is scaled.

    Raises:
        UserError: a file cannot be read or written.
    """
    yaw = _YAWS[number % len(_YAWS)]
    path = folder / FOLDER / f"{Path(file).parent.name}-{Path(file).stem}-{side}-{round(100 * yaw)}.png"
    if path.is_file():
        return path
    image = open_photo(folder / file).resize((size, size), Image.Resampling.LANCZOS)
    made = _looking(engine, image, -yaw if side == "left" else yaw)
    if made is None:
        return None
    with explained(path):
        file_permissions.make_folder(path.parent)
    with atomic_file(path) as stream:
        made.save(stream, "PNG")
    return path


def _looking(engine: FaceEngine, image: Image.Image, yaw: float) -> Image.Image | None:
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
