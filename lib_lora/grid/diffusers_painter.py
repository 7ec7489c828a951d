"""Paints with diffusers as A1111 paints: the same initial noise, sigmas, guidance and rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import groupby, islice, repeat
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.grid.noise_inversion import noise_of
from lib_lora.lora.adapter.merge import merged
from lib_lora.lora.file.reading import read
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.families.painting import Sampler, Sampling
from lib_lora.models.fast.memory import is_out_of_memory, spilled
from lib_lora.models.text_conditioning import Conditioning, join
from lib_lora.models.vae import decode, encode, reconstruct, to_tensor
from lib_lora.pictures import Cell, parameters

_TOGETHER = {"cuda": 2 * 512 * 512, "cpu": 4 * 128 * 128}  # pixels; on a CPU only small pictures gain by it
_MOST = 4  # pictures painted at a time: who stops waits for all of them
_REMEMBERED = 128  # texts: those of the pictures that are painted together, and the negative prompt of all


def _sampling(info: ModelInfo) -> Sampling:
    found = info.model_family.sampling
    if found is None:
        raise UserError(
            f"{info.path.name} is {info.model_family.label}, which can be tested in a webui only; choose the webui as "
            "the painter.",
            code="painter-without-samplers",
            family=info.family,
        )
    return found


def _sampler(name: str, info: ModelInfo) -> Sampler:
    samplers = _sampling(info).samplers
    if name not in samplers:
        raise UserError(
            f"There is no sampler {name!r}; there are {', '.join(samplers)}.", code="sampler-unknown", sampler=name
        )
    return samplers[name]


def make_scheduler(name: str, info: ModelInfo) -> Any:
    """diffusers' scheduler for one of A1111's sampler names.

    Raises:
        UserError: an unknown sampler, one that cannot paint with a zero-terminal-SNR model, or a model of a family that
            has no samplers here.
    """
    sampler, sampling = _sampler(name, info), _sampling(info)
    options = {**sampling.options, **sampling.predictions.get(info.prediction, {}), **sampler.options}
    if info.zero_terminal_snr:
        if not sampler.zero_snr:
            usable = next(one for one, about in sampling.samplers.items() if about.zero_snr)
            raise UserError(
                f"{info.path.name} has a zero-terminal-SNR schedule; paint it with the sampler {usable!r}.",
                code="sampler-unsuitable",
                sampler=name,
            )
        options.update(sampling.zero_snr)
    return getattr(diffusers, sampler.scheduler)(**options)


def steps_over(steps: int, strength: float) -> int:
    """How many of `steps` sampling steps are done over a picture that is there, as A1111 counts them.

    Its "t_enc" and one: int(min(strength, 0.999) x steps) + 1. At strength 0 A1111 still does its last step, which
    changes next to nothing; here none is done.
    """
    return int(min(strength, 0.999) * steps) + 1 if strength > 0 else 0


def at_a_time(device: str, width: int, height: int) -> int:
    """How many pictures of this size in pixels go through the UNet together on a torch device of this type."""
    return max(1, min(_MOST, _TOGETHER.get(device, 0) // (width * height)))


class DiffusersPainter:
    """Paints with the base checkpoint and a LoRA file merged into it, as a webui does.

    Args:
        info: the base model.
        device, dtype: where and in what the UNet and the text encoders run.
        clip_skip: as in training.
    """

    def __init__(self, info: ModelInfo, device: torch.device, dtype: torch.dtype, clip_skip: int = 1) -> None:
        self.info = info
        self.device = device
        self.dtype = dtype
        self.clip_skip = clip_skip
        self.family = info.model_family
        self.text = info.load_text(dtype, device)
        self.unet = info.load_denoiser(dtype, device)
        self.family.use_fast_ops(self.unet, device)
        self.vae = info.load_vae(self.family.vae_dtype(device, dtype), device)
        self._alone = False  # once memory did not hold several pictures

    @torch.no_grad()
    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """Paint `cells` and give each to `each`, in their order.

        Those in a row with the same LoRAs and weights share one merge, and small ones that differ by their words and
        noise alone are painted together: which ones, changes a picture by rounding only.
        """
        parts = {"unet": self.unet, **self.text.parts()}
        pictures: list[Image.Image] = []
        for (lora, weight, more), group in groupby(cells, key=lambda cell: (cell.lora, cell.weight, cell.more)):
            with ExitStack() as applied:
                for file, share in ((lora, weight), *more) if lora else more:
                    content = read(file)
                    applied.enter_context(merged(parts, self.info.family, content, share))
                    applied.enter_context(self.text.with_inversions(content.inversions))
                for latents in self._painted(group):
                    pictures.extend(decode(self.vae, latents))
                    cell = cells[len(pictures) - 1]
                    pictures[-1].info["parameters"] = parameters(cell, self.info.path.stem)
                    if each:
                        each(len(pictures) - 1, pictures[-1])
        return pictures

    def reconstruct(self, image: Image.Image) -> Image.Image:
        """An RGB picture (sides multiples of 8) through the VAE and back."""
        return reconstruct(self.vae, image)

    def _painted(self, cells: Iterable[Cell]) -> Iterator[torch.Tensor]:
        """The denoised latents of each cell, [1, C, h, w], float32."""
        words = lru_cache(_REMEMBERED)(lambda text: self.text.encode([text], self.clip_skip))

        def kind(cell: Cell) -> tuple[Any, ...]:
            lengths = (words(text).context.shape for text in (cell.prompt, cell.negative))
            over = cell.strength if cell.start else None
            return (cell.width, cell.height, cell.sampler, cell.steps, cell.cfg, over, cell.inverted, *lengths)

        for (width, height, *_), alike in groupby(cells, key=kind):
            size = at_a_time(self.device.type, width, height)
            while some := list(islice(alike, 1 if self._alone else size)):
                yield from self._together(some, words)

    def _together(self, cells: Sequence[Cell], words: Callable[[str], Conditioning]) -> Iterator[torch.Tensor]:
        """As `_painted`, for cells of one kind; one after the other from where memory does not hold them all."""
        latents = None
        try:
            latents = self._latents(cells, words)
        except (RuntimeError, MemoryError) as error:
            if len(cells) == 1 or not is_out_of_memory(error):
                raise
        if len(cells) > 1 and (latents is None or spilled(self.device)):
            self._alone = True
            torch.cuda.empty_cache()
        if latents is not None:
            yield from torch.split(latents, 1)
            return
        for cell in cells:
            yield self._latents([cell], words)

    def _latents(self, cells: Sequence[Cell], words: Callable[[str], Conditioning]) -> torch.Tensor:
        """Denoised latents [B, C, h, w] float32 of cells that differ only by prompt, seed, variation and start."""
        like = cells[0]
        scheduler, sampler = make_scheduler(like.sampler, self.info), _sampler(like.sampler, self.info)
        if like.start and like.inverted and not sampler.reversible:
            raise self._irreversible(like.sampler)
        scheduler.set_timesteps(like.steps, device=self.device)
        first = like.steps - steps_over(like.steps, like.strength) if like.start else 0
        draws = [torch.Generator().manual_seed(cell.seed) for cell in cells]  # on the CPU: the same on every device
        channels = self.family.latent_channels
        positive, negative = [words(cell.prompt) for cell in cells], [words(cell.negative) for cell in cells]
        if like.start and like.inverted and first < like.steps:
            latents = self._inverted(cells, scheduler, first, positive)
        else:
            noise = (_noise(cell, draw, channels).to(self.device) for cell, draw in zip(cells, draws, strict=True))
            latents = torch.cat([self._begun(*each) for each in zip(cells, repeat(scheduler), repeat(first), noise)])
        options = {"generator": draws} if sampler.draws else {}
        for time in scheduler.timesteps[first:]:
            scaled = scheduler.scale_model_input(latents, time) if hasattr(scheduler, "scale_model_input") else latents
            predicted = self._predict(scaled.to(self.dtype), time, like, positive, negative)
            latents = scheduler.step(predicted, time, latents, **options).prev_sample
        return latents

    def _irreversible(self, sampler: str) -> UserError:
        """The noise of a picture was to be found with a sampler that cannot be gone back by."""
        usable = [repr(name) for name, about in _sampling(self.info).samplers.items() if about.reversible]
        advice = f"paint it with {' or '.join(usable)}" if usable else "choose another base model"
        return UserError(
            f"The noise of a picture cannot be found with the sampler {sampler!r}; {advice}.",
            code="sampler-without-inversion",
            sampler=sampler,
        )

    def _begun(self, cell: Cell, scheduler: Any, first: int, noise: torch.Tensor) -> torch.Tensor:
        """Latents [1, C, h, w] float32 before step `first` of the schedule (0 = its beginning).

        Of a start picture the mean of the VAE's distribution is taken (A1111 draws from it), with the noise that
        belongs to that step. A1111's DDIM noises one step more than it takes away; that is not repeated.
        """
        if cell.start is None:
            return noise * float(getattr(scheduler, "init_noise_sigma", 1))  # a flow's begin with the noise itself
        latents = self._encoded(cell)
        return latents if first >= cell.steps else _noised(latents, noise, scheduler, first)

    def _encoded(self, cell: Cell) -> torch.Tensor:
        """The latents of a cell's start, [1, C, h, w] float32."""
        image = open_photo(cast(Path, cell.start)).resize((cell.width, cell.height), Image.Resampling.LANCZOS)
        return encode(self.vae, to_tensor(image))[0].to(self.device)

    def _inverted(
        self, cells: Sequence[Cell], scheduler: Any, first: int, positive: Sequence[Conditioning]
    ) -> torch.Tensor:
        """Latents [B, C, h, w] float32 of the cells' starts before step `first`, with the noise they are painted from,
        turned as far as each cell's variation says."""
        there = torch.cat([self._encoded(cell) for cell in cells])
        noise = noise_of(
            there, scheduler, first, lambda scaled, time: self._pass(scaled.to(self.dtype), time, cells[0], positive)
        )
        varied = [
            _turned(one, _of_seed(cell.variation_seed, one.shape).to(one.device), cell.variation)
            if cell.variation
            else one
            for cell, one in zip(cells, noise, strict=True)
        ]
        return _noised(there, torch.stack(varied), scheduler, first)

    def _predict(
        self,
        latents: torch.Tensor,
        time: torch.Tensor,
        like: Cell,
        positive: Sequence[Conditioning],
        negative: Sequence[Conditioning],
    ) -> torch.Tensor:
        """The guided prediction, [B, C, h, w] float32; prompts of one length share a pass, as in A1111."""
        if like.cfg == 1:
            return self._pass(latents, time, like, positive)
        if positive[0].context.shape == negative[0].context.shape:
            without, with_ = self._pass(latents, time, like, [*negative, *positive]).chunk(2)
        else:
            without, with_ = (self._pass(latents, time, like, words) for words in (negative, positive))
        return without + like.cfg * (with_ - without)

    def _pass(
        self, latents: torch.Tensor, time: torch.Tensor, like: Cell, words: Sequence[Conditioning]
    ) -> torch.Tensor:
        """What the UNet predicts, [len(words), C, h, w] float32: `latents` over and over, with each of the `words`."""
        together, count = join(words, words[0]), len(words)
        sizes = [(like.height, like.width, 0, 0, like.height, like.width)] * count
        batch = latents.repeat(count // len(latents), 1, 1, 1)
        return self.family.denoise(self.unet, batch, time, together, sizes).float()


def _noise(cell: Cell, generator: torch.Generator, channels: int) -> torch.Tensor:
    """The initial noise of a cell, [1, C, h, w], as A1111 draws it."""
    noise = torch.randn((1, channels, cell.height // 8, cell.width // 8), generator=generator)
    if not cell.variation:
        return noise
    return _turned(noise[0], _of_seed(cell.variation_seed, noise.shape)[0], cell.variation)[None]


def _of_seed(seed: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def _noised(latents: torch.Tensor, noise: torch.Tensor, scheduler: Any, first: int) -> torch.Tensor:
    """Latents with the noise that belongs to step `first` of the schedule, which is set to begin there."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    time = scheduler.timesteps[first : first + 1]
    if hasattr(scheduler, "scale_noise"):  # diffusers' name for it where pictures flow to noise in a straight line
        return cast(torch.Tensor, scheduler.scale_noise(latents, time, noise))
    return cast(torch.Tensor, scheduler.add_noise(latents, noise, time))


def _turned(noise: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """`noise` [C, h, w] turned towards `other` by A1111's slerp, which turns each column on its own."""
    cosine = (noise / noise.norm(dim=1, keepdim=True) * (other / other.norm(dim=1, keepdim=True))).sum(1, keepdim=True)
    angle = torch.acos(cosine.clamp(-0.9999, 0.9999))  # where both are one (A1111 then mixes) nothing divides by zero
    return (torch.sin((1 - share) * angle) * noise + torch.sin(share * angle) * other) / torch.sin(angle)
