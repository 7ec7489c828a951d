"""Paint many pictures with a checkpoint at once: what the project's own painter paints, but in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from lib_lora.grid.diffusers_painter import make_scheduler
from lib_lora.models.families.identify import identify
from lib_lora.models.vae import decode
from lib_lora.training.precision import autocast_of, resolve
from tools.mini import fast_routes

CPU = torch.device("cpu")


class Painter:
    """One checkpoint of Stable Diffusion 1, in batches; `seeds` give the noise that every other program gives them."""

    def __init__(self, model: Path, side: int = 128) -> None:
        self.info = identify(model)
        self.unet = self.info.load_denoiser(torch.float32, CPU)
        self.vae = self.info.load_vae(torch.float32, CPU)
        self.text = self.info.load_text(torch.float32, CPU)
        self.side = side
        self.autocast = autocast_of(resolve("auto", CPU))  # bfloat16 without units for it is slow
        fast_routes.use_fast_routes(self.unet)

    @torch.no_grad()
    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int, cfg: float, sampler: str, batch: int = 20
    ) -> list[Image.Image]:
        """One picture for each prompt and seed; `sampler` must be one that adds no noise on the way."""
        pictures: list[Image.Image] = []
        for start in range(0, len(prompts), batch):
            part = slice(start, start + batch)
            pictures += decode(self.vae, self._latents(prompts[part], seeds[part], steps, cfg, sampler))
        return pictures

    def _latents(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int, cfg: float, sampler: str
    ) -> torch.Tensor:
        scheduler = make_scheduler(sampler, self.info)
        scheduler.set_timesteps(steps)
        shape = (1, 4, self.side // 8, self.side // 8)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        latents = torch.cat(noise) * scheduler.init_noise_sigma
        words = self.text.encode([*[""] * len(prompts), *prompts]).context
        for time in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, time)
            with torch.autocast("cpu", self.autocast, enabled=self.autocast is not None):
                both = self.unet(torch.cat([scaled, scaled]), time, encoder_hidden_states=words).sample
            without, with_ = both.float().chunk(2)
            latents = scheduler.step(without + cfg * (with_ - without), time, latents).prev_sample
        return latents
