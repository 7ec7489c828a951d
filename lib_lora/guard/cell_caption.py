"""Writes a score on a copy of a picture, for the cells of an X/Y/Z plot."""

from __future__ import annotations

from PIL import Image

from lib_lora.grid.lettering import COLOURS, shortened, write
from lib_lora.guard.guard_words import FaceFinding, on_cell
from lib_lora.messages.tone import Tone

_SHARE, _LEAST = 24, 11  # of the picture's shorter side that the letters are high; pixels at least


def captioned(image: Image.Image, found: FaceFinding) -> Image.Image:
    """A copy with the score on a strip along its lower edge."""
    size = max(_LEAST, min(image.size) // _SHARE)
    edge = max(2, size // 3)
    copy = image.convert("RGB")
    copy.info = dict(image.info)
    tone: Tone = "good" if found.passes else "bad" if found.fails else "none"
    strip = Image.new("RGB", (copy.width, size + 2 * edge), COLOURS[tone])
    write(strip, (edge, edge), shortened(on_cell(found), size, copy.width - 2 * edge), size, "white")
    copy.paste(strip, (0, copy.height - strip.height))
    return copy
