"""Reads and writes storage that this computer and a cluster's nodes share: a folder (such as a mount) or an fsspec URL.

It is sent to the nodes, so it needs the standard library alone, and fsspec with its driver only where the storage is a
URL. A file in it is whole or absent, and every name is plain: ``jobs/a1-7/1/report.json``. All errors are `OSError`.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

MARK = "sameface-storage.json"  # a file that says that the storage is there, and not an empty mount point
ORDER, CONTROL, REPORT = "order.json", "control.json", "report.json"  # of a job (`ray_node`)
VARIABLE = "SAMEFACE_RAY"  # of a node's environment: what there is to do, as JSON
MOST = 16 << 20  # bytes of a file of JSON in the storage
LONGEST_PIECE = 1 << 20  # bytes of a piece of a file that grows
_URL = re.compile(r"[a-z][a-z0-9+.-]+://.+")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_CHUNK = 4 << 20
_LEFT = 3600.0  # seconds after which half a file that nobody has written to was left by a program that was ended
_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"}  # protocols by which half a file never appears

OnProgress = Callable[[int], None]  # is told how many bytes have gone; what it raises ends the copying


class Source(Protocol):
    """What is read from its beginning to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, `size` at most; none = that was all."""
        ...


class Target(Protocol):
    """What is written to at its end."""

    def tell(self) -> int:
        """How many bytes it has."""
        ...

    def write(self, content: bytes, /) -> object:
        """Append bytes."""
        ...


class Storage(Protocol):
    """What both sides read and write. Names are relative, with slashes.

    Every method raises `OSError` where the storage cannot be reached, is full, or refuses.
    """

    def read(self, name: str, most: int) -> bytes | None:
        """A file of at most `most` bytes; None = it is not there."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, over what was there."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None = it is not there."""
        ...

    def age(self, name: str) -> float | None:
        """Seconds since a file was written; None = it is not there, or the storage does not tell."""
        ...

    def put(self, source: Source, name: str, progress: OnProgress) -> None:
        """Copy what is read from `source` there; nothing is there of it until the end."""
        ...

    def get(self, name: str, target: Target, progress: OnProgress) -> None:
        """Copy what `target` does not have yet of a file."""
        ...

    def is_empty(self) -> bool:
        """Whether it holds nothing at all."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of all files below a folder."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is deleted."""
        ...

    def delete_folder(self, name: str) -> None:
        """Delete all files below a folder."""
        ...


def is_url(where: str) -> bool:
    """Whether a text names storage that fsspec reaches, and not a folder."""
    return _URL.fullmatch(where) is not None


def opened(where: str) -> Storage:
    """The storage that a folder's path or a URL names.

    Raises:
        OSError: it is a URL, and fsspec or the driver for it is not installed.
    """
    if where.startswith("file://"):
        return FolderStorage(Path(unquote(urlsplit(where).path)))
    return UrlStorage(where) if is_url(where) else FolderStorage(Path(where).expanduser())


def checked(name: str) -> str:
    """A name that leads nowhere else.

    Raises:
        OSError: it is not one.
    """
    if not name or any(not _PART.fullmatch(part) for part in name.split("/")):
        raise OSError(errno.EINVAL, f"{name[:200]!r} is not a name in the storage")
    return name


class FolderStorage:
    """See `Storage`: a folder of this machine, which may be another one's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"FolderStorage({str(self.folder)!r})"

    def _path(self, name: str) -> Path:
        return self.folder / checked(name)

    def read(self, name: str, most: int) -> bytes | None:
        """See `Storage`."""
        try:
            with open(self._path(name), "rb") as stream:
                return _limited(stream.read(most + 1), most, name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with _beside(self._path(name)) as temporary, open(temporary, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def size(self, name: str) -> int | None:
        """See `Storage`."""
        try:
            return self._path(name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def age(self, name: str) -> float | None:
        """See `Storage`."""
        try:
            return time.time() - self._path(name).stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, source: Source, name: str, progress: OnProgress) -> None:
        """See `Storage`."""
        path = self._path(name)
        self._delete_left(path)
        with _beside(path) as temporary, open(temporary, "wb") as target:
            _copy(source, target, 0, progress)
            target.flush()
            os.fsync(target.fileno())

    @staticmethod
    def _delete_left(path: Path) -> None:
        """Delete what programs that were ended have left of a file."""
        with suppress(FileNotFoundError):
            for other in path.parent.iterdir():
                if _is_half(other.name, path.name):
                    with suppress(OSError):
                        if time.time() - other.stat().st_mtime > _LEFT:
                            other.unlink()

    def get(self, name: str, target: Target, progress: OnProgress) -> None:
        """See `Storage`."""
        with open(self._path(name), "rb") as source:
            here = target.tell()
            source.seek(here)
            _copy(source, target, here, progress)

    def is_empty(self) -> bool:
        """See `Storage`."""
        try:
            with os.scandir(self.folder) as found:
                return next(found, None) is None
        except FileNotFoundError:
            return True

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        found = []
        for path, _, files in os.walk(self._path(folder)):
            before = Path(path).relative_to(self.folder).as_posix()
            found += [f"{before}/{file}" for file in files]
        return sorted(found)

    def delete(self, name: str) -> None:
        """See `Storage`."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._path(name).unlink()

    def delete_folder(self, name: str) -> None:
        """See `Storage`."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._path(name))


class UrlStorage:
    """See `Storage`: what fsspec reaches, such as ``s3://bucket/folder``.

    In a store of objects a file appears when it is complete; elsewhere it is written beside its place, and moved there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import fsspec

            # a listing that is remembered hides what the other side has written
            found = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except ImportError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        self._system: Any = found[0]
        self._root = str(found[1]).rstrip("/")
        protocols = self._system.protocol
        self._whole = not _OBJECTS.isdisjoint([protocols] if isinstance(protocols, str) else protocols)

    def __repr__(self) -> str:
        return f"UrlStorage({self.url!r})"

    def _path(self, name: str) -> str:
        return f"{self._root}/{checked(name)}"

    def read(self, name: str, most: int) -> bytes | None:
        """See `Storage`."""
        path = self._path(name)
        with _asked():
            try:
                return _limited(self._system.cat_file(path, start=0, end=most + 1), most, name)
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        path = self._path(name)
        with _asked():
            if self._whole:
                self._system.pipe_file(path, content)
            else:
                with self._beside(path) as temporary:
                    self._system.pipe_file(temporary, content)

    @contextmanager
    def _beside(self, path: str) -> Iterator[str]:
        temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
        try:
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            yield temporary
            self._system.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                self._system.rm_file(temporary)
            raise

    def size(self, name: str) -> int | None:
        """See `Storage`."""
        path = self._path(name)
        with _asked():
            try:
                return int(self._system.info(path)["size"])
            except FileNotFoundError:
                return None

    def age(self, name: str) -> float | None:
        """See `Storage`."""
        path = self._path(name)
        with _asked():
            try:
                return time.time() - float(self._system.modified(path).timestamp())
            except (FileNotFoundError, NotImplementedError):
                return None

    def put(self, source: Source, name: str, progress: OnProgress) -> None:
        """See `Storage`."""
        path, foreign = self._path(name), _Foreign(source)

        def progressed(done: int) -> None:
            with _not_of_driver():
                progress(done)

        with _asked():
            if self._whole:
                self._put_object(foreign, path, progressed)
                return
            self._delete_left(path)
            with self._beside(path) as temporary, self._system.open(temporary, "wb") as target:
                _copy(foreign, target, 0, progressed)

    def _put_object(self, source: Source, path: str, progress: OnProgress) -> None:
        with self._system.open(path, "wb", block_size=4 * _CHUNK) as target:
            try:
                _copy(source, target, 0, progress)
            except BaseException:
                with suppress(Exception):
                    target.discard()
                target.closed = True  # else its end would make half a file of it
                raise

    def _delete_left(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        with suppress(Exception):  # not every driver tells times
            for other in map(str, self._system.ls(folder, detail=False)):
                half = _is_half(other.rpartition("/")[2], name)
                if half and time.time() - self._system.modified(other).timestamp() > _LEFT:
                    self._system.rm_file(other)

    def is_empty(self) -> bool:
        """See `Storage`."""
        with _asked():
            try:
                found = self._system.ls(self._root, detail=False)
            except FileNotFoundError:
                return True
        return all(str(one).rstrip("/") == self._root for one in found)

    def get(self, name: str, target: Target, progress: OnProgress) -> None:
        """See `Storage`."""
        there, foreign = self._path(name), _ForeignTarget(target)

        def progressed(done: int) -> None:
            with _not_of_driver():
                progress(done)

        with _asked():
            here = foreign.tell()
            with self._system.open(there, "rb", block_size=4 * _CHUNK, cache_type="readahead") as source:
                source.seek(here)
                _copy(source, foreign, here, progressed)

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        below = self._path(folder)
        with _asked():
            try:
                found = self._system.find(below)
            except FileNotFoundError:
                return []
        before = f"{self._root}/"
        return sorted(str(one)[len(before) :] for one in found if str(one).startswith(before))

    def delete(self, name: str) -> None:
        """See `Storage`."""
        path = self._path(name)
        with _asked(), suppress(FileNotFoundError):
            self._system.rm_file(path)

    def delete_folder(self, name: str) -> None:
        """See `Storage`."""
        for one in self.names(name):
            self.delete(one)


def _limited(content: bytes, most: int, name: str) -> bytes:
    if len(content) > most:
        raise OSError(errno.EFBIG, f"{name} is larger than it can be")
    return content


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place at the end of the block; it is deleted where the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        _replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _replace(source: Path, target: Path) -> None:
    """As `lib_lora.files.replace`, which is not sent to the nodes: on Windows a reader may hold the file."""
    for attempt in range(20):
        try:
            source.replace(target)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == 19:
                raise
            time.sleep(0.1)


def _is_half(name: str, whole: str) -> bool:
    """Whether a name is that of a file that was to become `whole`."""
    return re.fullmatch(rf"{re.escape(whole)}\.[0-9a-f]{{12}}\.tmp", name) is not None


class _NotOfDriver(Exception):
    """Carries an error of who reads, or looks on, out through a driver."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _not_of_driver() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _NotOfDriver(error) from error


class _Foreign:
    """A source whose errors are not the driver's."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        with _not_of_driver():
            return self._source.read(size)


class _ForeignTarget:
    """A target whose errors are not the driver's."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def tell(self) -> int:
        with _not_of_driver():
            return self._target.tell()

    def write(self, content: bytes, /) -> None:
        with _not_of_driver():
            self._target.write(content)


@contextmanager
def _asked() -> Iterator[None]:
    """Make an `OSError` of what a driver raises: each has errors of its own kind."""
    try:
        yield
    except OSError:
        raise
    except _NotOfDriver as error:
        raise error.error from None
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


def _copy(source: Source, target: Target, done: int, progress: OnProgress) -> None:
    progress(done)
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        done += len(chunk)
        progress(done)
