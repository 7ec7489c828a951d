"""Starts worker processes, ends them with all their children, and recognises one after a restart.

Imports nothing heavy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

import lib_lora
from lib_lora import file_permissions
from lib_lora.files import explained
from lib_lora.queue.running import worker_pipe

_PACKAGE = Path(lib_lora.__file__).resolve().parent.parent
_GONE = 10.0  # seconds in which a killed process goes
_TAIL = 1 << 16  # bytes of a log that are read


def worker_arguments(number: int, root: Path) -> list[str]:
    """What follows the Python and its options to start the worker of a job."""
    return ["-m", "lib_lora", "worker", str(number), "--data", str(root)]


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """Start a worker: its standard input and output are UTF-8 pipes, its error output is added to `log`.

    It has a group of its own, so that Ctrl+C in the webui's terminal does not reach it: it notices that its input ends.

    Raises:
        UserError: the program is not there, or the log cannot be written.
    """
    with explained(log):
        file_permissions.make_folder(log.parent)
        errors = open(log, "ab", opener=file_permissions.opener)  # noqa: SIM115 - closed by the with below; the worker has its own handle
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with errors, explained(Path(command[0]), "start"):
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env={**environment, worker_pipe.NAMES: "1"},
            cwd=_PACKAGE,  # where -m finds the package
            creationflags=flags,
            start_new_session=True,  # ignored on Windows
        )


def kill_tree(pid: int) -> None:
    """End a process and all that it has started, at once. One that is gone already is no error."""
    try:
        top = psutil.Process(pid)
        tree = [top, *top.children(recursive=True)]
    except psutil.Error:
        tree = []
    for process in tree:  # the top first, so that it starts no more
        with suppress(psutil.Error):
            process.kill()
    kill_group(pid)
    until = time.monotonic() + _GONE
    while any(_alive(process) for process in tree) and time.monotonic() < until:
        time.sleep(0.02)  # psutil's own waiting would take the exit status from whoever started it


def kill_group(pid: int) -> None:
    """End what a worker has left behind; where the system knows it no more, nothing happens.

    Children of a process that is dead are nobody's children, but they are still of its group.
    """
    if sys.platform != "win32":
        with suppress(OSError):
            if pid not in (0, 1, os.getpgrp()):
                os.killpg(pid, signal.SIGKILL)


def is_worker(pid: int, number: int, root: Path) -> bool:
    """Whether a process is the worker of that job; its number may be another program's by now."""
    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        words = process.cmdline()
    except psutil.Error:
        return False
    wanted = worker_arguments(number, root)
    return words[-len(wanted) :] == wanted and _alive(process)


def end_worker(pid: int, number: int, root: Path, patience: float, giving_up: Callable[[], bool]) -> None:
    """Wait for a worker that a supervisor has left behind: it saves and ends by itself, else it is killed.

    Args:
        pid, number, root: see `is_worker`.
        patience: seconds.
        giving_up: asked meanwhile; true = wait no longer, and kill nothing.
    """
    until = time.monotonic() + patience
    while is_worker(pid, number, root):
        if giving_up():
            return
        if time.monotonic() > until:
            kill_tree(pid)
            return
        time.sleep(0.2)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def owner_name(token: str) -> str:
    """A name for who runs jobs in this process, by which others see whether it is still alive."""
    process = psutil.Process()
    return f"{process.pid}@{process.create_time():.2f}/{token}{_since_boot(process.pid)}"


def owner_alive(name: str) -> bool:
    """Whether the process of a name that `owner_name` made is still there, and is another one than this."""
    pid = _process_of(name)
    try:
        return pid is not None and pid != os.getpid() and _alive(psutil.Process(pid))
    except psutil.Error:
        return False


def is_own_name(name: str) -> bool:
    """Whether `owner_name` made a name in this process."""
    return _process_of(name) == os.getpid()


def _process_of(name: str) -> int | None:
    """The number of the process that a name means; None where another one has that number now, or none has."""
    with suppress(ValueError, psutil.Error):
        who, _, rest = name.partition("/")
        number, created = who.split("@")
        said, now = rest.rpartition("@")[2] if "@" in rest else "", _since_boot(int(number))
        if said and now:
            return int(number) if f"@{said}" == now else None
        # without these the clock tells, which somebody may have changed meanwhile
        return int(number) if abs(psutil.Process(int(number)).create_time() - float(created)) < 1 else None
    return None


def _since_boot(pid: int) -> str:
    """Which start of this computer it is, and when after it a process began: no clock changes that, and no later
    process of the same number has it. Empty where the system does not say, or there is no such process."""
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return f"@{boot}:{int(after_name.split()[19])}"
    except (OSError, ValueError, IndexError):
        return ""


def tail(log: Path, lines: int = 40) -> list[str]:
    """The last lines of a worker's log; none where there is no log. Of a progress bar, only how it looked last."""
    try:
        with open(log, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _TAIL, 0))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    shown = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in shown if line][-lines:]
