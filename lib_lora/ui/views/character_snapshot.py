"""Reads one character as its folder shows it now: photos, decisions, captions, and the last audit's findings.

Everything is kept until a file changes. No face is looked for here, and nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora.character import caption_files
from lib_lora.character.photo_files import SUFFIXES
from lib_lora.character.store import Character, load
from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.workflows.photos import audit_cache
from lib_lora.workflows.photos.audit_cache import KeptAudit
from lib_lora.workspace.file_cache import Mark, keep_nothing, kept, mark, marks_in
from lib_lora.workspace.workspace import CharacterFolder


@dataclass(frozen=True)
class CharacterSnapshot:
    """What there is of a character.

    Attributes:
        folder, character: which one.
        digests: SHA-256 by file name, of all photos, in their order.
        dropped: SHA-256 of those that the user has left out.
        used: file names of those that a training takes, as `photos.audit.audit_store.photos_to_use` gives them.
        texts: captions by file name; empty = there is none. `unreadable`: a sentence for each that cannot be read.
        audit: what the last audit said (`KeptAudit`); None where there is none of these very photos.
        trouble: why the photos cannot be shown; empty where all is well.
    """

    folder: CharacterFolder
    character: Character
    digests: dict[str, str]
    dropped: frozenset[str]
    used: list[str]
    texts: dict[str, str]
    unreadable: dict[str, str] = field(default_factory=dict)
    audit: KeptAudit | None = None
    trouble: str = ""

    @property
    def used_texts(self) -> dict[str, str]:
        """Captions of the photos in use that can be read."""
        return {file: self.texts[file] for file in self.used if file in self.texts}

    def file_of(self, digest: str) -> Path | None:
        """Where the photo with a digest lies; None where there is none."""
        for file, its in self.digests.items():
            if its == digest:
                return self.folder.photos / file
        return None


def snapshot_of(folder: CharacterFolder) -> CharacterSnapshot:
    """A character as it is now.

    Raises:
        UserError: its ``character.yaml`` cannot be read.
    """
    files = marks_in(folder.photos)
    kinds = {*SUFFIXES, ".txt"}
    state = (
        tuple(sorted((name, one) for name, one in files.items() if name[name.rfind(".") :].lower() in kinds)),
        mark(folder.file),
        mark(folder.path / audit_store.FILE),
        mark(audit_cache.path_of(folder)),
    )
    return kept(("looked", folder.path), state, lambda: _read_snapshot(folder, files))


def _read_snapshot(folder: CharacterFolder, files: Mapping[str, Mark]) -> CharacterSnapshot:
    character = kept(("character", folder.path), mark(folder.file), lambda: load(folder))
    names = [name for name in files if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")]
    names.sort(key=str.casefold)
    trouble, known = "", AuditStore()
    try:
        known = kept(("memory", folder.path), mark(folder.path / audit_store.FILE), lambda: audit_store.load(folder))
    except UserError as error:
        keep_nothing()
        trouble = str(error)
    digests = {}
    for name in names:
        try:
            digests[name] = _digest(folder.photos / name, files[name], known)
        except UserError as error:
            keep_nothing()
            trouble = str(error)
    first: dict[str, str] = {}
    for name, digest in digests.items():
        first.setdefault(digest, name)
    texts, unreadable = _captions(folder, names, files)
    audit = audit_cache.kept(folder)
    return CharacterSnapshot(
        folder,
        character,
        digests,
        frozenset(known.dropped),
        [name for digest, name in first.items() if digest not in known.dropped],
        texts,
        unreadable,
        audit if audit and {one.file: one.sha256 for one in audit.photos} == digests else None,
        trouble,
    )


def _digest(path: Path, its: Mark, known: AuditStore) -> str:
    """From the audit's memory where the file is the same, else from its bytes."""
    changed, size, place = its
    there = known.files.get(path.name)
    if there and (there.size, there.changed) == (size, changed) and place in (0, there.place):
        return there.sha256
    return kept(("sha256", path), its, lambda: sha256(path))


def _captions(
    folder: CharacterFolder, names: list[str], files: Mapping[str, Mark]
) -> tuple[dict[str, str], dict[str, str]]:
    texts, unreadable = {}, {}
    for name in names:
        photo = folder.photos / name
        beside = caption_files.path_of(photo)
        try:
            texts[name] = kept(("caption", beside), files.get(beside.name), lambda photo=photo: _caption(photo))  # type: ignore[misc]
        except UserError as error:
            keep_nothing()
            unreadable[name] = str(error)
    return texts, unreadable


def _caption(photo: Path) -> str:
    text = caption_files.read(photo) or ""
    if "\ufffd" in text:
        raise UserError(
            f"{caption_files.path_of(photo)} is not readable text; save it as UTF-8.",
            code="caption-unreadable",
            file=caption_files.path_of(photo),
        )
    return text
