"""Reads zip files from anywhere without trusting them.

What an entry claims about its size counts for nothing: the bytes are counted while they are read. Names become plain
file names, so no entry reaches a folder. Knows zips; does not know which bytes are a picture.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lib_lora.character.caption_files import MAX_BYTES as MAX_CAPTION
from lib_lora.character.photo_files import OTHER_SUFFIXES, SUFFIXES, unsupported
from lib_lora.errors import UserError
from lib_lora.files import explained, opened
from lib_lora.photos.importing import safe_names
from lib_lora.photos.importing.offers import CAPTIONS, ImportItem

MAX_ENTRIES = 2_000
MAX_MEMBER = 200 << 20  # bytes unpacked
MAX_TOTAL = 4 << 30  # bytes unpacked, of one zip
MAX_RATIO = 200  # unpacked to packed; counts above RATIO_FROM
RATIO_FROM = 16 << 20  # bytes unpacked: below it a plain picture may well shrink that much
NESTED = frozenset((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".cbz", ".cbr"))
_MAX_TABLE = 16 << 20  # bytes of the zip's table of contents: it is in memory before the entries can be counted
_CHUNK = 1 << 20
_FILE, _LINK, _KINDS = 0o100000, 0o120000, 0o170000
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    IndexError,
    AssertionError,
)


def count(path: Path) -> int:
    """How many pictures a zip's table of contents names; 0 where it cannot be read."""
    try:
        with _opened(path) as archive:
            return sum(_suffix(parts) in SUFFIXES for _, parts in _entries(archive))
    except UserError:
        return 0


def members(path: Path) -> Iterator[ImportItem | UserError]:
    """The pictures in a zip, each with its caption, and an error for everything that is left out.

    A picture's stream is good until the next one is asked for. Hidden files and ``__MACOSX`` are passed over.
    """
    try:
        archive = _opened(path)
    except UserError as error:
        yield error
        return
    with archive:
        entries = _entries(archive)
        captions = {_place(parts): info for info, parts in entries if _suffix(parts) in CAPTIONS}
        budget = _Budget(MAX_TOTAL)
        packed = path.stat().st_size  # an entry may claim to take any of it, all of them together not more
        for info, parts in entries:
            if refusal := _refusal(info, parts, path.name):
                yield refusal
            elif _suffix(parts) in SUFFIXES:
                with explained(Path(tempfile.gettempdir())):
                    stream = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the with below
                with stream:
                    try:
                        _unpack(archive, info, stream, budget, path)
                    except UserError as error:
                        yield error
                        if budget.left < 0:
                            return
                        continue
                    text = next((captions[place] for place in _caption_places(parts) if place in captions), None)
                    caption = None
                    try:
                        caption = _caption(archive, text, path) if text else None
                    except UserError as error:
                        yield error
                    size = min(info.compress_size, packed)
                    packed -= size
                    yield ImportItem(parts[-1], parts[-2] if len(parts) > 1 else "", stream, caption, size)


@dataclass
class _Budget:
    """Bytes that a zip may still unpack to."""

    left: int


def entry_name(info: zipfile.ZipInfo) -> str:
    """An entry's name as its maker wrote it. Old zips do not say how: UTF-8, Japanese, else DOS letters are tried."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    try:
        raw = info.orig_filename.encode("cp437")
    except UnicodeEncodeError:  # the name was corrected from another field already
        return info.orig_filename
    for encoding in ("utf-8", "cp932"):
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        # two Japanese letters in a row and no other letters beyond ASCII: DOS umlauts rarely look like that
        foreign = re.sub(r"[\x00-\x7f]", "", re.sub(r"[\u3005\u3040-\u30ff\u4e00-\u9fff]{2,}", "", name))
        if encoding == "utf-8" or not foreign:
            return name
    return info.orig_filename


def _opened(path: Path) -> zipfile.ZipFile:
    """Raises: UserError: it is no zip that can be read, or has too many entries."""
    with explained(path, "read"):
        size = _table_size(path)
    if size > _MAX_TABLE:
        raise UserError(_too_many(path), code="zip-too-many-files", file=path.name)
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise UserError(
            f"{path.name} is not a readable zip file ({_why(error)}); create it again.",
            code="zip-unreadable",
            file=path.name,
        ) from error
    if len(archive.infolist()) > MAX_ENTRIES:
        archive.close()
        raise UserError(_too_many(path), code="zip-too-many-files", file=path.name)
    return archive


def _too_many(path: Path) -> str:
    return f"{path.name} has more than {MAX_ENTRIES:,} files in it; unpack it and import the folder of the photos."


def _table_size(path: Path) -> int:
    """Bytes of the table of contents as the zip's end says; 0 where there is no such end (zipfile will say so)."""
    with opened(path) as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - (1 << 16) - 98))
        tail = stream.read()
    at = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" else tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return 0
    sizes = [int(struct.unpack_from("<I", tail, at + 12)[0])]
    if tail[max(0, at - 20) : at].startswith(b"PK\6\7"):  # the larger layout; its record lies right before
        big = tail.rfind(b"PK\6\6", 0, at)
        sizes = [struct.unpack_from("<Q", tail, big + 40)[0] if 0 <= big <= len(tail) - 48 else _MAX_TABLE + 1]
    return max(sizes)


