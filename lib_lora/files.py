"""Writes files that are whole or absent, hashes their content, and makes names that are safe on every system.

Knows nothing about what is in a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any

from lib_lora import file_permissions
from lib_lora.errors import UserError

SHA256_HEX = re.compile(r"[0-9a-f]{64}")  # as `sha256` gives it
PICTURE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}\.(png|jpg|jpeg|webp)", re.ASCII)
_CHUNK = 1 << 20
_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³")]
)
_FURTHER_DEVICES = frozenset(["com0", "lpt0", "conin$", "conout$"])  # which only some versions of Windows take
_LONGEST_WINDOWS_PATH = 259  # characters of a file's, where long paths are not turned on
_NO_SUCH_PATH, _NAME_TOO_LONG = 3, 206  # error numbers of Windows


@contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an ``OSError`` about `path` into one sentence.

    Raises:
        UserError: instead of ``OSError``; full disk, missing permission and everything else are told apart.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            code, why = "disk-full", "the disk is full; free some space and run the same command again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            code, why = "permission-denied", "permission is denied; choose another folder or change its permissions"
        elif sys.platform == "win32" and _is_too_long(error, path):
            code, why = "path-too-long", "the path is longer than Windows allows; move the data folder to a shorter one"
        elif error.errno == errno.ENOENT:
            code, why = "file-missing", "it is not there"
        else:
            code, why = "file-inaccessible", error.strerror or str(error)
        raise UserError(f"Cannot {doing} {path}: {why}.", code=code, file=path, reason=why) from error


def _is_too_long(error: OSError, path: Path) -> bool:
    """Whether Windows refuses a path for its length; for a long file's it says that there is no such folder."""
    number = getattr(error, "winerror", None)
    longest = max(len(os.path.abspath(one)) for one in (path, error.filename or path))  # noqa: PTH100 - links stay
    return number == _NAME_TOO_LONG or (number == _NO_SUCH_PATH and longest > _LONGEST_WINDOWS_PATH)


def opened(path: Path) -> IO[bytes]:
    """Open a regular file for reading its bytes: a named pipe would be waited for without end, a device read so.

    Args:
        path: of the file; links are followed.

    Raises:
        OSError: as `open`, and for what is no file; `explained` makes a sentence of it.
    """
    return open(path, "rb", opener=_open_file)


def opened_raw(path: Path) -> FileIO:
    """Like `opened`, without a buffer."""
    return open(path, "rb", buffering=0, opener=_open_file)


def content(path: Path) -> bytes:
    """All bytes of a regular file; see `opened`."""
    with opened(path) as stream:
        return stream.read()


def _open_file(path: str, flags: int) -> int:
    _refuse_special(Path(path).stat().st_mode)  # before it is opened: that alone makes some devices do things
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _refuse_special(os.fstat(handle).st_mode)  # another one may lie there by now
    except OSError:
        os.close(handle)
        raise
    return handle


