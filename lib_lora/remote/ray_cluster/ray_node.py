"""Runs on a node of a Ray cluster as a Ray job's entrypoint, and passes files between the shared storage and the agent.

It is sent with the agent and `shared_storage`, so it needs the standard library alone, and Linux. It brings what the
job needs from the storage, has the agent install SameFace and start the worker, and puts what the worker makes into the
storage as it comes. In the storage lie, below ``jobs/KEY``:

- of the other side: `ORDER` (what the job is), `CONTROL` (which attempt at it counts, what is wanted), ``files/HASH``
- of an attempt, below its number: ``blobs/HASH`` (what was made), ``logs/ID-FROM-TO`` (pieces of files that grow), and
  `REPORT`, which names the pieces and says how the attempt is. It is written last, so nobody sees half of anything.

An attempt writes below its own number only, and ends its worker as soon as another number counts: so two nodes never
write one file, even where Ray takes a node for dead that is not.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lib_lora.remote import agent as agent_module
from lib_lora.remote.agent import BEAT, EXIT, LOG, Agent
from lib_lora.remote.ray_cluster import shared_storage
from lib_lora.remote.ray_cluster.shared_storage import CONTROL, LONGEST_PIECE, MOST, ORDER, REPORT, VARIABLE, Storage

# what of a worker's data folder goes to the storage
_KEPT = re.compile(
    r"jobs/[^/]+/(events\.jsonl|result\.json)|characters/[^/]+/runs/[^/]+/(run\.yaml|events\.jsonl)"
    r"|characters/[^/]+/runs/[^/]+/(checkpoints|state|samples)/[^/]+|(pictures|done)/[^/]+"
)
_RESTORED = re.compile(r"jobs/[^/]+/events\.jsonl|characters/.*|(pictures|done)/.*")  # a result is the attempt's own
_GROWS = ".jsonl"
_PIECE = 256 << 10  # bytes from which on a growing file gets a new piece
_BEATS = 3.0  # seconds after which a report is written even where nothing is new
_SLOW = 5.0  # seconds between two checks where each costs a request
_GARBAGE = 20.0  # seconds for which what a report no longer names can still be read
_TRIES = 12  # to read what an earlier attempt has left, while that may still change it
_PATIENCE = 3600.0  # seconds in which what is finished may still be put into the storage
_DONE, _FAILED, _NOT_MINE = 0, 1, 3  # exit statuses of this program

Values = dict[str, Any]


class NotMine(Exception):
    """Another attempt counts by now, or none does."""


class Failed(Exception):
    """The attempt cannot go on here; the text is for the user.

    Attributes:
        code: why, for programs.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NodeJob:
    """An attempt at a job.

    Args:
        storage: that is shared.
        job: its key.
        attempt: the number of this one, from 1.
        folder: where everything of SameFace lies on nodes; relative to the home folder.
        pause: seconds between two checks.
    """

    def __init__(self, storage: Storage, job: str, attempt: int, folder: str, pause: float) -> None:
        self.storage, self.attempt = storage, attempt
        self._pause = pause
        text = Path(agent_module.__file__).read_text(encoding="utf-8")
        self.agent = Agent(node_folder(folder), text)
        self.key = f"{job}-a{attempt}"  # by which the agent here knows it
        self._there = f"jobs/{job}"
        self._report: Values = {"beat": 0, "node": _host(), "said": "", "saved": 0, "files": {}, "logs": {}}
        self._written, self._at = b"", 0.0
        self._laid: dict[str, str] = {}
        self._last_wanted: Values = {}  # what was wanted at the last look
        self._garbage: dict[str, float] = {}
        self._restored = False

    @property
    def _folder(self) -> Path:
        return self.agent.folder / "jobs" / self.key

    # ---------------------------------------------------------------------------------------------------- the whole way

    def run(self) -> int:
        """Do it; the exit status of this program."""
        with self._locked(self.agent.folder / "locks" / f"{self.key}.lock"):
            try:
                self._see_mine()
                sweep_later(self.agent.folder, self.key)
                self._begin()
                return self._finish(self._stay())
            except NotMine:
                return _NOT_MINE
            except (Failed, OSError, agent_module.RequestRefused) as error:
                said = f"{error}" if isinstance(error, Failed) else f"On the node {_host()}: {error}"
                print(said, flush=True)
                self._report["failed"] = said[:1000]
                with suppress(OSError, NotMine):
                    self._see_mine()
                    self._write_report()
                return _FAILED
            finally:
                self.agent.erase(self.key)

    def _begin(self) -> None:
        """Bring all that the worker needs, and start it."""
        order = self._order()
        shared = list(order["shared"].values())
        agent_module._made(self._folder)
        self.agent._note_use(self.key, [order["version"][:16]], shared)  # so that nobody deletes it from now on
        wanted = {*shared, order["version"]}
        for sha256 in sorted(wanted):
            self._bring(f"files/{sha256}", sha256, None)
        self._install(order["version"])
        laid = self.agent.arrange(self.key, {}, order["shared"])
        for name, path in laid["shared"].items():
            base = self._folder / "base" / name
            agent_module._link(Path(path), base)
        self._lay(order)
        self._restore()
        self._see_mine()
        self._say("")
        self.agent.start(self.key, order["version"], order["arguments"])

    def _stay(self) -> int:
        """Until the worker has ended; its exit status."""
        trouble = 0.0
        while True:
            ended = self._ended()
            try:
                wanted = self._see_mine()
                if ended is not None:
                    return ended
                self._pass_on(wanted)
                self._put()
                trouble = 0.0
            except OSError as error:  # the storage is away, or full: no reason to end a worker
                trouble = trouble or time.monotonic()
                print(f"The storage cannot be used from the node {_host()}: {error}", flush=True)
                if ended is not None and time.monotonic() - trouble > _PATIENCE:
                    raise
            time.sleep(self._pause)

    def _finish(self, code: int) -> int:
        """Put the rest, delete what is here, and say how it ended."""
        began = time.monotonic()
        while True:
            try:
                self._see_mine()
                self._put(last=True)
                break
            except OSError as error:
                print(f"The storage cannot be used from the node {_host()}: {error}", flush=True)
                if time.monotonic() - began > _PATIENCE:
                    raise
                time.sleep(self._pause)
        self._report["left"] = self.agent.erase(self.key)["left"][:100]
        self._report["exit"] = code
        while True:
            try:
                self._see_mine()
                self._write_report()
                return _DONE
            except OSError:
                if time.monotonic() - began > _PATIENCE:
                    raise
                time.sleep(self._pause)

    def _ended(self) -> int | None:
        """The worker's exit status; None while it runs."""
        end = _json(self._folder / EXIT)
        if end is not None:
            return int(end.get("code", -9))
        beat = _json(self._folder / BEAT) or {}
        if any(agent_module._is_ours(beat.get(name), self._folder) for name in ("keeper", "worker")):
            return None
        end = _json(self._folder / EXIT)
        return int(end.get("code", -9)) if end is not None else -9

    # --------------------------------------------------------------------------------------------- what the others want

    def _see_mine(self) -> Values:
        """What is wanted of this attempt.

        Raises:
            NotMine: another one counts.
        """
        found = self._read(CONTROL)
        if found is None:
            see_mounted(self.storage)
        if found is None or found.get("number") != self.attempt or found.get("ended") is not None:
            raise NotMine
        return found

    def _order(self) -> Values:
        found = self._read(ORDER)
        if found is None:
            raise NotMine
        return found

    def _pass_on(self, wanted: Values) -> None:
        """What the user wants of the worker, and files that came after it was started."""
        before, self._last_wanted = self._last_wanted, wanted
        if wanted.get("wish") and wanted.get("wish") != before.get("wish"):
            self.agent.wish(self.key, str(wanted["wish"]))
        if wanted.get("asked") != before.get("asked"):
            with suppress(OSError):
                (self._folder / agent_module.ASKED).touch()
        if wanted.get("orders") != before.get("orders"):
            self._last_wanted = {**wanted, "orders": None}  # until they are laid
            self._lay(self._order())
            self._last_wanted = wanted

    def _lay(self, order: Values) -> None:
        """Lay the job's own files that are new into its data folder, in their order."""
        new = {name: sha256 for name, sha256 in order["files"].items() if self._laid.get(name) != sha256}
        if not new:
            return
        for sha256 in dict.fromkeys(new.values()):
            self._bring(f"{self._there}/files/{sha256}", sha256, self.key)
        before = agent_module._read(self._folder / agent_module.MARKS)
        self.agent.arrange(self.key, new, {})
        if before is not None:  # what was made before stays what was made
            after = agent_module._read(self._folder / agent_module.MARKS) or {}
            kept = {name: mark for name, mark in after.items() if name in new or before.get(name) == mark}
            agent_module._write(self._folder / agent_module.MARKS, kept)
        self._laid |= new

    # -------------------------------------------------------------------------------------------------- what comes here

    def _bring(self, there: str, sha256: str, job: str | None) -> None:
        """See that a file of the storage is on this node, whole."""
        path = self.agent._files(job) / agent_module._checked(agent_module._HASH, sha256)
        if path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        size = self.storage.size(there)
        if size is None:
            raise Failed(
                "sent-file-missing",
                f"The shared storage as the node {_host()} sees it lacks {there}; check that both are the same.",
            )
        with self._locked(self.agent.folder / "locks" / f"file-{sha256}.lock"):  # another job may be bringing it
            if not path.is_file():
                part = path.with_name(f"{path.name}.part")
                if part.is_file() and part.stat().st_size > size:
                    part.unlink()
                here = part.stat().st_size if part.is_file() else 0
                free = shutil.disk_usage(path.parent).free
                if size - here > free:
                    said = f"The disk of the node {_host()} has {free:,} bytes free, and {size:,} are needed."
                    raise Failed("disk-full", said)
                text = f"Bringing files to the node {_host()}"
                for whole in (False, True):  # a part may have been damaged here, by a power cut say
                    if whole:
                        part.unlink()
                    with open(part, "ab") as target:
                        self.storage.get(
                            there, target, lambda done: self._say(f"{text}: {done >> 20} of {size >> 20} MB")
                        )
                    if _sha256(part) == sha256:
                        break
                else:
                    part.unlink()
                    self.storage.delete(there)  # so it is sent again
                    said = f"{there} in the shared storage is not the file that was sent; resume the job."
                    raise Failed("sent-file-damaged", said)
                part.replace(path)

    def _install(self, version: str) -> None:
        with self._locked(self.agent.folder / "locks" / f"install-{version[:16]}.lock"):
            if self.agent.installed(version)["state"] == "ready":
                return
            with zipfile.ZipFile(self.agent._files(None) / version) as wheel:  # pip looks whether its name is right
                about = next(name for name in wheel.namelist() if name.endswith(".dist-info/WHEEL"))
            self.agent.install(version, f"{about.partition('.dist-info')[0]}-py3-none-any.whl")
            while True:
                found = self.agent.installed(version)
                if found["state"] == "ready":
                    return
                if found["state"] != "running":
                    said = " ".join(str(found["said"]).split())[-600:]
                    raise Failed(
                        "installation-failed",
                        f"SameFace could not be installed on the node {_host()}: {said or 'nothing was said'}",
                    )
                self._say(f"Installing SameFace on the node {_host()}: once for each version. {found['said'][:200]}")
                time.sleep(0.2)

    def _restore(self) -> None:
        """Go on from what the last attempt that came to anything has left in the storage."""
        for number in range(self.attempt - 1, 0, -1):
            for _ in range(_TRIES):  # it may be at work still, and delete what is outdated
                content = self.storage.read(f"{self._there}/{number}/{REPORT}", MOST)
                found = _parsed(content or b"")
                if not isinstance(found, dict) or not found.get("started"):
                    break
                try:
                    self._take(number, found)
                except FileNotFoundError:
                    time.sleep(0.5)
                    continue
                return

    def _check(self, done: int) -> None:
        self._beat()

    def _take(self, number: int, report: Values) -> None:
        """Lay what an earlier attempt has made into the data folder, with its times: what is home stays known there."""
        data, there = self._folder / "data", f"{self._there}/{number}"
        come = self._folder / "restored"
        for name, (_size, changed, sha256) in report["files"].items():
            if not _RESTORED.fullmatch(name):
                continue
            target = agent_module._inside(data, name)
            come.unlink(missing_ok=True)
            with open(come, "ab") as stream:
                self.storage.get(f"{there}/blobs/{sha256}", stream, self._check)
            if _sha256(come) != sha256:
                said = f"{name} of an earlier attempt is damaged in the shared storage; resume the job."
                raise Failed("earlier-file-damaged", said)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            come.replace(target)
            os.utime(target, ns=(changed, changed))
        for name, (identifier, pieces) in report["logs"].items():
            if not _RESTORED.fullmatch(name):
                continue
            content = b""
            for start, end in pieces:
                piece = self.storage.read(f"{there}/logs/{identifier}-{start}-{end}", LONGEST_PIECE)
                if piece is None:
                    raise FileNotFoundError(name)
                content += piece
            target = agent_module._inside(data, name)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.write_bytes(content[: content.rfind(b"\n") + 1])

    # -------------------------------------------------------------------------------------------------- what goes there

    def _put(self, last: bool = False) -> None:
        """Put what is new into the storage, and then the report that names it."""
        marks = {name: mark for name, mark in self.agent.made(self.key).items() if _KEPT.fullmatch(name)}
        files, logs = self._report["files"], self._report["logs"]
        now, new = {}, 0
        for name, mark in sorted(marks.items(), key=lambda item: item[1][1]):
            if name.endswith(_GROWS):
                continue
            known = files.get(name)
            if known and known[:2] == mark:
                now[name] = known
            elif (put := self._put_file(name)) is not None:
                now[name], new = put, new + 1
        texts = {name: self._folder / "data" / name for name in marks if name.endswith(_GROWS)}
        texts[""] = self._folder / LOG
        grown = {name: self._put_pieces(name, path, logs.get(name)) for name, path in texts.items()}
        before = self._named()
        self._report["files"] = now
        self._report["logs"] = {**logs, **{name: found for name, found in grown.items() if found}}
        # what an attempt has made of its own: without any, the next one is counted
        self._report["saved"] += new if self._restored else 0
        self._restored = True
        self._report["started"] = True  # from now on this report names all that there is
        self._write_report()
        if not last:
            self._clear(before - self._named())

    def _put_file(self, name: str) -> list[Any] | None:
        """Size, time of change and hash of a file that is in the storage from now on; None = it is gone."""
        path = agent_module._inside(self._folder / "data", name)
        copy = self._folder / "outgoing"
        try:
            agent_module._link(path, copy)  # what is written again gets another file
            status = copy.stat()
        except FileNotFoundError:
            return None
        sha256 = _sha256(copy)
        there = f"{self._there}/{self.attempt}/blobs/{sha256}"
        if self.storage.size(there) != status.st_size:
            with open(copy, "rb") as source:
                self.storage.put(source, there, self._check)
        return [status.st_size, status.st_mtime_ns, sha256]

    def _put_pieces(self, name: str, path: Path, known: Any) -> list[Any] | None:
        """The pieces of a file that grows, as they are in the storage from now on."""
        identifier, pieces = known or (hashlib.sha256(name.encode()).hexdigest()[:16], [])
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return known  # type: ignore[no-any-return]
        pieces = [list(piece) for piece in pieces]
        if pieces and size < pieces[-1][1]:
            pieces = []
        while (done := pieces[-1][1] if pieces else 0) < size:
            start = done
            if pieces and done - pieces[-1][0] < _PIECE:  # so pieces are few, and each look costs one
                start = pieces.pop()[0]
            with open(path, "rb") as stream:
                stream.seek(start)
                content = stream.read(min(size - start, LONGEST_PIECE))
            end = start + len(content)
            if end <= done:  # it was cut meanwhile
                pieces.append([start, done])
                break
            self.storage.write(f"{self._there}/{self.attempt}/logs/{identifier}-{start}-{end}", content)
            pieces.append([start, end])
        return [identifier, pieces]

    def _named(self) -> set[str]:
        """The files in the storage that the report names."""
        there = f"{self._there}/{self.attempt}"
        blobs = {f"{there}/blobs/{sha256}" for _, _, sha256 in self._report["files"].values()}
        logs = self._report["logs"].values()
        return blobs | {f"{there}/logs/{one}-{start}-{end}" for one, pieces in logs for start, end in pieces}

    def _clear(self, outdated: set[str]) -> None:
        """Delete what no report names any more, after a while in which somebody may still read it."""
        now, named = time.monotonic(), self._named()
        self._garbage |= dict.fromkeys(outdated, now)
        for name, since in list(self._garbage.items()):
            if name in named:
                del self._garbage[name]
            elif now - since > _GARBAGE:
                self.storage.delete(name)
                del self._garbage[name]

    # ---------------------------------------------------------------------------------------------------------- reports

    def _say(self, text: str) -> None:
        """Tell the user what goes on."""
        self._report["said"] = text
        self._beat()

    def _beat(self) -> None:
        """A sign of life while something takes long; ends what takes long where another attempt counts."""
        if time.monotonic() - self._at > _BEATS:
            self._see_mine()
            self._write_report()

    def _write_report(self) -> None:
        """Write the report where something is new, or the last one is old."""
        content = json.dumps({**self._report, "beat": 0}).encode("ascii")
        if content == self._written and time.monotonic() - self._at < _BEATS:
            return
        self._report["beat"] += 1
        whole = json.dumps({**self._report, "time": time.time()}).encode("ascii")
        self.storage.write(f"{self._there}/{self.attempt}/{REPORT}", whole)
        self._written, self._at = content, time.monotonic()

    def _read(self, name: str) -> Values | None:
        content = self.storage.read(f"{self._there}/{name}", MOST)
        found = _parsed(content) if content is not None else None
        return found if isinstance(found, dict) else None

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(path, "ab") as stream:
            while not _lock(stream):
                self._beat()
                time.sleep(0.2)
            yield


