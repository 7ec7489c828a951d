"""Lists the pictures in what the user names for import: files, folders, zips.

Knows where things lie; does not know which bytes are a picture, or what becomes of one.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora.character.caption_files import MAX_BYTES as MAX_CAPTION
from lib_lora.character.photo_files import OTHER_SUFFIXES, SUFFIXES, kinds, unsupported
from lib_lora.errors import UserError
from lib_lora.files import explained, opened
from lib_lora.photos.importing import archives
from lib_lora.photos.importing.offers import CAPTIONS, ImportItem

MAX_FILES = 10_000  # pictures in one folder and below: more is a disk, not the photos of a person


@dataclass
class FoundPictures:
    """What there is to look at.

    Attributes:
        files: pictures, and zips that the user named, in the order to look at them; with each the folder it lies in
            within what was named (empty = directly there).
        skipped: an error for everything that is left out already.
    """

    files: list[tuple[Path, str]] = field(default_factory=list)
    skipped: list[UserError] = field(default_factory=list)

    def count(self) -> int:
        """How many pictures there are, those in zips too."""
        return sum(archives.count(path) if _is_zip(path) else 1 for path, _ in self.files)

    def offers(self) -> Generator[ImportItem | UserError, None, None]:
        """Every picture, opened until the next one is asked for, and an error for each that cannot be."""
        for path, inner in self.files:
            if _is_zip(path):
                yield from archives.members(path)
                continue
            try:
                with explained(path, "read"):
                    stream = opened(path)
            except UserError as error:
                yield error
                continue
            with stream:
                try:
                    caption = _caption(path)
                except UserError as error:
                    yield error
                    caption = None
                yield ImportItem(path.name, inner, stream, caption, os.fstat(stream.fileno()).st_size)


def find(sources: Iterable[Path], own: Path | None = None) -> FoundPictures:
    """The pictures that `sources` name: files and zips as they are, folders with the folders in them.

    Hidden files and folders are passed over, and so is what is no picture. A zip inside a folder is not opened. What
    cannot be read is said, and the rest is looked at all the same.

    Args:
        sources: files, folders and zips.
        own: the character's folder: what lies there already is not taken in again.
    """
    found = FoundPictures()
    for source in sources:
        try:
            with explained(source, "read"):
                _add(source, own, found)
        except UserError as error:
            found.skipped.append(error)
    return found


def _add(source: Path, own: Path | None, found: FoundPictures) -> None:
    """Raises: UserError, OSError: it cannot be read, or has too many pictures."""
    if own is not None and any(_same(path, own) for path in (source, *Path(os.path.realpath(source)).parents)):
        sentence = f"{source} is in the character's own folder and is not imported again; leave it out."
        found.skipped.append(UserError(sentence, code="source-in-own-folder", file=source))
    elif source.is_dir():
        _in_folder(source, own, found)
    elif not source.exists():
        sentence = f"There is no file or folder {source}; check the name."
        found.skipped.append(UserError(sentence, code="source-missing", file=source))
    elif _is_zip(source) or source.suffix.lower() in SUFFIXES:
        found.files.append((source, ""))
    elif source.suffix.lower() in archives.NESTED:
        sentence = f"{source.name} is packed in a way that is not read; unpack it and import the folder."
        found.skipped.append(UserError(sentence, code="archive-unsupported", file=source.name))
    else:
        sentence = f"{source.name} is not a photo ({', '.join(kinds())}) or a zip; leave it out."
        found.skipped += unsupported([source]) or [UserError(sentence, code="source-not-a-photo", file=source.name)]


def _in_folder(folder: Path, own: Path | None, found: FoundPictures) -> None:
    """Raises: UserError: there are too many pictures."""
    pictures: list[tuple[Path, str]] = []
    for path in _files(folder, own, found.skipped):
        suffix = path.suffix.lower()
        if suffix in OTHER_SUFFIXES:
            found.skipped += unsupported([path])
        elif suffix in archives.NESTED:
            sentence = f"{path.name} in {path.parent} is not unpacked; name the archive itself to import its contents."
            found.skipped.append(UserError(sentence, code="archive-in-folder", file=path.name))
        elif suffix in SUFFIXES:
            pictures.append((path, "" if path.parent == folder else path.parent.name))
        if len(pictures) > MAX_FILES:
            raise UserError(
                f"{folder} has more than {MAX_FILES:,} pictures; name the folder of this person's photos.",
                code="folder-too-many-photos",
                folder=folder,
            )
    found.files.extend(pictures)


def _files(folder: Path, own: Path | None, skipped: list[UserError]) -> Iterator[Path]:
    """The files in a folder, then those of each folder in it, by name. Links to folders are not followed.

    A folder that cannot be read, in whole or in part, is one error in `skipped`.
    """
    for here, folders, files in os.walk(folder, onerror=lambda error: skipped.append(_explained(error))):
        keep = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        folders[:] = sorted((name for name in keep if not _same(Path(here, name), own)), key=str.casefold)
        unread = list[OSError]()
        for name in sorted(files, key=lambda name: (name.casefold(), name)):
            if not name.startswith(".") and _is_readable(Path(here, name), unread):
                yield Path(here, name)
        skipped.extend(_explained(error) for error in unread[:1])


def _is_readable(path: Path, unread: list[OSError]) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # the folder may be listed and no more, for one
        unread.append(error)
        return False


def _explained(error: OSError) -> UserError:
    try:
        with explained(Path(error.filename or "the folder"), "read"):
            raise error
    except UserError as said:
        return said


def _same(path: Path, other: Path | None) -> bool:
    try:
        return other is not None and path.samefile(other)
    except OSError:  # one of them is not there
        return False


def _caption(photo: Path) -> bytes | None:
    """The bytes of the caption beside a photo, at most one more than a caption may have.

    Raises:
        UserError: it cannot be read.
    """
    for suffix in CAPTIONS:
        path = photo.with_suffix(suffix)
        if _is_file(path):
            with explained(path, "read"), opened(path) as stream:
                return stream.read(MAX_CAPTION + 1)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a suffix longer than the photo's may make the name too long for any file
        return False


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"