def _refuse_special(mode: int) -> None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # for a folder the system has its own word
        return
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    what = next((word for is_it, word in kinds if is_it(mode)), "a device")
    raise OSError(errno.EINVAL, f"it is {what}, not a file; name a file in its place")


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`, and put it in place of `path` once the block has ended well.

    A reader sees the old file or the new one, never a half-written one. On any error the
    temporary file is removed and the old file is untouched.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    thread = "" if threading.current_thread() is threading.main_thread() else f".{threading.get_ident():x}"
    temporary = path.with_name(f"{path.name[:100]}{thread}.{os.getpid()}.tmp")  # threads may write one file at once
    try:
        with explained(path):
            file_permissions.make_folder(path.parent)
            text = "b" not in mode
            words = {"encoding": "utf-8", "newline": "\n"} if text else {}
            with open(temporary, mode, opener=file_permissions.opener, **words) as stream:  # type: ignore[call-overload]
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            replace(temporary, path)
    finally:
        with suppress(OSError):  # an unlink that fails must not hide the error above
            temporary.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """``os.replace``, tried again for two seconds on Windows, where a virus scanner or a reader may hold the file.

    Raises:
        OSError: it cannot be done.
    """
    for attempt in range(20):
        try:
            source.replace(target)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == 19:
                raise
            time.sleep(0.1)


def put_in_place(source: Path, target: Path) -> bool:
    """Give a file a name in the same folder that nothing has yet; False = something has it, and stays as it is.

    Raises:
        OSError: it cannot be done.
    """
    try:
        if sys.platform == "win32":  # where a rename never replaces anything
            _renamed(source, target)
        else:
            _linked(source, target)
    except FileExistsError:
        return False
    return True


def _renamed(source: Path, target: Path) -> None:
    for attempt in range(20):
        try:
            source.rename(target)
            return
        except PermissionError:  # as in `replace`
            if attempt == 19:
                raise
            time.sleep(0.1)


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the name is taken by an empty file first
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        if target.stat().st_size:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        replace(source, target)
    else:
        source.unlink()


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines to a log and make sure that they are on the disk; a last line that was cut off ends first.

    Raises:
        OSError: it cannot be done.
    """
    with open(path, "ab", opener=file_permissions.opener) as stream:
        if stream.tell() and not _ends_with_newline(path):
            lines = b"\n" + lines
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def make_numbered_folder(parent: Path) -> Path:
    """Make the next folder of ``001``, ``002`` ... in `parent`; two that are made at once get two numbers.

    Raises:
        OSError: it cannot be done.
    """
    number = max((int(path.name) for path in parent.iterdir() if re.fullmatch("[0-9]+", path.name)), default=0)
    while True:
        number += 1
        folder = parent / f"{number:03d}"
        with suppress(FileExistsError):
            folder.mkdir(file_permissions.rights(folder))
            return folder


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, atomically."""
    with atomic_file(path, "w") as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. Not-a-number values are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is no text; JSON's escapes hold it
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_text(path, text)


def printable(text: str) -> str:
    """`text` on one line, without what turns or colours a terminal, and in letters that UTF-8 has; for file names."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") else one for one in text)


def read_json(path: Path) -> Any:
    """Read a JSON file that this program wrote.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    with explained(path, "read"):
        try:
            return json.loads(content(path).decode("utf-8"))
        except (ValueError, RecursionError) as error:  # the latter by brackets in thousands of brackets
            raise UserError(f"{path} is not valid JSON ({error}).", code="json-invalid", file=path) from error


def sha256(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file's bytes, lower-case hex. `progress` is called with the bytes read since the last call."""
    digest = hashlib.sha256()
    with explained(path, "read"), opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


def names(folder: Path) -> list[str]:
    """What lies in a folder; nothing where there is none."""
    try:
        with os.scandir(folder) as found:
            return sorted(entry.name for entry in found)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"Cannot read {folder}: {error.strerror}.", code="folder-unreadable", folder=folder) from error


_Mark = tuple[int, int, int, int]  # of a file: size, inode, times of change of its bytes and of the file itself
_known: dict[str, tuple[_Mark, str]] = {}
_KNOWN = 10_000  # files of which the digest is kept
# seconds after a change in which another one might bear the same time: of a file system with times in nanoseconds, and
# of one, such as FAT, whose times are whole hundredths of a second or coarser
_FINE, _COARSE = 0.05, 2.0
_HUNDREDTH = 10_000_000  # nanoseconds


def sha256_once(path: Path) -> str:
    """As `sha256`; a file that this process has read already, and that has not changed since, is not read again."""
    with explained(path, "read"):
        before = _mark(path)
    found = _known.get(str(path.absolute()))
    if found and found[0] == before:
        return found[1]
    digest = sha256(path)
    if time.time_ns() - max(before[2:]) > (_COARSE if _is_coarse(before) else _FINE) * 1e9:
        _keep(path, before, digest)
    return digest


def note_sha256(path: Path, digest: str) -> None:
    """Say which digest a file has that was just written, so that `sha256_once` need not read it.

    Nothing is kept where the file system's times are too coarse to tell a change right after this one.
    """
    with suppress(OSError):
        mark = _mark(path)
        if not _is_coarse(mark):
            _keep(path, mark, digest)


def _is_coarse(mark: _Mark) -> bool:
    return any(one % _HUNDREDTH == 0 for one in mark[2:])


def _keep(path: Path, mark: _Mark, digest: str) -> None:
    if len(_known) >= _KNOWN:
        _known.clear()
    _known[str(path.absolute())] = (mark, digest)


def _mark(path: Path) -> _Mark:
    status = path.stat()
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def digest_of(*parts: object) -> str:
    """A short, stable key (32 hex digits) of values that print the same on every machine."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode("utf-8")).hexdigest()[:32]


def size(count: float, thousand: int = 1024) -> str:
    """A number of bytes for people: in MB where GB would round to nothing.

    >>> size(3 << 30), size(850 << 20), size(3_200_000_000, 1000), size(20)
    ('3.0 GB', '850 MB', '3.2 GB', '1 MB')

    Args:
        count: bytes.
        thousand: 1024 for memory, 1000 for disks that are sold so.
    """
    megabytes = count / thousand**2
    if round(megabytes) < thousand:
        return f"{max(round(megabytes), 1 if count > 0 else 0)} MB"
    return f"{megabytes / thousand:.1f} GB"


def is_device(name: str, anywhere: bool = False) -> bool:
    """Whether Windows takes a file's name, with whatever suffix, for one of its devices.

    Args:
        name: of the file.
        anywhere: ask for all versions of Windows; for names that are made up here, and that can as well be others.
    """
    stem = name.split(".", 1)[0].rstrip().casefold()
    return stem in _WINDOWS_DEVICES or (anywhere and stem in _FURTHER_DEVICES)


def slug(name: str) -> str:
    """A folder name for `name`: lower case, letters, digits and dashes of any script, at most 60 characters.

    >>> slug("Mara Müller"), slug("../etc"), slug("名前")
    ('mara-müller', 'etc', '名前')

    Raises:
        UserError: nothing usable is left.
    """
    text = unicodedata.normalize("NFC", name).casefold()
    text = re.sub(r"[^\w]+", "-", text).strip("-_")[:60].strip("-_")
    if not text or text in _WINDOWS_DEVICES:
        raise UserError(
            f"{name!r} cannot be used as a name; give one with letters or digits, such as 'mara'.",
            code="name-unusable",
            name=name,
        )
    return text
