"""Defines what running jobs need of the program around SameFace; `hosts.host_protocol.Host` extends it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from PIL import Image

from lib_lora.pictures import Cell

Each = Callable[[int, Image.Image, str], None]  # number of the picture, the picture, its infotext


def never() -> bool:
    """Nobody gives up."""
    return False


class JobHost(ABC):
    """The program around SameFace, as far as jobs need it. All methods may be called from any thread."""

    @abstractmethod
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

    @abstractmethod
    def paints(self) -> bool:
        """Whether `paint` works here."""

    def refuses(self, family: str) -> str:
        """Why `paint` does not work with base models of a family (`models.families`), one sentence; empty = it does."""
        del family
        return ""

    def reads_vectors(self) -> bool:
        """Whether `paint` takes the vectors of words that are in a LoRA file; it refuses such a file otherwise."""
        return True

    @abstractmethod
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

    @abstractmethod
    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        """A picture through the VAE of the selected model and back; None where that cannot be had.

        Args:
            image: the picture.
            stop: asked while it waits for its turn; true = it is not wanted any more.
        """

    @abstractmethod
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

    @abstractmethod
    def worker_command(self) -> list[str]:
        """The Python, and its options, that runs ``-m lib_lora``."""

    @abstractmethod
    def worker_environment(self) -> dict[str, str]:
        """The environment of the worker process."""
