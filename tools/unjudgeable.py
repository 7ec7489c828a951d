"""Make the small models that tell what hides who a face is (`lib_lora/faces/unjudgeable.py`).

A developer's tool: needs the packages `random-face` (`pip install --no-deps` is enough) and `openvino`, and takes about
ten minutes on two cores. No picture is shipped.

    python tools/unjudgeable.py FOLDER              all models
    python tools/unjudgeable.py FOLDER --washed     only that of brush strokes and washes; the others stay as they are

paints people who do not exist (those of the cohort, `tools/cohort.py`), spoils them (`bench.spoilt_pictures`), in
several sizes, some of them made mildly harder before, and writes ``lib_lora/faces/models/unjudgeable.npz``. What was
painted and measured is kept in FOLDER. How often the models are right on other people:
``python bench/verdict/likeness.py --hidden``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy.optimize import minimize

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.spoilt_pictures import SPOILS, brushed, compressed, mild, smoothed, washed  # noqa: E402
from lib_lora.faces import align  # noqa: E402
from lib_lora.faces.array_types import Array, Numbers  # noqa: E402
from lib_lora.faces.engines import model_pack  # noqa: E402
from lib_lora.faces.engines.detection import find  # noqa: E402
from lib_lora.faces.engines.opencv_engine import MODELS  # noqa: E402
from lib_lora.faces.engines.yunet import YuNet  # noqa: E402
from lib_lora.faces.unjudgeable import (  # noqa: E402
    COVERS,
    FILE,
    LEAST_PX,
    STYLES,
    SURE,
    cover_features,
    style_features,
    wash_features,
)
from lib_lora.files import atomic_file, sha256  # noqa: E402
from lib_lora.models.families.identify import identify  # noqa: E402
from tools.cohort import COHORT, LEFT_OUT, ONE_PICTURE, SEED, Painter, networks  # noqa: E402

CANDIDATES = 39  # of the cohort's; those that `LEFT_OUT` names wear sunglasses or are young
SIDES = (192, 256, 320, 400)  # pixels of the pictures
PAINTED_SIDES = (128, 128, 192, 256)  # of those that pass a VAE
PENALTY = 2e-3  # of the squared weights
WASHES = (brushed, washed)
WASHED_SIDES = (192, 256, 320, 400, 512)
WASHED_TIMES = 2  # that each picture is painted over, in other sizes
WASHED_LINE = 0.95  # probability from which a picture counts as painted over; see docs/likeness.md
KINDS = ("", *COVERS, *STYLES)
NAMES = {
    "eyes covered": "eyes covered",
    "lower half covered": "lower half covered",
    "heavy compression": "heavily compressed",
    "posterised": "posterised",
    "painted": "painted",
}


def pictures(folder: Path, threads: int) -> list[Path]:
    """One picture of each person."""
    left_out = {int(number) for number in LEFT_OUT.split()}
    painter: Painter | None = None
    files = []
    for person in (number for number in range(CANDIDATES) if number not in left_out):
        path = folder / f"{person:04}.png"
        if not path.exists():
            painter = painter or Painter(networks(), threads)
            style = painter.style(np.random.default_rng([SEED, COHORT, person]))
            image = painter.paint(style, np.random.default_rng([SEED, COHORT, person, 1]), ONE_PICTURE)
            with atomic_file(path) as file:
                image.save(file, "PNG")
        files.append(path)
    return files


class Vae:
    """The small base model's VAE: what it gives back looks as painted pictures do."""

    def __init__(self) -> None:
        import torch

        info = identify(ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors")
        self._vae = info.load_vae(torch.float32, torch.device("cpu"))

    def __call__(self, image: Image.Image, side: int) -> Image.Image:
        """A square picture, `side` pixels large (a multiple of 8), encoded and decoded."""
        from lib_lora.models.vae import reconstruct

        return reconstruct(self._vae, image.resize((side, side), Image.Resampling.LANCZOS))


def rows_of(path: Path, number: int, detector: YuNet, vae: Vae) -> list[tuple[str, list[Array]]]:
    """A picture as it is, made harder, as if painted, and spoilt in every way: its kind, and what each model sees."""
    random = np.random.default_rng([SEED, 5, number])
    with Image.open(path) as found:
        whole = found.convert("RGB")
    made: list[tuple[str, Image.Image]] = []
    for harder in (False, True):
        side = int(random.choice(SIDES))
        base = whole.resize((side, side), Image.Resampling.LANCZOS)
        base = mild(base, random) if harder else base
        rows = find(detector, np.asarray(base, np.uint8))
        if not len(rows):
            continue
        made += [("", base), ("", mild(base, random)), ("", vae(base, int(random.choice(PAINTED_SIDES))))]
        for name, spoil in SPOILS.items():
            spoilt = spoil(base, rows[0][4:14].reshape(5, 2), random)
            if name != "heavy compression" and random.random() < 0.4:
                spoilt = compressed(spoilt, int(random.integers(60, 95)))
            if NAMES[name] in COVERS and random.random() < 0.4:
                spoilt = vae(spoilt, int(random.choice(PAINTED_SIDES)))
            made.append((NAMES[name], spoilt))
    smooth = np.random.default_rng([SEED, 6, number])
    for _ in range(2):
        side = int(smooth.choice(SIDES))
        made.append(("", smoothed(whole.resize((side, side), Image.Resampling.LANCZOS), smooth)))
    result = []
    for kind, image in made:
        pixels = np.asarray(image, np.uint8)
        rows = find(detector, pixels)
        if not len(rows) or rows[0][2:4].max() < LEAST_PX:
            continue
        crop = align.crop(pixels, rows[0][4:14].reshape(5, 2))
        left, top, width, height = (float(value) for value in rows[0][:4])
        style = style_features(pixels, (left, top, width, height))
        seen = [*(cover_features(crop, place) for place in range(len(COVERS))), style]
        result.append((kind, seen))
        mirrored = np.ascontiguousarray(crop[:, ::-1])
        result.append((kind, [*(cover_features(mirrored, place) for place in range(len(COVERS))), seen[-1]]))
    return result


def washed_rows(path: Path, number: int, detector: YuNet, vae: Vae) -> list[tuple[bool, Array]]:
    """A picture painted over with brush strokes or a wash, and in what could be taken for it: as it is, made harder,
    smoothed, blurred, enlarged, as if painted by a model. Whether it is painted over, and its style."""
    random = np.random.default_rng([SEED, 7, number])
    with Image.open(path) as found:
        whole = found.convert("RGB")
    made: list[tuple[bool, Image.Image]] = []
    for _ in range(WASHED_TIMES):
        side = int(random.choice(WASHED_SIDES))
        base = whole.resize((side, side), Image.Resampling.LANCZOS)
        base = mild(base, random) if random.random() < 0.3 else base
        small = base.resize((max(96, base.width // 2), max(96, base.height // 2)), Image.Resampling.LANCZOS)
        plain = [base, mild(base, random), vae(base, int(random.choice(PAINTED_SIDES))), smoothed(base, random),
                 smoothed(base, random), small.resize(base.size, Image.Resampling.BICUBIC),
                 base.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 2.5) * side / 400))]  # fmt: skip
        for over, images in ((True, [wash(base, random) for wash in WASHES]), (False, plain)):
            made += [(over, compressed(one, int(random.integers(60, 95))) if random.random() < 0.4 else one)
                     for one in images]  # fmt: skip
    made += [(False, image) for image in _washed_apart(whole, number)]
    result = []
    for over, image in made:
        pixels = np.asarray(image, np.uint8)
        rows = find(detector, pixels)
        if len(rows) and rows[0][2:4].max() >= LEAST_PX:
            left, top, width, height = (float(value) for value in rows[0][:4])
            result.append((over, wash_features(pixels, (left, top, width, height))))
    return result


def _washed_apart(whole: Image.Image, number: int) -> list[Image.Image]:
    """What was taken for a wash at first: grey pictures, and smooth skin in large ones; twice, so that it counts."""
    random = np.random.default_rng([SEED, 8, number])
    side = int(random.choice(WASHED_SIDES))
    base = whole.resize((side, side), Image.Resampling.LANCZOS)
    grey = [image.convert("L").convert("RGB") for image in (base, mild(base, random))]
    return 2 * [*grey, smoothed(whole, random)]


def washed_model(files: list[Path], detector: YuNet, vae: Vae) -> dict[str, npt.NDArray[np.floating]]:
    """The model that tells brush strokes and washes, its offset such that `SURE["painted"]` is where it is sure."""
    over: list[bool] = []
    seen: list[Array] = []
    for number, path in enumerate(files):
        kept = path.with_name(f"{path.stem}-washed.npz")
        if not kept.exists():
            rows = washed_rows(path, number, detector, vae)
            with atomic_file(kept) as file:
                np.savez(file, over=np.array([one for one, _ in rows]), seen=np.stack([one for _, one in rows]))
        with np.load(kept) as archive:
            over += archive["over"].tolist()
            seen += list(archive["seen"])
    rows, right = np.stack(seen), np.array(over)
    mean, deviation = rows.mean(0), rows.std(0) + 1e-3
    vector, offset = fitted((rows - mean) / deviation, right)
    scores = ((rows - mean) / deviation) @ vector + offset
    moved = offset + _logit(SURE["painted"]) - _logit(WASHED_LINE)
    print(f"washed: said of {np.mean(scores[right] > _logit(WASHED_LINE)):.3f}, "
          f"of others {np.mean(scores[~right] > _logit(WASHED_LINE)):.3f}", flush=True)  # fmt: skip
    return {
        "washed": np.asarray(vector, np.float32), "washed_offset": np.float32(moved)[None],
        "washed_mean": np.asarray(mean, np.float32), "washed_deviation": np.asarray(deviation, np.float32),
    }  # fmt: skip


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _write(arrays: dict[str, npt.NDArray[np.floating]]) -> None:
    with atomic_file(FILE) as file:
        np.savez_compressed(file, **arrays)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes, sha256 {sha256(FILE)}")


def fitted(rows: Array, right: npt.NDArray[np.bool_]) -> tuple[Numbers, float]:
    """Weights and offset of logistic regression with squared weights penalised; both answers count alike."""
    sides = np.where(right, 0.5 / max(1, right.sum()), 0.5 / max(1, (~right).sum()))

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        scores = rows @ flat[:-1] + flat[-1]
        wrong = sides * (1 / (1 + np.exp(-np.clip(scores, -30, 30))) - right)
        value = float((sides * (np.logaddexp(0, scores) - right * scores)).sum()) + PENALTY * float(
            (flat[:-1] ** 2).sum()
        )
        return value, np.concatenate([rows.T @ wrong + 2 * PENALTY * flat[:-1], [wrong.sum()]])

    found = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return found[:-1], float(found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--washed", action="store_true", help="only the model of brush strokes and washes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(options.threads)
    files, vae = pictures(options.folder, options.threads), Vae()
    detector = YuNet(model_pack.rebuild(MODELS / "yunet_2023mar.npz"))
    began = time.monotonic()
    print(f"{len(files)} people", flush=True)
    over = washed_model(files, detector, vae)
    if options.washed:
        with np.load(FILE, allow_pickle=False) as archive:
            _write({**archive, **over})
        return
    found: list[tuple[str, list[Array]]] = []
    for number, path in enumerate(files):
        kept = path.with_suffix(".npz")
        if not kept.exists():
            rows = rows_of(path, number, detector, vae)
            parts = {f"m{model}": np.stack([seen[model] for _, seen in rows]) for model in range(len(COVERS) + 1)}
            with atomic_file(kept) as file:
                np.savez(
                    file,
                    kinds=np.array([kind for kind, _ in rows]),
                    **{k: v.astype(np.float16) for k, v in parts.items()},
                )
        with np.load(kept) as archive:
            parts = [archive[f"m{model}"] for model in range(len(COVERS) + 1)]
            found += [(str(kind), [part[row] for part in parts]) for row, kind in enumerate(archive["kinds"])]
        if number % 20 == 19:
            print(f"{number + 1} people, {time.monotonic() - began:.0f} s", flush=True)
    kinds = np.array([kind for kind, _ in found])
    weights: dict[str, npt.NDArray[np.floating]] = {}
    offsets = []
    for place, kind in enumerate(COVERS):
        rows = np.stack([seen[place] for _, seen in found]).astype(np.float32)
        vector, offset = fitted(rows, kinds == kind)
        weights[f"cover_{place}"] = vector.astype(np.float16)
        offsets.append(offset)
        _tell(kind, rows @ vector + offset, kinds)
    rows = np.stack([seen[-1] for _, seen in found]).astype(np.float32)
    mean, deviation = rows.mean(0), rows.std(0) + 1e-3
    models = [fitted((rows - mean) / deviation, kinds == kind) for kind in STYLES]
    for kind, (vector, offset) in zip(STYLES, models, strict=True):
        _tell(kind, ((rows - mean) / deviation) @ vector + offset, kinds)
    _write({
        **weights, "cover_offsets": np.array(offsets, np.float32), "style_mean": mean, "style_deviation": deviation,
        "styles": np.stack([vector for vector, _ in models], 1).astype(np.float32),
        "style_offsets": np.array([offset for _, offset in models], np.float32), **over,
    })  # fmt: skip


def _tell(kind: str, scores: Numbers, kinds: npt.NDArray[np.str_]) -> None:
    """How the model's own pictures are told apart; other people's are what counts."""
    said = scores > 0
    shares = {name or "clean": round(float(said[kinds == name].mean()), 3) for name in KINDS}
    print(f"{kind}: said of {shares}", flush=True)


if __name__ == "__main__":
    main()
