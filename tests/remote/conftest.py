from __future__ import annotations

import pytest
from fake_runpod import KEY, FakeRunpod

from lib_lora.remote.runpod_api import RunpodApi


@pytest.fixture(autouse=True)
def _no_key_and_no_proxy(monkeypatch):
    """As on a computer that has no key of RunPod yet, and reaches the loopback directly."""
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def runpod(tmp_path):
    with FakeRunpod(tmp_path / "pods").running() as server:
        yield server


@pytest.fixture
def pauses():
    """How long was waited between tries, in seconds; nothing is."""
    return []


@pytest.fixture
def api(runpod, pauses):
    return RunpodApi(KEY, runpod.base, timeout=2, pause=pauses.append)
