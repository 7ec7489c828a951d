"""Train the UNet and the text encoder: `python -m tools.mini.unet --material FOLDER --work FOLDER --until 16:45`.

From the material's starting weights, on the latents of the trained VAE (``vae.safetensors`` in the work folder); the
same command goes on after a stop. ``unet_text.safetensors`` in the work folder holds the averaged weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from lib_lora.models.clip_tokens import EOS, padded, token_ids
from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.training.objective.ema import EMA
from tools.mini import captions, data, fast_routes, running
from tools.mini.vae import starting, tensors

BATCH = 32
RATE = 5e-4
HEARING_RATE = 1e-3  # of the layers through which the UNet hears the text, which learnt nothing yet
TEXT_RATE = 2e-4
LESSON = (400, 64, 1e-3)  # steps, captions a step and rate of teaching the text encoder the words
WARMUP = 0.02
EMA_DECAY = 0.998
SNR_MOST, SNR_LEAST = 5.0, 0.1


class Pair(nn.Module):
    """A UNet and its text encoder, with the keys of the material's file."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**config["unet"])
        self.text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"], attn_implementation="eager"))

    def forward(self, latents: torch.Tensor, times: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The noise in `latents` [B, 4, h, w] at `times` [B], with token numbers [B, 77]."""
        context = self.text_encoder(input_ids=ids).last_hidden_state
        result: torch.Tensor = self.unet(latents, times, encoder_hidden_states=context).sample
        return result


def starting_pair(material: Path) -> Pair:
    """The material's UNet and text encoder, float32."""
    pair = Pair(json.loads((material / "unet_text_config.json").read_text(encoding="utf-8")))
    fill(pair, material / "unet_text.safetensors")
    return pair


def plain(name: str) -> str:
    """A parameter's name whatever the version of transformers, which has ``text_model.`` in it or has not."""
    return name.replace("text_encoder.text_model.", "text_encoder.")


def fill(pair: Pair, path: Path) -> None:
    """Load the weights of a file.

    Raises:
        ValueError: the file is another model's.
    """
    state = {plain(key): value.float() for key, value in load_file(path).items()}
    own = dict(pair.named_parameters())
    if {plain(name) for name in own} != {key for key in state if not key.endswith("position_ids")}:
        raise ValueError(f"{path} holds other weights than this model has")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[plain(name)])


@torch.no_grad()
def louder(pair: Pair, words: float = 10.0, places: float = 3.0) -> None:
    """Enlarge the vectors of words and places, in place.

    At their usual deviation of 0.02 a word drowns in what the attention adds to every place (about 0.1): "left" and
    "right" gave contexts that differed by a twentieth, and the UNet learnt not to listen.
    """
    for name, parameter in pair.text_encoder.named_parameters():
        if name.endswith("token_embedding.weight"):
            parameter.mul_(words)
        elif name.endswith("position_embedding.weight"):
            parameter.mul_(places)


def lesson(pair: Pair, work: Path) -> None:
    """Teach the text encoder which of the words are in a caption, before there is any picture.

    From each place behind the caption's end a linear layer must tell the words: seconds of training, after which
    contexts differ by what is asked. Taught by the pictures alone, 600 steps of the UNet brought nothing.
    """
    steps, count, rate = LESSON
    probe = nn.Linear(pair.text_encoder.config.hidden_size, len(captions.ALL))
    optimizer = torch.optim.AdamW([*pair.text_encoder.parameters(), *probe.parameters()], lr=rate, weight_decay=1e-3)
    telling = running.Every(10)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * running.falling(step / steps, 0.05)
        rng = np.random.default_rng((31, step))
        texts = [captions.caption(captions.at_random(rng), rng) for _ in range(count)]
        rows = [token_ids(text)[:75] for text in texts]
        goal = torch.tensor([[float(word in text) for word in captions.ALL] for text in texts])
        behind = torch.tensor([[float(place > len(row)) for place in range(77)] for row in rows])[..., None]
        states = pair.text_encoder(input_ids=torch.tensor([padded(row, EOS) for row in rows])).last_hidden_state
        error = functional.binary_cross_entropy_with_logits(
            probe(states), goal[:, None].expand(-1, 77, -1), reduction="none"
        )
        value = (error * behind).sum() / behind.sum() / len(captions.ALL)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(pair.text_encoder.parameters(), 1.0)
        optimizer.step()
        if telling.due() or step == steps - 1:
            running.log(work / "unet.log", lesson=step, loss=float(value.detach()))


