"""One picture of a whole test grid, to look at and to show. It says that its pictures are generated."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

GAP = 4
LABEL = 16  # pixels high


def contact_sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], side: int = 192) -> Image.Image:
    """Rows of small pictures, each row under its name, and a last line that says what this is.

    Args:
        rows: name and pictures of each row; at least one picture.
        side: the longer side of each small picture, in pixels; smaller ones stay as they are.
    """
    columns = max(len(pictures) for _, pictures in rows)
    small = [(name, [_fitted(picture, side) for picture in pictures]) for name, pictures in rows]
    heights = [LABEL + max(picture.height for picture in pictures) + GAP for _, pictures in small if pictures]
    width = max(picture.width for _, pictures in small for picture in pictures)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, sum(heights) + LABEL), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for (name, pictures), height in zip(small, heights, strict=True):
        draw.text((2, top + 2), name, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (column * (width + GAP), top + LABEL))
        top += height
    draw.text((2, top + 2), "AI-generated pictures", fill="black")
    return sheet


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    copy = picture.convert("RGB")
    copy.thumbnail((side, side))
    return copy
