"""Deletes what was computed of a character's faces, for the command and the page alike.

Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lib_lora.files import explained, write_text
from lib_lora.photos.audit import audit_store
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.photos import audit_cache
from lib_lora.workspace.workspace import CharacterFolder

PATIENCE = 5.0  # seconds to wait for another process at work on the character
# With a star at the end, also what a killed process left half written.
_KINDS = (
    "cache/template*",  # embeddings, and the faces cut out
    "cache/thumbnails/*",
    "cache/latents/*",  # a photo can be decoded from them
    f"cache/{audit_cache.FILE}*",
    "cache/audit-sheet.txt*",
    "audit.html*",  # hold thumbnails
    "audit.png*",
)


def forget_faces(folder: CharacterFolder) -> list[str]:
    """Delete embeddings, templates, thumbnails, encoded photos, contact sheets, and what the audit measured.

    Photos, decisions, runs and the reports of tests stay; these hold no embeddings, and the small copies of photos in
    their pages are taken out. What is needed is made again.

    Args:
        folder: of a character.

    Returns:
        The files that were deleted, or from which something was taken out, relative to the folder.

    Raises:
        UserError: another process is at work on the character; a file cannot be deleted, or ``audit.json`` cannot be
            read (then all else is deleted).
    """
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        gone = [path for kind in _KINDS for path in sorted(folder.path.glob(kind)) if path.is_file()]
        for path in gone:
            with explained(path, "delete"):
                path.unlink(missing_ok=True)
        if (store := audit_store.load(folder)).facts:
            audit_store.save(folder, replace(store, facts={}))
            gone.append(folder.path / audit_store.FILE)

        gone += without_photos(folder.runs)
    return [path.relative_to(folder.path).as_posix() for path in gone]


def without_photos(runs: Path) -> list[Path]:
    """Take the photos of the person out of the pages of all grids of a character; returns the pages that had some.

    Args:
        runs: the folder of the character's runs.

    Raises:
        UserError: a page cannot be read or written.
    """
    from lib_lora.likeness.report import report_html  # which loads what judges

    changed = []
    for page in sorted(runs.glob(f"*/grids/*/{report_html.FILE_NAME}")):
        with explained(page, "read"):
            text = page.read_text(encoding="utf-8")
        if report_html.PHOTO in text:
            write_text(page, report_html.without_photos(text))
            changed.append(page)
    return changed
