"""The page alone with planted data and nobody who runs its jobs: what is seen is what the test has written down."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lib_lora.character.store import Character, Consent, create
from lib_lora.hosts.standalone import Alone
from lib_lora.queue.job_types import arguments_of
from lib_lora.queue.queue import Job, Queue
from lib_lora.runs.events import EventLog
from lib_lora.training.plan.device_choice import TorchFacts
from lib_lora.ui.http import route_access
from lib_lora.ui.page import page_app, page_modules
from lib_lora.ui.routes.route_table import router
from lib_lora.workspace.workspace import CharacterFolder

OWNER = "somebody"


class Nobody:
    """A supervisor that runs nothing."""

    active, reason, holds = True, "", False

    def wake(self) -> None:
        """Somebody has put a job in line."""

    def start(self) -> None:
        """As the real one is started."""


@dataclass
class Planted:
    """The page, and what lies behind it.

    Attributes:
        address: with the token in it.
        root: the data folder; `queue` of it.
    """

    address: str
    root: Path
    queue: Queue

    def character(self, name: str, class_word: str = "woman", consent: bool = True) -> CharacterFolder:
        """A character without photos."""
        agreed = Consent("fictional", "2024-05-06") if consent else None
        return create(self.root, Character(name, f"{name[:2].lower()}xqa", class_word, agreed))

    def running(self, kind: str, character: str, arguments: dict[str, Any] | None = None, run: str = "") -> Job:
        """A job that runs, as far as the queue knows."""
        added = self.queue.add(character, arguments_of(kind, arguments or {}), first=True)
        job = self.queue.take("light" if kind in ("audit", "fill") else "heavy", OWNER)
        assert job is not None
        assert job.id == added.id
        if run:
            self.queue.note_run(job.id, run)
        return job

    def tells(self, job: Job, kind: str, **values: Any) -> None:
        """One event of a job."""
        folder = self.queue.folder(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        EventLog(folder / "events.jsonl")(kind, **values)


@contextmanager
def planted_page(root: Path) -> Iterator[Planted]:
    """Serve the page of a data folder in a thread of this process.

    It takes the training's device to be a CPU: to ask for it, a process loads torch.
    """
    import uvicorn

    from lib_lora.ui.views import machine

    host, queue = Alone(root, token=route_access.TOKEN), Queue(root)

    class AttachedAlone:
        """As `ui.page.attach.Attached`, with nobody who runs the jobs."""

        def tab(self) -> Any:
            """Gradio's part of the page."""
            from lib_lora.ui.page.tab import tab

            return tab(host, route_access.TOKEN)

        def started(self, _demo: Any, app: Any) -> None:
            """Put the routes into the app."""
            app.include_router(page_modules.router())
            app.include_router(router(host, queue, Nobody()))  # type: ignore[arg-type]

    plain = patch.object(machine, "_torch_facts", lambda *_: TorchFacts("2.9.0"))
    with plain, socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
        app = page_app.page(host, AttachedAlone())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: server.run(sockets=[own]), daemon=True)
        thread.start()
        until = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < until, "the page did not start"
            time.sleep(0.05)
        try:
            yield Planted(f"http://127.0.0.1:{port}/?{route_access.PARAMETER}={route_access.TOKEN}", root, queue)
        finally:
            server.should_exit = True
            thread.join(30)
