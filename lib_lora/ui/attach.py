"""What a host calls once at its start and again after each "Reload UI": queue and supervisor are there once for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from lib_lora import private
from lib_lora.hosts.base import Host
from lib_lora.jobs.queue import Queue
from lib_lora.jobs.supervisor import Supervisor
from lib_lora.ui import guard
from lib_lora.ui.ground import Ground
from lib_lora.ui.paths import ensure_folder
from lib_lora.ui.routes import included, router

if TYPE_CHECKING:
    import gradio as gr  # type: ignore[import-untyped, import-not-found, unused-ignore]

_lock = Lock()
_kept: dict[Path, tuple[Queue, Supervisor, Ground]] = {}  # by data folder; outlives the scripts, not the process


@dataclass(frozen=True)
class Attached:
    """What a host gives on.

    Attributes:
        tab: makes the tab (`hosts.page.register` takes it).
        started: puts the routes into an app, once, and starts the supervisor; for a webui's `on_app_started`.
        queue, supervisor: of the data folder.
    """

    tab: Callable[[], gr.Blocks]
    started: Callable[[Any, FastAPI], None]
    queue: Queue
    supervisor: Supervisor


def attach(host: Host) -> Attached:
    """Make SameFace part of a host.

    Raises:
        UserError: the data folder cannot be used.
    """
    root = host.roots().data
    private.keep(root)
    ensure_folder(root)
    with _lock:
        if root not in _kept:
            ground = Ground(host, root)
            _kept[root] = (Queue(root), Supervisor(root, ground), ground)
        queue, supervisor, ground = _kept[root]
        ground.host = host  # a reloaded script brings a new one

    def tab() -> gr.Blocks:
        from lib_lora.ui.tab import tab

        return tab(host, guard.TOKEN)

    def started(demo: Any, app: FastAPI) -> None:  # noqa: ARG001 - as webuis call it
        if not included(app):
            app.include_router(router(host, queue, supervisor))
        supervisor.start()

    return Attached(tab, started, queue, supervisor)
