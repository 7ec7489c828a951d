"""Describes Stable Diffusion XL: 1024 pixels, two text encoders, and a UNet that is told the picture's size."""

from __future__ import annotations

from lib_lora.models.clip_tokens import EOS
from lib_lora.models.families.model_family import FamilyPreset, MemoryFigures
from lib_lora.models.families.stable_diffusion import StableDiffusion
from lib_lora.models.text_encoder import TextEncoder

_SIDE = 1024
_ARCHITECTURE = "stable-diffusion-xl-v1-base/lora"


SDXL = StableDiffusion(
    name="sdxl",
    title="SDXL",
    label="SDXL",
    full_name="Stable Diffusion XL",
    webui_flag="is_sdxl",
    forge_name="SDXL",
    parts=("unet", "te1", "te2"),
    prefixes={"unet": "lora_unet_", "te1": "lora_te1_", "te2": "lora_te2_"},
    sides={"epsilon": _SIDE, "v": _SIDE},
    base_versions={"epsilon": "sdxl_base_v1-0", "v": "sdxl_base_v1-0"},
    architectures={"epsilon": _ARCHITECTURE, "v": _ARCHITECTURE},
    version_prefix="sdxl_",
    depths=(0, 2, 10),
    middle_depth=10,
    marker="conditioner.embedders.1.model.",
    text_encoders=(
        TextEncoder("clip", "conditioner.embedders.0.transformer.", 12, pad=EOS, output="second"),
        TextEncoder("open_clip", "conditioner.embedders.1.model.", 32, pad=0, output="second", pooled=True),
    ),
    vae_scale=0.13025,
    vae_in_float32=True,
    original_keys=True,
    size_conditioning=True,
    implementation="https://github.com/Stability-AI/generative-models",
    joint_attention=("te2",),
    context_widths=(2048,),
    civitai_bases=(
        *("SDXL 0.9", "SDXL 1.0", "SDXL 1.0 LCM", "SDXL Turbo", "SDXL Lightning", "SDXL Hyper"),
        *("Pony", "Illustrious", "NoobAI"),
    ),
    memory=MemoryFigures(
        denoiser=2.57,
        text=0.82,
        denoiser_rank=2.66,
        text_rank=0.90,
        convolution_rank=0.41,
        activations=8.2,
        recomputed=0.8,
        side=_SIDE,
        card=8,
        text_last=True,
        hint="a Stable Diffusion 1.5 checkpoint needs less",
    ),
    presets={
        "sdxl-face": FamilyPreset(
            "A face on Stable Diffusion XL: the UNet alone, 1024 pixels, from 10 GB.",
            {
                "batch_size": 1,  # 1024 pixels; more only with much memory
                "unet_lr": 1e-4,
                "te_lr": 0.0,  # kohya's docs "highly recommend" the UNet alone; saves both encoders' memory
                "gradient_checkpointing": True,  # without it 1024 pixels need more than 16 GB
                "lora": {"rank": 32, "alpha": 16, "te": False},
                # offset .0357: the value SDXL itself was trained with
                "objective": {"noise_offset": 0.0357, "min_snr_gamma": 5.0},
            },
        )
    },
)
