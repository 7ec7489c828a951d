"""What was computed of a character's faces, deleted. For the command and the page alike; imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from lib_lora.character.store import CharacterFolder
from lib_lora.files import explained
from lib_lora.jobs import audit_kept
from lib_lora.jobs.lock import only_process
from lib_lora.references import memory as memories

PATIENCE = 5.0  # seconds that another process at work on the character is waited for
# With a star at the end, also what a killed process left half written.
_KINDS = (
    "cache/template*",  # embeddings, and the faces cut out
    "cache/thumbnails/*",
    "cache/latents/*",  # a photo can be decoded from them
    f"cache/{audit_kept.FILE}*",
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
        if (memory := memories.load(folder)).facts:
            memories.save(folder, replace(memory, facts={}))
            gone.append(folder.path / memories.FILE)
        from lib_lora.jobs.report import without_photos  # which loads what judges

        gone += without_photos(folder.runs)
    return [path.relative_to(folder.path).as_posix() for path in gone]
