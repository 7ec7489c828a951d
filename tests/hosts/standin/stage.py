"""Stand-in webuis for tests: in this process for a while (`stand_in`), or with a page of their own (`running_page`).

``host/`` holds modules with the names, signatures and habits of an A1111 1.10; ``forge/`` and ``reforge/`` what those
have besides. Which attributes each webui has says the list in `lib_lora.hosts.webui_attributes`. Nothing in them is a
webui's code, and no model is in them: pictures are clouds of colour.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lib_lora.hosts.webui_attributes import ATTRIBUTES, GONE

HERE = Path(__file__).resolve().parent
TOP = {"modules", "networks", "network", "launch", "modules_forge", "backend", "ldm_patched"}
CHECKPOINT = "mini-face.safetensors"


def prepare(data: Path, checkpoints: Sequence[str] = (CHECKPOINT,)) -> None:
    """A data folder with files in place of base models."""
    for folder in ("models/Stable-diffusion", "models/Lora", "outputs"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    for name in checkpoints:
        path = data / "models" / "Stable-diffusion" / name
        if not path.exists():
            path.write_bytes(f"checkpoint {name}".encode())


def _setup(kind: str, data: Path, extensions: Sequence[Path], **more: Any) -> str:
    shape = {
        "present": [one.name for one in ATTRIBUTES if kind in one.hosts],
        "absent": list(GONE[kind]),
    }
    values = {"kind": kind, "data": str(data), "extensions": [str(one) for one in extensions], **shape, **more}
    return json.dumps(values)


def _folders(kind: str) -> list[str]:
    own = {"forge": "forge", "neo": "forge", "reforge": "reforge"}.get(kind)
    return [str(HERE / "host"), *([str(HERE / own)] if own else [])]


@contextlib.contextmanager
def stand_in(
    kind: str,
    data: Path,
    *,
    flags: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    extensions: Sequence[Path] = (),
    checkpoints: Sequence[str] = (CHECKPOINT,),
) -> Iterator[SimpleNamespace]:
    """The modules of a webui of `kind` ("a1111", "ux", "forge", "neo", "reforge") are importable while the block runs.

    Gives its modules by name (``.shared``, ``.processing``, ``.networks``, ...) and ``.events``, what happened.
    """
    prepare(data, checkpoints)
    before, path = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in TOP}, sys.path[:]
    variables, finders = os.environ.get("SAMEFACE_STANDIN"), sys.meta_path[:]
    os.environ["SAMEFACE_STANDIN"] = _setup(kind, data, extensions, flags=flags or {}, options=options or {})
    sys.path[:0] = _folders(kind)
    try:
        import importlib

        names = "shared devices options sd_models processing call_queue progress scripts script_callbacks deepbooru"
        names += " extra_networks ui_extra_networks infotext_utils sd_samplers errors paths hashes"
        found = {name: importlib.import_module(f"modules.{name}") for name in names.split()}
        importlib.import_module("networks")
        importlib.import_module("modules.standin_setup").shape()
        lora = {name: importlib.import_module(name) for name in ("networks", "network")}
        events = sys.modules["modules.standin_setup"].EVENTS
        yield SimpleNamespace(**found, **lora, events=events, data=data)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in TOP]:
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path
        sys.meta_path[:] = finders
        if variables is None:
            os.environ.pop("SAMEFACE_STANDIN", None)
        else:
            os.environ["SAMEFACE_STANDIN"] = variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Page:
    """A running page: its address and its process."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address, self.process, self.log = address, process, log
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """JSON of a route; a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data, {"Content-Type": "application/json", **(headers or {})}
        )
        with self._opener.open(request, timeout=180) as answer:
            return json.load(answer)

    def reload(self) -> None:
        """The button Reload UI; waits until the page is there again."""
        turn = self.ask("/standin/state")["turn"]
        self.ask("/standin/reload", {})
        _wait(lambda: self.ask("/standin/state")["turn"] > turn, self)

    def dump(self) -> None:
        """Where its threads are, into its log."""
        if self.process.poll() is None and sys.platform != "win32":
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)


def _wait(ready: Any, page: Page, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError):
            if ready():
                return
        if page.process.poll() is not None or time.monotonic() > until:
            page.dump()
            ended = page.process.returncode
            raise AssertionError(f"no page (ended: {ended}): {page.log.read_text(errors='replace')[-9000:]}")
        time.sleep(0.2)


@contextlib.contextmanager
def running_page(
    kind: str,
    data: Path,
    extensions: Sequence[Path],
    *,
    flags: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    painter: str = "",
    pause: float = 0.0,
    python: str = sys.executable,
    checkpoints: Sequence[str] = (CHECKPOINT,),
    environment: dict[str, str] | None = None,
) -> Iterator[Page]:
    """A stand-in webui with a page, in a process of its own, until the block ends.

    Args:
        kind: see `stand_in`.
        data: its data folder; made where it lacks.
        extensions: roots of extensions, loaded as the webui loads them.
        flags: of its command line, like ``{"api_auth": "me:secret", "gradio_auth": "me:secret"}``.
        painter: FILE.py:FUNCTION that paints, see ``processing.default_picture``.
        pause: seconds a picture takes.
        python: whose gradio draws the page.
    """
    prepare(data, checkpoints)
    port, log = free_port(), data / "page-log.txt"
    given = _setup(
        kind, data, extensions, flags={**(flags or {}), "port": port}, options=options or {}, painter=painter
    )
    variables = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUTF8": "1", **(environment or {})}
    variables.pop("PYTHONPATH", None)
    variables |= {"SAMEFACE_STANDIN": given, "SAMEFACE_STANDIN_PAUSE": str(pause), "GRADIO_TEMP_DIR": str(data / "tmp")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [python, str(HERE / "page.py"), *_folders(kind)], env=variables, cwd=data, stdout=stream, stderr=stream
        )
    page = Page(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(lambda: page.ask("/standin/state")["turn"] > 0, page)
        yield page
    finally:
        process.kill()
        process.wait()
