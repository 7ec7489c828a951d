"""A few pictures painted while it trains, by the very modules that are trained: what the LoRA can do by now.

Prompts, seeds and size are the same at every checkpoint, so the pictures of two steps can be compared. Painting is a
guest of the training: it draws from generators of its own, gives the modules back as they were, and where it fails it
is given up with a warning, while the training goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.models.fast.memory import free_bytes, is_out_of_memory
from lib_lora.models.vae import decode
from lib_lora.pictures import NEGATIVE, Cell, save_picture
from lib_lora.training.plan.sample_prompts import prompts_of

if TYPE_CHECKING:
    from lib_lora.training.session import Session

FIRST_SEED = 1000  # of the noise, drawn as webuis draw it: the finished LoRA paints the same faces there

_TOGETHER = 512 * 512 * 2  # pixels that are painted at a time; with guidance the batch is twice that
_WHOLE = 64  # sides of a picture are multiples of this: a latent's side is halved up to three times
_SMALL_VAE = 64 << 20  # bytes; one that is smaller stays in memory between checkpoints
_DECODING = 4096  # bytes that decoding takes for each pixel of a picture, in float32
_TILE = 64  # latent cells of the side of a piece, where the whole does not fit


class Stopped(Exception):
    """Somebody asked for the end of the run while a picture was painted."""


class Samples:
    """Paints for one session.

    Args:
        session: whose modules are trained.
        emit: gets a ``sample`` event for each picture, and a warning if painting is given up.
    """

    def __init__(self, session: Session, emit: Callable[..., None]) -> None:
        self.session, self.emit = session, emit
        self.train = session.run.file.settings
        self.prompts = prompts_of(session.run.file.character, self.train)
        side = self.train.resolution or session.info.resolution
        self.side = max(_WHOLE, side // _WHOLE * _WHOLE)
        self._vae: AutoencoderKL | None = None

    def paint(self, step: int, stop: Callable[[], bool]) -> None:
        """Paint all pictures of a step and write them; whatever goes wrong is a warning, and the end of painting.

        Args:
            step: optimizer steps done.
            stop: whether the run is to end: then a picture that is not finished is left.
        """
        if not self.prompts:
            return
        try:
            with torch.no_grad():
                with self.session.averaged(), self.session.evaluating(), self._arithmetic():
                    latents = [one for numbers in self._groups() for one in self._latents(numbers, stop)]
                for number, picture in enumerate(self._decoded(latents)):
                    self._save(step, number, picture)
        except Stopped:
            pass
        except Exception as error:  # a picture is never worth a training, whatever is wrong with it
            self.prompts, self._vae = [], None
            text = f"No more sample pictures in this run: {_why(error)}. The training continues."
            self.emit("warning", code="samples-ended", text=text)
        finally:
            _give_back(self.session.device)

    def _groups(self) -> list[range]:
        """The pictures that are painted together."""
        size = max(1, _TOGETHER // self.side**2)
        count = len(self.prompts)
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    def _latents(self, numbers: range, stop: Callable[[], bool]) -> tuple[torch.Tensor, ...]:
        """The latents of some pictures, each [1, C, h, w] float32."""
        forward, info, cells = self.session.forward, self.session.info, self.side // 8
        draws = [torch.Generator().manual_seed(FIRST_SEED + number) for number in numbers]
        shape = (1, info.model_family.latent_channels, cells, cells)
        noise = torch.cat([torch.randn(shape, generator=draw) for draw in draws]).to(forward.device)
        prompts = self.prompts[numbers.start : numbers.stop]
        words = forward.conditions([*[NEGATIVE] * len(prompts), *prompts])
        sizes = [(self.side, self.side, 0, 0, self.side, self.side)] * 2 * len(prompts)
        guidance = self.session.run.file.base.guidance

        def predict(latents: torch.Tensor, time: float) -> torch.Tensor:
            if stop():
                raise Stopped
            times = torch.full((len(sizes),), time, device=forward.device)
            said = forward.denoised(latents.repeat(2, 1, 1, 1), times, words, sizes)
            without, with_ = said.float().chunk(2)
            guided: torch.Tensor = without + guidance * (with_ - without)
            return guided

        painted = forward.objective.paint(predict, noise, self.train.sample_steps)
        return torch.split(painted, 1)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """As in training."""
        forward = self.session.forward
        return torch.autocast(forward.device.type, dtype=forward.autocast) if forward.autocast else nullcontext()

    def _decoded(self, latents: list[torch.Tensor]) -> list[Image.Image]:
        info, device = self.session.info, self.session.device
        _give_back(device)
        wanted = info.model_family.vae_dtype(device, self.session.forward.dtype)
        vae = self._vae or info.load_vae(wanted, device)
        numbers = next(vae.parameters()).element_size() * sum(tensor.numel() for tensor in vae.parameters())
        self._vae = vae if numbers <= _SMALL_VAE else None
        if device.type != "cpu" and free_bytes(device) < self.side**2 * _DECODING:
            vae.enable_tiling()
            vae.tile_latent_min_size, vae.tile_sample_min_size = _TILE, 8 * _TILE
        return [decode(vae, one)[0] for one in latents]

    def _save(self, step: int, number: int, picture: Image.Image) -> None:
        name = f"{step:06d}-{number}.png"
        run, prompt = self.session.run, self.prompts[number]
        cell = Cell(
            prompt,
            NEGATIVE,
            FIRST_SEED + number,
            run.checkpoint(step),
            width=self.side,
            height=self.side,
            steps=self.train.sample_steps,
            cfg=run.file.base.guidance,
        )
        save_picture(run.place.samples / name, picture, cell)
        self.emit("sample", step=step, number=number, file=f"{run.place.samples.name}/{name}", prompt=prompt)


def _why(error: Exception) -> str:
    if is_out_of_memory(error):
        return "memory is too small for it"
    return (str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}").rstrip(".")


def _give_back(device: torch.device) -> None:
    """What torch keeps for the next picture is more than some GPUs have beside a training."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
