"""The host as the supervisor sees it: with what is set in the tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from PIL import Image

from lib_lora import environment
from lib_lora.errors import UserError
from lib_lora.hosts.host_protocol import Host
from lib_lora.pictures import Cell
from lib_lora.workspace import preferences


class ConfiguredHost:
    """What running jobs needs of a host (`queue.parent_pipe.JobHost`), and which Python runs workers.

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
            raise UserError(
                f"The Python that trains, {chosen}, is not there; correct it in the settings.",
                code="worker-python-missing",
                program=chosen,
            )
        return [chosen]

    def worker_environment(self) -> dict[str, str]:
        """The host's; another Python's own packages are not hidden by those for this one."""
        variables = self.host.worker_environment()
        if preferences.load(self._root).worker_python:
            variables = {**variables, "PYTHONPATH": str(environment.ROOT)}
            variables.pop("PYTHONHOME", None)  # it is that of the host's Python
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

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool]) -> list[str]:
        """The host's."""
        return self.host.caption(captioner, image, stop)

    def allows_painting(self) -> bool:
        """Whether others may paint while something trains, by the tab's settings."""
        return preferences.load(self._root).allow_painting