def see_mounted(storage: Storage) -> None:
    """
    Raises:
        OSError: what is there is not the storage, but an empty mount point, say.
    """
    if storage.read(shared_storage.MARK, MOST) is None:
        raise OSError(errno.ENOTCONN, f"it has no {shared_storage.MARK}, so it may not be mounted")


def probe(storage: Storage, asked: str, folder: str) -> int:
    """Say in the storage what this node has, if the storage is the one that the other side means.

    Args:
        storage: that is shared.
        asked: by which the answer is known.
        folder: see `NodeJob`.

    Raises:
        OSError: it is not. Nothing is written into another one.
    """
    if storage.read(f"probes/{asked}.json", MOST) is None:
        raise OSError(errno.ENOTCONN, "it is another one than this computer's, so it may not be mounted on the node")
    agent = Agent(node_folder(folder), "")
    found: Values = {"same": True, "node": _host()}
    try:
        found |= agent.probe()
    except OSError as error:
        found["failed"] = f"{agent.folder} on the node {_host()}: {error}"
    storage.write(f"probes/{asked}-answer.json", json.dumps(found).encode("ascii"))
    return _DONE


def keep(storage: Storage, asked: Values) -> int:
    """Say in the storage what this node keeps for the next job, or what was deleted of it.

    Args:
        storage: that is shared.
        asked: the folder, by which the answer is known, and the version that stays where what is old is deleted.

    Raises:
        OSError: what is there is not the storage.
    """
    if storage.read(f"probes/{asked['job']}.json", MOST) is None:
        raise OSError(errno.ENOTCONN, "nobody there asks this node anything")
    agent, found = Agent(node_folder(asked["folder"]), ""), Values(versions=[], shared=[])
    if agent.folder.is_dir():
        found = agent.clean(asked["version"]) if asked["do"] == "clean" else agent.stored()
    found |= {"node": _host(), "folder": str(agent.folder)}
    storage.write(f"probes/{asked['job']}-answer.json", json.dumps(found).encode("ascii"))
    return _DONE


