"""The small model's VAE with Stable Diffusion's own steps from level to level, as `tools.mini.wide` needs it.

The small VAE changes the number of its channels between levels 2 and 3, where Stable Diffusion does not, so there is
a convolution that has no counterpart. Here these levels get as many channels as level 3, and learn to answer as the
small VAE does: the encoder's levels 2 and 3 what leaves them, the decoder's level 2 what leaves the first block after
it. All else is the small VAE's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

Run = Callable[[torch.Tensor], torch.Tensor]
PERSONAS = Path(__file__).resolve().parents[2] / "tests" / "data" / "personas"
STEPS, BATCH, RATE, SIDE = 600, 4, 3e-3, 64  # pictures of half the size: all of these levels see few pixels at a time
_LEARNS = (  # parts of the encoder, and of the decoder
    ("down_blocks.2.", "down_blocks.3."),
    ("up_blocks.1.", "up_blocks.2.resnets.0.norm1", "up_blocks.2.resnets.0.conv1", "up_blocks.2.resnets.0.conv_sh"),
)


def fitting(small: AutoencoderKL, said: Callable[[str], None] = print) -> AutoencoderKL:
    """A VAE of 32, 64, 128 and 128 channels that does what `small`, of 32, 64, 96 and 128, does."""
    torch.manual_seed(3)
    made = AutoencoderKL.from_config({**small.config, "block_out_channels": (32, 64, 128, 128)}).float()
    own = made.state_dict()
    made.load_state_dict({name: _cut(tensor, own[name]) for name, tensor in small.state_dict().items() if name in own})
    photos = [
        np.asarray(Image.open(path).convert("RGB").resize((160, 160), Image.Resampling.LANCZOS))
        for path in sorted(PERSONAS.glob("*/*.jpg"))
    ]
    _teach(made.encoder, small.encoder, _LEARNS[0], "down_blocks.3", lambda: _pictures(photos), said)
    with torch.no_grad():
        latents = [small.encode(_pictures(photos)).latent_dist.mean for _ in range(200)]

    def some() -> torch.Tensor:
        one = latents[int(torch.randint(len(latents), ()))]
        return one + torch.randn_like(one) * float(torch.rand(()) ** 2)

    def decoder(vae: AutoencoderKL) -> Run:
        return lambda z: vae.decoder(vae.post_quant_conv(z))

    _teach(
        made.decoder, small.decoder, _LEARNS[1], "up_blocks.2.resnets.0", some, said, (decoder(made), decoder(small))
    )
    return made


def _cut(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What is there of it where it is to go, the rest as it is there."""
    found = like.clone()
    part = tuple(slice(0, min(sizes)) for sizes in zip(tensor.shape, like.shape, strict=True))
    found[part] = tensor[part]
    return found


def _pictures(photos: list[np.ndarray]) -> torch.Tensor:
    cuts = []
    for _ in range(BATCH):
        photo = photos[int(torch.randint(len(photos), ()))]
        y, x = (int(one) for one in torch.randint(160 - SIDE, (2,)))
        cut = photo[y : y + SIDE, x : x + SIDE]
        cuts.append(torch.from_numpy(cut[:, :: -1 if torch.rand(()) < 0.5 else 1].copy()))
    return torch.stack(cuts).permute(0, 3, 1, 2).float() / 127.5 - 1


def _teach(
    learner: torch.nn.Module,
    teacher: torch.nn.Module,
    parts: tuple[str, ...],
    point: str,
    draw: Callable[[], torch.Tensor],
    said: Callable[[str], None],
    runs: tuple[Run, Run] | None = None,
) -> None:
    """Move `parts` of a learner until what leaves it at `point` is what leaves its teacher there; `runs` says how each
    of them is called, where that is not as a whole."""
    run, run_teacher = runs or (learner, teacher)
    seen: dict[str, torch.Tensor] = {}
    for name, module in (("learner", learner), ("teacher", teacher)):
        module.get_submodule(point).register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    learner.requires_grad_(False)
    moved = [weight for name, weight in learner.named_parameters() if name.startswith(parts)]
    for weight in moved:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(moved, RATE, betas=(0.9, 0.99))
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for step in range(STEPS):
        given = draw()
        with torch.no_grad():
            run_teacher(given)
        end = run(given)
        loss = (seen["learner"] - seen["teacher"]).pow(2).mean() / seen["teacher"].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plan.step()
        if step % 50 == 0 or step == STEPS - 1:
            said(f"{point} step {step}: {float(loss.detach()):.4f} {tuple(end.shape)}")
    learner.requires_grad_(False)
