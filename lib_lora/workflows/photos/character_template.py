"""Keeps a character's template beside its cache, and builds it again when its photos have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.files import digest_of, sha256_once
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure.template import Template
from lib_lora.photos.audit import audit_store
from lib_lora.workspace.workspace import CharacterFolder

JUDGING = 2  # raise it whenever the same face may be judged otherwise; 2: brush strokes, and a lower alarm


def template_of(folder: CharacterFolder, engine: FaceEngine) -> Template:
    """The template of the character's photos as they are now; made again only when they have changed.

    Raises:
        UserError: there are no photos, or no face in any.
    """
    photos, dropped = list_photos(folder.photos), audit_store.load(folder).dropped
    kept = kept_template(folder, engine)
    if kept and kept.is_current(engine.id, _hashes(photos), dropped):
        return kept
    template = templates.build(engine, photos, dropped=dropped)
    templates.save(template, template_path(folder, engine))
    return template


def kept_template(folder: CharacterFolder, engine: FaceEngine) -> Template | None:
    """The template that was kept last, which may be of other photos; None where there is none that can be read."""
    path = template_path(folder, engine)
    try:
        kept = templates.load(path) if path.exists() else None
    except UserError:
        return None  # damaged or of another version: it is only a cache
    return kept if kept and kept.engine == engine.id else None


def ruler_of(folder: CharacterFolder, engine: FaceEngine) -> str:
    """What pictures are judged with: a digest of the engine, of `JUDGING`, and of the photos in use as they are now."""
    return digest_of(engine.id, JUDGING, sorted(digest for _, digest in _hashes(audit_store.photos_to_use(folder))))


def template_path(folder: CharacterFolder, engine: FaceEngine) -> Path:
    """Where an engine's template of a character is kept."""
    return folder.cache / f"template-{digest_of(engine.id, JUDGING)[:12]}.json"


def _hashes(photos: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and SHA-256 of each photo."""
    return [(photo.name, sha256_once(photo)) for photo in photos]
