"""Runs on a rented pod before anything else, and deletes that pod in time, also when nobody is connected to it.

A pod costs money until it is deleted, whether its programs run or not. Its text is sent with the request for the pod
(`remote.runpod.runpod_pods`), so: standard library only, and Linux. It deletes the pod

- when it has lived as long as it may, or has cost as much as it may;
- when all jobs have ended, and their files were fetched, or nobody has come for them for long;
- when no job runs, and nobody has been connected for long.

No clock is trusted: ages are measured on this machine's monotonic clock, from when a change was first seen, and how old
the pod is also by the ``Date`` of RunPod's answers, so that a restarted container does not begin to count again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

CODE, LIMITS, API = "SAMEFACE_WATCHDOG", "SAMEFACE_LIMITS", "SAMEFACE_API"  # variables of the pod
AGENT = "SameFace-watchdog"
# files in the folder of `remote.agent`, which has the same names
JOBS, BEAT, WISH, EXIT, HEARTBEAT = "jobs", "beat.json", "wish.json", "exit.json", "heartbeat"
OVERDUE, COSTLY, FETCHED, UNFETCHED, SILENT = "time", "money", "fetched", "unfetched", "silent"
_WORDS = {
    OVERDUE: "it has lived as long as it may",
    COSTLY: "it has cost as much as it may",
    FETCHED: "all jobs have ended, and their files were fetched",
    UNFETCHED: "all jobs have ended, and nobody came for their files",
    SILENT: "no job runs, and nobody is connected",
}
_SYNC = 300.0  # seconds between two checks at RunPod's clock
_DEAD = 60.0  # seconds without a sign of life after which the keeper of a job is dead
_TIMEOUT = 20.0
_LONGEST_WAIT = 60.0
_AFTER = 60.0  # seconds in which a pod ends once RunPod says that it is deleted


@dataclass(frozen=True)
class Limits:
    """What a pod may do, as text in its environment.

    Attributes:
        seconds: it may live.
        price: USD an hour.
        cap: USD that it may cost.
        silent: seconds without a word from anybody, and without a job that runs.
        fetched: seconds after the last job's files were fetched.
        unfetched: seconds after the last job's end, or the last word, with files that were not fetched.
        saving: seconds before its end at which jobs are asked to save and to pause; at most a tenth of its life.
        created: when it was asked for, unix seconds by RunPod's clock; 0 = not known.
        folder: of the agent; relative to the home folder.
        poll: seconds between two checks.
        start: the program that the image starts by itself, which starts its SSH server.
    """

    seconds: float
    price: float
    cap: float
    silent: float = 900.0
    fetched: float = 120.0
    unfetched: float = 4 * 3600.0
    saving: float = 600.0
    created: float = 0.0
    folder: str = "sameface"
    poll: float = 5.0
    start: tuple[str, ...] = ("/start.sh",)

    def longest(self) -> float:
        """Seconds that it may live, by time and by money."""
        return min(self.seconds, self.cap / self.price * 3600) if self.price > 0 else self.seconds


@dataclass
class Watch:
    """What was seen on the pod so far, and what follows from it.

    Attributes:
        limits: what the pod may do.
        clock: seconds that never go back.
    """

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    earlier: float = 0.0  # seconds that the pod had lived before this program was started
    _marks: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)
    _ended: float | None = None  # when the last job was first seen to have ended
    _gone: float | None = None  # when the last job was first seen to be gone

    def __post_init__(self) -> None:
        self.started = self.heard = self.clock()
        self.folder = Path.home() / Path(self.limits.folder).expanduser()
        with suppress(OSError):  # the agent changes it with each request, where it is there
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / HEARTBEAT).touch()
        self._changed(self.folder / HEARTBEAT, self.started)

    def lived(self) -> float:
        """Seconds since the pod was asked for."""
        return self.earlier + self.clock() - self.started

    def synchronise(self, now: float) -> None:
        """Take note of RunPod's time, in unix seconds: the pod may be older than this program knows."""
        if self.limits.created > 0:
            self.earlier = max(self.earlier, now - self.limits.created - (self.clock() - self.started))

    def check(self) -> str:
        """Look at all there is to see; why the pod is to be deleted now, empty = it may live on."""
        now, limits = self.clock(), self.limits
        if self._changed(self.folder / HEARTBEAT, now) == now:
            self.heard = now
        running, ended, present = self._jobs(now)
        if self.lived() >= limits.longest():
            return OVERDUE if limits.longest() >= limits.seconds else COSTLY
        if self.lived() >= limits.longest() - min(limits.saving, limits.longest() / 10):
            self._ask_to_pause(running)
        if running:
            self._ended = self._gone = None
            self.heard = now
            return ""
        self._ended = _since(self._ended, ended, now)
        self._gone = _since(self._gone, bool(self._seen) and not present, now)
        if self._ended is not None:
            return UNFETCHED if now - max(self._ended, self.heard) >= limits.unfetched else ""
        if self._gone is not None and now - self._gone >= limits.fetched:
            return FETCHED
        return SILENT if now - self.heard >= limits.silent else ""

    def _jobs(self, now: float) -> tuple[list[Path], bool, bool]:
        """The folders of jobs that run; whether one has ended and is still there; whether there is any."""
        try:
            folders = [path for path in sorted((self.folder / JOBS).iterdir()) if path.is_dir()]
        except OSError:
            folders = []
        running, ended = [], False
        for path in folders:
            beat = self._changed(path / BEAT, now)
            if (path / EXIT).exists() or (beat is not None and now - beat > _DEAD):
                self._seen.add(path.name)
                ended = True
            elif beat is not None:
                self._seen.add(path.name)
                running.append(path)
        return running, ended, bool(folders)

    def _changed(self, path: Path, now: float) -> float | None:
        """When a change of a file was last seen, on our clock; None = it is not there."""
        try:
            status = path.stat()
        except OSError:
            return None
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._marks.get(str(path))
        if known is None or known[0] != mark:
            known = self._marks[str(path)] = (mark, now)
        return known[1]

    def _ask_to_pause(self, running: Sequence[Path]) -> None:
        for path in running:
            if path.name not in self._asked:
                with suppress(OSError):
                    temporary = path / f"{WISH}.{os.getpid()}.tmp"
                    temporary.write_text(json.dumps({"wish": "pause"}), encoding="utf-8")
                    temporary.replace(path / WISH)
                    self._asked.add(path.name)


