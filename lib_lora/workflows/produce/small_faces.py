"""Paints small faces a second time: cut out, painted larger over what is there, and put back.

A model that paints 512 x 512 pixels has too few of them for the face of a whole body. What ADetailer does in a webui is
done here for every painter that paints over a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from lib_lora import file_permissions
from lib_lora.character.photo_files import open_photo
from lib_lora.errors import StoppedByUser
from lib_lora.faces.face import Face, FaceEngine
from lib_lora.files import atomic_file, explained
from lib_lora.grid.cells import Painter
from lib_lora.grid.paint_plan import cell_key
from lib_lora.pictures import SMALL_FACE, Cell, parameters_of, save_picture

AROUND = 2.2  # sides of the face's box that are cut out, so that hair and neck fit
_EDGE = 0.12  # share of the cut that fades into the picture, on each side
_PARAMETER = "SameFace second pass"


@dataclass(frozen=True)
class SmallFacePainter:
    """See `grid.cells.Painter`. A picture whose small face is still to be painted again waits on the disk: whoever goes
    on after a kill finds it there, and does not paint it once more.

    Attributes:
        painter: paints, also over a picture.
        engine: finds the faces.
        folder: for what waits; made if it is not there.
        side: pixels of a square for which the model was made.
        strength: share of the sampling that is done over a face, 0 .. 1.
        stopping: asked after each picture that waits; true = paint no more.
    """

    painter: Painter
    engine: FaceEngine
    folder: Path
    side: int
    strength: float
    stopping: Callable[[], bool] = lambda: False

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets those without a small face first.

        Raises:
            UserError: the painter fails, or the disk; what waits is kept.
            StoppedByUser: `stopping` said so, or see the painter.
        """
        pictures: dict[int, Image.Image] = {}
        waiting = [self._waiting(cell) for cell in cells]

        def finished(number: int, picture: Image.Image) -> None:
            pictures[number] = picture
            if each:
                each(number, picture)

        new = [number for number, path in enumerate(waiting) if not path.is_file()]

        def first(place: int, picture: Image.Image) -> None:
            number = new[place]
            if cut_of(self.engine.faces(picture.convert("RGB")), picture.size, self.side) is None:
                finished(number, picture)
                return
            with explained(self.folder):
                file_permissions.make_folder(self.folder)
            save_picture(waiting[number], picture, cells[number], str(picture.info.get("parameters", "")))
            if self.stopping():
                raise StoppedByUser("Stopped; finished pictures are kept.", code="painting-stopped")

        if new:
            self.painter.paint([cells[number] for number in new], first)
        self._paint_again(cells, {n: path for n, path in enumerate(waiting) if n not in pictures}, finished)
        return [pictures[number] for number in range(len(cells))]

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """See the painter."""
        return self.painter.reconstruct(image)

    def _waiting(self, cell: Cell) -> Path:
        return self.folder / f"{hashlib.sha256(cell_key(cell).encode()).hexdigest()[:32]}.png"

    def _paint_again(
        self, cells: Sequence[Cell], waiting: dict[int, Path], finished: Callable[[int, Image.Image], None]
    ) -> None:
        cuts: dict[int, tuple[int, int, int]] = {}
        over: list[Cell] = []
        for number, path in waiting.items():
            picture = open_photo(path)
            cut = cut_of(self.engine.faces(picture), picture.size, self.side)
            if cut is None:  # it is none any more: another engine looks
                cut = (0, 0, min(picture.size))
            cuts[number] = cut
            left, top, side = cut
            start = path.with_suffix(".cut.png")
            with explained(start), atomic_file(start) as stream:
                part = picture.crop((left, top, left + side, top + side))
                part.resize((self.side, self.side), Image.Resampling.LANCZOS).save(stream, "PNG")
            cell = replace(cells[number], start=start, strength=self.strength)
            over.append(replace(cell, width=self.side, height=self.side))
        numbers = list(cuts)

        def second(place: int, face: Image.Image) -> None:
            number = numbers[place]
            finished(number, self._put_back(waiting[number], face, cuts[number]))
            for path in (waiting[number], waiting[number].with_suffix(".cut.png")):
                with suppress(OSError):  # a scanner may hold it; it lies there until the production goes
                    path.unlink()

        if over:
            self.painter.paint(over, second)

    def _put_back(self, first: Path, face: Image.Image, cut: tuple[int, int, int]) -> Image.Image:
        made = put_back(open_photo(first), face, cut)
        if said := parameters_of(first):
            made.info["parameters"] = f"{said}, {_PARAMETER}: {self.strength:g}"
        return made


@dataclass(frozen=True)
class DetailingPainter:
    """See `grid.cells.Painter`. Has the painter itself paint small faces again, by its own means (`Cell.detail`).

    Attributes:
        painter: has such means.
        strength, side: as in `SmallFacePainter`.
    """

    painter: Painter
    strength: float
    side: int

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """See the painter.

        Raises:
            UserError: see the painter.
        """
        wished = [replace(cell, detail=self.strength, detail_side=self.side) for cell in cells]
        return self.painter.paint(wished, each)

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """See the painter."""
        return self.painter.reconstruct(image)


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
    if longer >= SMALL_FACE * side or cut >= side or cut < 1:
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
