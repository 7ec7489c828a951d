"""Copies the pictures of a production that are kept into a folder, with captions, a table, and a contact sheet."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, slug, write_json, write_text
from lib_lora.typed_settings import to_dict
from lib_lora.workflows.produce.production import PaintedTry
from lib_lora.workflows.produce.production_store import ProductionFolder

_COLUMNS = ("file", "prompt", "seed", "likeness", "face_px", "tries")
_SIDE, _ACROSS, _MOST = 160, 10, 400  # of the contact sheet: pixels of a picture, pictures in a row, pictures in all
_FORMULA = ("=", "+", "-", "@", "\t")  # a table's program would compute what begins so


def export(folder: ProductionFolder, name: str, pictures: Sequence[PaintedTry], out: Path) -> Path:
    """Copy pictures into a folder, which is made; those of an earlier export are written anew.

    Args:
        folder: of the production.
        name: of the character; files are called after it.
        pictures: that are kept.
        out: the folder.

    Returns:
        `out`, with ``NAME-001-00001.png``, ``NAME-001-00001.txt``, ..., ``pictures-001.csv``, ``pictures-001.json`` and
        ``sheet-001.jpg``, where 001 is the production's number.

    Raises:
        UserError: nothing is kept, a picture is gone, or the folder cannot be written.
    """
    if not pictures:
        raise UserError("No picture is kept, so there is nothing to export.", code="production-empty")
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    rows = []
    for one in pictures:
        target = out / f"{slug(name)}-{folder.id}-{one.item:05d}.png"
        source = folder.pictures / one.file
        with explained(source, "read"), open(source, "rb") as stream, explained(target), atomic_file(target) as copy:
            shutil.copyfileobj(stream, copy)
        write_text(target.with_suffix(".txt"), one.prompt)
        rows.append({**to_dict(one), "file": target.name, "tries": one.attempt})
    write_json(out / f"pictures-{folder.id}.json", rows)
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    writer.writerows([[_harmless(row[column]) for column in _COLUMNS] for row in rows])
    path = out / f"pictures-{folder.id}.csv"
    with explained(path), atomic_file(path) as stream:
        stream.write(b"\xef\xbb\xbf" + table.getvalue().encode("utf-8"))  # the mark makes Excel read UTF-8
    _write_sheet([folder.pictures / one.file for one in pictures[:_MOST]], out / f"sheet-{folder.id}.jpg")
    return out


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_sheet(pictures: Sequence[Path], path: Path) -> None:
    """A contact sheet; a picture that cannot be read leaves its place empty."""
    rows = -(-len(pictures) // _ACROSS)
    sheet = Image.new("RGB", (min(len(pictures), _ACROSS) * _SIDE, rows * _SIDE), "white")
    for number, picture in enumerate(pictures):
        try:
            image = open_photo(picture)
        except UserError:
            continue
        image.thumbnail((_SIDE, _SIDE))
        x, y = number % _ACROSS * _SIDE, number // _ACROSS * _SIDE
        sheet.paste(image, (x + (_SIDE - image.width) // 2, y + (_SIDE - image.height) // 2))
    with explained(path), atomic_file(path) as stream:
        sheet.save(stream, "JPEG", quality=88)
