"""What SameFace asks of the program that it lives in: a webui, or nothing but itself. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from lib_lora.hosts.queue_lock import never
from lib_lora.pictures import Cell


@dataclass(frozen=True)
class Roots:
    """Where the host keeps things.

    Attributes:
        data: SameFace's data folder.
        loras: folders whose LoRAs the host shows; the first is where new ones go. Empty: there is none.
        checkpoints: folders of base models.
    """

    data: Path
    loras: list[Path] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A base model that the host knows.

    Attributes:
        title: as the host shows it.
        path: of the file.
        sha256: where the host has it at hand, else empty.
    """

    title: str
    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class CardVisibility:
    """Whether a LoRA's card will be seen in the host.

    Attributes:
        shown: the host lists it.
        why: if not, one sentence with what to do.
    """

    shown: bool
    why: str = ""


@dataclass(frozen=True)
class OfferedCaptioner:
    """A captioner that the host has.

    Attributes:
        name: by which it is asked for; it begins with "webui-".
        text: what it does, for people.
        why: empty where it is ready, else one sentence with what to do.
    """

    name: str
    text: str
    why: str = ""


Each = Callable[[int, Image.Image, str], None]  # number of the picture, the picture, its infotext


class Host(Protocol):
    """The program around SameFace. All methods may be called from any thread."""

    name: str  # "a1111", "ux", "forge", "reforge" or "alone"
    version: str

    def roots(self) -> Roots:
        """Where things lie now (settings may change while it runs)."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """The base models that it knows."""
        ...

    def current_checkpoint(self) -> Path | None:
        """The one that is selected."""
        ...

    def samplers(self) -> list[str]:
        """Names of samplers for test pictures; the first is the default."""
        ...

    def busy(self) -> bool:
        """Whether it is painting now."""
        ...

    def gpu_session(
        self, allow_painting: bool = False, give_up: Callable[[], bool] = never
    ) -> AbstractContextManager[None]:
        """Its models leave the GPU while the block runs, and come back afterwards on every path.

        Waits until the picture that is being painted is done. Unless `allow_painting`, whoever wants to paint
        meanwhile waits in its queue, and its progress line says why.

        Args:
            allow_painting: others may paint in the block.
            give_up: asked while it waits for its turn.

        Raises:
            StoppedByUser: it was given up while it waited; nothing has left the GPU.
        """
        ...

    def paints(self) -> bool:
        """Whether `paint` works here."""
        ...

    def paint(self, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]) -> None:
        """Paint through its own pipeline, one call for each LoRA or none; options and "last generation" are restored.

        Args:
            pictures: what to paint.
            base: the checkpoint; None = the selected one.
            each: gets each picture once it is there.
            stop: asked between pictures; true = end early.

        Raises:
            UserError: it cannot be painted, one sentence.
        """
        ...

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        """A picture through the VAE of the selected model and back; None where that cannot be had.

        Args:
            image: the picture.
            stop: asked while it waits for its turn; true = it is not wanted any more.
        """
        ...

    def captioners(self) -> list[OfferedCaptioner]:
        """The captioners that it has, ready or not; the plainest first."""
        ...

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool] = never) -> list[str]:
        """What one of its captioners says of a picture, as phrases for a caption.

        Args:
            captioner: its name.
            image: an upright picture.
            stop: asked while it waits for its turn.

        Raises:
            UserError: it has no such captioner, or that cannot be used now.
            StoppedByUser: it was stopped while it waited.
        """
        ...

    def refresh_loras(self, stem: str) -> None:
        """Make a LoRA that has just been written known; the page's own list is refreshed by the browser's script."""
        ...

    def shows(self, family: str) -> CardVisibility:
        """Whether the card of a LoRA for this family (`models.families`) is seen with the model that is selected."""
        ...

    def remote(self) -> bool:
        """Whether others than this machine's user may reach it: then no free path or program may be named."""
        ...

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether the sender of an HTTP request may use the routes: what protects the webui protects them too."""
        ...

    def worker_command(self) -> list[str]:
        """The Python, and its options, that runs ``-m lib_lora``."""
        ...

    def worker_environment(self) -> dict[str, str]:
        """The environment of the worker process."""
        ...
