"""Describes Stable Diffusion 1: 512 pixels, CLIP-L, noise prediction."""

from __future__ import annotations

from lib_lora.models.clip_tokens import EOS
from lib_lora.models.families.model_family import FamilyPreset, MemoryFigures
from lib_lora.models.families.stable_diffusion import StableDiffusion
from lib_lora.models.text_encoder import TextEncoder

NARROW = "mini-face"  # the preset for small models
_SIDE = 512


SD1 = StableDiffusion(
    name="sd1",
    title="SD1",
    label="SD1.5",
    full_name="Stable Diffusion 1.5",
    webui_flag="is_sd1",
    forge_name="SD15",
    parts=("unet", "te1"),
    prefixes={"unet": "lora_unet_", "te1": "lora_te_"},
    sides={"epsilon": _SIDE, "v": _SIDE},
    base_versions={"epsilon": "sd_v1", "v": "sd_v1"},
    architectures={"epsilon": "stable-diffusion-v1/lora", "v": "stable-diffusion-v1/lora"},
    depths=(1, 1, 1, 0),
    middle_depth=1,
    heads=8,
    marker="cond_stage_model.transformer.",
    text_encoders=(
        # a webui finds its layers under the name of SDXL's first encoder too
        TextEncoder("clip", "cond_stage_model.transformer.", 12, pad=EOS, output="skip", other_prefixes=("lora_te1_",)),
    ),
    webui_fallback=True,
    context_widths=(768,),
    civitai_bases=("SD 1.4", "SD 1.5", "SD 1.5 LCM", "SD 1.5 Hyper"),
    linear_projections=False,
    narrow_below=768,
    memory=MemoryFigures(
        denoiser=0.86,
        text=0.12,
        denoiser_rank=0.42,
        text_rank=0.17,
        convolution_rank=0.63,
        activations=1.15,
        recomputed=0.28,
        side=_SIDE,
        card=6,
    ),
    presets={
        "sd15-face": FamilyPreset(
            "A face on Stable Diffusion 1.5: UNet and text encoder, 512 pixels, fits 8 GB.",
            {
                "batch_size": 2,  # smoother than 1, fits 8 GB
                "unet_lr": 1e-4,  # the common ground of all sources
                "te_lr": 5e-5,  # half the UNet's: the trigger word is learned without forgetting the others
                # a face needs more than style; alpha half for stability
                "lora": {"rank": 32, "alpha": 16, "te": True},
                # noise offset: dark and bright portraits; min-SNR 5: equal progress at all noise levels (2303.09556)
                "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
            },
        ),
        # on a CPU (docs/mini-face.md has the measurements)
        NARROW: FamilyPreset(
            "A face on a small model that paints small pictures; takes minutes on a CPU, for trying things out.",
            {
                "passes": 56,  # 336 steps with 24 photos
                "batch_size": 4,  # a small step costs little more for four than for one
                "precision": "fp32",  # its products are so small that bf16 takes longer, even where a processor has it
                "optimizer": "adamw",
                # narrow layers need larger changes: half of these keep less of the face, twice make pictures alike
                "unet_lr": 4e-3,
                "te_lr": 2e-3,
                "vectors_lr": 1e-2,  # in so few steps a trigger with 0.001 still means the class word
                "face_weight": 2.0,  # keeps a little more of the face in the same steps, and the pictures as varied
                "sample_steps": 5,  # its pictures look the same after 5 as after 20; two of them are 4 % of the time
                # no output preservation: it needs captions that say what each photo shows, a weight below 1 when
                # painting, and half as much time again (docs/quality.md, "The front and the preset")
                "likeness_curve": False,  # 51 pictures are an eighth of the work for 24 photos, a fifth for 14
                "lora": {"rank": 32, "alpha": 16, "te": True},
                "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
            },
            narrow=True,
        ),
    },
)
