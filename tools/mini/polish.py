"""Train the UNet on with its easier pictures: `python -m tools.mini.polish --material FOLDER --work DIR --until HH:MM`

After `tools.mini.unet`, whose weights paint one face in twelve melted: where they meant sunglasses, a hat, a hand,
which 3,000 pictures are too few to learn. The pictures that the model itself finds hardest are left out. The mouths
are measured anew with the detector that judges them later: the material's points have mouths wider by 0.036, with a
scatter of as much, and a model that was trained on them smiled in 58 of 100 pictures that asked for it.
``polish_text.safetensors`` in the work folder holds the averaged weights; the same command goes on after a stop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.files import atomic_file
from lib_lora.models.clip_tokens import EOS, padded, token_ids
from lib_lora.models.noise_schedule import noise_schedule
from tools.mini import captions, data, fast_routes
from tools.mini.unet import Examples, Pair, begun, fill, starting_pair, train

KEPT = 0.6  # share of the pictures, the easiest of each direction
SERIOUS, SMILING = 0.84, 0.885  # width of the mouth / distance of the eyes, by the judging detector
FACTOR, DECAY = 0.4, 0.995  # of the rates; of the average
TIMES = (250, 450, 650)  # noise levels at which a picture's difficulty is measured


def looks(faces: data.Faces, cache: Path) -> npt.NDArray[np.float32]:
    """Five points and box (N x 14, fractions) of all but the held-out pictures at the painted size, as the judge sees
    them; NaN where it sees no face."""
    if not cache.exists():
        engine = SFaceEngine()
        rows = np.full((len(faces) - data.HELD_OUT, 14), np.nan, np.float32)
        for number, row in enumerate(rows):
            found = engine.faces(Image.fromarray(data.resized(np.asarray(faces.pixels[number]))))
            if found:
                row[:10] = (found[0].points / data.SIDE).reshape(-1)
                row[10:] = np.asarray(found[0].box) / data.SIDE
        with atomic_file(cache) as stream:
            np.save(stream, rows)
    return np.asarray(np.load(cache))


@torch.no_grad()
def difficulty(pair: Pair, given: Examples, cache: Path) -> npt.NDArray[np.float64]:
    """The error of the predicted noise for each picture [N], with the same noise for all."""
    if not cache.exists():
        alphas, ids = noise_schedule(), torch.tensor([padded(token_ids(captions.SUBJECT), EOS)])
        noise = torch.randn(given.latents.shape[2:], generator=torch.Generator().manual_seed(5))
        result = []
        for part in (given.latents[:, 0] * given.scale).split(64):
            errors = torch.zeros(len(part))
            for time in TIMES:
                noisy = alphas[time].sqrt() * part + (1 - alphas[time]).sqrt() * noise
                times = torch.full((len(part),), time)
                with torch.autocast("cpu", torch.bfloat16):
                    predicted = pair(noisy, times, ids.expand(len(part), -1))
                errors += (predicted.float() - noise).square().mean((1, 2, 3))
            result.append(errors / len(TIMES))
        with atomic_file(cache) as stream:
            np.save(stream, torch.cat(result).double().numpy())
    return np.asarray(np.load(cache))


def easier(hard: npt.NDArray[np.float64], yaw: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which pictures [N] are kept: of those that look left, ahead and right the easiest share each, as turned heads
    are harder and would go missing."""
    kept = np.zeros(len(hard), bool)
    for group in (yaw < captions.LEFT, (yaw >= captions.LEFT) & (yaw <= captions.RIGHT), yaw > captions.RIGHT):
        if group.any():
            kept |= group & (hard <= np.quantile(hard[group], KEPT))
    return kept


def polished(given: Examples, faces: data.Faces, seen: npt.NDArray[np.float32], pair: Pair, work: Path) -> Examples:
    """What is learnt from now on."""
    known = np.flatnonzero(np.isfinite(seen).all(1))
    measured = [captions.measure(faces.pixels[n], seen[n, :10].reshape(5, 2), seen[n, 10:]) for n in known]
    hard = difficulty(pair, given, work / "difficulty.npy")[known]
    kept = easier(hard, np.array([one.yaw for one in measured]))
    print(f"{int(kept.sum())} of {len(seen)} pictures", flush=True)
    chosen = [one for one, stays in zip(measured, kept, strict=True) if stays]
    weights = np.array([captions.weight(one) for one in chosen])
    said = [captions.words(one, SERIOUS, SMILING) for one in chosen]
    return Examples(given.latents[torch.from_numpy(known[kept])], said, weights / weights.sum(), given.scale)


def main() -> None:
    options, faces, given = begun(__doc__)
    seen = looks(faces, options.work / "seen.npy")
    pair = starting_pair(options.material)
    fill(pair, options.work / "unet_text.safetensors")
    fast_routes.use_fast_routes(pair.unet)
    train(pair, polished(given, faces, seen, pair, options.work), options.work, options.until, "polish", FACTOR, DECAY)


if __name__ == "__main__":
    main()
