"""Draws letters and symbols on pictures with Pillow's font; characters that it lacks are replaced."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from lib_lora.messages.tone import Tone

INK = "#1b1f24"
# Told apart by people who confuse red and green; the shape of the symbol and of the frame tells them apart as well.
COLOURS: dict[Tone, str] = {"good": "#0a6e8a", "warn": "#8f5500", "bad": "#ad0044", "none": "#57606a"}
_NO_LETTER = "\u0378"  # is assigned to nothing
_PLAIN = {"×": "x", "–": "-", "—": "-", "ß": "s", "ø": "o", "Ø": "O", "æ": "a", "Æ": "A", "…": "."}
_BITMAP = 11  # pixels: the one size of the font of Pillow before 10.1
_FINE = 8  # symbols are drawn so much larger and then reduced, which smooths them

_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def drawable(text: str) -> str:
    """`text` in letters that Pillow's font has: from others accents fall off, or they become "?"."""
    found = []
    for one in text:
        plain = one if _is_drawn(one) else unicodedata.normalize("NFKD", _PLAIN.get(one, one))[0]
        if unicodedata.category(one) not in ("Cc", "Cf", "Mn"):
            found.append(plain if _is_drawn(plain) else "?")
    return "".join(found)


@cache
def _is_drawn(one: str) -> bool:
    """Whether the font has a letter; one that it lacks becomes a box, or (in Pillow before 10.1) an error."""
    font, _ = _font(_BITMAP)
    if one.isascii():
        return True
    try:
        return bytes(font.getmask(one)) != bytes(font.getmask(_NO_LETTER))  # type: ignore[no-untyped-call, unused-ignore]
    except UnicodeEncodeError:
        return ord(one) < 256


def _font(size: int) -> tuple[_Font, int]:
    """Pillow's own font, and how many times its letters must be enlarged to be about `size` pixels."""
    try:
        font: _Font = ImageFont.load_default(size)
    except TypeError:  # before 10.1
        font = ImageFont.load_default()
    return font, 1 if isinstance(font, ImageFont.FreeTypeFont) else max(1, round(size / _BITMAP))


def width(text: str, size: int) -> int:
    """Pixels that `text` takes across."""
    font, times = _font(size)
    return round(font.getlength(drawable(text))) * times


def write(image: Image.Image, place: tuple[int, int], text: str, size: int, colour: str = INK) -> None:
    """Write one line with its upper left corner at `place` (pixels)."""
    text, (font, times) = drawable(text), _font(size)
    box = font.getbbox(text)
    mask = Image.new("L", (max(1, int(box[2]) + 1), max(1, int(box[3]) + 1)))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=font)
    if times > 1:
        mask = mask.resize((mask.width * times, mask.height * times), Image.Resampling.BICUBIC)
    image.paste(Image.new("RGB", mask.size, colour), place, mask)


def shortened(text: str, size: int, room: int) -> str:
    """`text`, cut so that it takes at most `room` pixels across."""
    if width(text, size) <= room:
        return text
    while text and width(f"{text}...", size) > room:
        text = text[:-1]
    return f"{text}..."


def broken(text: str, size: int, room: int) -> list[str]:
    """`text` in lines of at most `room` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, size, room))
    return lines


def symbol(tone: Tone, size: int) -> Image.Image:
    """The tone's symbol on white: a disc with a tick, a triangle with a stroke, an octagon with a cross, a dash."""
    unit = size * _FINE / 24
    image = Image.new("RGB", (size * _FINE, size * _FINE), "white")
    draw, colour = ImageDraw.Draw(image), COLOURS[tone]

    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * unit, y * unit) for x, y in pairs]

    def stroke(ink: str, *pairs: tuple[float, float]) -> None:
        draw.line(points(*pairs), fill=ink, width=round(3 * unit))

    if tone == "good":
        draw.ellipse(points((1, 1), (23, 23)), fill=colour)
        stroke("white", (6, 12.5), (10.3, 16.8), (18, 8))
    elif tone == "warn":
        draw.polygon(points((12, 1), (23.5, 22.5), (0.5, 22.5)), fill=colour)
        stroke("white", (12, 8), (12, 15))
        stroke("white", (12, 17), (12, 20))
    elif tone == "bad":
        draw.polygon(
            points((7.4, 1), (16.6, 1), (23, 7.4), (23, 16.6), (16.6, 23), (7.4, 23), (1, 16.6), (1, 7.4)), fill=colour
        )
        stroke("white", (8, 8), (16, 16))
        stroke("white", (16, 8), (8, 16))
    else:
        stroke(colour, (4, 12), (20, 12))
    return image.resize((size, size), Image.Resampling.LANCZOS)
