"""Reads and writes what the audit keeps on disk: ``audit.json`` in the character's folder.

The facts of each photo by the SHA-256 of its bytes, and the user's decisions by the same, so that they hold for a photo
however it is named or moved. No biometric data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lib_lora import typed_settings
from lib_lora.captions.photo_facts import PhotoFacts
from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.files import explained, read_json, sha256_once, write_json
from lib_lora.photos.audit.audit import PhotoDecision
from lib_lora.workspace.workspace import CharacterFolder

FILE = "audit.json"
VERSION = 1


@dataclass(frozen=True)
class HashedFile:
    """A file as it was when its digest was made; of another size or time, it is read again.

    Attributes:
        size: in bytes.
        changed: in nanoseconds.
        place: of the file on the disk (inode); two files of one size and time that change names are told apart by it.
        sha256: of its bytes.
    """

    size: int
    changed: int
    place: int
    sha256: str


@dataclass(frozen=True)
class AuditStore:
    """What is kept.

    Attributes:
        measured_by: id of the face engine and the version of the facts; those of another one are made again.
        decisions: the user's, by SHA-256.
        facts: by SHA-256.
        files: by name.
        version: of the file's layout.
    """

    measured_by: str = ""
    decisions: dict[str, PhotoDecision] = field(default_factory=dict)
    facts: dict[str, PhotoFacts] = field(default_factory=dict)
    files: dict[str, HashedFile] = field(default_factory=dict)
    version: int = VERSION

    @property
    def dropped(self) -> set[str]:
        """SHA-256 of the photos that the user has left out."""
        return {digest for digest, decision in self.decisions.items() if decision == "drop"}


def load(folder: CharacterFolder) -> AuditStore:
    """What is kept of a character's photos; empty where no audit was made yet.

    Raises:
        UserError: the file is damaged. It holds decisions, so it is not simply written again.
    """
    path = folder.path / FILE
    if not path.exists():
        return AuditStore()
    values = read_json(path)
    if isinstance(values, dict) and values.get("version") != VERSION:
        raise UserError(
            f"{path} was written by another version of SameFace; delete it, and decide on the photos again.",
            code="audit-of-other-version",
            file=path,
        )
    try:
        return typed_settings.from_dict(AuditStore, _without_teeth(values), str(path))
    except UserError as error:
        said = str(error).rstrip(".")
        raise UserError(
            f"{said}; fix it, or delete it and decide on the photos again.", code="audit-damaged", file=path
        ) from error


def _without_teeth(values: Any) -> Any:
    """What an earlier version measured of a smile has no field any more; `values` may be anything."""
    facts = values.get("facts") if isinstance(values, dict) else None
    for photo in facts.values() if isinstance(facts, dict) else ():
        faces = photo.get("faces") if isinstance(photo, dict) else None
        for face in faces if isinstance(faces, list) else ():
            if isinstance(face, dict):
                face.pop("teeth", None)
    return values


def save(folder: CharacterFolder, store: AuditStore) -> None:
    """Write it, atomically."""
    write_json(folder.path / FILE, typed_settings.to_dict(store))


def digests(photos: list[Path], store: AuditStore) -> dict[str, HashedFile]:
    """By name, the digest of each photo; only what has changed is read.

    Raises:
        UserError: a photo cannot be read.
    """
    found = {}
    for photo in photos:
        with explained(photo, "read"):
            about = photo.stat()
        here = HashedFile(about.st_size, about.st_mtime_ns, about.st_ino, "")
        known = store.files.get(photo.name)
        if known is None or replace(known, sha256="") != here:
            known = replace(here, sha256=sha256_once(photo))
        found[photo.name] = known
    return found


def photos_to_use(folder: CharacterFolder) -> list[Path]:
    """The photos of a character without those that the user has left out; of files with the same bytes the first.

    Raises:
        UserError: the folder, a photo or ``audit.json`` cannot be read.
    """
    photos, store = list_photos(folder.photos), load(folder)
    known = digests(photos, store)
    first: dict[str, Path] = {}
    for photo in photos:
        first.setdefault(known[photo.name].sha256, photo)
    return [photo for digest, photo in first.items() if digest not in store.dropped]


def decided(store: AuditStore, digests: dict[str, str], decision: PhotoDecision | None) -> AuditStore:
    """`store` with one decision for these photos (name to SHA-256); None takes theirs back."""
    left = {digest: old for digest, old in store.decisions.items() if digest not in digests.values()}
    return replace(store, decisions={**left, **(dict.fromkeys(digests.values(), decision) if decision else {})})
