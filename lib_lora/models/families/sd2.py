"""Describes Stable Diffusion 2: 512 or 768 pixels, OpenCLIP-H, noise or velocity prediction.

The file does not say which of the two it predicts.
"""

from __future__ import annotations

from lib_lora.models.families.model_family import FamilyPreset, MemoryFigures
from lib_lora.models.families.stable_diffusion import StableDiffusion
from lib_lora.models.text_encoder import TextEncoder

SD2 = StableDiffusion(
    name="sd2",
    title="SD2",
    label="SD2",
    full_name="Stable Diffusion 2",
    webui_flag="is_sd2",
    forge_name="SD20",
    parts=("unet", "te1"),
    prefixes={"unet": "lora_unet_", "te1": "lora_te_"},
    sides={"epsilon": 512, "v": 768},
    base_versions={"epsilon": "sd_v2", "v": "sd_v2_v"},
    architectures={"epsilon": "stable-diffusion-v2-512/lora", "v": "stable-diffusion-v2-768-v/lora"},
    depths=(1, 1, 1, 0),
    middle_depth=1,
    marker="cond_stage_model.model.",
    # The encoder has 24 layers; the family reads the last but one, so the 24th is never built.
    text_encoders=(TextEncoder("open_clip", "cond_stage_model.model.", 23, pad=0, output="last", unread=1),),
    prediction_in_weights=True,
    is_v2=True,
    joint_attention=("te1",),
    context_widths=(1024,),
    civitai_bases=("SD 2.0", "SD 2.0 768", "SD 2.1", "SD 2.1 768"),
    # activations are taken for as large as Stable Diffusion 1.5's
    memory=MemoryFigures(
        denoiser=0.87,
        text=0.35,
        denoiser_rank=0.43,
        text_rank=0.42,
        convolution_rank=0.63,
        activations=1.15,
        recomputed=0.28,
        side=512,
        card=6,
    ),
    presets={
        "sd2-face": FamilyPreset(
            "A face on Stable Diffusion 2: UNet and text encoder, the encoder at a lower rate.",
            {
                "batch_size": 2,
                "unet_lr": 1e-4,
                "te_lr": 2.5e-5,  # OpenCLIP-H is larger and forgets sooner
                "lora": {"rank": 32, "alpha": 16, "te": True},
                "objective": {"min_snr_gamma": 5.0},  # no offset: the v objective already learns brightness
            },
        )
    },
)
