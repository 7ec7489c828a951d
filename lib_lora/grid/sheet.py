"""Draws one picture of a whole test grid, and marks it as generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from lib_lora.grid.lettering import COLOURS, INK, broken, shortened, symbol, width, write
from lib_lora.messages.tone import Tone

FRAME = 5  # pixels
STRIP = 24  # pixels: the caption under a picture
FOOT = "AI-generated pictures"
_EDGE, _BETWEEN = 16, 12  # pixels round the sheet, and between its pictures
_TITLE, _TEXT, _SMALL = 28, 16, 13  # pixels: sizes of letters
_SOFT, _GONE = "#57606a", "#eceef1"


@dataclass(frozen=True)
class SheetCell:
    """One picture on the sheet.

    Attributes:
        picture: None where it is gone.
        caption: its status and likeness ("ok 0.71").
        tone: good, warn, bad, or none where nothing is judged.
    """

    picture: Image.Image | None
    caption: str
    tone: Tone = "none"


@dataclass(frozen=True)
class SheetRow:
    """Pictures that belong together.

    Attributes:
        name: of the row.
        cells: its pictures, at least one.
        beneath: it stands beneath the row before, picture by picture: the same prompts with the LoRA and without.
    """

    name: str
    cells: Sequence[SheetCell]
    beneath: bool = False


def status_sheet(
    rows: Sequence[SheetRow],
    title: str,
    subtitle: str = "",
    tone: Tone = "none",
    side: int = 192,
    columns: int = 5,
    foot: str = FOOT,
) -> Image.Image:
    """All pictures with what they are called, under the verdict.

    A row of more than `columns` pictures goes on further down, together with the rows beneath it.

    Args:
        rows: from top to bottom; at least one picture.
        title: the verdict.
        subtitle: what to say about it.
        tone: of the verdict.
        side: of the square that each picture is fitted into, in pixels.
        columns: pictures side by side, at most.
        foot: the last line, which says what the pictures are.
    """
    columns = min(columns, max(len(row.cells) for row in rows))
    across, down = side + 2 * FRAME, side + 2 * FRAME + STRIP
    room = max(2 * side, columns * (across + _BETWEEN) - _BETWEEN)
    heading, below = broken(title, _TITLE, room - 40), broken(subtitle, _TEXT, room)
    bands = [band for block in _blocks(rows) for band in _bands(block, columns)]
    top = _EDGE + len(heading) * 36 + len(below) * 22 + _BETWEEN
    height = top + sum(len(band) * (down + 22) + _BETWEEN for band in bands) + 22 + _EDGE
    sheet = Image.new("RGB", (room + 2 * _EDGE, height), "white")
    sheet.paste(symbol(tone, 30), (_EDGE, _EDGE))
    for number, line in enumerate(heading):
        write(sheet, (_EDGE + 40, _EDGE + number * 36), line, _TITLE, INK if tone == "none" else COLOURS[tone])
    for number, line in enumerate(below):
        write(sheet, (_EDGE, _EDGE + len(heading) * 36 + number * 22 + 4), line, _TEXT)
    for band in bands:
        for row in band:
            write(sheet, (_EDGE, top + 2), shortened(row.name, _SMALL, room), _SMALL, _SOFT)
            for column, cell in enumerate(row.cells):
                sheet.paste(_drawn(cell, side), (_EDGE + column * (across + _BETWEEN), top + 20))
            top += down + 22
        top += _BETWEEN
    write(sheet, (_EDGE, top), foot, _TEXT)
    return sheet


def _blocks(rows: Sequence[SheetRow]) -> list[list[SheetRow]]:
    """Rows that stand beneath each other."""
    blocks: list[list[SheetRow]] = []
    for row in rows:
        if row.beneath and blocks:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


def _bands(block: Sequence[SheetRow], columns: int) -> list[list[SheetRow]]:
    """The block in pieces of at most `columns` pictures across."""
    longest = max(len(row.cells) for row in block)
    pieces = [
        [SheetRow(row.name, row.cells[start : start + columns]) for row in block]
        for start in range(0, longest, columns)
    ]
    return [[row for row in piece if row.cells] for piece in pieces]


def _drawn(cell: SheetCell, side: int) -> Image.Image:
    """A picture in its frame over its caption: a full frame is good, a broken one warns, a double one is bad."""
    across = side + 2 * FRAME
    image = Image.new("RGB", (across, across + STRIP), "white")
    draw, colour = ImageDraw.Draw(image), COLOURS[cell.tone]
    if cell.tone == "none":
        draw.rectangle((FRAME - 1, FRAME - 1, across - FRAME, across - FRAME), fill=colour)
    else:
        draw.rectangle((0, 0, across - 1, across - 1), fill=colour)
    if cell.tone == "bad":
        draw.rectangle((2, 2, across - 3, across - 3), outline="white")
    if cell.tone == "warn":
        for start in range(8, across, 16):
            for gap in ((start, 0, start + 5, across - 1), (0, start, across - 1, start + 5)):
                draw.rectangle(gap, fill="white")
    draw.rectangle((FRAME, FRAME, across - FRAME - 1, across - FRAME - 1), fill=_GONE)
    if cell.picture is not None:
        small = _fitted(cell.picture, side)
        image.paste(small, ((across - small.width) // 2, (across - small.height) // 2))
    else:
        write(image, (FRAME + (side - width("no picture", _SMALL)) // 2, across // 2 - 8), "no picture", _SMALL, _SOFT)
    image.paste(symbol(cell.tone, 16), (2, across + 4))
    write(image, (24, across + 4), shortened(cell.caption, _SMALL, across - 24), _SMALL, colour)
    return image


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side `side` pixels; small ones are enlarged, or there is nothing to see."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
