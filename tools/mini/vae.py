"""Train the VAE: `python -m tools.mini.vae --material FOLDER --work FOLDER --until 14:30`, again to go on.

From the starting VAE of the material. What is lost in a picture is measured in pixels (L1 of the picture and of its
averages, L1 of its edges) and in the feature maps of a face recogniser on the aligned face, so that the few numbers
of a latent are spent on what makes a face this face. The recogniser's early maps count, and the crop is jittered:
its last layer alone could be satisfied by patterns that no eye sees.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.models.vae import to_image
from lib_lora.training.objective.ema import EMA
from tools.mini import data, running, sface

BATCH = 8
RATE = 4e-4
ENCODER_SHARE = 0.5  # of the rate: a UNet that knows the old latents should still know most of the new ones
WARMUP = 0.03
EMA_DECAY = 0.99
KL = 1e-4
FEATURES = 0.4  # weights against the pixel loss, so that each pulls about as hard at the picture
IDENTITY = 0.2
LATENT_NOISE = 0.04  # the latents' own deviation is 1.6: the decoder must bear what a UNet leaves of the noise


def starting(material: Path) -> AutoencoderKL:
    """The material's VAE, float32."""
    config = json.loads((material / "vae_config.json").read_text(encoding="utf-8"))
    vae = AutoencoderKL.from_config(config)
    vae.load_state_dict({key: value.float() for key, value in load_file(material / "vae.safetensors").items()})
    return vae


