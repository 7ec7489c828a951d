"""Holds the parent's end of the pipe to a worker, and acts when the worker asks its host to paint or to caption.

What goes over the pipe is said in `queue.running.worker_pipe`, its other end. Imports nothing heavy.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import atomic_file, explained, opened
from lib_lora.job_host import JobHost
from lib_lora.pictures import Cell
from lib_lora.queue.running.runner_protocol import WorkerFiles

_log = logging.getLogger(__name__)


class ParentPipe:
    """Messages to and from a worker. Two threads read and write, so that a worker that hangs holds up nobody."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ended = False
        for work in (self._read, self._write):
            threading.Thread(target=work, name=f"sameface-pipe-{process.pid}", daemon=True).start()

    def send(self, message: dict[str, Any]) -> None:
        """Tell the worker something, some time soon."""
        self._outbox.put(message)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next message; None where none has come within `timeout` seconds, or the worker has ended."""
        if self._ended:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
            return None
        try:
            message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        self._ended = message is None
        return message

    def close(self) -> None:
        """Tell the worker nothing more."""
        self._outbox.put(None)

    def _read(self) -> None:
        stream = self._process.stdout
        with suppress(OSError, ValueError):
            for line in stream or ():
                with suppress(ValueError, RecursionError):  # a line that is not ours
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._inbox.put(message)
        self._inbox.put(None)
        _close(stream)

    def _write(self) -> None:
        stream = self._process.stdin
        with suppress(OSError, ValueError):  # the worker has ended
            while stream and (message := self._outbox.get()) is not None:
                stream.write(json.dumps(message) + "\n")
                stream.flush()
        _close(stream)


def _close(stream: Any) -> None:
    with suppress(OSError, ValueError):
        stream.close()


def answer(
    ask: dict[str, Any], host: JobHost, files: WorkerFiles, say: Callable[..., None], stop: Callable[[], bool]
) -> None:
    """Do what a worker asks of its host, and say how it went.

    Args:
        ask: the worker's message.
        host: the host.
        files: of the worker.
        say: tells the worker; called with a message.
        stop: true = paint no more, and wait no longer for the host's queue.
    """
    what, number = ask.get("ask"), ask.get("id")
    try:
        if what == "paint":
            _paint(_PaintAsk(number, str(ask["folder"]), ask.get("base"), ask["pictures"]), host, files, say, stop)
            say({"id": number, "done": True})
        elif what == "reconstruct":
            say({"id": number, "done": True, "file": _reconstruct(ask["file"], str(ask["out"]), host, files, stop)})
        elif what == "caption":
            say(
                {"id": number, "done": True, "phrases": _caption(ask["file"], str(ask["captioner"]), host, files, stop)}
            )
        else:
            say({"id": number, "error": f"The webui's part of SameFace does not know {what!r}; restart the webui."})
    except UserError as error:
        say({"id": number, "error": str(error)})
    except Exception as error:  # whatever goes wrong inside a webui is the end of this picture, not of the queue
        _log.exception("SameFace: the webui could not %s", what)
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        say({"id": number, "error": f"The webui could not {what} ({reason}); its own log says more."})


@dataclass(frozen=True)
class _PaintAsk:
    """What a worker wishes to have painted.

    Attributes:
        number: of its message.
        folder: where the pictures go, by the name that both sides know.
        base: the checkpoint, named so; None = the one that the host has loaded.
        pictures: each as the fields of a `Cell`.
    """

    number: Any
    folder: str
    base: str | None
    pictures: list[dict[str, Any]]


def _paint(
    ask: _PaintAsk, host: JobHost, files: WorkerFiles, say: Callable[..., None], stop: Callable[[], bool]
) -> None:
    asked = ask.pictures
    named = ("lora", "start")
    further = [one.pop("further_loras", ()) for one in asked]
    others = {path for loras in further for path, _ in loras}
    files.fetch(sorted({one[name] for one in asked for name in named if one.get(name)} | others))
    cells = [
        Cell(
            **{
                **one,
                **{name: files.path_here(one[name]) if one.get(name) else None for name in named},
                "more": tuple((files.path_here(path), float(weight)) for path, weight in loras),
            }
        )
        for one, loras in zip(asked, further, strict=True)
    ]

    def each(place: int, picture: Image.Image, infotext: str) -> None:
        name = f"{ask.folder}/{place:04d}.png"
        _save(picture, files.path_here(name))
        files.push([name])
        say({"id": ask.number, "number": place, "file": name, "infotext": infotext})

    host.paint(cells, files.path_here(ask.base) if ask.base else None, each, stop)


def _caption(file: str, captioner: str, host: JobHost, files: WorkerFiles, stop: Callable[[], bool]) -> list[str]:
    picture = _sent(file, files)
    with suppress(StoppedByUser):  # the worker has been told as well
        return host.caption(captioner, picture, stop)
    return []


def _reconstruct(file: str, name: str, host: JobHost, files: WorkerFiles, stop: Callable[[], bool]) -> str | None:
    picture = host.reconstruct(_sent(file, files), stop)
    if picture is None:
        return None
    _save(picture, files.path_here(name))
    files.push([name])
    return name


def _sent(name: str, files: WorkerFiles) -> Image.Image:
    """A picture that the worker sends."""
    files.fetch([name])
    path = files.path_here(name)
    with explained(path, "read"), opened(path) as stream, Image.open(stream) as stored:
        picture: Image.Image = stored.convert("RGB")
    return picture


def _save(picture: Image.Image, file: Path) -> None:
    with explained(file), atomic_file(file) as stream:
        picture.save(stream, "PNG", compress_level=1)  # it is read again at once
