"""What the tests of other machines share: an SSH server, and a data folder with a run for one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ssh_server import SshServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server that all tests of a module use; nothing of the installation there is made twice."""
    from ssh_server import SshServer

    made = SshServer(tmp_path_factory.mktemp("ssh"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, toy: Callable[[str], Path]) -> Path:
    """A data folder with a character and a run that was made for another machine."""
    from remote_harness import prepare

    folder = tmp_path_factory.mktemp("prepared")
    base = shutil.copy(toy("sd1"), folder / "Basis 名前.safetensors")
    prepare(folder / "zu Hause ü", Path(base), folder / "photos")
    return folder / "zu Hause ü"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """While a block runs, this process sees no byte free on any disk; other machines' processes do."""

    @contextmanager
    def full() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 0))
            yield

    return full
