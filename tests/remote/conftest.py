from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runpod import KEY, FakeRunpod

from lib_lora.remote import agent
from lib_lora.remote.agent import Agent
from lib_lora.remote.runpod.runpod_api import RunpodApi

TEXT = Path(agent.__file__).read_text(encoding="utf-8").replace("_BEATS = 1.0", "_BEATS = 0.1")
VERSION = hashlib.sha256(b"a wheel").hexdigest()


@pytest.fixture(autouse=True)
def _no_key_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a computer that has no key of RunPod yet, and reaches the loopback directly."""
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def runpod(tmp_path: Path) -> Iterator[FakeRunpod]:
    with FakeRunpod(tmp_path / "pods").running() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited between tries, in seconds; nothing is."""
    return []


@pytest.fixture
def api(runpod: FakeRunpod, pauses: list[float]) -> RunpodApi:
    return RunpodApi(KEY, runpod.base, timeout=2, pause=pauses.append)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the other machine."""
    folder = tmp_path / "home ü"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    return folder


@pytest.fixture
def here(home: Path) -> Iterator[Agent]:
    """An agent of the other machine; what it started is ended."""
    made = Agent("same face", TEXT)
    yield made
    for key in made.jobs()["jobs"]:
        made.kill(key)


@pytest.fixture
def worker(here: Agent) -> Callable[..., dict[str, Any]]:
    """Puts the code of a worker in the place of an installation; returns what starts it."""

    def put(code: str, job: str = "home-1") -> dict[str, Any]:
        here.arrange(job, {}, {})
        python = here._version(VERSION) / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        script = python.with_suffix(".script")
        script.write_text(f"import json, os, signal, sys, time\n{code}\n", encoding="utf-8")
        # exec: its process is the worker itself, as a real one's is
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        return here.start(job, VERSION, ["worker", "7", "--data", str(here._data(job))])

    return put
