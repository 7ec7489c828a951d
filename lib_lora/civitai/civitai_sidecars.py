"""Writes what webuis and other extensions read beside a fetched model: ``.json``, ``.civitai.info`` and the preview.

All of it belongs to the user and to other programs too: what is there stays, unknown keys as well. Of the ``.json``
only what is missing is filled in, and ``sha256``, which must be the file's; ours is under one key.
"""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.civitai.base_licences import family_of_base
from lib_lora.civitai.licence_lights import PURPOSES
from lib_lora.civitai.model_lookup import FoundModel
from lib_lora.errors import UserError
from lib_lora.files import write_json, write_text
from lib_lora.lora.file.sidecars import forget_other_hash, notes_beside, png_bytes, renew_preview
from lib_lora.models.families.registry import family_named

OWN = "sameface"
_CIVITAI = "civitai"  # below our key
_EMPTY: tuple[Any, ...] = (None, "", "Unknown")
_OTHER = "Other"  # as other extensions write it for what A1111 has no word for
_SIDE = 1024  # pixels of a preview's longer side
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def write_beside(path: Path, found: FoundModel, row: dict[str, Any], preview: bytes | None = None) -> None:
    """Write the files beside a fetched model.

    Args:
        path: of the model.
        found: what it is.
        row: the version as Civitai has answered it, for ``.civitai.info``.
        preview: a picture's bytes, of any kind; None, or what is no picture: none is written.

    Raises:
        UserError: the ``.json`` there is no JSON (it is left alone), or the folder cannot be written.
    """
    notes = path.with_suffix(".json")
    values = notes_beside(notes)
    forget_other_hash(values, path)
    remembered = values.get(OWN)
    last: dict[str, Any] = dict(remembered) if isinstance(remembered, dict) else {}
    for key, value in _filled(found).items():
        if value and values.get(key) in _EMPTY:
            values[key] = value
    last[_CIVITAI] = summary(found)
    if preview is not None and (picture := _png(preview)) is not None:
        renew_preview(path, partial(bytes, picture), last)
    write_json(notes, {**values, OWN: last})
    info = path.with_suffix(".civitai.info")
    if not info.exists():
        write_text(info, json.dumps(row, indent=4))


def summary(found: FoundModel) -> dict[str, Any]:
    """What a model is and what its page permits, in a few plain values, to be kept with files that follow from it."""
    version, model, subject = found.version, found.model, found.subject()
    licence = subject.licence
    return {
        "model": model.id if model else version.model if version else None,
        "version": version.id if version else None,
        "sha256": found.sha256 or None,
        "name": found.title,
        "creator": model.creator if model else "",
        "base_model": found.base,
        "page": found.page,
        **subject.permissions.values(),
        "poi": subject.poi,
        "minor": subject.minor,
        "sfwOnly": subject.sfw_only,
        "mode": subject.mode or None,
        "base_licence": {"name": licence.name, "address": licence.address, "note": licence.note} if licence else None,
        "lights": {purpose: found.assessment.lights[purpose].light for purpose in PURPOSES},
        "asked": datetime.fromtimestamp(found.asked, timezone.utc).date().isoformat() if found.asked else None,
    }


def _filled(found: FoundModel) -> dict[str, Any]:
    version, family = found.version, family_of_base(found.base)
    return {
        "description": f"{found.title} ({found.page})" if found.page else found.title,
        "sd version": family_named(family).title if family else _OTHER if found.base else "",
        "activation text": ", ".join(version.words) if version else "",
        "modelId": found.model.id if found.model else version.model if version else None,
        "sha256": found.sha256,
    }


def _png(content: bytes) -> bytes | None:
    """A picture as PNG with nothing but its pixels, and not too large; None = it is not one."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.draft("RGB", (_SIDE, _SIDE))
            plain = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None
    plain.thumbnail((_SIDE, _SIDE))
    return png_bytes(plain)


def permissions_beside(path: Path) -> dict[str, Any]:
    """What was kept of a model's page when it was fetched (`summary`); nothing where nothing was."""
    try:
        own = notes_beside(path.with_suffix(".json")).get(OWN)
    except UserError:
        return {}
    kept = own.get(_CIVITAI) if isinstance(own, dict) else None
    return kept if isinstance(kept, dict) else {}
