"""Makes names of files that every system accepts, from names that any system made.

Pure functions; no file is touched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from lib_lora.files import is_device

LONGEST = 100  # characters: Windows' 260 are for the whole path
LONGEST_BYTES = 180  # of UTF-8: Linux takes 255, and a temporary name is longer
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*/\\\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]')


def parts(name: str) -> list[str]:
    r"""The folders and the file of a path from anywhere: ``/`` and ``\`` divide it; drives, ``.``, ``..`` are dropped.

    >>> parts("../../etc/passwd"), parts("C:\\Bilder\\a.jpg"), parts("")
    (['etc', 'passwd'], ['Bilder', 'a.jpg'], [])
    """
    pieces = re.split(r"[/\\]", name)
    pieces[0] = re.sub(r"^[A-Za-z]:", "", pieces[0])
    return [piece for piece in pieces if piece.strip(" .")]


def split(name: str) -> tuple[str, str]:
    """A file's name as its stem and its suffix in lower case; dots and spaces behind it do not count.

    >>> split("a.b.JPG. "), split(".hidden"), split("none")
    (('a.b', '.jpg'), ('.hidden', ''), ('none', ''))
    """
    name = name.rstrip(" .")
    stem, _, suffix = name.rpartition(".")
    return (stem, f".{suffix.lower()}") if stem.strip(" .") else (name, "")


def safe_stem(stem: str) -> str:
    """A file's name without its suffix, as every system takes it: never empty, at most 100 characters and 180 bytes.

    >>> safe_stem("con"), safe_stem("a?b. "), safe_stem("..")
    ('con_', 'a_b', 'photo')
    """
    text = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", stem))
    text = text[:LONGEST].encode("utf-8")[:LONGEST_BYTES].decode("utf-8", "ignore")
    text = text.strip().lstrip(".").rstrip(" .") or "photo"
    first, dot, rest = text.partition(".")  # Windows takes con.old.jpg for the device too
    return f"{first.rstrip()}_{dot}{rest}" if is_device(text, anywhere=True) else text


def key(stem: str) -> str:
    """The same for two names that meet on some system: case and the way letters are composed do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())


def choices(stem: str, inner: str = "") -> Iterator[str]:
    """Safe stems for a photo, best first: its own, with the folder it lay in before it, then numbered. Without end.

    >>> [name for name, _ in zip(choices("a", "sea"), range(4))]
    ['a', 'sea-a', 'a-2', 'a-3']
    """
    plain = safe_stem(stem)
    yield plain
    if inner:
        yield safe_stem(f"{safe_stem(inner)[:40]}-{plain}")
    number = 2
    while True:
        yield f"{plain}-{number}"
        number += 1
