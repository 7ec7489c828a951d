"""Copies the pictures of a production that are kept into a folder, with captions, a table, and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.content_credentials.certificates import SigningIdentity
from lib_lora.content_credentials.signing import is_signable, signed
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, content, explained, opened, read_json, slug
from lib_lora.provenance.source_type import packet
from lib_lora.provenance.xmp_files import with_xmp
from lib_lora.typed_settings import to_dict
from lib_lora.workflows.produce.production import PaintedTry
from lib_lora.workflows.produce.production_store import ProductionFolder

_COLUMNS = ("file", "prompt", "seed", "likeness", "face_px", "tries")
_SIDE, _ACROSS, _MOST = 160, 10, 400  # of the contact sheet: pixels of a picture, pictures in a row, pictures in all
_FORMULA = ("=", "+", "-", "@", "\t")  # a table's program would compute what begins so


def export(
    folder: ProductionFolder,
    name: str,
    pictures: Sequence[PaintedTry],
    out: Path,
    identity: SigningIdentity | None = None,
) -> Path:
    """Copy pictures into a folder, which is made; those of an earlier export are written again, and what of it is no
    longer kept goes.

    Args:
        folder: of the production.
        name: of the character; files are called after it.
        pictures: that are kept.
        out: the folder.
        identity: signs the pictures (C2PA); None = they are not signed.

    Returns:
        `out`, with the files of `exported`.

    Raises:
        UserError: nothing is kept, a picture is gone, or the folder cannot be written.
    """
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    earlier = _exported_before(out / f"pictures-{folder.id}.json", f"{slug(name)}-{folder.id}-")
    for file, source in exported(folder, name, pictures, identity):
        earlier.discard(file)
        target = out / file
        with explained(target), atomic_file(target) as copy:
            if isinstance(source, bytes):
                copy.write(source)
            else:
                with explained(source, "read"), opened(source) as stream:
                    shutil.copyfileobj(stream, copy)
    for file in earlier:
        with explained(out / file, "delete"):
            (out / file).unlink(missing_ok=True)
    return out


def _exported_before(table: Path, begin: str) -> set[str]:
    """The pictures and captions of an earlier export, by their names."""
    try:
        rows = read_json(table) if table.is_file() else []
    except UserError:
        return set()
    found = {str(row.get("file")) for row in rows if isinstance(row, dict)} if isinstance(rows, list) else set()
    names = {file for file in found if re.fullmatch(re.escape(begin) + r"[0-9-]+\.png", file)}
    return names | {f"{file.removesuffix('.png')}.txt" for file in names}


def _read(path: Path) -> bytes:
    with explained(path, "read"):
        return content(path)


def exported(
    folder: ProductionFolder, name: str, pictures: Sequence[PaintedTry], identity: SigningIdentity | None = None
) -> Iterator[tuple[str, Path | bytes]]:
    """The files of an export, one after the other: each by its name, as the file that it is a copy of, or as bytes.
    The arguments are those of `export`.

    They are ``NAME-001-00001.png``, ``NAME-001-00001.txt``, ..., ``pictures-001.csv``, ``pictures-001.json`` and
    ``sheet-001.jpg``, where 001 is the production's number; the second picture of an item is ``NAME-001-00001-02.png``
    where it was its second try.

    Raises:
        UserError: nothing is kept, or a picture cannot be signed.
    """
    for file, source in _unsigned(folder, name, pictures):
        if identity and is_signable(file) and (isinstance(source, bytes) or source.is_file()):
            yield file, signed(file, source if isinstance(source, bytes) else _read(source), identity)
        else:
            yield file, source


def _unsigned(
    folder: ProductionFolder, name: str, pictures: Sequence[PaintedTry]
) -> Iterator[tuple[str, Path | bytes]]:
    if not pictures:
        raise UserError("No picture is kept, so there is nothing to export.", code="production-empty")
    rows, items = [], set()
    for one in pictures:
        again = f"-{one.attempt:02d}" if one.item in items else ""
        items.add(one.item)
        stem = f"{slug(name)}-{folder.id}-{one.item:05d}{again}"
        yield f"{stem}.png", folder.pictures / one.file
        yield f"{stem}.txt", one.prompt.encode("utf-8", "replace")
        rows.append({**to_dict(one), "file": f"{stem}.png", "tries": one.attempt})
    yield f"pictures-{folder.id}.json", json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-8", "replace")
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    writer.writerows([[_harmless(row[column]) for column in _COLUMNS] for row in rows])
    yield f"pictures-{folder.id}.csv", b"\xef\xbb\xbf" + table.getvalue().encode("utf-8")  # the mark is for Excel
    yield f"sheet-{folder.id}.jpg", _sheet([folder.pictures / one.file for one in pictures[:_MOST]])


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _sheet(pictures: Sequence[Path]) -> bytes:
    """A contact sheet as JPEG; a picture that cannot be read leaves its place empty."""
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
    found = io.BytesIO()
    sheet.save(found, "JPEG", quality=88)
    return with_xmp(found.getvalue(), packet()) or found.getvalue()