def pixel_loss(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """L1 of pictures [B, 3, H, W], of their averages over 2, 4 and 8 pixels, and of their differences to neighbours."""
    loss = (one - other).abs().mean()
    for side in (2, 4, 8):
        loss = loss + (functional.avg_pool2d(one, side) - functional.avg_pool2d(other, side)).abs().mean()
    gap = one - other
    edges = (gap[..., 1:] - gap[..., :-1]).abs().mean() + (gap[..., 1:, :] - gap[..., :-1, :]).abs().mean()
    return loss + edges


def face_losses(
    face: sface.SFace, one: torch.Tensor, other: torch.Tensor, grid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the faces of two batches of pictures are apart for the recogniser.

    Returns:
        The mean relative L1 of the feature maps, and 1 - the mean cosine of the embeddings.
    """
    with torch.no_grad():
        goal, goal_maps = face(sface.crops(other, grid), sface.FEATURES)
    found, maps = face(sface.crops(one, grid), sface.FEATURES)
    distance = torch.stack(
        [(a.float() - b.float()).abs().mean() / b.float().abs().mean() for a, b in zip(maps, goal_maps, strict=True)]
    )
    cosine = functional.cosine_similarity(found.float(), goal.float())
    return distance.mean(), 1 - cosine.mean()


def batch(faces: data.Faces, step: int, jitter: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [B, 3, 128, 128] in -1..1 and their crops' grids, for one step; mirrored and cut at random."""
    rng = np.random.default_rng((11, step))
    pictures, points = [], []
    whole = faces.pixels.shape[1]
    for index in rng.integers(0, len(faces) - data.HELD_OUT, BATCH):
        size = whole if rng.random() < 0.5 else int(rng.integers(data.SIDE - 12, whole + 1))
        corner = (int(rng.integers(0, whole - size + 1)), int(rng.integers(0, whole - size + 1)))
        part, five = data.cut(faces.pixels[index], faces.points[index], rng.random() < 0.5, corner, size)
        pictures.append(part)
        points.append(five * data.SIDE + rng.normal(0, jitter, (5, 2)))
    return tensors(np.stack(pictures)), sface.grids(np.stack(points), data.SIDE)


def tensors(pixels: data.Pixels) -> torch.Tensor:
    """Pictures B x S x S x 3 as [B, 3, S, S] in -1..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def measure(vae: AutoencoderKL, faces: data.Faces, sheet: Path | None = None) -> dict[str, float]:
    """How much of the held-out pictures a VAE keeps: SFace cosine (faces found anew in both), PSNR, faces lost."""
    engine = SFaceEngine()
    cosines, psnr, lost, rows = [], [], 0, []
    for pixels in faces.pixels[-data.HELD_OUT :]:
        original = data.resized(np.asarray(pixels))
        mean = vae.encode(tensors(original[None])).latent_dist.mean
        picture = to_image(vae.decode(mean).sample[0])
        error = float(np.mean((np.asarray(picture, np.float64) - original) ** 2))
        psnr.append(10 * np.log10(255**2 / error))
        before, after = engine.faces(Image.fromarray(original)), engine.faces(picture)
        if not after:
            lost += 1
        elif before:
            cosines.append(float(before[0].embedding @ after[0].embedding))
        rows.append(np.concatenate([original, np.asarray(picture)], 0))
    if sheet is not None:
        lines = [np.concatenate(rows[start : start + 8], 1) for start in range(0, 32, 8)]
        Image.fromarray(np.concatenate(lines, 0)).save(sheet)
    return {
        "cosine": float(np.mean(cosines)),
        "cosine_min": float(np.min(cosines)),
        "psnr": float(np.mean(psnr)),
        "lost": float(lost),
    }


def averaged(vae: AutoencoderKL, ema: EMA) -> AutoencoderKL:
    """A copy of `vae` with the averaged weights."""
    copy = AutoencoderKL.from_config(vae.config)
    names = [name for name, _ in vae.named_parameters()]
    copy.load_state_dict(dict(zip(names, ema.tensors(), strict=True)))
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--until", type=running.time_of_day, help="time of day (HH:MM) at which the training ends")
    parser.add_argument("--measure", action="store_true", help="only measure the starting VAE and the best so far")
    options = parser.parse_args()
    faces = data.load(options.material, options.work)
    vae = starting(options.material)
    if options.measure:
        print("starting", measure(vae, faces))
        if (options.work / "vae.safetensors").exists():
            vae.load_state_dict(load_file(options.work / "vae.safetensors"))
            print("trained", measure(vae, faces, options.work / "vae.png"))
        return
    if options.until is None:
        parser.error("--until is needed to train")
    train(vae, faces, options.work, options.until)


def train(vae: AutoencoderKL, faces: data.Faces, work: Path, until: float) -> None:
    """Go on from the last checkpoint until that time; ``vae.safetensors`` in `work` holds the averages."""
    checkpoint, log = work / "vae.pt", work / "vae.log"
    face = sface.SFace()
    inward = [*vae.encoder.parameters(), *vae.quant_conv.parameters()]
    outward = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": inward}, {"params": outward}], lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4
    )
    ema = EMA(vae.parameters(), EMA_DECAY)
    state = running.load(checkpoint)
    step, begun = 0, None
    if state:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        ema.load_state_dict(state["ema"])
        step, begun = state["step"], state["begun"]
    clock = running.Clock(until, begun)
    saving, measuring, telling = running.Every(240), running.Every(600), running.Every(30)

    def keep() -> None:
        running.save(
            checkpoint,
            {
                "vae": vae.state_dict(),
                "optimizer": optimizer.state_dict(),
                "ema": ema.state_dict(),
                "step": step,
                "begun": clock.begun,
            },
        )
        save_file({k: v.contiguous() for k, v in averaged(vae, ema).state_dict().items()}, work / "vae.safetensors")

    while not clock.over:
        rate = RATE * running.falling(clock.share, WARMUP)
        for group, share in zip(optimizer.param_groups, (ENCODER_SHARE, 1.0), strict=True):
            group["lr"] = share * rate
        losses = one_step(vae, face, faces, step, optimizer)
        ema.update()
        step += 1
        if telling.due():
            running.log(log, step=step, minutes=clock.minutes, rate=rate, **losses)
        if saving.due():
            keep()
        if measuring.due():
            running.log(log, step=step, **measure(averaged(vae, ema), faces, work / "vae.png"))
    keep()
    running.log(log, step=step, **measure(averaged(vae, ema), faces, work / "vae.png"))


def one_step(
    vae: AutoencoderKL, face: sface.SFace, faces: data.Faces, step: int, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """One batch and one step of the optimizer; the parts of its loss."""
    pictures, grid = batch(faces, step)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        latents = posterior.sample()
        painted = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample.float()
        features, identity = face_losses(face, painted, pictures, grid)
    pixel = pixel_loss(painted, pictures)
    divergence = posterior.kl().float().mean() / posterior.mean[0].numel()
    loss = pixel + FEATURES * features + IDENTITY * identity + KL * divergence
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    parts = {"pixel": pixel, "features": features, "identity": identity, "kl": divergence, "norm": norm}
    return {name: float(value.detach()) for name, value in parts.items()}


if __name__ == "__main__":
    main()
