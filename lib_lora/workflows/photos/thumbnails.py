"""Keeps small pictures of a character's photos in its cache, so that a contact sheet opens no photo again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.files import atomic_file
from lib_lora.workflows.photos.measure_photos import thumbnail_of
from lib_lora.workspace.workspace import CharacterFolder


def keep(folder: CharacterFolder, pictures: Mapping[str, bytes | None]) -> None:
    """Write the JPEGs that are given, by SHA-256 of the photo."""
    for digest, picture in pictures.items():
        if picture is not None:
            with atomic_file(_path(folder, digest)) as stream:
                stream.write(picture)


def of(folder: CharacterFolder, file: str, digest: str) -> bytes | None:
    """The small JPEG of a photo, made if it is not there; None where the photo cannot be read."""
    path = _path(folder, digest)
    with suppress(OSError):
        if (there := path.read_bytes()).startswith(b"\xff\xd8"):
            return there
    try:
        made = thumbnail_of(open_photo(folder.photos / file))
    except UserError:
        return None
    keep(folder, {digest: made})
    return made


def forget_others(folder: CharacterFolder, digests: Collection[str]) -> None:
    """Delete the pictures of photos that are no longer there; one that is in use elsewhere stays until next time."""
    known = {_path(folder, digest).name for digest in digests}
    for path in _path(folder, "").parent.glob("*.jpg"):
        if path.name not in known:
            with suppress(OSError):
                path.unlink()


def _path(folder: CharacterFolder, digest: str) -> Path:
    return folder.thumbnails / f"{digest[:32]}.jpg"
