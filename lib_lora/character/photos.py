"""The photos of a character: finding them, opening them safely, taking them in.

Originals are never changed. Knows nothing about faces or training.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, sha256

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
OTHER_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".gif", ".jxl", ".raw", ".dng", ".cr2", ".nef", ".arw"})
MAX_PIXELS = 100_000_000
ImageFile.LOAD_TRUNCATED_IMAGES = False  # another package in the process may have switched it on


def list_photos(folder: Path) -> list[Path]:
    """The picture files directly in `folder`, by name; hidden files are left out.

    Raises:
        UserError: it is no folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of photos.")
    with explained(folder, "read"):
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted((path for path in files if not path.name.startswith(".")), key=lambda path: path.name.casefold())


def open_photo(path: Path) -> Image.Image:
    """A photo as an RGB picture, upright (EXIF rotation applied), transparency laid on white.

    16-bit pictures are scaled to 8, of an animation the first frame is taken, EXIF is not carried along.

    Raises:
        UserError: missing, damaged, not a picture, or larger than 100 megapixels.
    """
    with explained(path, "read"):
        stream = open(path, "rb")  # noqa: SIM115 - closed by the with below; opened apart to tell the errors apart
    with stream:
        try:
            with Image.open(stream) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{path.name} has {image.width} x {image.height} pixels; the limit is 100 million.")
                image.load()
                return _rgb(ImageOps.exif_transpose(image))
        except UserError:
            raise
        except UnidentifiedImageError as error:
            raise UserError(f"{path.name} is not a picture that can be read; replace or remove it.") from error
        except Exception as error:  # Pillow's decoders raise anything on a damaged file
            raise UserError(f"{path.name} is damaged ({error}); replace or remove it.") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    picture = image.convert("RGB")
    picture.info.clear()
    return picture


@dataclass
class Imported:
    """What came of taking photos in.

    Attributes:
        added: the new files in the character's folder.
        known: how many were there already (same bytes).
        skipped: one sentence for each that was left out.
    """

    added: list[Path] = field(default_factory=list)
    known: int = 0
    skipped: list[str] = field(default_factory=list)


def import_photos(sources: Iterable[Path], target: Path) -> Imported:
    """Copy photos, and the ``.txt`` captions beside them, into `target`; each is opened once to see that it can be.

    A photo with the same bytes is not taken twice; one of the same name and other bytes gets a number.
    """
    result = Imported()
    known = {sha256(path) for path in list_photos(target)} if target.is_dir() else set()
    for source in sources:
        try:
            open_photo(source)
            digest = sha256(source)
        except UserError as error:
            result.skipped.append(str(error))
            continue
        if digest in known:
            result.known += 1
            continue
        known.add(digest)
        copy = _free_name(target, source.name)
        caption = source.with_suffix(".txt")
        if caption.is_file():  # before the photo: one that is there already is not taken in again
            _copy(caption, copy.with_suffix(".txt"))
        _copy(source, copy)
        result.added.append(copy)
    return result


def _copy(source: Path, target: Path) -> None:
    with explained(source, "read"), open(source, "rb") as old, atomic_file(target) as new:
        shutil.copyfileobj(old, new)


def unsupported(folder: Path) -> list[str]:
    """A sentence for each picture in `folder` that `list_photos` leaves out because of its kind, and for subfolders."""
    with explained(folder, "read"):
        entries = sorted(folder.iterdir())
    said = [
        f"{path.name} is a {path.suffix[1:].upper()} file, which is not read; save it as JPEG or PNG."
        for path in entries
        if path.suffix.lower() in OTHER_SUFFIXES and path.is_file()
    ]
    folders = [path for path in entries if path.is_dir() and list_photos(path)]
    return said + [f"The folder {inner.name} inside it has photos too; to use them, move them up." for inner in folders]


def _free_name(folder: Path, name: str) -> Path:
    """`name` in `folder`, numbered where it, or a caption for it, would meet another photo's."""
    name = name.encode("utf-8", "replace").decode("utf-8").replace("?", "_")  # names from old zips are no UTF-8
    stem, suffix = Path(name).stem[:100], Path(name).suffix.lower()
    taken = {path.stem.casefold() for path in folder.iterdir()} if folder.is_dir() else set()
    number, candidate = 1, stem
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{stem}-{number}"
    return folder / f"{candidate}{suffix}"