def groups(pair: Pair, factor: float) -> list[dict[str, Any]]:
    """The optimizer's groups: the UNet proper, the layers through which it hears, the text encoder."""
    rates = (RATE * factor, HEARING_RATE * factor, TEXT_RATE * factor)
    sorted_: tuple[list[nn.Parameter], ...] = ([], [], [])
    for name, parameter in pair.named_parameters():
        sorted_[2 if name.startswith("text_encoder.") else int(".attn2." in name)].append(parameter)
    return [{"params": some, "lr": rate, "full": rate} for some, rate in zip(sorted_, rates, strict=True)]


@dataclass(frozen=True)
class Examples:
    """`latents` [N, 2, 4, h, w], unscaled, of pictures and their mirror images; the words and the weight of each."""

    latents: torch.Tensor
    words: list[list[str]]
    weights: np.ndarray[Any, Any]
    scale: float


@torch.no_grad()
def encoded(vae: AutoencoderKL, faces: data.Faces) -> torch.Tensor:
    """The means of the latents of all but the held-out pictures, each as it is and mirrored."""
    result = []
    count = len(faces) - data.HELD_OUT
    for start in range(0, count, 16):
        batch = [data.resized(np.asarray(pixels)) for pixels in faces.pixels[start : min(count, start + 16)]]
        pictures = tensors(np.stack(batch))
        both = torch.stack([pictures, pictures.flip(-1)], 1).flatten(0, 1)
        with torch.autocast("cpu", torch.bfloat16):
            means = vae.encode(both).latent_dist.mean
        result.append(means.float().unflatten(0, (-1, 2)))
    return torch.cat(result)


def examples(vae: AutoencoderKL, faces: data.Faces, cache: Path) -> Examples:
    """What the UNet learns from; the latents are kept in `cache`."""
    if not cache.exists():
        save_file({"latents": encoded(vae, faces)}, cache)
    latents = load_file(cache)["latents"]
    seen = [captions.measure(faces.pixels[n], faces.points[n], faces.boxes[n]) for n in range(len(latents))]
    weights = np.array([captions.weight(one) for one in seen])
    scale = float(1 / latents.std())
    return Examples(latents, [captions.words(one) for one in seen], weights / weights.sum(), scale)


