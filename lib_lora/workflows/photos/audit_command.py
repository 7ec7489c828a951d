"""Runs the command that audits, writes the contact sheet, and says what was found and what to type next."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL import Image

import lib_lora
from lib_lora.errors import typed
from lib_lora.faces.face import FaceEngine
from lib_lora.files import atomic_file, digest_of, write_text
from lib_lora.grid.sheet import SheetCell, SheetRow, status_sheet
from lib_lora.messages.tone import Tone
from lib_lora.photos.audit import audit_page, audit_words
from lib_lora.photos.audit.audit import Audit
from lib_lora.photos.audit.finding_words import sentence
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.photos import audit_cache, thumbnails
from lib_lora.workflows.photos.audit_photos import PATIENCE, RESOLUTION, Choices, audit_photos
from lib_lora.workspace.workspace import CharacterFolder

PAGE, SHEET = "audit.html", "audit.png"
_MARK = "audit-sheet.txt"  # in the cache: of what the sheet was made last


def run_audit(
    root: Path,
    name: str,
    resolution: int = RESOLUTION,
    choices: Choices | None = None,
    engine: FaceEngine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CommandResult:
    """Audit a character's photos; see `audit_photos` for the arguments.

    Raises:
        UserError: as `audit_photos`.
    """
    folder, audit = audit_photos(root, name, resolution, choices, engine, progress)
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        if audit_cache.kept(folder) is not None:  # else all was forgotten meanwhile, which the sheet would undo
            _draw(folder, audit, name)
    values = {**audit_words.values(audit), "page": str(folder.path / PAGE), "sheet": str(folder.path / SHEET)}
    lines = [audit_words.text(audit), "", f"Contact sheet: {folder.path / PAGE} (and {SHEET})"]
    for others in audit.people[1:]:
        lines.append(f"To leave out those like {others[0]}: {typed('audit', name, '--drop', *others)}")
    if audit.proposed:
        first = audit.proposed[0].photo.file
        lines.append(f"To leave the proposed ones out: {typed('audit', name, '--accept')}")
        lines.append(f"To keep one anyway:             {typed('audit', name, '--keep', first)}")
    return CommandResult("\n".join(lines), values, good=not audit.stopped)


def _draw(folder: CharacterFolder, audit: Audit, name: str) -> None:
    """Write the contact sheet, unless the one that is there shows the same."""
    mark = digest_of(
        lib_lora.__version__,
        name,
        audit_words.text(audit),
        [(item.photo.sha256, audit_words.word(item)) for item in audit.photos],
    )
    kept = folder.cache / _MARK
    with suppress(OSError, ValueError):
        if kept.read_text(encoding="utf-8") == mark and all((folder.path / file).is_file() for file in (PAGE, SHEET)):
            return
    pictures = {item.photo.file: thumbnails.of(folder, item.photo.file, item.photo.sha256) for item in audit.photos}
    write_text(
        folder.path / PAGE, audit_page.render(audit, name, {file: small for file, small in pictures.items() if small})
    )
    with atomic_file(folder.path / SHEET) as stream:
        _sheet(audit, name, pictures).save(stream, "PNG")
    write_text(kept, mark)


def _sheet(audit: Audit, name: str, pictures: dict[str, bytes | None]) -> Image.Image:
    cells = [
        SheetCell(
            _opened(pictures[item.photo.file]),
            _caption(item.photo.file, audit_words.word(item)),
            audit_words.tone(item),
        )
        for item in audit.photos
    ]
    notes = " ".join(sentence(finding) for finding in audit.findings)
    tone: Tone = "bad" if audit.stopped else "warn" if audit.proposed or audit.findings else "good"
    return status_sheet(
        [SheetRow("", cells)], f"{name}: {audit_words.headline(audit)}", notes, tone, columns=6, foot="Photos as given"
    )


def _caption(file: str, word: str) -> str:
    return file if word == "good" else f"{word}: {file}"


def _opened(jpeg: bytes | None) -> Image.Image | None:
    """None also where the cache was damaged, which the next audit mends."""
    try:
        return Image.open(io.BytesIO(jpeg)).convert("RGB") if jpeg else None
    except (OSError, ValueError, SyntaxError):
        return None