def node_folder(folder: str) -> str:
    """Where everything lies on this node: home folders may be shared by all nodes, and what runs here is not there."""
    return f"{folder}/{_host()}"


def sweep_later(folder: Path, key: str) -> None:
    """Have a process of its own delete what is here of a job once the program that does it has ended, however it ends.

    Args:
        folder: of the node, absolute.
        key: by which the agent knows the job; what earlier programs left of others goes at once.
    """
    # the one between ends at once: nobody who ends this program and its children ends the one that stays
    subprocess.run(
        [sys.executable, "-m", __spec__.name if __spec__ else __name__, "sweep", str(folder), key],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def sweep(folder: Path, key: str) -> None:
    """See `sweep_later`."""
    agent = Agent(str(folder), "")
    for other in agent.jobs()["jobs"]:
        if other != key:
            _erase_left(agent, other)
    while not _erase_left(agent, key):
        time.sleep(0.5)


def _erase_left(agent: Agent, key: str) -> bool:
    """Delete what is here of a job, if no program does it; whether none does."""
    path = agent.folder / "locks" / f"{key}.lock"
    with open(path, "ab") as stream:
        if not _lock(stream):
            return False
        with suppress(agent_module.RequestRefused):
            agent.erase(key)
        path.unlink(missing_ok=True)
        return True


def _lock(stream: IO[bytes]) -> bool:
    if sys.platform == "win32":
        raise OSError("a node is a Linux machine")
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64].strip(".") or "node"


