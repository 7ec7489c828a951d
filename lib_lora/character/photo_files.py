"""Finds the photos of a character and opens them safely.

A photo may come from anywhere, so every file counts as hostile: only decoders of photo formats are used, and the size
is looked at before anything is decoded. Originals are never changed. Knows nothing about faces or training.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from lib_lora.character.pixels import plain
from lib_lora.errors import UserError
from lib_lora.files import explained, opened

_JPEG, _PNG, _OTHERS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), (".png", ".apng"), (".gif", ".bmp", ".tif", ".tiff")
SUFFIXES = frozenset((*_JPEG, *_PNG, *_OTHERS, ".webp", ".avif", ".heic", ".heif", ".hif"))
OTHER_SUFFIXES = frozenset(
    (".jxl", ".jp2", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".tga", ".svg")
)
MAX_PIXELS = 100_000_000
ImageFile.LOAD_TRUNCATED_IMAGES = False  # another package in the process may have switched it on

# Their import registers them; what is not named here (PostScript, fonts, scientific data) is never tried.
_PLUGINS = (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF = (b"avif", b"avis")
_EITHER = (b"mif1", b"msf1")


def kinds() -> list[str]:
    """The kinds of photos that can be read here: AVIF and HEIC are, where the packages for them are."""
    more = {"AVIF": _avif_is_read, "HEIC": _heic_is_read}
    return ["JPEG", "PNG", "WebP", *(kind for kind, is_read in more.items() if is_read()), "GIF", "BMP", "TIFF"]


def suffixes_read() -> list[str]:
    """The suffixes of the photos that can be read here."""
    missing = {
        suffix
        for is_read, suffixes in ((_avif_is_read, (".avif",)), (_heic_is_read, (".heic", ".heif", ".hif")))
        if not is_read()
        for suffix in suffixes
    }
    return sorted(SUFFIXES - missing)


def list_photos(folder: Path) -> list[Path]:
    """The picture files directly in `folder`, by name; hidden files are left out.

    Raises:
        UserError: it is no folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of photos.", code="photo-folder-missing", folder=folder)
    with explained(folder, "read"):
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted((path for path in files if not path.name.startswith(".")), key=lambda path: path.name.casefold())


def open_photo(path: Path) -> Image.Image:
    """A photo as an RGB picture; see `read_photo`.

    Raises:
        UserError: missing, damaged, not a picture, or larger than 100 megapixels.
    """
    with explained(path, "read"):
        stream = opened(path)  # apart from the with, to tell the errors apart
    with stream:
        return read_photo(stream, path.name)


def is_cmyk(path: Path) -> bool:
    """Whether a photo's pixels are inks for printing; of a file that cannot be read nothing is said (False)."""
    try:
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decoded
            with Image.open(stream, formats=formats_of(stream, path.name)) as image:
                return str(image.mode) == "CMYK"
    except Exception:  # Pillow's readers raise anything on a damaged file
        return False


def read_photo(stream: IO[bytes], name: str, pay: Callable[[int], None] | None = None) -> Image.Image:
    """A photo as an RGB picture: upright (EXIF rotation applied), in sRGB, transparency laid on white.

    16-bit pictures are scaled to 8, of an animation the first frame is taken. Nothing but pixels comes along: no EXIF,
    no place, no colour profile.

    Args:
        stream: the file's bytes; need not be at its beginning.
        name: of the file, for sentences.
        pay: is told the number of pixels before they are decoded, and may raise a `UserError`.

    Raises:
        UserError: damaged, not a picture, of a kind that needs another package, or larger than 100 megapixels.
    """
    try:
        formats = formats_of(stream, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(stream, formats=formats)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{name} has {image.width} x {image.height} pixels; the limit is 100 million, so save it smaller.",
                    code="photo-too-large",
                    photo=name,
                    width=image.width,
                    height=image.height,
                )
            if pay:
                pay(image.width * image.height)
            image.load()  # type: ignore[no-untyped-call, unused-ignore]
            return plain(image)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{name} has far more than the limit of 100 million pixels; save it smaller.",
            code="photo-too-large",
            photo=name,
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{name} is not a readable picture; replace or remove it.", code="photo-unreadable", photo=name
        ) from error
    except Exception as error:  # Pillow's decoders raise anything on a damaged file
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{name} is damaged ({why}); replace or remove it.", code="photo-damaged", photo=name, reason=why
        ) from error


def formats_of(stream: IO[bytes], name: str) -> list[str]:
    """The formats to try on a file's bytes, as Pillow calls them; `name` is for sentences. HEIC and AVIF are known by
    their content: phones call them ``.jpg`` too.

    Raises:
        UserError: it needs a package that is not there.
    """
    stream.seek(0)
    head = stream.read(48)
    stream.seek(0)
    if head[4:8] != b"ftyp":
        return list(_FORMATS)
    kind = head[8:12]
    if kind in _EITHER:
        kind = _AVIF[0] if _AVIF[0] in head[12:] else _HEIC[0]
    if kind in _HEIC and not _heic_is_read():
        raise UserError(
            f"{name} is a HEIC file, which cannot be read here: save the photo as JPEG (on an iPhone: Settings, "
            "Camera, Formats, Most Compatible), or install the package pillow-heif.",
            code="heif-support-missing",
            photo=name,
        )
    if kind in _AVIF and not _avif_is_read():
        raise UserError(
            f"{name} is an AVIF file, which needs Pillow 11.3 or newer, or the package "
            "pillow-avif-plugin; install one, or save the photo as JPEG.",
            code="avif-support-missing",
            photo=name,
        )
    return [kind for kind in ("HEIF", "AVIF") if kind in Image.OPEN]


def _heic_is_read() -> bool:
    return _registered("HEIF", "register_heif_opener")


def _avif_is_read() -> bool:
    try:
        plugin = importlib.import_module("PIL.AvifImagePlugin")
        if plugin.SUPPORTED:
            return True
    except ImportError:
        pass  # an older Pillow
    with suppress(ImportError):
        importlib.import_module("pillow_avif")  # its import registers it
    return "AVIF" in Image.OPEN or _registered("AVIF", "register_avif_opener")


def _registered(kind: str, opener: str) -> bool:
    """Whether Pillow opens `kind`; pillow-heif is imported for it if it is there."""
    if kind in Image.OPEN and kind != "AVIF":
        return True
    try:
        register = getattr(importlib.import_module("pillow_heif"), opener, None)
    except ImportError:
        return False
    if register:
        register()
    return register is not None


def unsupported(paths: list[Path]) -> list[UserError]:
    """What to say of each of these files that is a picture of a kind that is not read."""
    return [
        UserError(
            f"{path.name} is a {path.suffix[1:].upper()} file, which is not read; save it as JPEG or PNG.",
            code="photo-format-unsupported",
            photo=path.name,
            format=path.suffix[1:].upper(),
        )
        for path in paths
        if path.suffix.lower() in OTHER_SUFFIXES
    ]
