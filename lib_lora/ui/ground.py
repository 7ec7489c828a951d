"""The host as the supervisor sees it: with the settings that the tab has written laid over the host's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora import environment
from lib_lora.errors import UserError
from lib_lora.grid.cells import Cell
from lib_lora.hosts.base import Host
from lib_lora.hosts.settings import PAINT, WHILE_TRAINING
from lib_lora.jobs import preferences


class Ground:
    """What running jobs needs of a host (`jobs.relay.Ground`).

    Args:
        host: may be replaced while jobs run.
        root: the data folder, with ``settings.json``.
    """

    def __init__(self, host: Host, root: Path) -> None:
        self.host = host
        self._root = root

    def worker_command(self) -> list[str]:
        """The Python of the tab's settings, else the host's.

        Raises:
            UserError: it is not there.
        """
        chosen = preferences.load(self._root).worker_python
        if not chosen:
            return self.host.worker_command()
        if not Path(chosen).is_file():
            raise UserError(f"The Python that trains, {chosen}, is not there; correct it in the settings.")
        return [chosen]

    def worker_environment(self) -> dict[str, str]:
        """The host's; another Python's own packages are not hidden by those for this one."""
        variables = self.host.worker_environment()
        if preferences.load(self._root).worker_python:
            variables = {**variables, "PYTHONPATH": str(environment.ROOT)}
        return variables

    def gpu_session(self, allow_painting: bool, give_up: Callable[[], bool]) -> AbstractContextManager[None]:
        """The host's."""
        return self.host.gpu_session(allow_painting, give_up)

    def paints(self) -> bool:
        """The host's."""
        return self.host.paints()

    def paint(
        self,
        pictures: Sequence[Cell],
        base: Path | None,
        each: Callable[[int, Image.Image, str], None],
        stop: Callable[[], bool],
    ) -> None:
        """The host's."""
        self.host.paint(pictures, base, each, stop)

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool]) -> Image.Image | None:
        """The host's."""
        return self.host.reconstruct(image, stop)

    def option(self, key: str, default: Any = None) -> Any:
        """The host's; "allow_painting" may be said in either place."""
        if key != "allow_painting":
            return self.host.option(key, default)
        return painting_allowed(self.host, self._root) or bool(default)


def painting_allowed(host: Host, root: Path) -> bool:
    """Whether the webui may paint while something trains: it may be said on our page, or in the webui's settings.

    Raises:
        UserError: our settings are damaged.
    """
    return preferences.load(root).allow_painting or host.option(WHILE_TRAINING) == PAINT
