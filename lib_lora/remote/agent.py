"""Runs on the other machine as the agent, and does there what `remote.connection` asks for.

Its text is sent over the connection each time, so nothing has to be installed for it: standard library only, and Linux.
It is started in four ways:

- as the far end of a connection, which answers requests on standard input until that ends;
- ``install``: makes a Python environment with SameFace in it, detached from the connection;
- ``download``: fetches a base model from an address, detached.
- ``keep``: starts the worker of a job and stays with it, detached as well. What there is to know of the worker is in
  files of the job's folder: `BEAT` (while it runs), `WISH` (what it should do), `EXIT` (how it ended), `LOG`.

A request is a line of JSON, ``{"do": NAME, ...}``; its answer too, ``{"ok": ...}`` or ``{"error": CODE, "say": TEXT}``.
An answer with ``"bytes": N`` is followed by N bytes. Names of files are relative to the job's data folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

BEAT, WISH, EXIT, LOG = "beat.json", "wish.json", "exit.json", "log.txt"
READY, FAILED, SAID, MARKS = "ready.json", "failed.json", "install.txt", "marks.json"
USES = "uses.json"  # in a job's folder: which version of SameFace and which shared files it needs
ASKED = "asked"  # in a job's folder: changes when its state is asked for
HEARTBEAT = "heartbeat"  # on a rented pod: changes with each request, for its watchdog (`remote.runpod.pod_watchdog`)
_HASH = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9a-f]{16}")
_KEY = re.compile(r"[0-9a-z-]{1,64}")
_NAME = re.compile(r"[^/\\\0-\x1f]{1,200}")
_OTHERS = 0o077  # what is made there is nobody else's
_CHUNK = 1 << 20
_BEATS = 1.0  # seconds between two signs of life
_DIES = 5.0  # seconds in which a process that is killed ends
_STARTS = 20.0  # seconds in which a keeper writes its first one
_ENDINGS = 600  # tries to write down how a worker ended, where the disk is full
_BEGUN = 30.0  # seconds in which an installation says something first
_TRIES = 8  # to fetch a file from an address
_FRESH = 3600.0  # seconds after its last use in which something may be about to be used again
_MOST = 1 << 20  # bytes of a file that are read at once
_TAIL = 1 << 16  # bytes of a log that are read

Answer = dict[str, Any]


class RequestRefused(Exception):
    """A request that cannot be met; its code says why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Agent:
    """Answers requests, each by the method of its name.

    Args:
        folder: where everything of SameFace lies on this machine; relative to the home folder.
        text: of this module, for what is started detached.
    """

    def __init__(self, folder: str, text: str) -> None:
        self.folder = Path.home() / Path(folder).expanduser()
        self.text = text

    # -------------------------------------------------------------------------------- what this machine is

    def probe(self) -> Answer:
        """What this machine has: bytes, seconds, names."""
        _made(self.folder)
        memory, cores = None, os.cpu_count() or 1
        if sys.platform == "linux":
            cores = len(os.sched_getaffinity(0))
            with suppress(ValueError, OSError):
                memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return {
            "python": "{}.{}.{}".format(*sys.version_info),
            "system": sys.platform,
            "time": time.time(),
            "cores": cores,
            "memory": memory,
            "disk_free": shutil.disk_usage(self.folder).free,
            "gpus": _gpus(),
        }

    # ------------------------------------------------------------------------------------- files that come

    def expect(self, files: Sequence[tuple[str, int]], job: str | None) -> Answer:
        """Where files are to be put, and how much of those is there that are not there as a whole.

        Args:
            files: SHA-256 and size of each.
            job: whose private files they are; None = they are shared by all jobs, and stay.
        """
        folder = _made(self._files(job))
        missing = {}
        for sha256, size in files:
            path = folder / _checked(_HASH, sha256)
            if path.is_file() and path.stat().st_size == size:
                with suppress(OSError):
                    os.utime(path)  # it is needed now
                continue
            part = _part(path)
            missing[sha256] = part.stat().st_size if part.is_file() else 0
            if missing[sha256] > size:
                part.unlink()
                missing[sha256] = 0
        needed = sum(size for sha256, size in files if sha256 in missing) - sum(missing.values())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise RequestRefused("disk-full", f"{needed:,} bytes are needed and {free:,} are free")
        return {"folder": str(folder), "missing": missing}

    def sizes(self, files: Sequence[str], job: str | None) -> Answer:
        """How much of each file has come so far, in bytes."""
        found = {}
        for sha256 in files:
            path = self._files(job) / _checked(_HASH, sha256)
            found[sha256] = next((one.stat().st_size for one in (path, _part(path)) if one.is_file()), 0)
        return found

    def accept(self, files: Sequence[str], job: str | None) -> Answer:
        """Look whether files that were put have their hash; those that do not are deleted, and named."""
        wrong = []
        for sha256 in files:
            path = self._files(job) / _checked(_HASH, sha256)
            part = _part(path)
            if not part.is_file():
                wrong += [] if path.is_file() else [sha256]
            elif _sha256(part) == sha256:
                part.replace(path)
            else:
                part.unlink()
                wrong.append(sha256)
        return {"wrong": wrong}

    def download(self, sha256: str, size: int, address: str) -> Answer:
        """Begin to fetch a shared file from an address, unless it is here, or being fetched, or could not be.

        Returns:
            Its state, "done", "running" or "failed", why it could not be fetched, and how many bytes are here.
        """
        path = _made(self._files(None)) / _checked(_HASH, sha256)
        part, note = _part(path), _note(path)
        said = _read(note) or {}
        have = next((one.stat().st_size for one in (path, part) if one.is_file()), 0)
        if path.is_file():
            return {"state": "done", "said": "", "have": have}
        if said.get("address") == address and "failed" in said:
            note.unlink()  # so that it is tried again when it is next asked for
            return {"state": "failed", "said": str(said["failed"]), "have": have}
        begins = "pid" not in said and time.time() - said.get("time", 0.0) < _BEGUN
        if not (begins or _is_ours(said.get("pid"), path)):
            if size - have > (free := shutil.disk_usage(path.parent).free):
                raise RequestRefused("disk-full", f"{size - have:,} bytes are needed and {free:,} are free")
            _write(note, {"address": address, "time": time.time()})
            self._detached(["download", str(path), str(int(size))], self.folder / "downloads.txt")
        return {"state": "running", "said": "", "have": have}

    def end_download(self, sha256: str) -> Answer:
        """Fetch a file no longer; what has come stays."""
        path = self._files(None) / _checked(_HASH, sha256)
        _kill((_read(_note(path)) or {}).get("pid"), path)
        _note(path).unlink(missing_ok=True)
        return {}

    # ----------------------------------------------------------------------------------------------- a job

    def arrange(self, job: str, files: Mapping[str, str], shared: Mapping[str, str]) -> Answer:
        """Lay files that have come into a job's data folder, and shared ones under a name of their own.

        Args:
            job: its key.
            files: SHA-256 of the job's own files, by their name in the data folder.
            shared: SHA-256 of shared ones, by the name of the file.

        Returns:
            The data folder, and the path of each shared file.
        """
        data, paths = _made(self._data(job)), {}
        for name, sha256 in files.items():
            _copy(self._files(job) / _checked(_HASH, sha256), _inside(data, name))
        for name, sha256 in shared.items():
            path = _inside(self.folder / "named" / _checked(_HASH, sha256), _checked(_NAME, name))
            _link(self._files(None) / sha256, path)
            paths[name] = str(path)
        self._note_use(job, shared=list(shared.values()))
        _write(self._job(job) / MARKS, _marks(data))
        return {"data": str(data), "shared": paths}

    def start(self, job: str, version: str, arguments: Sequence[str]) -> Answer:
        """Start the worker of a job, detached from this connection; one that runs already is left alone.

        Args:
            job: its key.
            version: SHA-256 of the wheel.
            arguments: of ``python -m lib_lora``.
        """
        folder = self._job(job)
        if self.state(job)["running"]:
            return {"started": False}
        for name in (BEAT, EXIT, WISH):
            (folder / name).unlink(missing_ok=True)
        self._note_use(job, versions=[self._version(version).name])
        with suppress(OSError):
            os.utime(self._version(version) / READY)
        self._detached(["keep", str(folder), str(_python(self._version(version))), *arguments], folder / "keeper.txt")
        until = time.monotonic() + _STARTS
        while time.monotonic() < until and not any((folder / name).exists() for name in (BEAT, EXIT)):
            time.sleep(0.05)
        return {"started": True}

    def state(self, job: str) -> Answer:
        """What is known of a job: whether anything of it is here, its worker was started, it or its keeper runs, and
        how it ended (None = it has not, or nobody could write it down)."""
        folder = self._job(job)
        if folder.is_dir():
            with suppress(OSError):
                (folder / ASKED).touch()
        beat, end = _read(folder / BEAT), _read(folder / EXIT)
        return {
            "here": folder.is_dir(),
            "began": beat is not None or end is not None,
            "running": end is None and any(_is_ours((beat or {}).get(one), folder) for one in ("keeper", "worker")),
            "exit": None if end is None else end.get("code"),
            "time": time.time(),
        }

    def wish(self, job: str, wish: str) -> Answer:
        """Ask the worker of a job to stop or to pause."""
        _write(self._job(job) / WISH, {"wish": wish})
        return {}

    def kill(self, job: str) -> Answer:
        """End a job's keeper and its worker at once."""
        folder = self._job(job)
        beat = _read(folder / BEAT) or {}
        for name in ("keeper", "worker"):
            _kill(beat.get(name), folder)
        return {}

    def made(self, job: str) -> Answer:
        """The files of a job's data folder that were made or changed: size and time of change in ns, by name."""
        before = _read(self._job(job) / MARKS) or {}
        return {name: mark for name, mark in _marks(self._data(job)).items() if before.get(name) != mark}

    def offer(self, job: str, names: Sequence[str]) -> Answer:
        """Make files of a job ready to be fetched: a folder in which they lie under their hashes, and for each its hash
        and size. A file that is gone is left out."""
        folder, found = _made(self._outgoing(job)), {}
        for name in names:
            path = _inside(self._data(job), name)
            if path.is_file():  # a pipe would be waited for without end
                with suppress(FileNotFoundError):
                    sha256 = _sha256(path)
                    _link(path, folder / sha256)
                    found[name] = [sha256, (folder / sha256).stat().st_size]
        return {"folder": str(folder), "files": found}

    def fetched(self, job: str, files: Sequence[str]) -> Answer:
        """Let files go that were offered, by their hashes."""
        for sha256 in files:
            (self._outgoing(job) / _checked(_HASH, sha256)).unlink(missing_ok=True)
        return {}

    def read(self, job: str, name: str, offset: int) -> tuple[Answer, bytes]:
        """What stands in a file from a place on, at most 1 MiB; of the worker's log, which has no name, its end."""
        path = _inside(self._data(job), name) if name else self._job(job) / LOG
        if not path.is_file():
            return {"size": 0}, b""
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, min(offset, size)) if name else max(0, size - _TAIL))
            return {"size": size}, stream.read(_MOST)

    def erase(self, job: str) -> Answer:
        """End what runs of a job, and delete all of it that is on this machine; the paths of what is still there."""
        folder = self._job(job)
        self.kill(job)
        until = time.monotonic() + _DIES
        while self.state(job)["running"] and time.monotonic() < until:
            time.sleep(0.02)
        if folder.is_symlink():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        return {"left": [str(path) for path in (folder, *folder.rglob("*")) if os.path.lexists(path)]}

    def jobs(self) -> Answer:
        """The keys of all jobs of which something is on this machine."""
        folder = self.folder / "jobs"
        return {"jobs": sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []}

    # ------------------------------------------------------------------------- what stays for the next job

    def stored(self) -> Answer:
        """The versions of SameFace and the shared files on this machine: bytes, seconds since the last use, and whether
        a job here needs it, or may be about to."""
        versions, shared, unknown = self._needed()
        found: Answer = {"versions": [], "shared": [], "jobs": len(self.jobs()["jobs"])}
        for folder in _folders(self.folder / "versions", _VERSION):
            idle = _idle(folder / name for name in (READY, SAID, BEAT, ""))
            beat = _read(folder / BEAT) or {}
            busy = folder.name in versions or _is_ours(beat.get("keeper"), folder)
            row = {"version": folder.name, "ready": (folder / READY).is_file(), "bytes": _bytes(folder), "idle": idle}
            found["versions"].append({**row, "needed": unknown or busy or idle < _FRESH})
        made = {row["version"] for row in found["versions"]}
        for sha256 in sorted(self._shared()):
            if sha256[:16] not in made:  # a version's wheel
                paths = self._paths_of(sha256)
                names = sorted(path.name for path in _entries(self.folder / "named" / sha256))
                idle = _idle(paths)
                file = {"sha256": sha256, "names": names, "bytes": max(map(_bytes, paths)), "idle": idle}
                found["shared"].append({**file, "needed": unknown or sha256 in shared or idle < _FRESH})
        return found

    def clean(self, version: str) -> Answer:
        """Delete what `stored` names and nobody needs, apart from one version of SameFace.

        Args:
            version: SHA-256 of its wheel.

        Returns:
            The rows that `stored` had for what was deleted, and the paths of what is still there.
        """
        kept, before = _checked(_HASH, version)[:16], self.stored()
        gone = {
            "versions": [row for row in before["versions"] if not row["needed"] and row["version"] != kept],
            "shared": [row for row in before["shared"] if not row["needed"] and row["sha256"][:16] != kept],
        }
        old = [row["version"] for row in gone["versions"]]
        hashes = [row["sha256"] for row in gone["shared"]]
        hashes += [sha256 for sha256 in self._shared() if sha256[:16] in old]
        paths = [self.folder / "versions" / name for name in old]
        paths += [path for sha256 in hashes for path in self._paths_of(sha256)]
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
        return {**gone, "left": [str(path) for path in paths if os.path.lexists(path)]}

    def _shared(self) -> set[str]:
        """The hashes of the shared files, those too of which a part has come."""
        names = [path.name.removesuffix(".part") for path in _entries(self.folder / "files")]
        names += [path.name for path in _entries(self.folder / "named")]
        return {name for name in names if _HASH.fullmatch(name)}

    def _paths_of(self, sha256: str) -> list[Path]:
        path = self._files(None) / sha256
        return [one for one in (self.folder / "named" / sha256, path, _part(path)) if os.path.lexists(one)]

    def _note_use(self, job: str, versions: Sequence[str] = (), shared: Sequence[str] = ()) -> None:
        """Write down what a job needs."""
        path = self._job(job) / USES
        known = _read(path) or {}
        added = {"versions": list(versions), "shared": list(shared)}
        _write(path, {name: sorted({*known.get(name, []), *values}) for name, values in added.items()})

    def _needed(self) -> tuple[set[str], set[str], bool]:
        """The versions and shared files that jobs here need; whether one has not written it down, being older."""
        versions, shared, unknown = set[str](), set[str](), False
        for key in self.jobs()["jobs"]:
            uses = _read(self.folder / "jobs" / key / USES) or {}
            if not all(isinstance(uses.get(name), list) for name in ("versions", "shared")):
                unknown = True
                continue
            versions.update(map(str, uses["versions"]))
            shared.update(map(str, uses["shared"]))
        return versions, shared, unknown

    # ------------------------------------------------------------------------------------------ installing

    def install(self, version: str, file_name: str) -> Answer:
        """Begin to install SameFace from its wheel, which has come, unless that is done or under way.

        Args:
            version: SHA-256 of the wheel.
            file_name: of the wheel.
        """
        folder = _made(self._version(version))
        if self.installed(version)["state"] in ("ready", "running"):
            return {}
        wheel = _inside(folder, _checked(_NAME, file_name))
        _link(self._files(None) / version, wheel)
        for name in (READY, FAILED, SAID, BEAT):
            (folder / name).unlink(missing_ok=True)
        self._detached(["install", str(folder), str(wheel)], folder / SAID)
        return {}

    def installed(self, version: str) -> Answer:
        """How far an installation is, "ready", "running", "failed" or "none", and what it said last."""
        folder = self._version(version)
        if (folder / READY).is_file() and _python(folder).exists():
            return {"state": "ready", "said": ""}
        if (failed := _read(folder / FAILED)) is not None:
            return {"state": "failed", "said": failed.get("said", "")}
        if not (folder / SAID).is_file():
            return {"state": "none", "said": ""}
        beat = _read(folder / BEAT)
        begins = beat is None and time.time() - (folder / SAID).stat().st_mtime < _BEGUN
        runs = begins or (beat is not None and _is_ours(beat.get("keeper"), folder))
        return {"state": "running" if runs else "none", "said": _last_line(folder / SAID)}

    # --------------------------------------------------------------------------------------- where it lies

    def _job(self, key: str) -> Path:
        return self.folder / "jobs" / _checked(_KEY, key)

    def _data(self, key: str) -> Path:
        return self._job(key) / "data"

    def _outgoing(self, key: str) -> Path:
        return self._job(key) / "outgoing"

    def _files(self, key: str | None) -> Path:
        return (self.folder if key is None else self._job(key)) / "files"

    def _version(self, sha256: str) -> Path:
        return self.folder / "versions" / _checked(_HASH, sha256)[:16]

    def _detached(self, words: Sequence[str], output: Path) -> None:
        """Start this module as a process of its own that outlives the connection."""
        script = self.folder / f"agent-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}.py"
        if not script.is_file():
            temporary = _temporary(script)
            temporary.write_text(self.text, encoding="utf-8")
            temporary.replace(script)
        with open(output, "ab") as log:
            subprocess.Popen(
                [sys.executable, str(script), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                umask=_OTHERS,
            )


def _gpus() -> list[Answer]:
    """Name, and memory in bytes, of each NVIDIA GPU."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = (line.rpartition(",") for line in said.decode("utf-8", "replace").splitlines())
    return [
        {"name": name.strip(), "memory": int(memory) << 20} for name, _, memory in rows if memory.strip().isdecimal()
    ]


def _checked(pattern: re.Pattern[str], text: Any) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text) or text in (".", ".."):
        raise RequestRefused("name", f"{text!r} is not what belongs there")
    return text


def _inside(folder: Path, name: str) -> Path:
    """The path of a file by its name in a folder, which neither name nor links may lead out of."""
    path = folder.joinpath(*(_checked(_NAME, part) for part in name.split("/")))
    if not path.parent.resolve().is_relative_to(folder.resolve()) or path.is_symlink():
        raise RequestRefused("name", f"{name!r} leads out of the data folder")
    return path


def _made(folder: Path) -> Path:
    """A folder that is there from now on; it and those above it that had to be made are their owner's alone."""
    if not folder.is_dir():
        if folder.parent != folder:
            _made(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _note(path: Path) -> Path:
    """From where a file is fetched, by which process, and why it could not be."""
    return path.with_name(f"{path.name}.from")


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, which may not be there."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The folders in a folder whose names fit; a link does not count."""
    return [one for one in _entries(folder) if pattern.fullmatch(one.name) and one.is_dir() and not one.is_symlink()]


def _bytes(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; the targets of links do not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - of very many files
    with suppress(OSError):
        total += 0 if path.is_dir() else path.lstat().st_size
    return total


def _idle(paths: Iterable[Path]) -> float:
    """Seconds since the youngest of some files was changed."""
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(path.lstat().st_mtime)
    return time.time() - max(found, default=time.time())


def _link(source: Path, target: Path) -> None:
    """Give a file another name, in a folder that is made; where that cannot be, it is copied."""
    _made(target.parent)
    temporary = _temporary(target)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def _copy(source: Path, target: Path) -> None:
    """Put a copy of a file, which may then be written to, in a folder that is made."""
    _made(target.parent)
    shutil.copyfile(source, _temporary(target))
    _temporary(target).replace(target)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _marks(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each file in a folder, by name. One that is still being written does not count."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.suffix != ".tmp" and path.is_file() and not path.is_symlink():
                status = path.stat()
                found[path.relative_to(folder).as_posix()] = [status.st_size, status.st_mtime_ns]
    return found


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with open(_temporary(path), "w", encoding="utf-8") as stream:
        json.dump(values, stream)
        stream.flush()
        os.fsync(stream.fileno())
    _temporary(path).replace(path)


def _read(path: Path) -> Answer | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _last_line(path: Path) -> str:
    with suppress(OSError), open(path, "rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - _TAIL))
        lines = stream.read().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _is_ours(pid: Any, folder: Path) -> bool:
    """Whether a process was started by this module for a folder; its number may be another one's by now."""
    if not isinstance(pid, int):
        return False
    try:
        process = Path("/proc") / str(pid)
        marks = (process / "cmdline").read_bytes().split(b"\0") + (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(folder) in marks or os.fsencode(f"SAMEFACE_JOB={folder}") in marks


def _kill(pid: Any, folder: Path) -> None:
    """End a process that was started for a folder, and all of its group."""
    if sys.platform != "win32" and _is_ours(pid, folder):
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


# ---------------------------------------------------------------------------------- what runs detached


def keep(folder: str, python: str, *arguments: str) -> None:
    """Start a worker, stay with it until it ends, and write down how it ended."""
    job = Path(folder)
    environment = {**os.environ, "PYTHONUTF8": "1", "SAMEFACE_JOB": folder}
    environment.pop("PYTHONPATH", None)
    with open(job / LOG, "ab") as log:
        try:
            worker = subprocess.Popen(
                [python, "-m", "lib_lora", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                cwd=job,
                start_new_session=True,
            )
        except OSError as error:
            log.write(f"{python} cannot be started: {error}\n".encode("utf-8", "backslashreplace"))
            _write(job / EXIT, {"code": 127, "time": time.time()})
            return
    assert worker.stdin
    sent = None
    while True:
        with suppress(OSError):  # the disk is full: no reason to leave the worker alone
            _write(job / BEAT, {"time": time.time(), "keeper": os.getpid(), "worker": worker.pid})
        wish = (_read(job / WISH) or {}).get("wish")
        if wish and wish != sent:
            sent = wish
            with suppress(OSError):  # it has ended
                worker.stdin.write(json.dumps({"wish": wish}).encode("ascii") + b"\n")
                worker.stdin.flush()
        with suppress(subprocess.TimeoutExpired):
            code = worker.wait(timeout=_BEATS)
            break
    for _ in range(_ENDINGS):
        with suppress(OSError):
            _write(job / EXIT, {"code": code, "time": time.time()})
            return
        time.sleep(_BEATS)


def install(folder: str, wheel: str) -> None:
    """Make an environment on this Python, with what that has, and install SameFace and what it lacks into it."""
    here, environment = Path(folder), Path(folder) / "venv"
    _write(here / BEAT, {"keeper": os.getpid(), "time": time.time()})
    # what this Python has is seen from there: above all a torch that fits this machine's GPU
    seen = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    has_pip = any((Path(path) / "pip").is_dir() for path in seen)
    making = [sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if has_pip else []), str(environment)]
    filling = [str(_python(here)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    for step in (making, [*filling, "--progress-bar", "off", wheel]):
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd=here)
        said = done.stdout.decode("utf-8", "replace")
        print(said, flush=True)
        if done.returncode:
            _write(here / FAILED, {"said": said[-4000:]})
            return
        if step is making:
            for inner in environment.glob("lib/python3*/site-packages"):
                (inner / "below.pth").write_text("".join(f"{path}\n" for path in seen), encoding="utf-8")
    _write(here / READY, {"time": time.time(), "python": sys.executable})


def download(target: str, size: str) -> None:
    """Fetch a file from the address in the note beside it, and look at its hash; what has come already stays."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    path = Path(target)
    address = str((_read(_note(path)) or {}).get("address"))
    _write(_note(path), {"address": address, "pid": os.getpid(), "time": time.time()})
    why = ""
    for attempt in range(_TRIES):
        time.sleep(min(attempt, 5) * _BEATS)
        try:
            _download_rest(_part(path), int(size), address)
            if _sha256(_part(path)) == path.name:
                _part(path).replace(path)
                _note(path).unlink()
                return
            _part(path).unlink()
            why = "it is another file"
        except (OSError, ValueError, HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, HTTPError) and error.code < 500 and error.code not in (416, 429):
                break
    _write(_note(path), {"address": address, "failed": why})


def _download_rest(part: Path, size: int, address: str) -> None:
    """Fetch what is missing of a file; more than `size` bytes are not taken.

    Raises:
        OSError, ValueError, HTTPException: it did not come as a whole.
    """
    from urllib.request import Request, urlopen

    if not address.startswith(("https://", "http://")):
        raise ValueError("it is not a web address")
    have = part.stat().st_size if part.is_file() else 0
    if have == size:
        return
    asked = Request(address, headers={"User-Agent": "SameFace"})
    if have:
        asked.add_header("Range", f"bytes={have}-")
    with urlopen(asked, timeout=60) as answer:
        goes_on = have and answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with open(part, "ab" if goes_on else "wb", buffering=0) as stream:
            while chunk := answer.read1(_CHUNK):
                if stream.tell() + len(chunk) > size:
                    stream.truncate(0)
                    raise ValueError("it is larger than the file here")
                stream.write(chunk)
            if stream.tell() < size:
                raise OSError(f"it ended after {stream.tell():,} of {size:,} bytes")


def _python(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


# -------------------------------------------------------------------------------------- the connection


def serve(folder: str, text: str, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    """Answer requests until the input ends.

    Args:
        folder, text: see `Agent`.
        incoming, outgoing: the connection.
    """
    while line := incoming.readline():
        with suppress(OSError, RuntimeError, ValueError):  # there is none on a machine of the user's own
            os.utime(Agent(folder, text).folder / HEARTBEAT)
        answer, data = _answered(folder, text, line)
        outgoing.write(json.dumps(answer).encode("ascii") + b"\n" + data)
        outgoing.flush()


def _answered(folder: str, text: str, line: bytes) -> tuple[Answer, bytes]:
    """The answer to a request, and the bytes that follow it."""
    try:
        request = json.loads(line)
        name = request.pop("do")
        if name not in vars(Agent) or name.startswith("_"):
            raise RequestRefused("request", f"{name!r} is unknown here")
        asked: Callable[..., Any] = getattr(Agent(folder, text), name)
        found = asked(**request)
        values, data = found if isinstance(found, tuple) else (found, b"")
        return {"ok": values, "bytes": len(data)}, data
    except RequestRefused as error:
        return {"error": error.code, "say": str(error)}, b""
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return {"error": "disk-full" if full else "file", "say": str(error)}, b""
    except Exception as error:  # the caller is told, and the connection goes on
        return {"error": "failed", "say": f"{type(error).__name__}: {error}"}, b""


if __name__ == "__main__":
    _detached: dict[str, Callable[..., None]] = {"keep": keep, "install": install, "download": download}
    _detached[sys.argv[1]](*sys.argv[2:])