def _since(before: float | None, holds: bool, now: float) -> float | None:
    """Since when something holds; None = it does not."""
    if not holds:
        return None
    return now if before is None else before


# -------------------------------------------------------------------------------------------------------- RunPod's API


class _Nowhere(HTTPRedirectHandler):
    """Follows no redirect, which would take the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def server_time(url: str, key: str) -> float | None:
    """The time by RunPod's clock, whatever it answers."""
    try:
        with build_opener(_Nowhere).open(_request("GET", url, key), timeout=_TIMEOUT) as response:
            date = response.headers.get("Date")
    except HTTPError as error:
        date = error.headers.get("Date")
        error.close()
    except (OSError, HTTPException, ValueError):
        return None
    with suppress(TypeError, ValueError, OverflowError):
        return parsedate_to_datetime(date or "").timestamp()
    return None


def delete(url: str, key: str, pause: Callable[[float], None] = time.sleep) -> None:
    """Delete the pod, by each way that there is, again and again until RunPod says that it no longer exists.

    Args:
        url: of the pod.
        key: the pod's own API key.
        pause: waits between two tries.
    """
    requests = (_by_delete, _by_action, _by_curl)
    attempt = 0
    while True:
        status = requests[attempt % len(requests)](url, key)
        if status in (200, 204, 404):
            return
        print(f"sameface: deleting this pod failed, status {status}; it is tried again", flush=True)
        pause(min(_LONGEST_WAIT, 2.0 ** min(attempt, 6)))
        attempt += 1


def _by_delete(url: str, key: str) -> int:
    return _status(_request("DELETE", url, key))


def _by_action(url: str, key: str) -> int:
    request = _request("POST", f"{url}/action", key)
    request.add_header("Content-Type", "application/json")
    request.data = b'{"action": "terminate"}'
    return _status(request)


