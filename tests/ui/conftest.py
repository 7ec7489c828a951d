"""A host that is none, the real queue without anybody who runs it, and a client of the routes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from faults import check_sentence
from PIL import Image

from lib_lora.character.store import Character, Consent, create
from lib_lora.hosts.host_protocol import CardVisibility, Checkpoint, Host, OfferedCaptioner, Roots
from lib_lora.job_host import Each, never
from lib_lora.pictures import Cell
from lib_lora.queue.queue import Queue
from lib_lora.ui.http import codes
from lib_lora.ui.routes import route_table
from lib_lora.workspace import file_cache
from lib_lora.workspace.workspace import CharacterFolder

if TYPE_CHECKING:
    from lib_lora.queue.running.supervisor import Supervisor

MARA = Path(__file__).parents[1] / "data" / "personas" / "mara"
TOKEN = "a page's token"


class FakeHost(Host):
    """What it says can be set."""

    def __init__(self, root: Path) -> None:
        self.name, self.version = "alone", "1"
        self.root = root
        self.loras: list[Path] = []
        self.models: list[Checkpoint] = []
        self.current: Path | None = None
        self.is_remote, self.lets_in = False, True
        self.refreshed: list[str] = []
        self.offers: list[OfferedCaptioner] = []

    def roots(self) -> Roots:
        return Roots(self.root, self.loras, [])

    def checkpoints(self) -> list[Checkpoint]:
        return self.models

    def current_checkpoint(self) -> Path | None:
        return self.current

    def samplers(self) -> list[str]:
        return ["Euler"]

    def busy(self) -> bool:
        return False

    @contextmanager
    def gpu_session(self, allow_painting: bool = False, give_up: Callable[[], bool] = never) -> Iterator[None]:
        yield

    def paints(self) -> bool:
        return False

    def paint(self, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]) -> None:
        raise AssertionError

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        return None

    def captioners(self) -> list[OfferedCaptioner]:
        return self.offers

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool] = never) -> list[str]:
        raise AssertionError

    def refresh_loras(self, stem: str) -> None:
        self.refreshed.append(stem)

    def refresh_checkpoints(self) -> None:
        self.refreshed.append("checkpoints")

    def shows(self, family: str, marked: str = "") -> CardVisibility:
        return CardVisibility(False, "Another model is selected.")

    def remote(self) -> bool:
        return self.is_remote

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        return self.lets_in

    def worker_command(self) -> list[str]:
        return ["python"]

    def worker_environment(self) -> dict[str, str]:
        return {}


class FakeSupervisor:
    """Runs nothing."""

    active, reason, holds = True, "", False

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def start(self) -> None:
        pass


@dataclass
class Page:
    """What a page has: the routes, and what lies behind them."""

    root: Path
    host: FakeHost
    queue: Queue
    supervisor: FakeSupervisor
    client: TestClient
    prefix: str = "/sameface/v1"
    said: dict[str, Any] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)  # where the program runs

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(self.prefix + path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.client.post(self.prefix + path, json={} if body is None else body, **more)

    def got(self, path: str) -> Any:
        """The answer of a GET that must go well."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def done(self, path: str, body: Any = None) -> Any:
        """The answer of a POST that must go well."""
        answer = self.post(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def confirmed(self, path: str, body: Any) -> Any:
        """The answer of a POST that must go well once the code is typed that is shown where the program runs."""
        assert self.post(path, body).status_code == 428
        return self.done(path, {**body, "code": self.shown[-1].split()[-1]})

    def refused(self, path: str, body: Any = None, status: int = 400, has: str = "") -> None:
        """Check that a POST is refused, and that the sentence names a value (a file, a number); `code_of` says why."""
        assert has in self._fault(path, body, status)["error"]

    def code_of(self, path: str, body: Any = None, status: int = 400) -> str:
        """The code of the fault for which a POST must be refused."""
        return self._fault(path, body, status)["code"]

    def faulted(self, path: str, body: Any = None, status: int = 400) -> str:
        """The field that a refused POST names; empty where it names none."""
        return self._fault(path, body, status).get("field", "")

    def _fault(self, path: str, body: Any, status: int) -> dict[str, str]:
        answer = self.post(path, body)
        assert answer.status_code == status, answer.text
        fault: dict[str, str] = answer.json()
        assert fault.keys() - {"field"} == {"error", "code"}
        check_sentence(fault["error"], fault["code"])
        return fault

    def character(
        self, name: str = "Mara", photos: int = 0, consent: bool = True, trigger: str = "mrxa"
    ) -> CharacterFolder:
        """A character with photos and no captions."""
        agreed = Consent("fictional", "2024-05-06") if consent else None
        folder = create(self.root, Character(name, trigger, "woman", agreed))
        for photo in sorted(MARA.glob("*.jpg"))[:photos]:
            shutil.copy(photo, folder.photos / photo.name)
        return folder


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    file_cache.forget()
    root = tmp_path / "data 名前"
    root.mkdir()
    host, queue, supervisor = FakeHost(root), Queue(root), FakeSupervisor()
    app = FastAPI()
    app.include_router(route_table.router(host, queue, cast("Supervisor", supervisor), TOKEN))
    with TestClient(app, "http://127.0.0.1") as client:
        page = Page(root, host, queue, supervisor, client)
        monkeypatch.setattr(codes, "show", page.shown.append)
        yield page
