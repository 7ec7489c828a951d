"""Builds the parts that Stable Diffusion 1, 2 and XL share: a UNet, CLIP text encoders, a VAE of four channels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lib_lora.errors import Misfit, UserError
from lib_lora.models.clip_tokens import CHUNK
from lib_lora.models.families.model_family import ModelFamily, ModelInfo, Shapes
from lib_lora.models.families.painting import ComfyNodes, ComfySampling, Sampler, Sampling
from lib_lora.models.families.unet_layers import (
    CONVOLUTION_ENDS,
    TEXT,
    text_paths,
    text_pattern,
    unet_paths,
    unet_pattern,
)
from lib_lora.models.noise_schedule import BETA_END, BETA_START, STEPS
from lib_lora.models.text_encoder import TextEncoder
from lib_lora.models.unet_names import UNET, original_path

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL
    from torch import nn

    from lib_lora.models.reading.weights import TensorFile
    from lib_lora.models.text_conditioning import Conditioning, TextStack

VAE = "first_stage_model."
_LATENT_CHANNELS = 4
_TOKENS = CHUNK + 2  # with those that begin and end a chunk
SAMPLING = Sampling(
    {
        "Euler": Sampler("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}, zero_snr=True, reversible=True),
        "Euler a": Sampler(
            "EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}, zero_snr=True, draws=True
        ),
        # A1111 1.10 paints this one with Karras' sigmas unless told otherwise; the other name is that of older versions
        "DPM++ 2M": Sampler("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        "DPM++ 2M Karras": Sampler("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        "DDIM": Sampler(
            "DDIMScheduler",
            {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
            zero_snr=True,
            draws=True,
        ),
    },
    {
        "num_train_timesteps": STEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
    },
    predictions={"epsilon": {"prediction_type": "epsilon"}, "v": {"prediction_type": "v_prediction"}},
    zero_snr={"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
)
# ComfyUI sees in few files that they predict v
COMFY_NODES = ComfyNodes(
    sampling={"v": ComfySampling("ModelSamplingDiscrete", {"sampling": "v_prediction"}, zero_snr="zsnr")}
)


@dataclass(frozen=True, eq=False, kw_only=True)
class StableDiffusion(ModelFamily):
    """A family with a UNet and CLIP text encoders.

    Attributes:
        depths: transformer blocks on each level of the UNet; 0 = the level has no attention.
        middle_depth: transformer blocks in its middle.
        heads: attention heads of every level; 0 = as many as the width has 64 channels.
        text_encoders: in the order of their parts, "te1" first.
        marker: the beginning of tensor names that only checkpoints of this family have.
        vae_scale: what latents are multiplied with.
        vae_in_float32: the VAE overflows in half precision.
        original_keys: kohya names the UNet's layers by the original layout, not by diffusers'.
        size_conditioning: the UNet is told the picture's size and the pooled text.
        narrow_below: width of the text conditioning below which it is a small model; 0 = there are none.
    """

    depths: tuple[int, ...]
    middle_depth: int
    text_encoders: tuple[TextEncoder, ...]
    marker: str
    heads: int = 0
    vae_scale: float = 0.18215
    vae_in_float32: bool = False
    original_keys: bool = False
    size_conditioning: bool = False
    narrow_below: int = 0
    objective: str = "diffusion"
    sampling: Sampling | None = SAMPLING
    comfy_nodes: ComfyNodes | None = COMFY_NODES
    convolution_ends: tuple[str, ...] = CONVOLUTION_ENDS

    @property
    def most_clip_skip(self) -> int:
        """As many as the encoder has layers that A1111 lets the user skip."""
        return max((one.layers for one in self.text_encoders if one.output == "skip"), default=0)

    # What a checkpoint file is

    def recognises(self, file: TensorFile) -> bool:
        return any(key.startswith(self.marker) for key in file.keys()) and problem(file) is None

    def context_dim(self, file: TensorFile) -> int:
        return min(
            file.shape(key)[1] for key in file.keys() if key.startswith(UNET) and key.endswith("attn2.to_k.weight")
        )

    def denoiser_numbers(self, file: TensorFile) -> int:
        return sum(math.prod(file.shape(key)) for key in file.keys() if key.startswith(UNET))

    def is_narrow(self, context_dim: int) -> bool:
        return context_dim < self.narrow_below

    # Its adapter

    def adapter_paths(self, part: str, convolutions: bool = False) -> tuple[str, ...]:
        """The numbers of them: SD1 and SD2 UNets 192 (278 with convolutions), SDXL's 722 (788); text encoders SD1 72,
        SD2 138, SDXL 72 and 192.
        """
        if part not in self.parts:
            raise Misfit(f"{self.name} has no part {part!r}; it has {', '.join(self.parts)}.", "part")
        if part != "unet":
            return text_paths(self._encoder(part).layers)
        return _unet_paths(self.depths, self.middle_depth, convolutions)

    def adapter_pattern(self, part: str, convolutions: bool) -> str:
        return unet_pattern(convolutions) if part == "unet" else text_pattern()

    def adapter_shapes(self, shapes: Shapes, part: str, convolutions: bool) -> dict[str, tuple[int, ...]]:
        if part != "unet":
            return self._text_shapes(shapes, self._encoder(part))
        attention = self.up_attention
        return {
            path: shapes[f"{UNET}{original_path(path, attention)}.weight"]
            for path in self.adapter_paths("unet", convolutions)
        }

    def _text_shapes(self, shapes: Shapes, encoder: TextEncoder) -> dict[str, tuple[int, ...]]:
        sizes = {
            int(match[1]): shape
            for key, shape in shapes.items()
            if (match := re.fullmatch(encoder.feed_forward_pattern, key)) is not None
        }
        inner, width = sizes[0]
        by_leaf = {"fc1": (inner, width), "fc2": (width, inner)}
        return {
            path: by_leaf.get(path.rpartition(".")[2], (width, width))
            for path in text_paths(len(sizes) - encoder.unread)
        }

    def complete_sets(self, part: str, paths: Collection[str]) -> list[set[str]]:
        if part != "unet":
            return [set(text_paths(1 + max(int(path.split(".")[3]) for path in paths)))]
        return [set(self.adapter_paths(part, convolutions)) for convolutions in (False, True)]

    def expected_paths(self, part: str, module: nn.Module, convolutions: bool) -> tuple[str, ...]:
        paths = self.adapter_paths(part, convolutions)
        if part == "unet":
            return paths
        return paths[: len(TEXT) * len(module.get_submodule("text_model.encoder.layers")._modules)]

    @property
    def up_attention(self) -> tuple[bool, ...]:
        """Whether each of the UNet's up blocks has attention."""
        return tuple(depth > 0 for depth in reversed(self.depths))

    def key_path(self, part: str, path: str) -> str:
        return original_path(path, self.up_attention) if part == "unet" and self.original_keys else path

    def other_spellings(self, part: str, path: str) -> tuple[str, ...]:
        """Two of SDXL's layers A1111 looks for in the wrong place under diffusers' names."""
        if part != "unet":
            return tuple(prefix + path.replace(".", "_") for prefix in self._encoder(part).other_prefixes)
        if not self.original_keys:
            return (self.prefixes["unet"] + original_path(path, self.up_attention).replace(".", "_"),)
        wrong = path.startswith("add_embedding") or path == "up_blocks.0.upsamplers.0.conv"
        return () if wrong else (self.prefixes["unet"] + path.replace(".", "_"),)

    # Its parts in memory

    def load_denoiser(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> nn.Module:
        from lib_lora.models.load import load_unet
        from lib_lora.models.reading.weights import open_tensors

        file = open_tensors(info.path)
        return load_unet(file, self.unet_config(file, info), dtype, device)

    def unet_config(self, file: TensorFile, info: ModelInfo) -> dict[str, Any]:
        """The arguments of diffusers' ``UNet2DConditionModel`` that give this file's UNet.

        Raises:
            UserError: diffusers' UNet has no such layout, or the file is incomplete.
        """
        from lib_lora.models.load import unet_config

        return unet_config(file, info.resolution // 8, info.context_dim, self.heads, self.size_conditioning)

    def load_vae(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> AutoencoderKL:
        """SDXL's overflows in half precision, so there float32 is used whatever is asked."""
        import torch

        from lib_lora.models.load import load_vae
        from lib_lora.models.reading.weights import open_tensors

        if self.vae_in_float32 and dtype == torch.float16:
            dtype = torch.float32
        return load_vae(open_tensors(info.path), self.vae_scale, self.vae_in_float32, dtype, device)

    def vae_dtype(self, device: torch.device, wanted: torch.dtype) -> torch.dtype:
        import torch

        return torch.float32 if self.vae_in_float32 else super().vae_dtype(device, wanted)

    def load_text(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> TextStack:
        """An encoder's last layers that the family does not use are never read."""
        from lib_lora.models.load import load_text_encoder
        from lib_lora.models.reading.weights import open_tensors
        from lib_lora.models.text_conditioning import TextStack

        file = open_tensors(info.path)
        modules = [load_text_encoder(file, encoder, dtype, device) for encoder in self.text_encoders]
        return TextStack(self.text_encoders, modules)

    def denoise(
        self,
        denoiser: nn.Module,
        latents: torch.Tensor,
        times: torch.Tensor,
        words: Conditioning,
        sizes: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        import torch

        extra: dict[str, Any] = {}
        if words.pooled is not None:
            ids = torch.tensor([list(size) for size in sizes], device=latents.device)
            extra = {"added_cond_kwargs": {"text_embeds": words.pooled.to(latents.dtype), "time_ids": ids}}
        sample: torch.Tensor = denoiser(
            latents, times, encoder_hidden_states=words.context.to(latents.dtype), **extra
        ).sample
        return sample

    def use_fast_ops(self, denoiser: nn.Module, device: torch.device) -> None:
        from lib_lora.models.fast.fast_ops import use_fast_unet

        use_fast_unet(denoiser, device)

    def conditioning_bytes(self, shapes: Shapes) -> int:
        width = next(
            shape[1] for key, shape in shapes.items() if key.startswith(UNET) and key.endswith("attn2.to_k.weight")
        )
        return 4 * _TOKENS * width + (4 * width if self.size_conditioning else 0) + 300

    def probe_prediction(self, info: ModelInfo) -> str:
        """At the last timestep an epsilon model returns about its input (nearly all of it is noise), while a velocity
        model returns the opposite of the clean picture; on a constant input of 0.5 the mean of output minus input is
        then far below zero (A1111's ``is_using_v_parameterization_for_sd2``).
        """
        import torch

        unet = self.load_denoiser(info, torch.float32, torch.device("cpu"))
        latent = torch.full((1, self.latent_channels, 8, 8), 0.5)
        context = torch.full((1, 2, info.context_dim), 0.5)
        with torch.no_grad():
            predicted = unet(latent, torch.tensor([999]), encoder_hidden_states=context).sample
        return "v" if bool((predicted - latent).mean() < -1) else "epsilon"

    def _encoder(self, part: str) -> TextEncoder:
        return self.text_encoders[self.parts.index(part) - 1]


@cache
def _unet_paths(depths: tuple[int, ...], middle_depth: int, convolutions: bool) -> tuple[str, ...]:
    return unet_paths(depths, middle_depth, convolutions)


def problem(file: TensorFile) -> UserError | None:
    """Why a file is no whole Stable Diffusion checkpoint that can be trained on; None where it is one."""
    keys, name = file.keys(), file.path.name
    for what, test in _OTHER_KINDS:
        if any(test(key) for key in keys):
            return UserError(
                f"{name} is {what}, not a Stable Diffusion 1, 2 or XL checkpoint.",
                code="model-of-other-kind",
                file=name,
                found=what,
            )
    if f"{UNET}input_blocks.0.0.weight" not in keys:
        what = _without_unet(keys)
        return UserError(
            f"{name} is {what}, not a Stable Diffusion checkpoint.", code="model-without-unet", file=name, found=what
        )
    channels = file.shape(f"{UNET}input_blocks.0.0.weight")[1]
    if channels != _LATENT_CHANNELS:
        special = {9: "an inpainting model", 8: "an instruct-pix2pix model", 5: "a depth model"}
        what = special.get(channels, f"a model with {channels} input channels")
        return UserError(
            f"{name} is {what}; train on its ordinary text-to-image version.",
            code="model-not-text-to-image",
            file=name,
            found=what,
        )
    if not any(key.endswith("attn2.to_k.weight") for key in keys if key.startswith(UNET)):
        return UserError(
            f"{name} has a UNet without text conditioning, so a character LoRA cannot be trained on it.",
            code="model-not-conditioned",
            file=name,
        )
    wrong = _text_encoder_problem(name, keys)
    if wrong is None and not any(key.startswith(f"{VAE}decoder.") for key in keys):
        return UserError(
            f"{name} contains no VAE; use the version of this model with the VAE baked in.",
            code="vae-missing",
            file=name,
        )
    return wrong


def _text_encoder_problem(name: str, keys: set[str]) -> UserError | None:
    def there(prefix: str) -> bool:
        return any(key.startswith(prefix) for key in keys)

    if there("conditioner.embedders.1.model."):
        if there("conditioner.embedders.0.transformer."):
            return None
        return UserError(
            f"{name} lacks its first text encoder; use the complete checkpoint.",
            code="text-encoder-incomplete",
            file=name,
        )
    if there("conditioner.embedders.0.model."):
        return UserError(
            f"{name} is the SDXL refiner; train on the SDXL base model instead.", code="model-is-refiner", file=name
        )
    if f"{UNET}label_emb.0.0.weight" in keys:
        return UserError(
            f"{name} is an SDXL UNet (or unCLIP model) without both text encoders; use a full checkpoint.",
            code="text-encoder-incomplete",
            file=name,
        )
    if there("cond_stage_model.transformer.") or there("cond_stage_model.model."):
        return None
    return UserError(
        f"{name} contains no text encoder; use the complete checkpoint of this model.",
        code="text-encoder-missing",
        file=name,
    )


def _starts(*prefixes: str) -> Callable[[str], bool]:
    return lambda key: key.startswith(prefixes) or key.startswith(tuple(UNET + prefix for prefix in prefixes))


_OTHER_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a LoRA file", lambda key: bool(re.search(r"\.(lora_(down|up|A|B)\b|hada_w1|lokr_w1|dora_scale|oft_)", key))),
    ("a Flux model", _starts("double_blocks.")),
    ("a Stable Diffusion 3 model", _starts("joint_blocks.")),
    ("a ControlNet", lambda key: key.startswith("control_model.") or "input_hint_block." in key),
    ("a Stable Cascade model", _starts("clip_txt_pooled_mapper.", "clip_mapper.")),
    ("a textual inversion embedding", lambda key: key in ("emb_params", "string_to_param", "clip_l", "clip_g")),
    ("a UNet in diffusers' layout", _starts("down_blocks.0.resnets.")),
)


def _without_unet(keys: set[str]) -> str:
    if not keys:
        return "a file without tensors"
    if any(key.startswith(("encoder.down.", f"{VAE}encoder.", "encoder.down_blocks.")) for key in keys):
        return "a VAE"
    if any("text_model.encoder.layers." in key or "transformer.resblocks." in key for key in keys):
        return "a text encoder"
    return "some other model"
