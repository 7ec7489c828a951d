"""The plain way to train a LoRA: one straightforward loop over diffusers and peft, as race.py's opponent.

It does what Hugging Face's `train_text_to_image_lora.py` and `train_text_to_image_lora_sdxl.py` do, with the two
savings that a competent user adds: latents are encoded once, and text encodings too where no text encoder is trained.
Frozen parts in the run's precision, the adapter in float32 under autocast, plain mean squared error, AdamW. The parts
come from the checkpoint by this project's loader, so that both racers train the same numbers, and the names of the
layers to adapt, the tokens and the latents by its functions; nothing else of the engine is used.

Also counts what one such step has to compute (`count_flops`). Knows nothing of clocks.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from lib_lora.models.clip_tokens import CHUNK, padded, prompt_chunks
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.families.stable_diffusion import StableDiffusion
from lib_lora.models.families.unet_layers import text_pattern, unet_pattern
from lib_lora.models.reading.weights import open_tensors
from lib_lora.models.vae import encode as encode_pixels
from lib_lora.models.vae import to_tensor
from lib_lora.training.plan.train_settings import Precision
from lib_lora.training.precision import autocast_of, dtype_of

TRIGGER, CLASS = "mrxa", "woman"
CAPTION = f"photo of {TRIGGER} {CLASS}"  # what the engine writes for a photo without a caption

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class PlainRecipe:
    """What both racers do.

    Attributes:
        base: the checkpoint file.
        photos: the picture files.
        batch: pictures a step.
        text: train the text encoders too.
        precision: of the frozen parts and the arithmetic.
        resolution: side of the square pictures in pixels.
        rank, alpha: of the adapter, in every part.
        checkpointing: recompute activations instead of keeping them.
        unet_lr, text_lr, weight_decay: AdamW's.
        seed: of the adapter's first numbers and of all noise.
    """

    base: str
    photos: tuple[str, ...]
    batch: int
    text: bool
    precision: Precision
    resolution: int
    rank: int = 32
    alpha: float = 16.0
    checkpointing: bool = False
    unet_lr: float = 1e-4
    text_lr: float = 5e-5
    weight_decay: float = 0.01
    seed: int = 42


class PlainLoop:
    """A training that is ready for its first step.

    Args:
        recipe: what is trained.
        device: where.
    """

    def __init__(self, recipe: PlainRecipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        torch.manual_seed(recipe.seed)
        info, dtype = identify(Path(recipe.base)), dtype_of(recipe.precision)
        self.scheduler = scheduler_of(info)
        photos = encode_photos(info, recipe, device)
        encoders = info.load_text(dtype, device).encoders
        words: Batch = token_ids(info)
        if not recipe.text:
            with torch.no_grad():
                on_device = {name: ids[None].to(device) for name, ids in words.items()}
                words = {name: tensor[0].cpu() for name, tensor in encode_words(encoders, on_device).items()}
            encoders = []
            gc.collect()  # modules lie in reference cycles; a user who caches the encodings does so to have this memory
        self.unet, self.encoders = info.load_denoiser(dtype, device), encoders
        self.parameters, self.optimizer = prepare(recipe, self.unet, self.encoders)
        data = Cached([{**photo, **words} for photo in photos], least=recipe.batch)
        self.loader = DataLoader(data, batch_size=recipe.batch, shuffle=True, drop_last=True, num_workers=0)
        self.batches = self._endless()

    def step(self) -> float:
        """One optimizer step; gives its loss."""
        batch = next(self.batches)
        latents = batch["mean"] + batch["std"] * torch.randn_like(batch["mean"])
        with self._arithmetic():
            loss = noise_loss(self.unet, self.encoders, self.scheduler, latents, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def _endless(self) -> Iterator[Batch]:
        while True:
            for batch in self.loader:
                yield {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _arithmetic(self) -> AbstractContextManager[Any]:
        dtype = autocast_of(self.recipe.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)


class Cached(Dataset[Batch]):
    """Photos that are encoded already, repeated until there are at least `least`, so that a batch can be full."""

    def __init__(self, items: Sequence[Batch], least: int) -> None:
        self.items = list(items) * math.ceil(least / len(items))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Batch:
        return self.items[index]


def scheduler_of(info: ModelInfo) -> DDPMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction" if info.prediction == "v" else "epsilon",
        rescale_betas_zero_snr=info.zero_terminal_snr,
    )


def encode_photos(info: ModelInfo, recipe: PlainRecipe, device: torch.device) -> list[Batch]:
    """Each photo's "mean" and "std", [4, h, w] float32; for SDXL also its "time_ids", [6]. The VAE leaves memory."""
    vae = info.load_vae(torch.float32, device)
    side, found = recipe.resolution, []
    for path in recipe.photos:
        image = Image.open(path).convert("RGB")
        size = image.size
        mean, std = encode_pixels(vae, to_tensor(square(image, side)))
        item = {"mean": mean[0], "std": std[0]}
        if _family(info).size_conditioning:
            item["time_ids"] = torch.tensor([size[1], size[0], 0, 0, side, side], dtype=torch.float32)
        found.append(item)
    del vae
    gc.collect()
    return found


def _family(info: ModelInfo) -> StableDiffusion:
    """The family of a model that has a UNet of diffusers."""
    assert isinstance(info.model_family, StableDiffusion)
    return info.model_family


