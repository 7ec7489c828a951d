"""Connects to the agent on a place (`remote.agent`), sends it requests and reads its answers.

Answers are not trusted before they are checked: each is JSON of a limited size, and the caller checks every value.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.remote import openssh, places, sftp
from lib_lora.remote.place_connection import Download, PlaceConnection, Upload, whole_number
from lib_lora.remote.places import Graphics, Machine, Place

# the shell there reads this; what the user names is in what is sent afterwards
_BOOT = '\'import sys;i=sys.stdin.buffer;exec(compile(i.read(int(i.readline())),"agent","exec"))\''
_SERVE = b"\nserve(json.loads(i.readline()), i.read(int(i.readline())).decode(), i, sys.stdout.buffer)\n"
_LONGEST = 16 << 20  # bytes of an answer
_ENDS = 2.0  # seconds in which ssh ends once its input has ended
_SAID = 1 << 16  # bytes that are kept of what ssh says
_ANOTHER = ("host-unreachable", "ssh-failed")  # errors after which the same may work a little later


class Unreachable(UserError):
    """The place cannot be reached now; what runs there goes on."""


class Connection:
    """See `PlaceConnection`: one over SSH, made when something is first asked, and again after it was lost.

    One request is under way at a time.

    Args:
        root: the data folder.
        place: the place.
        start: starts the far end; for tests.
    """

    def __init__(self, root: Path, place: Place, start: Callable[[], subprocess.Popen[bytes]] | None = None) -> None:
        self.root, self.place = root, place
        self._start = start or (lambda: openssh.start(root, place, [place.python, "-u", "-c", _BOOT]))
        self._process: subprocess.Popen[bytes] | None = None
        self._hearing: _Hearing | None = None
        self._lock = threading.Lock()

    def ask(self, what: str, **fields: Any) -> Any:
        """What the agent answers.

        Raises:
            Unreachable: the place cannot be reached now.
            UserError: it cannot be used, or the agent refuses.
        """
        return self.ask_bytes(what, **fields)[0]

    def ask_bytes(self, what: str, **fields: Any) -> tuple[Any, bytes]:
        """Like `ask`, with the bytes that follow the answer."""
        with self._lock:
            process = self._process or self._connect()
            try:
                answer, data = self._exchange(process, {"do": what, **fields})
            except (OSError, EOFError) as error:
                raise self._lost() from error
            except (ValueError, RecursionError) as error:
                self._close(0.0)
                raise UserError(
                    f"{self.place.address()} returned unexpected output; a program there prints text at login.",
                    code="remote-answer-unreadable",
                    place=self.place.name,
                ) from error
            except BaseException:  # Ctrl+C: the answer that comes yet would be taken for the next one's
                self._close(0.0)
                raise
        if "error" in answer:
            raise self._refusal(str(answer["error"]), str(answer.get("say", "")))
        return answer.get("ok"), data

    def put(self, files: Sequence[Upload], check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """See `PlaceConnection`; by sftp, beside the connection."""
        self._check(sftp.put(self.root, self.place, files, check, stop))

    def get(self, files: Sequence[Download], folder: Path, check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """See `put`."""
        self._check(sftp.get(self.root, self.place, files, folder, check, stop))

    def _check(self, said: bytes | None) -> None:
        if said is not None:
            raise failure(self.root, self.place, said, None)

    def close(self) -> None:
        """End the connection; what runs on the place goes on."""
        if not self._lock.acquire(timeout=_ENDS):
            if process := self._process:
                process.kill()  # another thread waits for an answer that does not come
            self._lock.acquire()
        try:
            self._close()
        finally:
            self._lock.release()

    def _connect(self) -> subprocess.Popen[bytes]:
        process = self._process = self._start()
        self._hearing = _Hearing(process)
        text = resources.files("lib_lora.remote").joinpath("agent.py").read_bytes()
        code = text.partition(b'\nif __name__ == "__main__":')[0] + _SERVE
        folder = json.dumps(self.place.folder).encode("ascii")
        assert process.stdin
        try:
            process.stdin.write(b"%d\n%s%s\n%d\n%s" % (len(code), code, folder, len(text), text))
            process.stdin.flush()
        except OSError as error:
            raise self._lost() from error
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        process.stdin.flush()
        line = process.stdout.readline(_LONGEST)
        if not line.endswith(b"\n") and len(line) < _LONGEST:
            raise EOFError  # it was cut off
        answer = json.loads(line)
        if not line.endswith(b"\n") or not isinstance(answer, dict):
            raise ValueError("no answer")
        count = answer.get("bytes", 0)
        if type(count) is not int or not 0 <= count <= _LONGEST:
            raise ValueError("no number of bytes")
        data = process.stdout.read(count) if count else b""
        if len(data) < count:
            raise EOFError
        return answer, data

    def _lost(self) -> UserError:
        """Why the connection has ended; it is made again with the next request."""
        process, hearing = self._process, self._hearing
        if process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
        said = hearing.all() if hearing else b""
        status = process.returncode if process else None
        self._close()
        return failure(self.root, self.place, said, status)

    def _close(self, patience: float = _ENDS) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            if process.stdin:
                process.stdin.close()  # ends the agent, and with it ssh; a shared connection stays for the next one
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        process.kill()
        process.wait()
        with suppress(OSError):
            if process.stdout:
                process.stdout.close()

    def _refusal(self, code: str, said: str) -> UserError:
        printable = (
            "".join(letter if letter.isprintable() else "?" for letter in said)[:300].strip() or "no reason given"
        )
        if code == "disk-full":
            return UserError(
                f"The disk of {self.place.address()} is full ({printable}); free some space there.",
                code="remote-disk-full",
                place=self.place.name,
            )
        return refusal(self.place, printable)


def refusal(place: Place, why: str) -> UserError:
    """The error for a request that a place does not meet."""
    return UserError(f"{place.address()} could not do what was asked: {why}", code="remote-refused", place=place.name)


def failure(root: Path, place: Place, said: bytes, status: int | None) -> UserError:
    """The error for what ssh or sftp said: `Unreachable`, where the same may work a little later.

    Without a network some systems know no host, so one that was reached before is taken to be there still.
    """
    error = openssh.why(said.decode("utf-8", "replace"), place, status)
    away = error.code == "host-unknown" and places.known_hosts(root, place).is_file()
    if away or error.code in _ANOTHER:
        return Unreachable(str(error), code=error.code, place=place.name)
    return error


class _Hearing:
    """Keeps what a process says on standard error, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._said = process, b""
        self._thread = threading.Thread(target=self._hear, name="sameface-ssh", daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        stream = self._process.stderr
        assert stream
        with suppress(OSError, ValueError), stream:
            while chunk := stream.read1(4096):  # type: ignore[attr-defined]
                self._said = (self._said + chunk)[-_SAID:]

    def all(self) -> bytes:
        """What an ended process has said; a shared connection that it has begun may keep the stream open."""
        self._thread.join(1)
        return self._said


def probe(connection: PlaceConnection, **more: Any) -> Machine:
    """What a place has.

    Args:
        connection: to the place.
        more: of a cluster, see `RayConnection.inspect_node`.

    Raises:
        UserError: it cannot be reached, or cannot run SameFace.
    """
    found, place = connection.ask("probe", **more), connection.place
    try:
        gpus = [Graphics(_plain(_text(one["name"])), whole_number(one["memory"])) for one in _list(found["gpus"])[:64]]
        machine = Machine(
            time=_number(found["time"]),
            python=_plain(_text(found["python"])),
            system=_plain(_text(found["system"])),
            cores=whole_number(found["cores"]),
            memory=None if found["memory"] is None else whole_number(found["memory"]),
            disk_free=whole_number(found["disk_free"]),
            gpus=gpus,
        )
        known = tuple(int(part) for part in machine.python.split(".")[:2])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{place.address()} does not report its hardware and software.",
            code="remote-answer-unreadable",
            place=place.name,
        ) from error
    if not machine.system.startswith("linux"):
        raise UserError(
            f"{place.address()} does not run Linux; only Linux machines can be used over SSH.",
            code="remote-system-unsupported",
            place=place.name,
        )
    if known < (3, 10):
        raise UserError(
            f"{place.python} on {place.address()} is Python {machine.python}; SameFace needs 3.10 or newer, so name "
            "another one with --python.",
            code="remote-python-too-old",
            place=place.name,
        )
    return machine


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:100]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e12:  # not so what is no number
        raise ValueError("no number")
    return float(value)