def batch(given: Examples, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents [B, 4, h, w] of unit deviation and token numbers [B, 77], for one step."""
    rng = np.random.default_rng((23, step))
    latents, rows = [], []
    for index in rng.choice(len(given.words), BATCH, p=given.weights):
        mirror = int(rng.random() < 0.5)
        said = captions.mirrored(given.words[index]) if mirror else given.words[index]
        latents.append(given.latents[index, mirror])
        rows.append(padded(token_ids(captions.caption(said, rng))[:75], EOS))
    return torch.stack(latents) * given.scale, torch.tensor(rows)


def loss_weights(snr: torch.Tensor) -> torch.Tensor:
    """What the squared error of the noise is multiplied by: the error of the picture counts by its SNR within limits.

    The upper limit is min-SNR (Hang et al., arXiv 2303.09556); the lower one keeps the nearly pure noise, where is
    decided which way a face looks, from counting nothing.
    """
    return snr.clamp(SNR_LEAST, SNR_MOST) / snr


def loss(pair: nn.Module, latents: torch.Tensor, ids: torch.Tensor, step: int) -> torch.Tensor:
    """The weighted error of the predicted noise for one batch."""
    random = torch.Generator().manual_seed(step)
    noise = torch.randn(latents.shape, generator=random)
    times = torch.randint(0, 1000, (len(latents),), generator=random)
    alphas = noise_schedule()[times]
    part = alphas.view(-1, 1, 1, 1)
    noisy = part.sqrt() * latents + (1 - part).sqrt() * noise
    with torch.autocast("cpu", torch.bfloat16):
        predicted = pair(noisy, times, ids)
    error = functional.mse_loss(predicted.float(), noise, reduction="none").mean((1, 2, 3))
    return (error * loss_weights(alphas / (1 - alphas))).mean()


def write_average(pair: Pair, ema: EMA, path: Path, scale: float) -> None:
    """The averaged weights as float32 under the material's names; the scale of the latents in the metadata."""
    names = [name for name, _ in pair.named_parameters()]
    tensors_ = {plain(name): tensor.contiguous() for name, tensor in zip(names, ema.tensors(), strict=True)}
    save_file(tensors_, path, metadata={"latent_scale": repr(scale)})


def train(
    pair: Pair,
    given: Examples,
    work: Path,
    until: float,
    name: str = "unet",
    factor: float = 1.0,
    decay: float = EMA_DECAY,
) -> None:
    """Go on from the last checkpoint until that time.

    Args:
        pair: trained in place.
        given: to learn from.
        work: gets ``NAME.pt`` to go on from, ``NAME.log``, and the averaged weights as ``NAME_text.safetensors``.
        until: seconds since 1970.
        name: of this part of the training.
        factor: what all rates are multiplied by.
        decay: of the average.
    """
    checkpoint, log = work / f"{name}.pt", work / f"{name}.log"
    optimizer = torch.optim.AdamW(groups(pair, factor), betas=(0.9, 0.99), weight_decay=1e-3)
    ema = EMA(pair.parameters(), decay)
    state = running.load(checkpoint)
    step, begun = 0, None
    if state:
        pair.load_state_dict(state["pair"])
        optimizer.load_state_dict(state["optimizer"])
        ema.load_state_dict(state["ema"])
        step, begun = state["step"], state["begun"]
    clock = running.Clock(until, begun)
    saving, telling = running.Every(300), running.Every(30)
    losses: list[float] = []

    def keep() -> None:
        values = {"pair": pair.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.state_dict()}
        running.save(checkpoint, {**values, "step": step, "begun": clock.begun})
        write_average(pair, ema, work / f"{name}_text.safetensors", given.scale)

    while not clock.over:
        now = running.falling(clock.share, WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * now
        value = loss(pair, *batch(given, step), step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimizer.step()
        ema.update()
        step += 1
        losses.append(float(value.detach()))
        if telling.due():
            running.log(log, step=step, minutes=clock.minutes, rate=RATE * factor * now, loss=float(np.mean(losses)))
            losses.clear()
        if saving.due():
            keep()
    keep()


def begun(said: str | None) -> tuple[argparse.Namespace, data.Faces, Examples]:
    """What a training of the UNet begins with: its options (`said` describes it), the pictures, what they teach."""
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--until", type=running.time_of_day, required=True, help="time of day (HH:MM) of the end")
    options = parser.parse_args()
    torch.manual_seed(0)
    vae = starting(options.material)
    vae.load_state_dict(load_file(options.work / "vae.safetensors"))
    faces = data.load(options.material, options.work)
    return options, faces, examples(vae, faces, options.work / "latents.safetensors")


def main() -> None:
    options, _, given = begun(__doc__)
    print(f"{len(given.words)} pictures, latent scale {given.scale:.4f}", flush=True)
    pair = starting_pair(options.material)
    if not (options.work / "unet.pt").exists():
        louder(pair)
        lesson(pair, options.work)
    fast_routes.use_fast_routes(pair.unet)
    train(pair, given, options.work, options.until)


if __name__ == "__main__":
    main()
