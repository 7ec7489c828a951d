"""Hosts SameFace without a webui: with folders instead of a list of models, and no other program on the GPU."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from PIL import Image

import lib_lora
from lib_lora.errors import UserError
from lib_lora.files import digest_of
from lib_lora.hosts.host_protocol import CardVisibility, Checkpoint, Host, OfferedCaptioner, Roots
from lib_lora.job_host import Each, never
from lib_lora.pictures import Cell
from lib_lora.setup import environment
from lib_lora.workspace.workspace import Workspace

_BUNDLED = environment.bundled("tests/data/mini-face")
_SUFFIXES = (".safetensors", ".ckpt")
_LEAST = 8 << 20  # bytes; what is smaller is no base model
_LEFT_OUT = ("COMMANDLINE_ARGS", "PYTHONHOME")
_NO_WEBUI = (
    "SameFace runs without a webui here: copy the file into your webui's folder models/Lora, or put it into a folder of"
    " your choice."
)


class Alone(Host):
    """A host of its own.

    Args:
        data: the data folder.
        models: folders of base models, or single files; those that the variable SAMEFACE_MODELS names come after them.
        listening: other machines may reach it.
        token: what everybody has to show in the cookie whose name is `cookie`. Each token has its own, since all pages
            of a machine share their cookies. Empty: one that nobody knows.
    """

    name = "alone"
    version = lib_lora.__version__

    def __init__(self, data: Path, models: Sequence[Path] = (), listening: bool = False, token: str = "") -> None:
        named = filter(None, os.environ.get("SAMEFACE_MODELS", "").split(os.pathsep))
        self._data = data.absolute()
        self._models = [*(path.expanduser().absolute() for path in (*models, *map(Path, named)))]
        self._listening, self._token = listening, token or secrets.token_urlsafe(32)
        self.cookie = f"sameface-{digest_of(self._token)[:8]}"

    def roots(self) -> Roots:
        there = [path for path in self._models if path.exists()]
        named = dict.fromkeys(path if path.is_dir() else path.parent for path in there)
        bundled = [_BUNDLED] if _BUNDLED.exists() else []  # after the data folder's: nothing is fetched into this one
        return Roots(self._data, [Workspace(self._data).loras], [*named, Workspace(self._data).models, *bundled])

    def checkpoints(self) -> list[Checkpoint]:
        """The bundled small one comes last."""
        found = {path: Checkpoint(_title(path, top), path) for top in self._tops() for path in _below(top)}
        return list(found.values())

    def _tops(self) -> tuple[Path, ...]:
        return (*self._models, Workspace(self._data).models, _BUNDLED)

    def current_checkpoint(self) -> Path | None:
        """The first one."""
        return next((checkpoint.path for checkpoint in self.checkpoints()), None)

    def samplers(self) -> list[str]:
        """The samplers of the worker's painter (`grid.diffusers_painter`)."""
        return ["Euler", "Euler a", "DPM++ 2M", "DDIM"]

    def busy(self) -> bool:
        return False

    def gpu_session(
        self, allow_painting: bool = False, give_up: Callable[[], bool] = never
    ) -> AbstractContextManager[None]:
        """Nobody else is on the GPU."""
        return nullcontext()

    def paints(self) -> bool:
        """The worker does, with diffusers."""
        return False

    def paint(self, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]) -> None:
        """Nothing here can.

        Raises:
            UserError: always.
        """
        raise UserError("There is no webui here to paint with; let the worker paint.", code="webui-missing")

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        return None

    def captioners(self) -> list[OfferedCaptioner]:
        """The worker has those that work without a webui."""
        return []

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool] = never) -> list[str]:
        """Nothing here can.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"SameFace runs without a webui here, so there is no {captioner}; use another captioner.",
            code="webui-missing",
        )

    def refresh_loras(self, stem: str) -> None:
        """There is no list."""

    def shows(self, family: str, marked: str = "") -> CardVisibility:
        return CardVisibility(False, _NO_WEBUI)

    def remote(self) -> bool:
        return self._listening

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Who has the token, from whatever machine: a machine may have many accounts."""
        return secrets.compare_digest(cookies.get(self.cookie, "").encode("utf-8", "replace"), self._token.encode())

    def worker_command(self) -> list[str]:
        """This Python."""
        return [sys.executable]

    def worker_environment(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        inherited = variables.get("PYTHONPATH", "")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(environment.ROOT), inherited]))
        return variables | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}


def _below(top: Path) -> Iterator[Path]:
    """The files in a folder, and in those below it, that may be base models; or the file itself."""
    if top.is_file():
        yield top
        return
    for folder, folders, names in os.walk(top):
        folders.sort()
        yield from (path for path in _paths(folder, names) if _is_large(path))


def _paths(folder: str, names: Iterable[str]) -> Iterator[Path]:
    return (Path(folder, name) for name in sorted(names) if name.lower().endswith(_SUFFIXES) and name[0] != ".")


def _is_large(path: Path) -> bool:
    try:
        return path.stat().st_size >= _LEAST
    except OSError:  # a link to nowhere
        return False


def _title(path: Path, top: Path) -> str:
    """A model's name as A1111 gives it: its path in the folder of models."""
    return path.name if path == top else path.relative_to(top).as_posix()
