"""Makes names of files that are safe on every system from what a site says, which is not trusted.

Pure functions.
"""

from __future__ import annotations

import re
import unicodedata

from lib_lora.files import is_device

_LONGEST = 100  # letters of a name without its suffix
SUFFIX = ".safetensors"


def safe_name(given: str, otherwise: str) -> str:
    """A name for a ``.safetensors`` file, in a folder and not below it or above.

    >>> safe_name("../../Dream Shaper: 8?.safetensors", "x"), safe_name("con.safetensors", "x"), safe_name("..", "x")
    ('Dream Shaper_ 8_.safetensors', '_con.safetensors', 'x.safetensors')

    Args:
        given: what the site calls it.
        otherwise: a safe name without suffix, for what leaves nothing.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given)[:1000])[-1]
    stem = last[: -len(SUFFIX)] if last.lower().endswith(SUFFIX) else last
    kept = "".join(one if _is_plain(one) else "_" for one in stem)
    kept = " ".join(kept.split())[:_LONGEST].strip(". ").lstrip("-~")
    while len(kept.encode("utf-8")) > 2 * _LONGEST:  # file systems count bytes
        kept = kept[:-1].rstrip(". ")
    if not kept.strip("._ -"):
        kept = otherwise
    return f"{'_' if is_device(kept, anywhere=True) else ''}{kept}{SUFFIX}"


def numbered(name: str, number: int) -> str:
    """The name of a file with a number, for where the plain one is taken."""
    return f"{name.removesuffix(SUFFIX)}-{number}{SUFFIX}"


def _is_plain(letter: str) -> bool:
    """Letters and digits of any script, and what no system and no prompt gives a meaning to."""
    return letter.isalnum() or letter in " ._-()[]+" or unicodedata.category(letter) in ("Mn", "Mc")
