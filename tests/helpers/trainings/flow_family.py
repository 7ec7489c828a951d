"""A toy family unlike Stable Diffusion in all but its text encoder: a transformer, 16 channels, flow matching.

It proves that the interface of a family carries all that the trainer needs (tests/training/test_flow_family.py), and it
is small, so tests of what is the same for every model train it too (the fixture `flow_toy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
import toys
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import nn

from lib_lora.models.clip_tokens import EOS
from lib_lora.models.families import registry
from lib_lora.models.families.model_family import FamilyPreset, MemoryFigures, ModelFamily, ModelInfo, Shapes
from lib_lora.models.families.painting import Sampler, Sampling
from lib_lora.models.families.unet_layers import text_paths, text_pattern
from lib_lora.models.load import load_text_encoder
from lib_lora.models.reading.weights import TensorFile, open_tensors
from lib_lora.models.text_conditioning import Conditioning, TextStack
from lib_lora.models.text_encoder import TextEncoder
from lib_lora.training.objective import objectives
from lib_lora.training.objective.noise import sample_noise
from lib_lora.training.objective.objective_settings import ObjectiveSettings

CHANNELS, WIDTH, BLOCKS, TEXT_LAYERS = 16, 32, 2, 2
Part = TypeVar("Part", bound=nn.Module)
_LEAVES = ("to_q", "to_k", "to_v", "to_out", "up", "down")
_ENCODER = TextEncoder("clip", "text.", TEXT_LAYERS, pad=EOS, output="last")
_VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (32,) * 4,
    "layers_per_block": 1,
    "latent_channels": CHANNELS,
    "scaling_factor": 0.36,
    "shift_factor": 0.12,
}


class _Block(nn.Module):
    """Latent cells that listen to the words, then to themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.to_q, self.to_out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.to_k, self.to_v = nn.Linear(64, WIDTH), nn.Linear(64, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, cells: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        query = self.to_q(self.norm(cells))
        heard = nn.functional.scaled_dot_product_attention(query, self.to_k(words), self.to_v(words))
        cells = cells + self.to_out(heard)
        changed: torch.Tensor = cells + self.down(nn.functional.gelu(self.up(cells)))
        return changed


class FlowTransformer(nn.Module):
    """Predicts the flow [B, 16, h, w] from noisy latents, times in 0..1 and words."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(CHANNELS + 1, WIDTH), nn.Linear(WIDTH, CHANNELS)
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))

    def forward(self, latents: torch.Tensor, times: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        clock = times.to(latents.dtype).view(-1, 1, 1, 1).expand(-1, 1, *latents.shape[2:])
        cells = self.enter(torch.cat([latents, clock], dim=1).flatten(2).transpose(1, 2))
        for block in self.blocks:
            cells = block(cells, words)
        flow: torch.Tensor = self.leave(cells).transpose(1, 2).unflatten(2, latents.shape[2:])
        return flow


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowFamily(ModelFamily):
    """The family's object."""

    def recognises(self, file: TensorFile) -> bool:
        return "dit.enter.weight" in file.keys()

    def context_dim(self, file: TensorFile) -> int:
        return file.shape("dit.blocks.0.to_k.weight")[1]

    def denoiser_numbers(self, file: TensorFile) -> int:
        return sum(math.prod(file.shape(key)) for key in file.keys() if key.startswith("dit."))

    def adapter_paths(self, part: str, convolutions: bool = False) -> tuple[str, ...]:
        if part == "te1":
            return text_paths(TEXT_LAYERS)
        return tuple(f"blocks.{n}.{leaf}" for n in range(BLOCKS) for leaf in _LEAVES)

    def adapter_pattern(self, part: str, convolutions: bool) -> str:
        return text_pattern() if part == "te1" else rf"blocks\.\d+\.({'|'.join(_LEAVES)})"

    def adapter_shapes(self, shapes: Shapes, part: str, convolutions: bool) -> dict[str, tuple[int, ...]]:
        before = "text." if part == "te1" else "dit."
        return {path: shapes[f"{before}{path}.weight"] for path in self.adapter_paths(part)}

    def complete_sets(self, part: str, paths: Collection[str]) -> list[set[str]]:
        return [set(self.adapter_paths(part))]

    def load_denoiser(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> nn.Module:
        return _filled(FlowTransformer, open_tensors(info.path), "dit.", dtype, device)

    def load_vae(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> AutoencoderKL:
        vae: AutoencoderKL = _filled(partial(AutoencoderKL, **_VAE), open_tensors(info.path), "vae.", dtype, device)
        return vae

    def load_text(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> TextStack:
        encoder = load_text_encoder(open_tensors(info.path), _ENCODER, dtype, device)
        return TextStack([_ENCODER], [encoder])

    def denoise(
        self,
        denoiser: nn.Module,
        latents: torch.Tensor,
        times: torch.Tensor,
        words: Conditioning,
        sizes: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        flow: torch.Tensor = denoiser(latents, (times / 1000).expand(len(latents)), words.context.to(latents.dtype))
        return flow


class FlowMatching:
    """Rectified flow: half way between picture and noise, the denoiser predicts noise minus picture."""

    def draw_time(self, draw: torch.Generator) -> float:
        return 1000 * float(torch.sigmoid(torch.randn((), generator=draw)))

    def draw_noise(self, latent: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        noise = sample_noise(latent.shape, draw)
        return noise, noise

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        share = (times / 1000).view(-1, 1, 1, 1)
        return (1 - share) * latents + share * noise

    def loss(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        times: torch.Tensor,
        weight_map: torch.Tensor | None = None,
        is_class: torch.Tensor | None = None,
    ) -> torch.Tensor:
        wrong = (predicted.float() - (noise - latents)) ** 2
        return (wrong if weight_map is None else wrong * weight_map).flatten(1).mean(1)

    def difference(self, predicted: torch.Tensor, wanted: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return ((predicted.float() - wanted.float()) ** 2).flatten(1).mean(1)

    def clean(self, predicted: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return noisy - times.view(-1, 1, 1, 1) / 1000 * predicted.float()

    def paint(
        self, predict: Callable[[torch.Tensor, float], torch.Tensor], noise: torch.Tensor, steps: int
    ) -> torch.Tensor:
        latents = noise
        for n in range(steps):
            latents = latents - predict(latents, 1000 * (1 - n / steps)) / steps
        return latents


FLOW = FlowFamily(
    name="toy-flow",
    title="Toy",
    label="a toy",
    full_name="a toy",
    webui_flag="is_toy",
    parts=("unet", "te1"),
    prefixes={"unet": "lora_unet_", "te1": "lora_te1_"},
    sides={"flow": 128},
    base_versions={"flow": "toy_flow"},
    architectures={"flow": "toy-flow/lora"},
    version_prefix="toy_flow",
    latent_channels=CHANNELS,
    objective="toy-flow",
    sampling=Sampling({"Euler": Sampler("FlowMatchEulerDiscreteScheduler")}),
    predictions=("flow",),
    guidance=2.0,
    memory=MemoryFigures(
        denoiser=0.001,
        text=0.001,
        denoiser_rank=0.001,
        text_rank=0.001,
        convolution_rank=0.0,
        activations=0.01,
        recomputed=0.01,
        side=128,
        card=24,
    ),
    presets={"toy-face": FamilyPreset("A toy.", {"unet_lr": 1e-3, "te_lr": 1e-3, "lora": {"rank": 4, "te": True}})},
)


@contextmanager
def known() -> Iterator[None]:
    """The family and its objective are known inside the block."""

    def make(info: ModelInfo, settings: ObjectiveSettings, device: torch.device) -> FlowMatching:
        return FlowMatching()

    with registry.registered(FLOW), objectives.registered("toy-flow", make):
        yield


def write_flow_toy(path: Path) -> Path:
    """Write a toy checkpoint of the family."""
    torch.manual_seed(0)
    modules = {"dit": FlowTransformer(), "vae": AutoencoderKL(**_VAE)}
    tensors = {f"{name}.{key}": value for name, part in modules.items() for key, value in part.state_dict().items()}
    tensors |= toys.clip_tensors("text", 64, TEXT_LAYERS)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, str(path))
    return path


def _filled(make: Callable[[], Part], file: TensorFile, prefix: str, dtype: torch.dtype, device: torch.device) -> Part:
    with torch.random.fork_rng(devices=[]):  # loading a model draws no random numbers
        module = make()
    module.load_state_dict({key: file.read(prefix + key, dtype) for key in module.state_dict()}, assign=True)
    return module.to(device).requires_grad_(False).eval()