def square(image: Image.Image, side: int) -> Image.Image:
    """The picture scaled so that its shorter side is `side` pixels, and its middle."""
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))


def token_ids(info: ModelInfo) -> Batch:
    """The caption's tokens for each text encoder, "ids0" and "ids1", [77]."""
    row = prompt_chunks(CAPTION)[0]
    return {f"ids{n}": torch.tensor(padded(row, encoder.pad)) for n, encoder in enumerate(_family(info).text_encoders)}


def encode_words(encoders: Sequence[nn.Module], ids: Mapping[str, torch.Tensor]) -> Batch:
    """What the UNet hears of token ids [B, 77]: "context", [B, 77, D], and for SDXL "pooled", [B, P]."""
    if len(encoders) == 1:
        return {"context": encoders[0](ids["ids0"])[0]}
    outputs = [encoder(ids[f"ids{n}"], output_hidden_states=True) for n, encoder in enumerate(encoders)]
    context = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    return {"context": context, "pooled": outputs[-1].text_embeds}


def noise_loss(
    unet: nn.Module,
    encoders: Sequence[nn.Module],
    scheduler: DDPMScheduler,
    latents: torch.Tensor,
    batch: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """The mean squared error of the predicted noise, a scalar.

    Args:
        unet: with its adapter.
        encoders: those that are trained; without any, `batch` has "context" (and "pooled").
        scheduler: the noise schedule.
        latents: [B, 4, h, w] float32.
        batch: see `encode_photos`, `token_ids` and `encode_words`, each with B in front.
    """
    noise = torch.randn_like(latents)
    times = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
    dtype = next(unet.parameters()).dtype
    noisy = scheduler.add_noise(latents, noise, times).to(dtype)
    words = encode_words(encoders, batch) if encoders else batch
    extra: dict[str, Any] = {}
    if "time_ids" in batch:
        extra = {"added_cond_kwargs": {"text_embeds": words["pooled"].to(dtype), "time_ids": batch["time_ids"]}}
    predicted = unet(noisy, times, encoder_hidden_states=words["context"].to(dtype), **extra).sample
    v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, times) if v else noise
    return F.mse_loss(predicted.float(), target.float(), reduction="mean")


def prepare(
    recipe: PlainRecipe, unet: UNet2DConditionModel, encoders: Sequence[Any]
) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    """Adapters in the parts, training mode, checkpointing; gives what is trained, and its optimizer."""
    groups: list[dict[str, Any]] = [{"params": add_adapter(unet, "unet", recipe), "lr": recipe.unet_lr}]
    for n, encoder in enumerate(encoders):
        groups.append({"params": add_adapter(encoder, f"te{n + 1}", recipe), "lr": recipe.text_lr})
    if recipe.checkpointing:
        unet.enable_gradient_checkpointing()
        for encoder in encoders:
            encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in (unet, *encoders):
        module.train()
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    return [parameter for group in groups for parameter in group["params"]], optimizer


def add_adapter(module: nn.Module, part: str, recipe: PlainRecipe) -> list[nn.Parameter]:
    """Put peft's LoRA into a frozen part; gives its parameters, float32."""
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=unet_pattern(False) if part == "unet" else text_pattern()
    )
    inject_adapter_in_model(config, module)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    return trained


# ------------------------------------------------------------------------------------------------------------ FLOPs


def count_flops(recipe: PlainRecipe) -> int:
    """Multiplications and additions of the matrix products of one plain step, forward and backward.

    Counted on the meta device, so nothing is computed; with the attention written out, as fused attention is counted
    with what it computes twice. Without what checkpointing recomputes: that is the price of a way, not of the task.
    What the frozen parts would need for gradients of their own is not in it, as autograd leaves that out.
    """
    info = identify(Path(recipe.base))
    unet, encoders = _empty_parts(info, recipe)
    side = recipe.resolution // 8
    with torch.device("meta"):
        batch: Batch = {f"ids{n}": torch.zeros(recipe.batch, CHUNK + 2, dtype=torch.long) for n in range(len(encoders))}
        if not encoders:
            batch["context"] = torch.zeros(recipe.batch, CHUNK + 2, info.context_dim)
        if _family(info).size_conditioning:
            batch["time_ids"] = torch.zeros(recipe.batch, 6)
            vector = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
            batch["pooled"] = torch.zeros(recipe.batch, vector)
        latents = torch.zeros(recipe.batch, info.model_family.latent_channels, side, side)

    def step() -> None:
        noise_loss(unet, encoders, scheduler_of(info), latents, batch).backward()

    return flops_of(step)


def flops_of(compute: Any) -> int:
    """FLOPs of the matrix products, convolutions and attention in a call; one multiply-add is 2."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # torch 2.3 and later

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


def _empty_parts(info: ModelInfo, recipe: PlainRecipe) -> tuple[UNet2DConditionModel, list[nn.Module]]:
    """The parts with their adapters, on the meta device."""
    meta = torch.device("meta")
    encoders = info.load_text(torch.float32, meta).encoders if recipe.text else []
    with meta:
        unet = UNet2DConditionModel(**_family(info).unet_config(open_tensors(info.path), info)).requires_grad_(False)
        add_adapter(unet, "unet", recipe)
        for n, encoder in enumerate(encoders):
            add_adapter(encoder, f"te{n + 1}", recipe)
    return unet, encoders
