"""Paints through a running ComfyUI, on this machine or another.

It queues a few workflows at a time, so that ComfyUI never waits, and stopping waits for one picture at most. The same
seed gives other pictures than in A1111 or diffusers, see `workflow`. Imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import io
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.comfyui.comfy_address import BY
from lib_lora.comfyui.comfy_answers import Done
from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.comfy_files import ComfyFiles
from lib_lora.comfyui.graph import api_form
from lib_lora.comfyui.workflow import PICTURE, SAMPLER, ComfyBase, workflow
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.pictures import Cell, parameters

_AHEAD = 3  # workflows in the queue
_POLL = 0.25  # seconds between two checks at what is done


@dataclass(frozen=True)
class ComfyJob:
    """What a painter paints with and how it waits.

    Attributes:
        base: the base model; its checkpoint's name is that in ComfyUI's list.
        stem: the base model's name in what pictures say of themselves.
        stopping: asked meanwhile; true = paint no more.
        pause: waits that many seconds; for tests.
    """

    base: ComfyBase
    stem: str
    stopping: Callable[[], bool] = lambda: False
    pause: Callable[[float], None] = time.sleep


class ComfyPainter:
    """See `grid.cells.Painter`.

    Args:
        api: of the ComfyUI.
        files: finds the LoRAs there.
        job: what is painted with.
        reconstruct: a picture through the base model's VAE and back, on this machine: photos stay here.

    Attributes:
        by: who paints, as plans have it.
    """

    by = BY

    def __init__(
        self,
        api: ComfyApi,
        files: ComfyFiles,
        job: ComfyJob,
        reconstruct: Callable[[Image.Image], Image.Image | None] = lambda _: None,
    ) -> None:
        self._api, self._files, self._job, self._through_vae = api, files, job, reconstruct
        self._samplers: tuple[list[str], list[str]] | None = None

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets them in the order in which they come.

        Raises:
            UserError: ComfyUI cannot be reached, lacks a model, or could not paint; what `each` got is kept.
            StoppedByUser: `stopping` said so, or somebody has interrupted it in ComfyUI.
        """
        self._check_stop()
        todo = [(number, self._prompt(cell)) for number, cell in enumerate(cells)]  # faults before the first picture
        pictures: dict[int, Image.Image] = {}
        queued: dict[str, int] = {}
        try:
            while len(pictures) < len(cells):
                while todo and len(queued) < _AHEAD:
                    number, prompt = todo.pop(0)
                    queued[self._api.queue(prompt)] = number
                finished = self._finished(list(queued))
                for identifier, done in finished:
                    number = queued.pop(identifier)
                    pictures[number] = self._picture(cells[number], done)
                    if each:
                        each(number, pictures[number])
                self._check_stop()
                if not finished:
                    self._job.pause(_POLL)
        finally:
            if queued:  # whatever has ended it: nothing of ours goes on there
                with suppress(UserError):
                    self._api.stop(list(queued))
        return [pictures[number] for number in range(len(cells))]

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """An RGB picture through the base model's VAE and back, on this machine: photos stay here."""
        return self._through_vae(image)

    def close(self) -> None:
        """Take away what was put into ComfyUI's folder of LoRAs."""
        self._files.close()

    def _prompt(self, cell: Cell) -> dict[str, object]:
        """The workflow of a cell, in the API form."""
        if cell.variation or cell.inverted:
            raise UserError(
                "ComfyUI can neither vary a seed nor invert a picture to its noise; choose diffusers as the painter.",
                code="comfyui-without-variations",
            )
        named = ((cell.lora, cell.weight), *cell.more) if cell.lora else cell.more
        loras = [(self._files.lora(path), weight) for path, weight in named]
        start = self._uploaded(cell.start) if cell.start else ""
        graph = workflow(cell, self._job.base, loras, start=start)
        values = graph["3"].values
        self._check_sampler(str(values["sampler_name"]), str(values["scheduler"]), cell)
        return api_form(graph)

    def _uploaded(self, picture: Path) -> str:
        """A picture to paint over, put there under a name of its own, as the workflow has it."""
        stream = io.BytesIO()
        open_photo(picture).save(stream, "PNG")  # without what the file says of itself
        content = stream.getvalue()
        return self._api.upload(f"sameface-{hashlib.sha256(content).hexdigest()[:32]}.png", content)

    def _check_sampler(self, sampler: str, scheduler: str, cell: Cell) -> None:
        if self._samplers is None:
            self._samplers = self._api.choices(SAMPLER, "sampler_name"), self._api.choices(SAMPLER, "scheduler")
        if sampler not in self._samplers[0] or scheduler not in self._samplers[1]:
            raise UserError(
                f"The ComfyUI at {self._api.address} lacks {sampler} with {scheduler}, which stands for the sampler "
                f"{cell.sampler!r}; choose another sampler, or update ComfyUI.",
                code="comfyui-sampler-missing",
                sampler=cell.sampler,
            )

    def _finished(self, identifiers: Sequence[str]) -> list[tuple[str, Done]]:
        """The pictures that are done."""
        found = [(one, done) for one in identifiers if (done := self._api.done(one)) is not None]
        if found:
            return found
        waiting = self._api.waiting()
        lost = [one for one in identifiers if one not in waiting]
        found = [(one, done) for one in lost if (done := self._api.done(one)) is not None]  # done since the first look
        if lost and not found:
            raise self._lost()
        return found

    def _lost(self) -> UserError:
        return UserError(
            f"ComfyUI at {self._api.address} no longer knows the pictures that it was to paint: it was restarted, or "
            "its queue was emptied; start the same again, what is painted is kept.",
            code="comfyui-pictures-lost",
            address=self._api.address,
        )

    def _picture(self, cell: Cell, done: Done) -> Image.Image:
        """The picture of a workflow that is done."""
        if done.interrupted:
            raise StoppedByUser(
                "Interrupted in ComfyUI; the pictures painted so far are kept.", code="stopped-in-comfyui"
            )
        places = done.pictures.get(PICTURE) or []
        if done.fault or not places:
            raise UserError(
                f"ComfyUI could not paint: {done.fault or 'its answer names no picture'}; what is painted is kept.",
                code="comfyui-painting-failed",
                said=done.fault,
            )
        content = self._api.picture(places[0])
        if content is None:
            raise self._lost()
        image = _read(content, (cell.width, cell.height))
        skip = f", Clip skip: {self._job.base.clip_skip}" if self._job.base.clip_skip > 1 else ""
        image.info["parameters"] = f"{parameters(cell, self._job.stem)}{skip}, VAE: None, Version: ComfyUI"
        return image

    def _check_stop(self) -> None:
        if self._job.stopping():
            raise StoppedByUser("Stopped; the pictures painted so far are kept.", code="painting-stopped")


def _read(content: bytes, size: tuple[int, int]) -> Image.Image:
    """A PNG that came; its size is known before a pixel of it is read.

    Raises:
        UserError: it is not one, or of another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                if image.size == size:
                    picture: Image.Image = image.convert("RGB")
                    picture.info = {}
                    return picture
                said = f"it is {image.width}x{image.height} pixels and not {size[0]}x{size[1]}"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        said = "it is not a complete PNG"
    raise UserError(
        f"A picture from ComfyUI was rejected: {said}; check whether a custom node changes pictures.",
        code="comfyui-picture-invalid",
    )
