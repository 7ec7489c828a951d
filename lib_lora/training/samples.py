"""Paints a few pictures during training with the modules that are trained, to show what the LoRA can do so far.

Prompts, seeds and size are the same at every checkpoint, so the pictures of two steps can be compared. Painting is a
guest of the training: it draws from generators of its own, gives the modules back as they were, and where it fails it
is given up with a warning, while the training goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKL
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.models.fast.memory import free_bytes, is_out_of_memory
from lib_lora.models.vae import decode, reconstruct
from lib_lora.pictures import NEGATIVE, Cell, is_painted_as, save_picture
from lib_lora.training.painted_latents import (
    LatentSampling,
    Stopped,
    give_back,
    paint_latents,
    painted_side,
    painted_together,
)
from lib_lora.training.plan.checkpoint_test import CheckpointTest, EarlyStop, measured_steps
from lib_lora.training.plan.estimate import picture_steps
from lib_lora.training.plan.sample_prompts import prompts_of

if TYPE_CHECKING:
    from lib_lora.training.session import Session

FIRST_SEED = 1000  # of the noise, drawn as webuis draw it: the finished LoRA paints the same faces there

_SMALL_VAE = 64 << 20  # bytes; one that is smaller stays in memory between checkpoints
_DECODING = 4096  # bytes that decoding takes for each pixel of a picture, in float32
_TILE = 64  # latent cells of the side of a piece, where the whole does not fit


@dataclass(frozen=True)
class _Picture:
    """One picture of a checkpoint.

    Attributes:
        number: among all of the checkpoint.
        cell: its prompts and seed.
        role: "base", "lora" or "leak", where it is painted to be measured; empty where only to be looked at.
    """

    number: int
    cell: Cell
    role: str = ""


class Samples:
    """Paints for one session.

    Args:
        session: whose modules are trained.
        emit: gets a ``sample`` event for each picture, and a warning if painting is given up.
        test: further pictures, which are measured; None = none.
    """

    def __init__(self, session: Session, emit: Callable[..., None], test: CheckpointTest | None = None) -> None:
        self.session, self.emit, self.test = session, emit, test
        self.train = session.run.file.settings
        prompts = prompts_of(session.run.file.character, self.train)
        self._own = [_Picture(n, Cell(prompt, NEGATIVE, FIRST_SEED + n)) for n, prompt in enumerate(prompts)]
        cells = test.cells if test else {}
        with_lora = [(role, cell) for role in ("lora", "leak") for cell in cells.get(role, ())]
        base = [("base", cell) for cell in cells.get("base", ())]  # numbered as those that they are compared with
        numbered = [*enumerate(with_lora, len(prompts)), *enumerate(base, len(prompts))]
        self._measured = [_Picture(number, cell, role) for number, (role, cell) in numbered]
        self._every = self.train.checkpoint_interval(session.total)
        self._tested = measured_steps(session.total, self._every)
        self._took = (0, 0.0)  # pictures of this session, and seconds until they were painted and measured
        self.side = painted_side(self.train.resolution or session.info.resolution)
        self._vae: AutoencoderKL | None = None
        self._exact_vae: AutoencoderKL | None = None

    def seconds_left(self, step: int, pace: float) -> float:
        """How long the pictures take that are still to come: as those of this session did, or as steps that do as much.

        Args:
            step: steps that are done; its own pictures are still to come.
            pace: seconds for a step.
        """
        total = self.session.total
        first = max(1, -(-step // self._every)) * self._every
        saved = [*range(first, total, self._every), total]
        measured = sum(one.role != "base" for one in self._measured)
        left = len(saved) * len(self._own) + measured * len(self._tested.intersection(saved))
        count, seconds = self._took
        return left * (seconds / count if count else pace * picture_steps(self.train))

    def paint_base(self, stop: Callable[[], bool]) -> None:
        """Paint what the measured pictures are compared with, by the base model alone, unless that was done before.

        Where nothing can be measured, that is said, and nothing is painted for it.
        """
        if self.test is None or not self._measured:
            return
        try:
            self.test.check()
        except Exception as error:  # as in `_paint`
            self._measure_no_more(error)
            return
        pictures = [one for one in self._measured if one.role == "base" and not self._is_there(one)]
        with AdapterSwitch(self.session.modules).off():
            self._paint(0, pictures, stop)

    def make_up_for(self, step: int, stop: Callable[[], bool]) -> EarlyStop | None:
        """Paint and measure the step that a run goes on from, where it was ended before that was done; see `paint`."""
        if self.test is None or step not in self._tested or step in self.test.known:
            return None
        self.paint_base(stop)
        return self.paint(step, stop)

    def paint(self, step: int, stop: Callable[[], bool]) -> EarlyStop | None:
        """Paint all pictures of a step, write them, and have those measured that are to be; whatever goes wrong is a
        warning, and the end of it.

        Args:
            step: optimizer steps done.
            stop: whether the run is to end: then a picture that is not finished is left.

        Returns:
            That more training is of no use, by who measures them; None where it may be.
        """
        measured = [one for one in self._measured if one.role != "base" and step in self._tested]
        pictures, began = [*self._own, *measured], time.perf_counter()
        try:
            return self._painted(step, pictures, measured, stop)
        finally:
            count, seconds = self._took
            self._took = (count + len(pictures), seconds + time.perf_counter() - began)

    def _painted(
        self, step: int, pictures: Sequence[_Picture], measured: Sequence[_Picture], stop: Callable[[], bool]
    ) -> EarlyStop | None:
        """See `paint`."""
        if not self._paint(step, pictures, stop) or not measured or self.test is None:
            return None
        steps = [(0 if one.role == "base" else step, one) for one in self._measured]
        files = {role: [self._path(at, one) for at, one in steps if one.role == role] for role in self.test.cells}
        try:
            return self.test.judge(step, files, lambda image: self._through_vae(image, stop))
        except Stopped:
            pass  # this checkpoint stays without numbers; but the last one of a run that stops early is measured later
        except Exception as error:  # as in `_paint`
            self._measure_no_more(error)
        finally:
            self._exact_vae = None
            give_back(self.session.device)
        return None

    def _measure_no_more(self, error: Exception) -> None:
        self._measured = []
        text = f"No likeness curve from here on: {_why(error)}. The training continues."
        self.emit("warning", code="likeness-curve-ended", text=text)

    def _through_vae(self, image: Image.Image, stop: Callable[[], bool]) -> Image.Image:
        """An RGB picture there and back, in float32: half precision overflows in some VAEs."""
        if stop():
            raise Stopped
        if self._exact_vae is None:
            self._exact_vae = self.session.info.load_vae(torch.float32, self.session.device)
        return reconstruct(self._exact_vae, image)

    def _paint(self, step: int, pictures: Sequence[_Picture], stop: Callable[[], bool]) -> bool:
        """Whether all were painted."""
        if not pictures:
            return True
        try:
            with torch.no_grad():
                with self.session.as_saved(), self.session.evaluating():
                    latents = [one for group in self._groups(pictures) for one in self._latents(group, stop)]
                for one, picture in zip(pictures, self._decoded(latents), strict=True):
                    self._save(step, one, picture)
        except Stopped:
            return False
        except Exception as error:  # a picture is never worth a training, whatever is wrong with it
            self._own, self._measured, self._vae = [], [], None
            text = f"No more sample pictures in this run: {_why(error)}. The training continues."
            self.emit("warning", code="samples-ended", text=text)
            return False
        finally:
            give_back(self.session.device)
        return True

    def _groups(self, pictures: Sequence[_Picture]) -> list[Sequence[_Picture]]:
        """The pictures that are painted together."""
        size = painted_together(self.side)
        return [pictures[first : first + size] for first in range(0, len(pictures), size)]

    def _latents(self, pictures: Sequence[_Picture], stop: Callable[[], bool]) -> tuple[torch.Tensor, ...]:
        """The latents of some pictures, each [1, C, h, w] float32."""
        draws = [torch.Generator().manual_seed(one.cell.seed) for one in pictures]
        prompts, negatives = [one.cell.prompt for one in pictures], [one.cell.negative for one in pictures]
        sampling = LatentSampling(self.side, self.session.run.file.base.guidance, self.train.sample_steps)
        painted = paint_latents(self.session.forward, prompts, negatives, draws, sampling, stop)
        return torch.split(painted, 1)

    def _decoded(self, latents: list[torch.Tensor]) -> list[Image.Image]:
        info, device = self.session.info, self.session.device
        give_back(device)
        wanted = info.model_family.vae_dtype(device, self.session.forward.dtype)
        vae = self._vae or info.load_vae(wanted, device)
        numbers = next(vae.parameters()).element_size() * sum(tensor.numel() for tensor in vae.parameters())
        self._vae = vae if numbers <= _SMALL_VAE else None
        if device.type != "cpu" and free_bytes(device) < self.side**2 * _DECODING:
            vae.enable_tiling()
            vae.tile_latent_min_size, vae.tile_sample_min_size = _TILE, 8 * _TILE
        return [decode(vae, one)[0] for one in latents]

    def _path(self, step: int, picture: _Picture) -> Path:
        return self.session.run.place.samples / f"{step:06d}-{picture.number}.png"

    def _is_there(self, base: _Picture) -> bool:
        path = self._path(0, base)
        return path.is_file() and is_painted_as(path, self._cell(0, base))

    def _cell(self, step: int, one: _Picture) -> Cell:
        run = self.session.run
        return replace(
            one.cell,
            lora=None if one.role == "base" else run.checkpoint(step),
            width=self.side,
            height=self.side,
            steps=self.train.sample_steps,
            cfg=run.file.base.guidance,
            sampler="Euler",
        )

    def _save(self, step: int, one: _Picture, picture: Image.Image) -> None:
        path, cell = self._path(step, one), self._cell(step, one)
        save_picture(path, picture, cell)
        said = {"step": step, "number": one.number, "file": f"{path.parent.name}/{path.name}", "prompt": cell.prompt}
        self.emit("sample", **said, **({"role": one.role} if one.role else {}))


def _why(error: Exception) -> str:
    if is_out_of_memory(error):
        return "memory is too small for it"
    return (str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}").rstrip(".")
