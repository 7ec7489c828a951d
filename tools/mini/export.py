"""Write the model as one file: `python -m tools.mini.export --material FOLDER --work FOLDER --target FOLDER`.

``mini-face.safetensors`` in half precision with the names of the original Stable Diffusion 1, and ``mini-face.yaml``
beside it, which says the shapes to programs that do not read them from the tensors.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import load_file, save

from lib_lora.files import atomic_file
from lib_lora.models.load import VAE
from lib_lora.models.part_names import original_key
from lib_lora.models.unet_names import UNET, original_path
from tools.mini.unet import Pair, fill, plain, starting_pair
from tools.mini.vae import starting

SCALING = 0.18215  # what every loader of Stable Diffusion 1 multiplies latents by
NAME = "mini-face"
TEXT = "cond_stage_model.transformer.text_model."
METADATA = {
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-v1",
    "modelspec.implementation": "https://github.com/CompVis/stable-diffusion",
    "modelspec.title": "mini face",
    "modelspec.resolution": "128x128",
    "modelspec.prediction_type": "epsilon",
    "modelspec.description": "A small test base that paints faces of people who do not exist.",
}


@torch.no_grad()
def fold(vae: AutoencoderKL, scale: float, fixed: float = SCALING) -> None:
    """Change `vae` in place so that `fixed` takes the place of the latents' own `scale`; its pictures stay the same.

    The last layer of the encoder gives means and logarithms of variances; with k = scale / fixed the means grow by k
    and the logarithms by 2 ln k. The first layer of the decoder divides by k.
    """
    factor = scale / fixed
    means = vae.config.latent_channels
    vae.quant_conv.weight[:means] *= factor
    vae.quant_conv.bias[:means] *= factor
    vae.quant_conv.bias[means:] += 2 * math.log(factor)
    vae.post_quant_conv.weight /= factor


def original(pair: Pair, vae: AutoencoderKL) -> dict[str, torch.Tensor]:
    """All tensors under the names of the original checkpoint, in half precision.

    Raises:
        ValueError: a number is beyond half precision.
    """
    attention = [hasattr(block, "attentions") for block in pair.unet.up_blocks]
    result: dict[str, torch.Tensor] = {}
    for key, tensor in pair.unet.state_dict().items():
        path, leaf = key.rsplit(".", 1)
        result[f"{UNET}{original_path(path, attention)}.{leaf}"] = tensor
    for key, tensor in vae.state_dict().items():
        name = VAE + original_key(key, len(vae.config.block_out_channels))
        if ".attn_1." in name and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]  # the original has 1 x 1 convolutions there
        result[name] = tensor
    for key, tensor in pair.text_encoder.named_parameters():
        result[TEXT + plain(f"text_encoder.{key}").removeprefix("text_encoder.")] = tensor
    half = {key: tensor.detach().to(torch.float16).contiguous() for key, tensor in result.items()}
    for key, tensor in half.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{key} has numbers that half precision cannot hold")
    half[f"{TEXT}embeddings.position_ids"] = torch.arange(77).unsqueeze(0)
    return half


def config(unet: dict[str, Any], vae: dict[str, Any]) -> dict[str, Any]:
    """The original program's configuration (``v1-inference.yaml``) with this model's shapes."""
    widths, vae_widths = unet["block_out_channels"], vae["block_out_channels"]
    depth = len(widths)
    shape = {
        "image_size": unet["sample_size"], "in_channels": 4, "out_channels": 4, "model_channels": widths[0],
        "attention_resolutions": [2**n for n in range(depth - 1)], "num_res_blocks": unet["layers_per_block"],
        "channel_mult": [width // widths[0] for width in widths], "num_heads": unet["attention_head_dim"],
        "use_spatial_transformer": True, "transformer_depth": 1, "context_dim": unet["cross_attention_dim"],
        "use_checkpoint": False, "legacy": False,
    }  # fmt: skip
    picture = {
        "double_z": True, "z_channels": vae["latent_channels"], "resolution": vae["sample_size"], "in_channels": 3,
        "out_ch": 3, "ch": vae_widths[0], "ch_mult": [width // vae_widths[0] for width in vae_widths],
        "num_res_blocks": vae["layers_per_block"], "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    return {
        "model": {
            "base_learning_rate": 1e-4,
            "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
            "params": {
                "parameterization": "eps", "linear_start": 0.00085, "linear_end": 0.012, "num_timesteps_cond": 1,
                "log_every_t": 200, "timesteps": 1000, "first_stage_key": "jpg", "cond_stage_key": "txt",
                "image_size": unet["sample_size"], "channels": 4, "cond_stage_trainable": False,
                "conditioning_key": "crossattn", "monitor": "val/loss_simple_ema", "scale_factor": SCALING,
                "use_ema": False,
                "unet_config": {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": shape},
                "first_stage_config": {
                    "target": "ldm.models.autoencoder.AutoencoderKL",
                    "params": {
                        "embed_dim": vae["latent_channels"], "monitor": "val/rec_loss", "ddconfig": picture,
                        "lossconfig": {"target": "torch.nn.Identity"},
                    },
                },
                "cond_stage_config": {
                    "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
                    # written by tools.mini.webui
                    "params": {"version": f"models/{NAME}-clip"},
                },
            },
        }
    }  # fmt: skip


def write(pair: Pair, vae: AutoencoderKL, scale: float, material: Path, target: Path) -> Path:
    """Write the model and its configuration into `target`; `vae` is folded in place. Returns the model's path."""
    fold(vae, scale)
    path = target / f"{NAME}.safetensors"
    with atomic_file(path) as stream:
        stream.write(save(original(pair, vae), metadata=METADATA))
    read = {
        name: json.loads((material / name).read_text(encoding="utf-8"))
        for name in ("unet_text_config.json", "vae_config.json")
    }
    described = config(read["unet_text_config.json"]["unet"], read["vae_config.json"])
    with atomic_file(path.with_suffix(".yaml"), "w") as stream:
        yaml.safe_dump(described, stream, sort_keys=False)
    return path


def trained(material: Path, work: Path) -> tuple[Pair, AutoencoderKL, float]:
    """The trained parts in `work` and the scale of the latents; the starting ones where nothing was trained yet."""
    there = [path for name in ("polish", "unet") if (path := work / f"{name}_text.safetensors").exists()]
    done = max(there, key=lambda path: path.stat().st_mtime, default=None)  # a polish of older weights is out of date
    pair, vae = starting_pair(material), starting(material)
    scale = float(json.loads((material / "unet_text_config.json").read_text(encoding="utf-8"))["latent_scale"])
    if done:
        vae.load_state_dict(load_file(work / "vae.safetensors"))
        fill(pair, done)
        with safe_open(done, "pt") as file:
            scale = float(file.metadata()["latent_scale"])
    return pair, vae, scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    options = parser.parse_args()
    path = write(*trained(options.material, options.work), options.material, options.target)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
