"""What holds for every test: no network, one thread a worker, and marked tests that need more than a laptop."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["shared", "browser_fixtures", "face_fixtures", "faces_once", "job_fixtures", "pins"]
pytest_plugins += ["main_job_elsewhere", "remote_fixtures", "toy_fixtures"]

gc.disable()  # until all tests are collected: what is loaded stays, and looking for dead objects in it took a tenth
hypothesis.settings.register_profile("sameface", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("sameface")
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})
# Nobody here compiles a model, but bitsandbytes, which peft imports, has functions to be compiled some day: that loads
# torch's compiler in every process that trains, for more than a second of processor time.
os.environ["TORCHDYNAMO_DISABLE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores; with torch's default of a thread a core each, they spend their time waiting.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _lacks_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA GPU on this machine"


def _lacks_webui() -> str | None:
    folder = os.environ.get("SAMEFACE_WEBUI", "")
    if not folder:
        return "SAMEFACE_WEBUI does not name the folder of a real A1111 or Forge"
    return None if (Path(folder) / "launch.py").is_file() else f"SAMEFACE_WEBUI={folder} holds no webui"


def _lacks_full_size() -> str | None:
    return None if os.environ.get("SAMEFACE_FULL_SIZE") == "1" else "takes minutes and gigabytes; SAMEFACE_FULL_SIZE=1"


_NEEDS = {"gpu": _lacks_gpu, "webui": _lacks_webui, "full_size": _lacks_full_size}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: a worker that meets one last keeps all others waiting."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: looking through them again and again for dead objects took a twelfth."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test where what it needs is absent, and say what that is."""
    for name, lacks in _NEEDS.items():
        marker = item.get_closest_marker(name)
        running = bool(
            marker and marker.kwargs.get("running")
        )  # a webui that runs already; these look for it themselves
        if marker and not running and (reason := lacks()):
            pytest.skip(reason)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test that tries it."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "::1") and not str(host).startswith("127."):
            raise AssertionError(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", only_here)