def _entries(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, list[str]]]:
    """Entries that are files, with their names in pieces; hidden ones and what macOS adds are left out."""
    found = [
        (info, safe_names.parts(entry_name(info).split("\0")[0])) for info in archive.infolist() if not _folder(info)
    ]
    return [
        (info, parts)
        for info, parts in found
        if parts and not any(part.startswith(".") or part == "__MACOSX" for part in parts)
    ]


def _folder(info: zipfile.ZipInfo) -> bool:
    return info.orig_filename.endswith(("/", "\\"))


def _suffix(parts: list[str]) -> str:
    return safe_names.split(parts[-1])[1]


def _place(parts: list[str]) -> tuple[str, ...]:
    """Where an entry lies; the same for two that one system takes for the same file."""
    stem, suffix = safe_names.split(parts[-1])
    return (*map(safe_names.key, parts[:-1]), safe_names.key(stem), suffix)


def _caption_places(parts: list[str]) -> list[tuple[str, ...]]:
    return [(*_place(parts)[:-1], suffix) for suffix in CAPTIONS]


def _refusal(info: zipfile.ZipInfo, parts: list[str], archive: str) -> UserError | None:
    """Why an entry is not even opened; None = it may be, or is of no interest."""
    suffix, name = _suffix(parts), parts[-1]
    if suffix in NESTED:
        return UserError(
            f"{name} in {archive} is an archive inside an archive and is not opened; extract it first.",
            code="zip-member-is-archive",
            file=archive,
            member=name,
        )
    if suffix in OTHER_SUFFIXES:
        return unsupported([Path(name)])[0]
    if suffix not in SUFFIXES:
        return None
    kind = (info.external_attr >> 16) & _KINDS
    if kind == _LINK:
        return UserError(
            f"{name} in {archive} is a link to another file, which is not followed; pack the photo itself.",
            code="zip-member-is-link",
            file=archive,
            member=name,
        )
    if kind not in (0, _FILE):  # 0: made on a system that does not say
        return UserError(
            f"{name} in {archive} is a pipe, a device or a folder, not a file; pack the photo itself.",
            code="zip-member-not-a-file",
            file=archive,
            member=name,
        )
    if info.flag_bits & 1:
        return UserError(
            f"{name} in {archive} is encrypted; unpack the zip with its password and import the folder.",
            code="zip-member-encrypted",
            file=archive,
            member=name,
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return UserError(
            f"{name} in {archive} is packed in a way that is not read here; unpack the zip and import the folder.",
            code="zip-member-unreadable",
            file=archive,
            member=name,
        )
    return None


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, to: IO[bytes], budget: _Budget, path: Path) -> None:
    """Write an entry's bytes to `to`, and go back to its beginning.

    Raises:
        UserError: it is damaged, or unpacks to too much: by itself, for what it takes in the zip, or for the budget.
    """
    name, done = safe_names.parts(entry_name(info))[-1], 0
    packed = min(info.compress_size, path.stat().st_size)
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(_CHUNK):
                done += len(chunk)
                budget.left -= len(chunk)
                if budget.left < 0:
                    raise UserError(
                        f"{path.name} unpacks to more than {MAX_TOTAL >> 30} GB; {name} and what follows are left out.",
                        code="zip-too-large",
                        file=path.name,
                        member=name,
                    )
                if done > MAX_MEMBER:
                    raise UserError(
                        f"{name} in {path.name} unpacks to more than {MAX_MEMBER >> 20} MB; save it smaller.",
                        code="zip-member-too-large",
                        file=path.name,
                        member=name,
                    )
                if done > RATIO_FROM and done > MAX_RATIO * packed:
                    raise UserError(
                        f"{name} in {path.name} unpacks to far more than it takes there, so it is left out; "
                        "if you trust it, unpack the zip and import the folder.",
                        code="zip-bomb",
                        file=path.name,
                        member=name,
                    )
                with explained(Path(tempfile.gettempdir())):
                    to.write(chunk)
    except _BROKEN as error:
        raise UserError(
            f"{name} in {path.name} is damaged ({_why(error)}); create the zip again.",
            code="zip-member-damaged",
            file=path.name,
            member=name,
        ) from error
    to.seek(0)


def _caption(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """Raises: UserError: it is damaged, or no caption."""
    name = safe_names.parts(entry_name(info))[-1]
    try:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile("encrypted, or packed in another way")
        with archive.open(info) as stream:
            content = stream.read(MAX_CAPTION + 1)
    except _BROKEN as error:
        raise UserError(
            f"{name} in {path.name} is damaged ({_why(error)}); its photo has no caption.",
            code="zip-member-damaged",
            file=path.name,
            member=name,
        ) from error
    return content


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