def _by_curl(url: str, key: str) -> int:
    """As `_by_delete`; what stands between may refuse Python's client. The key is on no command line."""
    words = ["curl", "-sS", "-m", "30", "-o", os.devnull, "-w", "%{http_code}", "-X", "DELETE", "-A", AGENT, "-H", "@-"]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        header = f"Authorization: Bearer {key}\n".encode()
        done = subprocess.run([*words, url], input=header, capture_output=True, timeout=40, check=False)
        return int(done.stdout)
    return 0


def _request(method: str, url: str, key: str) -> Request:
    return Request(url, headers={"Authorization": f"Bearer {key}", "User-Agent": AGENT}, method=method)


def _status(request: Request) -> int:
    """The status of the answer; 0 = there was none."""
    try:
        with build_opener(_Nowhere).open(request, timeout=_TIMEOUT) as response:
            return int(response.status)
    except HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException, ValueError):
        return 0


# -------------------------------------------------------------------------------------------------------- SSH's server


class SshStart:
    """Starts the image's own program, which starts its SSH server; where that fails, the server itself.

    Args:
        command: the image's program.
        environment: of the pod.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # sessions and jobs need neither this program's text nor the key that may delete the pod
        hidden = (CODE, LIMITS, API, "RUNPOD_API_KEY")
        self._environment = {name: value for name, value in environment.items() if name not in hidden}
        self._process: subprocess.Popen[bytes] | None = None
        self._helped = False
        with suppress(OSError):
            self._process = subprocess.Popen(list(command), env=self._environment, start_new_session=True)

    def check(self) -> None:
        """See whether it runs. One that has ended well has done its work; one that has not needs help, once."""
        if self._helped or (self._process is not None and self._process.poll() in (None, 0)):
            return
        self._helped = True
        for command in server_commands(Path.home(), self._environment.get("PUBLIC_KEY", "")):
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(command, env=self._environment, timeout=60, check=False)


def server_commands(home: Path, public_key: str) -> list[list[str]]:
    """Let a public key in, and what is to be run for an SSH server to listen; nothing where no server is installed."""
    server = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if server is None or not public_key:
        return []
    with suppress(OSError):
        folder = home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        keys = folder / "authorized_keys"
        before = keys.read_text(encoding="utf-8") if keys.exists() else ""
        if public_key.strip() not in before.splitlines():
            keys.write_text(f"{before.rstrip()}\n{public_key.strip()}\n".lstrip(), encoding="utf-8")
        keys.chmod(0o600)
    return [["mkdir", "-p", "/run/sshd"], ["ssh-keygen", "-A"], [server]]


# ----------------------------------------------------------------------------------------------------------- the whole


def packed(limits: Limits) -> str:
    """The limits as a variable of the pod holds them."""
    return b64encode(json.dumps(asdict(limits)).encode("ascii")).decode("ascii")


def unpacked(text: str) -> Limits:
    """The opposite of `packed`."""
    values = json.loads(b64decode(text))
    return Limits(**{**values, "start": tuple(values["start"])})


def main(environment: Mapping[str, str]) -> None:
    """Watch until the pod is gone."""
    limits = unpacked(environment[LIMITS])
    started = SshStart(limits.start, environment)
    watch = Watch(limits)
    url = f"{environment[API]}/pods/{environment.get('RUNPOD_POD_ID', '')}"
    key = environment.get("RUNPOD_API_KEY", "")
    synchronise_at = time.monotonic()
    print(
        f"sameface: this pod deletes itself after {watch.limits.longest() / 3600:.1f} hours at the latest", flush=True
    )
    while not (reason := watch.check()):
        started.check()
        if time.monotonic() >= synchronise_at:
            synchronise_at = time.monotonic() + _SYNC
            if (now := server_time(url, key)) is not None:
                watch.synchronise(now)
        time.sleep(limits.poll)
    while True:
        print(f"sameface: this pod is deleted, because {_WORDS[reason]}", flush=True)
        delete(url, key)
        time.sleep(_AFTER)


if __name__ == "__main__":
    if sys.platform == "win32":
        raise SystemExit("A pod runs Linux.")
    main(os.environ)
