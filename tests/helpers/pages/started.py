"""The page alone in a process of its own."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from lib_lora.setup import environment

START = "import sys; from lib_lora.cli import main; sys.exit(main(sys.argv[1:]))"


class Started:
    """The command in a process of its own, and what it says, line by line."""

    def __init__(self, root: Path, *arguments: str, start: str = START) -> None:
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, "ui", "--data", str(root), *arguments],
            cwd=environment.ROOT,
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            creationflags=flags,
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def until(self, word: str) -> str:
        """The first line that has this word."""
        end = time.monotonic() + 120
        while True:
            line = self.lines.get(timeout=max(end - time.monotonic(), 0.01))
            if word in line:
                return line

    def rest(self) -> str:
        """What it has said and nobody has asked for yet; once it has ended."""
        self._reader.join(60)
        return "\n".join(self.lines.get() for _ in range(self.lines.qsize()))

    def ends(self, how: int) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


def free() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def browser() -> urllib.request.OpenerDirector:
    """Someone with cookies of their own."""
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
