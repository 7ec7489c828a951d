"""Paints by asking the process that started this one, which is a webui; it loads nothing itself.

The pictures come as PNG files in a folder of the job; each is read like any file from elsewhere, and deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora import file_permissions
from lib_lora.character.photo_files import open_photo
from lib_lora.errors import Misfit, UserError
from lib_lora.files import atomic_file, explained
from lib_lora.pictures import Cell
from lib_lora.queue.running.worker_pipe import WorkerPipe

PAINTER_ID = "webui"
_LONGEST = 20_000  # characters of an infotext that are kept
_FIELDS = ("prompt", "negative", "seed", "weight", "width", "height", "steps", "cfg", "sampler", "strength")
_DETAILS = ("detail", "detail_side")  # said where they are asked for: an older webui's part of SameFace knows none


class RemotePainter:
    """See `grid.cells.Painter`.

    Args:
        pipe: to the parent.
        folder: where the files are put; made if it is not there.
        base: the checkpoint to paint with.
    """

    def __init__(self, pipe: WorkerPipe, folder: Path, base: Path) -> None:
        self.pipe = pipe
        self.folder = folder
        self.base = base

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets them in the order in which they come.

        What the parent says of how a picture was painted stands in its ``info["parameters"]``.

        Raises:
            UserError: the parent cannot paint, a picture cannot be read, or there are fewer than were asked for.
            StoppedByUser: see `WorkerPipe.ask`.
        """
        self._make_folder()
        pictures: dict[int, Image.Image] = {}
        asked = [_picture(cell) for cell in cells]
        for answer in self.pipe.ask("paint", base=str(self.base), pictures=asked, folder=str(self.folder)):
            number = answer.get("number")
            if not isinstance(number, int) or number not in range(len(cells)) or number in pictures:
                continue
            pictures[number] = self._taken(answer.get("file"))
            pictures[number].info["parameters"] = _text(answer.get("infotext"))
            if each:
                each(number, pictures[number])
        if len(pictures) < len(cells):
            raise UserError(
                f"The webui painted {len(pictures)} of {len(cells)} pictures and gave no reason; look at its console, "
                "and start it again: it continues with the missing ones.",
                code="webui-painted-too-few",
            )
        return [pictures[number] for number in range(len(cells))]

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """An RGB picture through the VAE of the parent's model and back; None where it has none at hand."""
        self._make_folder()
        given, wanted = self.folder / "given.png", self.folder / "reconstructed.png"
        with atomic_file(given) as stream:
            image.save(stream, "PNG")
        try:
            [*_, answer] = self.pipe.ask("reconstruct", file=str(given), out=str(wanted))
            return self._taken(answer["file"]) if answer.get("file") else None
        finally:
            with suppress(OSError):
                given.unlink()

    def _make_folder(self) -> None:
        with explained(self.folder):
            file_permissions.make_folder(self.folder)

    def _taken(self, file: Any) -> Image.Image:
        """Open a picture and delete its file, which must lie in the folder."""
        path = Path(str(file))
        if path.absolute().parent != self.folder.absolute() or path.is_symlink():
            raise UserError(
                f"The webui saved a picture somewhere other than requested: {path}.", code="webui-wrong-path", path=path
            )
        try:
            return open_photo(path)
        finally:
            with suppress(OSError):  # a scanner may hold it; the folder goes with the job
                path.unlink()


def _picture(cell: Cell) -> dict[str, Any]:
    """What is asked for, by the names that the other side knows."""
    if cell.variation or cell.inverted:
        raise Misfit("a webui is not asked to vary a picture, nor for a picture's noise", "cell")
    files = {name: str(path) if path else None for name, path in (("lora", cell.lora), ("start", cell.start))}
    # not "more", which parts of SameFace know that paint without them: they refuse a name that they do not know
    more = {"further_loras": [[str(path), weight] for path, weight in cell.more]} if cell.more else {}
    fields = (*_FIELDS, *(_DETAILS if cell.detail else ()))
    return {**files, **more, **{name: getattr(cell, name) for name in fields}}


def _text(infotext: Any) -> str:
    """As UTF-8 can hold it; what is no text is left out."""
    text = infotext if isinstance(infotext, str) else ""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:_LONGEST]
