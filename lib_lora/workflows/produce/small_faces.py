"""Paints small faces a second time: cut out, painted larger over what is there, and put back.

A model that paints 512 x 512 pixels has too few of them for the face of a whole body. What ADetailer does in a webui is
done here for every painter that paints over a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from lib_lora import file_permissions
from lib_lora.faces.face import Face, FaceEngine
from lib_lora.files import atomic_file, explained
from lib_lora.grid.cells import Painter
from lib_lora.pictures import Cell

SMALL = 1 / 3  # of the side for which the model was made: larger faces are left as they are
AROUND = 2.2  # sides of the face's box that are cut out, so that hair and neck fit
_EDGE = 0.12  # share of the cut that fades into the picture, on each side
_PARAMETER = "SameFace second pass"


@dataclass(frozen=True)
class SmallFacePainter:
    """See `grid.cells.Painter`.

    Attributes:
        painter: paints, also over a picture.
        engine: finds the faces.
        folder: for the cuts while they are painted; made if it is not there.
        side: pixels of a square for which the model was made.
        strength: share of the sampling that is done over a face, 0 .. 1.
    """

    painter: Painter
    engine: FaceEngine
    folder: Path
    side: int
    strength: float

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets those without a small face first.

        Raises:
            UserError: the painter fails, or the cuts cannot be written.
            StoppedByUser: see the painter.
        """
        pictures: dict[int, Image.Image] = {}
        small: dict[int, tuple[Image.Image, tuple[int, int, int]]] = {}

        def finished(number: int, picture: Image.Image) -> None:
            pictures[number] = picture
            if each:
                each(number, picture)

        def first(number: int, picture: Image.Image) -> None:
            cut = cut_of(self.engine.faces(picture.convert("RGB")), picture.size, self.side)
            if cut is None:
                finished(number, picture)
            else:
                small[number] = (picture, cut)

        self.painter.paint(cells, first)
        self._paint_again(cells, small, finished)
        return [pictures[number] for number in range(len(cells))]

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """See the painter."""
        return self.painter.reconstruct(image)

    def _paint_again(
        self,
        cells: Sequence[Cell],
        small: dict[int, tuple[Image.Image, tuple[int, int, int]]],
        finished: Callable[[int, Image.Image], None],
    ) -> None:
        numbers, over = list(small), []
        try:
            for number in numbers:
                picture, (left, top, side) = small[number]
                path = self.folder / f"cut-{number:03d}.png"
                cut = picture.convert("RGB").crop((left, top, left + side, top + side))
                with explained(path):
                    file_permissions.make_folder(self.folder)
                    with atomic_file(path) as stream:
                        cut.resize((self.side, self.side), Image.Resampling.LANCZOS).save(stream, "PNG")
                cell = replace(cells[number], start=path, strength=self.strength)
                over.append(replace(cell, width=self.side, height=self.side))

            def second(place: int, face: Image.Image) -> None:
                picture, cut = small[numbers[place]]
                finished(numbers[place], self._put_back(picture, face, cut))

            if over:
                self.painter.paint(over, second)
        finally:
            for cell in over:
                with suppress(OSError):
                    assert cell.start is not None
                    cell.start.unlink()

    def _put_back(self, picture: Image.Image, face: Image.Image, cut: tuple[int, int, int]) -> Image.Image:
        made = put_back(picture, face, cut)
        if said := picture.info.get("parameters"):
            made.info["parameters"] = f"{said}, {_PARAMETER}: {self.strength:g}"
        return made


def cut_of(faces: Sequence[Face], size: tuple[int, int], side: int) -> tuple[int, int, int] | None:
    """The square around the largest face, if that is small: left, top and side in pixels, inside the picture.

    Args:
        faces: of the picture.
        size: its width and height in pixels.
        side: see `SmallFacePainter.side`.

    Returns:
        None where there is no face, where it is large enough, or where the square would not become larger.
    """
    if not faces:
        return None
    left, top, width, height = max((face.box for face in faces), key=lambda box: box[2] * box[3])
    longer = max(width, height)
    cut = round(min(longer * AROUND, *size))
    if longer >= SMALL * side or cut >= side or cut < 1:
        return None
    x, y = left + width / 2 - cut / 2, top + height / 2 - cut / 2
    return round(min(max(x, 0), size[0] - cut)), round(min(max(y, 0), size[1] - cut)), cut


def put_back(picture: Image.Image, face: Image.Image, cut: tuple[int, int, int]) -> Image.Image:
    """A picture with another face in a square of it, whose edges fade into what is around them.

    Args:
        picture: stays as it is.
        face: of any size.
        cut: left, top and side of the square, in pixels.
    """
    left, top, side = cut
    edge = max(1, round(side * _EDGE))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rectangle((edge, edge, side - edge - 1, side - edge - 1), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(edge / 3))
    made = picture.convert("RGB")
    made.paste(face.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (left, top), mask)
    return made
