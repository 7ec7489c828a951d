"""A set of photos with known faults, made from portraits of people who do not exist. For tests and measurements."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
Plant = Callable[[Image.Image, Image.Image], "Image.Image"]
_TURNED_RIGHT = 6  # EXIF orientation of a picture that was stored turned to the left


def portraits(name: str) -> list[Path]:
    return sorted((PERSONAS / name).glob("*.jpg"))


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def larger(image: Image.Image, side: int = 1024) -> Image.Image:
    """As a camera would give it: more pixels, some room round the head."""
    return image.resize((side, side), Image.Resampling.LANCZOS)


def recompressed(image: Image.Image, quality: int = 50, side: int = 480) -> Image.Image:
    stream = io.BytesIO()
    image.resize((side, side)).save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def cropped(image: Image.Image) -> Image.Image:
    side = image.width
    return image.crop((side // 25, side // 30, side - side // 20, side - side // 25))


def blurred(image: Image.Image, radius: float = 12) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius * image.width / 640))


def darkened(image: Image.Image, to: float = 0.2) -> Image.Image:
    return image.point(lambda level: int(level * to))


def overexposed(image: Image.Image) -> Image.Image:
    return image.point(lambda level: min(255, int(level * 2.4 + 50)))


def next_moment(image: Image.Image) -> Image.Image:
    """The camera moved a little, and was not quite still."""
    turned = image.rotate(2.5, Image.Resampling.BICUBIC, translate=(image.width // 40, image.height // 50))
    edge = image.width // 14
    return turned.crop((edge, edge, image.width - edge, image.height - edge)).filter(ImageFilter.GaussianBlur(1))


def together(one: Image.Image, other: Image.Image) -> Image.Image:
    both = Image.new("RGB", (one.width * 2, one.height))
    both.paste(one, (0, 0))
    both.paste(other.resize(one.size), (one.width, 0))
    return both


def tiny(image: Image.Image) -> Image.Image:
    """A face of about 26 pixels somewhere in a garden."""
    scene = landscape(image)
    scene.paste(image.resize((48, 48), Image.Resampling.LANCZOS), (scene.width // 3, scene.height // 2))
    return scene


def landscape(image: Image.Image, side: int = 900) -> Image.Image:
    """Something without a face: the colours of a picture far out of focus."""
    return image.filter(ImageFilter.GaussianBlur(90)).resize((side, side * 2 // 3))


def lettered(
    image: Image.Image, text: str = "SAMPLE PICTURES", colour: str = "white", size: int | None = None
) -> Image.Image:
    """With a line of writing at the foot, `size` pixels high."""
    image = image.copy()
    size = size or image.width // 22
    place = (image.width // 30, image.height - 2 * size)
    try:
        font = ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one small font, which is enlarged
        _, _, right, bottom = ImageFont.load_default().getbbox(text)
        mask = Image.new("L", (int(right), int(bottom)))
        ImageDraw.Draw(mask).text((0, 0), text, 255, font=ImageFont.load_default())
        mask = mask.resize((mask.width * size // 11, mask.height * size // 11), Image.Resampling.BICUBIC)
        image.paste(Image.new("RGB", mask.size, colour), place, mask)
        return image
    ImageDraw.Draw(image).text(place, text, fill=colour, font=font)
    return image


def sheet_of(pictures: Sequence[Image.Image]) -> Image.Image:
    """Four pictures in one, as Midjourney gives them."""
    side = pictures[0].width
    sheet = Image.new("RGB", (2 * side, 2 * side))
    for place, picture in enumerate(pictures[:4]):
        sheet.paste(picture.resize((side, side)), (place % 2 * side, place // 2 * side))
    return sheet


def beside(image: Image.Image, share: float = 0.62) -> Image.Image:
    """The face half out of the picture."""
    return image.crop((int(image.width * share), 0, image.width, image.height))


def save(image: Image.Image, path: Path, quality: int = 92, turned: bool = False) -> Path:
    """As JPEG; `turned`: stored lying on its side, with the EXIF mark that sets it upright, and a place on the map."""
    if not turned:
        image.save(path, "JPEG", quality=quality)
        return path
    exif: Any = Image.new("RGB", (1, 1)).getexif()
    exif[0x0112] = _TURNED_RIGHT
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})
    image.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", quality=quality, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path))
    assert upright is not None
    assert upright.size == image.size
    return path


# File name -> what makes it of a picture of the person and one of somebody else, and the kind of finding it must give.
FAULTS: dict[str, tuple[Plant, str]] = {
    "recompressed.jpg": (lambda own, other: recompressed(own), "copy"),
    "cropped.jpg": (lambda own, other: cropped(own), "copy"),
    "next moment.jpg": (lambda own, other: next_moment(own), "copy"),
    "lighter copy.jpg": (lambda own, other: own.point(lambda level: min(255, int(level * 1.12))), "copy"),
    "blurred.jpg": (lambda own, other: blurred(own), "blurred"),
    "dark.jpg": (lambda own, other: darkened(own), "dark"),
    "bright.jpg": (lambda own, other: overexposed(own), "bright"),
    "another person.jpg": (lambda own, other: other, "another person"),
    "two people.jpg": (together, "several people"),
    "no face.jpg": (lambda own, other: landscape(own), "no face"),
    "tiny face.jpg": (lambda own, other: tiny(own), "tiny face"),
    "cut off.jpg": (lambda own, other: beside(own, 0.5), "cut off"),
    "text.jpg": (lambda own, other: lettered(own), "writing"),
    "small.jpg": (lambda own, other: own.resize((256, 256)), "low resolution"),
    "grey copy.jpg": (lambda own, other: own.convert("L"), "copy"),
    "for printing.jpg": (lambda own, other: own.convert("CMYK"), "copy"),
}


@dataclass(frozen=True)
class PlantedFault:
    """A fault: the kind of finding it must give, and the photo it was made from."""

    kind: str
    original: str


def plant(folder: Path, own: Sequence[Path], others: Sequence[Path], first: int = 0) -> dict[Path, PlantedFault]:
    """Write one photo for each of `FAULTS` into a folder; `first` chooses which of the person's photos are used."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for number, (name, (make, kind)) in enumerate(FAULTS.items()):
        original = own[(5 * number + 3 * first) % len(own)]
        image = make(opened(original), opened(others[(7 * number + first) % len(others)]))
        made[save(image, folder / name)] = PlantedFault(kind, original.name)
    return made
