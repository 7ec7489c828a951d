"""A painter for tests of inventing: it pastes photos of six people instead of painting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageFilter

from lib_lora.pictures import Cell

DATA = Path(__file__).parents[2] / "data"
MINI = DATA / "mini-face" / "mini-face.safetensors"
NAME = "Nova ü"
WHO = "a woman with short red hair, 30 years old"
OTHERS = ("ines", "clara", "lena", "tomas", "viktor")


def photo(persona: str, number: int) -> Image.Image:
    with Image.open(DATA / "personas" / persona / f"{number:02d}.jpg") as image:
        small: Image.Image = image.convert("RGB").resize((256, 256))
        return small


class Pasting:
    """Paints candidates of six people, the first of them mara, and then what `script` says, over and over."""

    def __init__(self, script: Sequence[str] = ("mara", "ines", "none", "two", "blur")) -> None:
        self.script, self.further = script, 0
        self.cells: list[Cell] = []
        self.broken_at, self.shift = -1, 0

    def reconstruct(self, image: Image.Image) -> None:
        return None

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        pictures: list[Image.Image] = []
        for number, cell in enumerate(cells):
            if len(self.cells) == self.broken_at:
                raise KeyboardInterrupt
            self.cells.append(cell)
            pictures.append(self.picture(cell))
            if each:
                each(number, pictures[-1])
        return pictures

    def picture(self, cell: Cell) -> Image.Image:
        if cell.prompt == f"photo of {WHO}":
            number = cell.seed - 1 + self.shift
            return photo(("mara", *OTHERS)[number % 6], number // 6)
        what = self.script[self.further % len(self.script)]
        self.further += 1
        match what:
            case "none":
                return Image.new("RGB", (256, 256), "grey")
            case "two":
                both = Image.new("RGB", (512, 256))
                both.paste(photo("mara", 1))
                both.paste(photo("ines", 1), (256, 0))
                return both
            case "blur":
                return photo("mara", 3).filter(ImageFilter.GaussianBlur(7))
            case "copy":
                return photo("mara", 0)
        return photo(what, 1 + self.further % 23)
