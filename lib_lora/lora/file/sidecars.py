"""Writes the two files beside a LoRA: ``.json`` (A1111's own notes on it) and ``.png`` (its card's picture).

Both belong to the user as soon as they edit them, so what was written last is remembered under the key
"sameface" (A1111 keeps keys that it does not know), and only what is still as written, or empty, is renewed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, content, explained, opened, sha256_once, write_json
from lib_lora.models.families.registry import family_named

_OWN = "sameface"
_PREVIEW_ENDS = [f"{middle}.{end}" for end in ("png", "jpg", "jpeg", "webp", "gif") for middle in ("", ".preview")]
_EMPTY: tuple[Any, ...] = (None, "", 0, "Unknown")


def write(
    lora_path: Path,
    trigger: str,
    weight: float,
    family: str,
    notes: str = "",
    preview: Path | None = None,
) -> None:
    """Write or renew the files beside `lora_path`.

    Args:
        lora_path: the LoRA file; the others get its name with another suffix.
        trigger: becomes the "activation text", which a click on the card puts into the prompt.
        weight: "preferred weight", 0..2; 0 = the webui's own default.
        family: name of the model family.
        notes: free text.
        preview: a picture, copied without its EXIF and other texts; None = the picture is left as it is.

    Raises:
        UserError: the ``.json`` there is no JSON (it is the user's, so it is left alone), `preview` is no
            picture, or the folder cannot be written.
    """
    path = lora_path.with_suffix(".json")
    values = notes_beside(path)
    remembered = values.get(_OWN)
    last: dict[str, Any] = dict(remembered) if isinstance(remembered, dict) else {}
    fresh = {
        "description": "",  # the user's own
        "sd version": family_named(family).title,
        "activation text": trigger,
        "preferred weight": weight,
        "negative text": "",
        "notes": notes,
    }
    for field, value in fresh.items():
        if _is_ours(values, last, field):
            values[field] = last[field] = value
    if preview is not None:
        renew_preview(lora_path, partial(plain_png, preview), last)
    forget_other_hash(values, lora_path)
    write_json(path, {**values, _OWN: last})


def forget_other_hash(values: dict[str, Any], lora_path: Path) -> None:
    """Take the hash out of notes where it is not the file's: other extensions believe it instead of computing it.

    Args:
        values: the notes, which are changed.
        lora_path: the file.
    """
    said = values.get("sha256")
    if said is not None and lora_path.is_file() and str(said).lower() != sha256_once(lora_path):
        del values["sha256"]


def _is_ours(values: dict[str, Any], last: dict[str, Any], field: str) -> bool:
    """Whether a field may be renewed: it is as we wrote it, or we never wrote it and nobody filled it."""
    if field in last:
        return field in values and bool(values[field] == last[field])
    return values.get(field) in _EMPTY


def marked_as(lora_path: Path) -> str:
    """For what a LoRA is, as the notes beside it name that ("SD1"; in a webui's editor of cards another word may have
    been chosen); empty where they do not say.

    Raises:
        UserError: the notes are no JSON.
    """
    return str(notes_beside(lora_path.with_suffix(".json")).get("sd version") or "")


def notes_beside(path: Path) -> dict[str, Any]:
    """What a file of notes holds; nothing where there is none.

    Raises:
        UserError: it is no JSON, or no webui's notes.
    """
    if not path.exists():
        return {}
    with explained(path, "read"):
        raw = content(path)
    try:
        values = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({error}); fix it or delete it, then try again.",
            code="notes-invalid-json",
            file=path,
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            f"{path} is not a webui's notes on a LoRA; rename it or delete it, then try again.",
            code="notes-not-a-table",
            file=path,
        )
    return values


def renew_preview(lora_path: Path, make: Callable[[], bytes], last: dict[str, Any]) -> None:
    """Put a picture beside a file, unless one is there that is not ours.

    Args:
        lora_path: the file.
        make: gives PNG bytes; is asked only where they are needed.
        last: what was written last, which is changed.

    Raises:
        UserError: the folder cannot be written.
    """
    target = lora_path.with_suffix(".png")
    stem = lora_path.name.removesuffix(lora_path.suffix)
    there = [found for end in _PREVIEW_ENDS if (found := lora_path.with_name(stem + end)).exists()]
    if there and there != [target]:
        return
    picture = make()
    digest = hashlib.sha256(picture).hexdigest()
    if there and _digest(target) not in (last.get("preview"), digest):  # the latter: killed before it was noted
        return
    with atomic_file(target) as stream:
        stream.write(picture)
    last["preview"] = digest


def _digest(path: Path) -> str:
    with explained(path, "read"):
        return hashlib.sha256(content(path)).hexdigest()


def plain_png(source: Path) -> bytes:
    """The picture as PNG bytes with nothing in it but the pixels.

    Raises:
        UserError: it is no picture.
    """
    try:
        with explained(source, "read"), opened(source) as file, Image.open(file) as image:
            plain = image.convert("RGB")
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{source} cannot be read as a picture; choose another preview.", code="preview-unreadable", file=source
        ) from error
    return png_bytes(plain)


def png_bytes(plain: Image.Image) -> bytes:
    """The pixels of an RGB picture as PNG, and nothing else of it."""
    clean = Image.new("RGB", plain.size)
    clean.paste(plain)
    stream = io.BytesIO()
    clean.save(stream, "PNG")
    return stream.getvalue()