def _sha256(path: Path) -> str:
    return agent_module._sha256(path)


def _json(path: Path) -> Values | None:
    return agent_module._read(path)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main(environment: Mapping[str, str], opened: Callable[[str], Storage] = shared_storage.opened) -> int:
    """Do what the environment says; the exit status."""
    asked = json.loads(environment[VARIABLE])
    try:
        storage = opened(asked["storage"])
        if asked["do"] == "probe":  # a new storage has no mark yet
            return probe(storage, asked["job"], asked["folder"])
        see_mounted(storage)
        if asked["do"] in ("stored", "clean"):
            return keep(storage, asked)
        pause = _SLOW if isinstance(storage, shared_storage.UrlStorage) else 1.0
        return NodeJob(storage, asked["job"], asked["attempt"], asked["folder"], pause).run()
    except OSError as error:
        print(f"The node {_host()} cannot use the shared storage {asked['storage']}: {error}", flush=True)
        return _FAILED


if __name__ == "__main__":
    if sys.platform != "win32" and sys.argv[1:2] == ["sweep"]:
        if os.fork() == 0:
            os.setsid()
            sweep(Path(sys.argv[2]), sys.argv[3])
        os._exit(0)
    signal.signal(signal.SIGTERM, _on_signal)
    os.umask(0o077)
    sys.exit(main(os.environ))
