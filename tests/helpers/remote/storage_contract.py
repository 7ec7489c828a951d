"""What two machines that share storage must find in it; needs no package, so that it can run where s3fs is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lib_lora.remote.ray_cluster.shared_storage import Storage, opened

LARGE = bytes(range(256)) * (9 << 12)  # several pieces of a copy


def refused(does: Callable[[], object]) -> str:
    """What an `OSError` says."""
    try:
        does()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("it was done")


def nothing(done: int) -> None:
    """Looks on."""


def fetch(storage: Storage, name: str, path: Path, look: Callable[[int], None]) -> None:
    """Continue a file with what the storage has of it."""
    with path.open("ab") as target:
        storage.get(name, target, look)


def put_all(storage: Storage) -> None:
    """What the first of two writes."""
    assert storage.is_empty()
    storage.write("jobs/a-1/control.json", b"{}")
    storage.write("jobs/a-1/control.json", b'{"number": 2}')
    storage.put(io.BytesIO(LARGE), "jobs/a-1/1/blobs/large", nothing)
    storage.put(io.BytesIO(b""), "jobs/a-1/1/blobs/empty", nothing)
    storage.write("files/base", b"stays")
    with suppress(LookupError):
        storage.put(io.BytesIO(LARGE), "files/half", cut_off)
    assert not storage.is_empty()


def cut_off(done: int) -> None:
    """Looks on, and has enough."""
    if done:
        raise LookupError


def see_all(storage: Storage, folder: Path) -> None:
    """What the second of two finds."""
    assert storage.read("jobs/a-1/control.json", 100) == b'{"number": 2}'
    assert storage.read("jobs/a-1/none.json", 100) is None
    assert storage.size("jobs/a-1/none.json") is None
    assert [storage.size(f"jobs/a-1/1/blobs/{name}") for name in ("large", "empty")] == [len(LARGE), 0]
    assert storage.size("files/half") is None  # half a file is none
    assert "larger than it can be" in refused(lambda: storage.read("jobs/a-1/1/blobs/large", 100))
    seen: list[int] = []
    fetch(storage, "jobs/a-1/1/blobs/large", folder / "large", seen.append)
    assert (folder / "large").read_bytes() == LARGE
    assert seen[-1] == len(LARGE)
    (folder / "part").write_bytes(LARGE[:12345])
    fetch(storage, "jobs/a-1/1/blobs/large", folder / "part", seen.append)
    assert (folder / "part").read_bytes() == LARGE  # it goes on where it was
    assert refused(lambda: storage.get("jobs/a-1/none", io.BytesIO(), nothing)).startswith("FileNotFoundError")
    assert storage.names("jobs/a-1") == [
        f"jobs/a-1/{name}" for name in ("1/blobs/empty", "1/blobs/large", "control.json")
    ]
    assert storage.names("jobs/b-1") == []
    storage.delete("jobs/a-1/control.json")
    storage.delete("jobs/a-1/control.json")
    storage.delete_folder("jobs/a-1")
    storage.delete_folder("jobs/a-1")
    assert storage.names("jobs") == []
    assert storage.read("files/base", 10) == b"stays"


if __name__ == "__main__":
    there = opened(sys.argv[1])
    put_all(there) if len(sys.argv) < 3 else see_all(there, Path(sys.argv[2]))
