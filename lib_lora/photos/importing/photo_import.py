"""Imports photos into a character's folder, each once, unchanged and with its caption; sheets are split.

A photo's bytes go to ``photos/``. A sheet of four goes to ``sheets/``, and its pieces as PNG to ``photos/``. Every file
is whole or absent, and the one by which a photo is known again is written last, so that a second import mends a first
that was killed. Others may be at work on the folder between two pictures. Knows nothing about faces.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from PIL import Image

from lib_lora.character import caption_files
from lib_lora.character.photo_files import kinds, list_photos, read_photo
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, note_sha256, sha256_once
from lib_lora.photos.importing import safe_names, sheets
from lib_lora.photos.importing.import_budget import Budget, OverBudget
from lib_lora.photos.importing.offers import ImportItem
from lib_lora.photos.importing.sources import find
from lib_lora.workspace.workspace import CharacterFolder

Progress = Callable[[int, int, str], None]
_CHUNK = 1 << 20


@dataclass
class Imported:
    """What came of taking photos in.

    Attributes:
        added: the new pictures in the character's folder.
        known: how many were there already (same bytes).
        twice: what to say of each whose bytes came earlier in the same import.
        skipped: what to say of each that was left out, and of each caption that was.
        split: names of the files that were sheets of four; their pieces are in `added`.
        stopped: it was ended before everything was looked at, because the user wished so.
    """

    added: list[Path] = field(default_factory=list)
    known: int = 0
    twice: list[UserError] = field(default_factory=list)
    skipped: list[UserError] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    stopped: bool = False

    def counted(self) -> str:
        """How many are new, and how many are not: "24 photos added, 2 were there already"."""
        new = f"{len(self.added)} photo{'' if len(self.added) == 1 else 's'} added"
        return new + (f", {self.known} {'was' if self.known == 1 else 'were'} there already" if self.known else "")


def take_in(
    sources: Iterable[Path],
    folder: CharacterFolder,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    budget: Budget | None = None,
    result: Imported | None = None,
) -> Imported:
    """Copy the photos that `sources` name, and their captions, into a character's folder.

    Each is opened once to see that it can be. A photo with the same bytes is not taken twice; where one of the same
    name is there, the new one gets the name of its own folder before it, or a number.

    Args:
        sources: files, folders (and what is in the folders in them) and zips.
        folder: the character's.
        progress: called before each picture with how many are done, how many there are, and its name.
        stop: asked before each picture.
        alone: held while the character's folder is read or written, which is for moments; decoding is done without.
        budget: what it may cost; None = the usual.
        result: is filled while pictures are taken in, for whom it ends by Ctrl+C; None = a new one.

    Raises:
        UserError: the character's folder cannot be read or written; what was taken in stays.
    """
    found = find(sources, folder.path)
    total, done = (found.count() if progress else 0), 0
    result, budget, dear = result or Imported(), budget or Budget(), list[str]()
    result.skipped += found.skipped
    shelf = _Shelf(folder, alone)
    with closing(found.offers()) as offers:
        for offer in offers:
            if stop():
                result.stopped = True
                break
            if budget.over():
                result.skipped.append(_too_long(budget, done, total))
                break
            if isinstance(offer, UserError):
                result.skipped.append(offer)
                continue
            if progress:
                progress(done, total, offer.name)
            done += 1
            try:
                shelf.take(offer, result, budget)
            except OverBudget:
                dear.append(offer.name)
    if dear:
        result.skipped.append(_too_dear(dear))
    return result


def _too_dear(files: list[str]) -> UserError:
    first = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    one = len(files) == 1
    return UserError(
        f"{'1 picture was' if one else f'{len(files):,} pictures were'} left out: {first} "
        f"{'has' if one else 'have'} far more pixels than such small files hold of a photo; if you trust "
        f"{'it, save it as JPEG and import it' if one else 'them, save them as JPEG and import those'}.",
        code="photos-over-budget",
        files=files,
    )


def _too_long(budget: Budget, done: int, total: int) -> UserError:
    left = f"{total - done:,} pictures were" if total > done else "The rest was"
    limit = f"{budget.seconds / 60:g} minutes" if budget.seconds >= 60 else f"{budget.seconds:g} seconds"
    sentence = f"{left} left out: the import took longer than {limit}; import the same again to continue."
    return UserError(sentence, code="import-too-long", done=done, total=total)


def see_that_one_opens(sources: Iterable[Path]) -> None:
    """Look for one photo in `sources` that can be read.

    Raises:
        UserError: there is none; the first three are named.
    """
    sources, budget = list(sources), Budget()
    found, failures = find(sources), list[UserError]()
    with closing(found.offers()) as offers:
        for offer in offers:
            if isinstance(offer, UserError):
                failures.append(offer)
                continue
            try:
                read_photo(offer.stream, offer.name, partial(budget.spend, size=offer.size))
                return
            except OverBudget:
                failures.append(_too_dear([offer.name]))
            except UserError as error:
                failures.append(error)
    where = " and ".join([str(source) for source in sources[:3]] + ["others"] * (len(sources) > 3))
    reasons = [*failures, *found.skipped]
    more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
    whole = (
        f"None of the {len(failures)} photos in {where} can be read:" if failures else f"There is no photo in {where}"
    )
    none = "" if failures else f" ({', '.join(kinds())})."
    raise UserError(
        f"{whole}{none} {' '.join(map(str, reasons[:3]))}".rstrip() + more,
        code="no-photo-readable",
        failures=len(failures),
    )


class _Shelf:
    """A character's pictures: which bytes are known, and which names are taken."""

    def __init__(self, folder: CharacterFolder, alone: Callable[[], AbstractContextManager[None]]) -> None:
        self.folder = folder
        self.alone = alone
        self.known: dict[str, list[Path]] = {}  # SHA-256 of a photo or a sheet to the pictures that came of it
        self.fresh: set[str] = set()  # those of this import
        self.taken: dict[str, set[Path]] = {}  # see names.key; all files, so that no caption is written over
        self.there: dict[Path, set[str]] = {folder.photos: set(), folder.sheets: set()}  # names when last looked at
        with self.alone():
            self._learn_changes()

    def _learn_changes(self) -> None:
        """Learn what has come and gone, by names alone: it is done for each picture."""
        photos, sheet_files = self.folder.photos, self.folder.sheets
        for folder, before in self.there.items():
            now = _names(folder)
            for name in before - now:
                self._forget(folder / name)
            new = {path for path in (folder / name for name in now - before) if _is_file(path)}
            before.clear()
            before.update(now)
            for path in new:
                self._take_name(path)
            if folder == photos and new:
                self.known |= {sha256_once(path): [path] for path in list_photos(photos) if path in new}
            for path in new if folder == sheet_files else ():
                pieces = [photos / f"{path.stem}-{number}.png" for number in range(1, 5)]
                self.known[sha256_once(path)] = [piece for piece in pieces if piece.is_file()]

    def _forget(self, path: Path) -> None:
        self.taken.get(safe_names.key(path.stem), set()).discard(path)
        for digest in [digest for digest, pictures in self.known.items() if pictures == [path]]:
            del self.known[digest]

    def take(self, offer: ImportItem, result: Imported, budget: Budget) -> None:
        """Take one picture in, and write down in `result` what came of it.

        Raises:
            TooDear: the budget does not reach for it.
        """
        pay = partial(budget.spend, size=offer.size)
        try:
            digest = _sha256(offer.stream)
            image = None if digest in self.known else read_photo(offer.stream, offer.name, pay)
            boxes = sheets.boxes(image) if image else None
        except OverBudget:
            raise
        except UserError as error:
            result.skipped.append(error)
            return
        caption = self._caption(offer, result)
        with self.alone():
            self._learn_changes()
            if digest in self.known:  # by now, perhaps
                self._know(offer, digest, caption, result)
            elif image is not None:
                self._add(offer, digest, image, boxes, caption, result)

    def _know(self, offer: ImportItem, digest: str, caption: bytes | None, result: Imported) -> None:
        self._write_caption(self.known[digest], caption, missing=True)
        if digest in self.fresh:
            first = self.known[digest][0].name if self.known[digest] else "another"
            sentence = f"{offer.name} holds the same bytes as {first} and is taken once."
            result.twice.append(UserError(sentence, code="photo-twice", photo=offer.name, other=first))
        else:
            result.known += 1

    def _add(
        self,
        offer: ImportItem,
        digest: str,
        image: Image.Image,
        boxes: sheets.Boxes | None,
        caption: bytes | None,
        result: Imported,
    ) -> None:
        if boxes:
            added = self._split(offer, image, boxes, caption)
            result.split.append(offer.name)
        else:
            added = [self._copy(offer, caption)]
            note_sha256(added[0], digest)
        self.known[digest] = added
        self.fresh.add(digest)
        result.added += added

    def _copy(self, offer: ImportItem, caption: bytes | None) -> Path:
        stem, suffix = safe_names.split(offer.name)
        target = next(
            self.folder.photos / f"{choice}{suffix}"
            for choice in safe_names.choices(stem, offer.inner)
            if self._is_free(choice, caption)
        )
        self._write_caption([target], caption)  # before the photo: one that is there already is not taken in again
        _write(target, offer.stream)
        self._take_name(target)
        return target

    def _split(self, offer: ImportItem, image: Image.Image, boxes: sheets.Boxes, caption: bytes | None) -> list[Path]:
        stem, suffix = safe_names.split(offer.name)
        pieces = [_png(image.crop(box)) for box in boxes]
        choice = next(
            choice
            for choice in safe_names.choices(stem, offer.inner)
            if self._is_free(choice) and all(self._is_free(*piece) for piece in _numbered(choice, caption, pieces))
        )
        targets = [self.folder.photos / f"{choice}-{number}.png" for number in range(1, 5)]
        self._write_caption(targets, caption)
        for target, piece in zip(targets, pieces, strict=True):
            _write(target, io.BytesIO(piece))
            self._take_name(target)
            digest = hashlib.sha256(piece).hexdigest()
            self.known[digest] = [target]
            note_sha256(target, digest)
        _write(self.folder.sheets / f"{choice}{suffix}", offer.stream)  # last: by it the whole sheet is known
        self._take_name(self.folder.sheets / f"{choice}{suffix}")
        return targets

    def _is_free(self, stem: str, caption: bytes | None = None, piece: bytes | None = None) -> bool:
        """Whether nothing of that name is there but what an import that was killed left of the same picture."""
        mine = {".txt": caption, ".png": piece}
        return all(
            mine.get(path.suffix) is not None and path.parent == self.folder.photos and _holds(path, mine[path.suffix])
            for path in self.taken.get(safe_names.key(stem), ())
        )

    def _take_name(self, path: Path) -> None:
        self.taken.setdefault(safe_names.key(path.stem), set()).add(path)
        self.there[path.parent].add(path.name)

    def _caption(self, offer: ImportItem, result: Imported) -> bytes | None:
        """The caption's bytes if they are a caption; else a sentence says so and the photo has none."""
        try:
            if offer.caption is not None and caption_files.decode(offer.caption, f"The text beside {offer.name}"):
                return offer.caption
        except UserError as error:
            result.skipped.append(error)
        return None

    def _write_caption(self, photos: list[Path], caption: bytes | None, missing: bool = False) -> None:
        """Write the caption of these pictures; with `missing` only where the picture is there and has none."""
        for path in map(caption_files.path_of, photos if caption is not None else []):
            if not (missing and path.is_file()):
                _write(path, io.BytesIO(caption or b""))
                self._take_name(path)


def _numbered(
    stem: str, caption: bytes | None, pieces: list[bytes]
) -> Iterable[tuple[str, bytes | None, bytes | None]]:
    return [(f"{stem}-{number}", caption, piece) for number, piece in enumerate(pieces, 1)]


def _names(folder: Path) -> set[str]:
    with explained(folder, "read"):
        if not folder.is_dir():
            return set()
        with os.scandir(folder) as found:
            return {entry.name for entry in found}


def _is_file(path: Path) -> bool:
    with explained(path, "read"):
        return path.is_file()


def _holds(path: Path, content: bytes | None) -> bool:
    with explained(path, "read"):
        return path.is_file() and path.read_bytes() == content


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    with explained(Path(str(getattr(stream, "name", "the photo"))), "read"):
        stream.seek(0)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _write(target: Path, stream: IO[bytes]) -> None:
    stream.seek(0)
    with atomic_file(target) as new:
        shutil.copyfileobj(stream, new, _CHUNK)
