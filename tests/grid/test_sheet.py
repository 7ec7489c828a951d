"""The picture of a whole grid."""

import pytest
from PIL import Image, ImageChops

from lib_lora.grid.lettering import COLOURS, broken, drawable, shortened, symbol, width
from lib_lora.grid.sheet import FRAME, SheetCell, SheetRow, status_sheet
from lib_lora.messages.tone import Tone


def found(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Where a colour stands on a picture: left, top, right, bottom."""
    difference = ImageChops.difference(sheet, Image.new("RGB", sheet.size, colour)).convert("L")
    return difference.point(lambda value: 255 if value == 0 else 0).getbbox()


def cell(colour: str, caption: str = "ok 0.71", tone: Tone = "good") -> SheetCell:
    return SheetCell(Image.new("RGB", (300, 300), colour), caption, tone)


def test_pairs_stand_beneath_each_other_also_where_a_row_is_broken():
    base = SheetRow("without", [cell("red"), cell("lime"), cell("blue")])
    ours = SheetRow("with", [cell("yellow"), cell("cyan"), cell("magenta")], beneath=True)
    alone = SheetRow("leak", [cell("orange")])
    sheet = status_sheet([base, ours, alone], "The face holds", side=100, columns=2)
    names = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
    names |= {"cyan": (0, 255, 255), "magenta": (255, 0, 255), "orange": (255, 165, 0)}
    boxes = {name: found(sheet, colour) or (0, 0, 0, 0) for name, colour in names.items()}
    assert all(box[2] - box[0] == box[3] - box[1] == 100 for box in boxes.values())
    for above, below in (("red", "yellow"), ("lime", "cyan"), ("blue", "magenta"), ("red", "blue"), ("red", "orange")):
        assert boxes[above][0] == boxes[below][0]
    assert boxes["red"][1] == boxes["lime"][1] < boxes["yellow"][1] == boxes["cyan"][1] < boxes["blue"][1]
    assert boxes["blue"][1] < boxes["magenta"][1] < boxes["orange"][1]


def shape(image: Image.Image) -> bytes:
    """What is left of a picture when all colour is gone."""
    return image.convert("L").point(lambda value: 255 if value > 200 else 0).tobytes()


def test_a_mark_is_never_colour_alone():
    tones: list[Tone] = ["good", "warn", "bad", "none"]
    frames = []
    for tone in tones:
        sheet = status_sheet([SheetRow("", [cell("red", "", tone)])], "", side=100)
        left, top, right, bottom = found(sheet, (255, 0, 0)) or (0, 0, 0, 0)
        frames.append(shape(sheet.crop((left - FRAME, top - FRAME, right + FRAME, bottom + FRAME))))
    assert len(set(frames)) == 4
    assert len({shape(symbol(tone, 16)) for tone in tones}) == 4


def test_title_caption_and_foot_are_written():
    rows = [SheetRow("", [SheetCell(None, "")])]
    blank = status_sheet(rows, "", side=100, foot="")
    for words in ({"title": "The face holds"}, {"subtitle": "Because"}, {"foot": "AI-generated pictures"}):
        sheet = status_sheet(rows, **{"title": "", "side": 100, "foot": "", **words})
        assert sheet.size != blank.size or sheet.tobytes() != blank.tobytes()
    told = status_sheet([SheetRow("", [SheetCell(None, "lost 0.20")])], "", side=100, foot="")
    assert told.tobytes() != blank.tobytes()
    usual = status_sheet(rows, "", side=100)
    foot = usual.crop((0, usual.height - 40, usual.width, usual.height)).convert("L")
    assert min(foot.tobytes()) < 100


@pytest.mark.parametrize("text", ["顔が変わる", "Žofie Łucja", "a\nb\x1b", "\udcff", "😀" * 40, "مارا", "x" * 500, ""])
def test_no_character_is_too_much(text: str):
    sheet = status_sheet([SheetRow(text, [cell("red", text), SheetCell(None, text)])], text, text, "bad", 96, foot=text)
    assert sheet.width < 500
    assert found(sheet, (255, 0, 0))


def test_what_cannot_be_drawn_is_replaced():
    assert drawable("Žofie 顔\n\u202e") == "Zofie ?"
    assert drawable("Jürgen Großmann × 2") in ("Jurgen Grosmann x 2", "Jürgen Großmann × 2")  # as the font has them


def test_texts_are_cut_and_broken_to_the_room():
    long = "the face holds in all of these pictures"
    assert width(shortened(long, 13, 100), 13) <= 100
    assert shortened("ok", 13, 100) == "ok"
    lines = broken(long, 13, 100)
    assert len(lines) > 1
    assert " ".join(lines) == long
    assert all(width(line, 13) <= 100 for line in lines)


def test_colours_can_be_read_on_white():
    def light(colour: str) -> float:
        """Relative luminance (WCAG 2)."""
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    assert all(1.05 / (light(colour) + 0.05) >= 4.5 for colour in COLOURS.values())
