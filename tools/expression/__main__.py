"""Make the small model that tells a smile from a serious face, and say how often it is right on people it never saw.

A developer's tool: needs nothing but numpy, scipy, OpenCV and Pillow, and takes about two minutes on one core.

    python tools/expression

reads ``mouths.webp``, cut-outs of 80 x 56 pixels of aligned faces (24 in a row), and ``labels.txt``, for each the
person and what the mouth does; writes ``lib_lora/faces/models/expression.npz``; and prints how often held-out people
are told rightly. With ``--only-judge`` nothing is written.

The faces are of people who do not exist, made with MobileStyleGAN (see ``tools/cohort.py``): most in one picture, some
in up to twenty. Every label was given by eye, without seeing what a model says: "smiling" where teeth show in a smile,
"slight smile" where the lips are closed and the corners clearly up, "serious" where neither. What could not be told was
left out (one in seven), and so were small children. `tests/faces/test_expression.py` judges on six further people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.optimize import minimize

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from lib_lora.faces.array_types import Array, Numbers, Pixels  # noqa: E402
from lib_lora.faces.expression import FILE, KINDS, SURE, features  # noqa: E402
from lib_lora.files import atomic_file, sha256  # noqa: E402
from lib_lora.likeness.measure.intervals import wilson  # noqa: E402

SEED = 20261127
TOP, LEFT, HEIGHT, WIDTH = 56, 16, 56, 80  # of a cut-out in the aligned crop
A_ROW = 24  # cut-outs
VARIANTS = 4  # of each cut-out beside itself
PENALTY = 3e-3  # of the squared weights
FOLDS = 10  # in which whole people are held out
Places = npt.NDArray[np.int64]


def mouths() -> tuple[list[Pixels], Places, list[str]]:
    """Cut-outs, place in `KINDS` of each one's label, and who it is."""
    lines = [line.split(" ", 1) for line in (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()]
    with Image.open(HERE / "mouths.webp") as image:
        sheet = np.asarray(image.convert("RGB"))
    corners = [divmod(number, A_ROW) for number in range(len(lines))]
    cut = [sheet[y * HEIGHT : (y + 1) * HEIGHT, x * WIDTH : (x + 1) * WIDTH] for y, x in corners]
    return cut, np.array([KINDS.index(kind) for _, kind in lines]), [person for person, _ in lines]  # type: ignore[arg-type]


def seen(cut: Pixels) -> Array:
    """The features of a cut-out put back to its place in the crop."""
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH] = cut
    return features(crop)


def varied(cut: Pixels, random: np.random.Generator) -> Pixels:
    """The same mouth as another camera, another light or a less exact detector might give it."""
    if random.random() < 0.5:
        cut = np.ascontiguousarray(cut[:, ::-1])
    move = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), random.normal(0, 3), np.exp(random.normal(0, 0.04)))
    move[:, 2] += random.normal(0, 1.5, 2)
    cut = np.asarray(cv2.warpAffine(cut, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.uint8)
    if random.random() < 0.3:  # a small face
        share = random.uniform(0.3, 0.85)
        small = cv2.resize(cut, (round(WIDTH * share), round(HEIGHT * share)), interpolation=cv2.INTER_AREA)
        cut = np.asarray(cv2.resize(small, (WIDTH, HEIGHT)), np.uint8)
    levels = 255 * (cut / 255.0) ** np.exp(random.normal(0, 0.25))
    levels = levels * np.exp(random.normal(0, 0.12, 3)) * np.exp(random.normal(0, 0.1))
    if random.random() < 0.12:  # black and white
        levels = np.repeat(levels.mean(-1, keepdims=True), 3, -1)
    if random.random() < 0.3:
        levels = levels + random.normal(0, random.uniform(1, 8), levels.shape)
    return np.clip(levels, 0, 255).astype(np.uint8)


def fitted(rows: Array, kinds: Places) -> tuple[Array, Array]:
    """Weights and offsets of multinomial logistic regression with squared weights penalised."""
    count, wide, many = len(rows), rows.shape[1], len(KINDS)
    right = np.eye(many, dtype=np.float32)[kinds]

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        values = flat.astype(np.float32)
        weights, offsets = values[: wide * many].reshape(wide, many), values[wide * many :]
        shares = shares_of(rows @ weights + offsets)
        wrong = (shares - right) / count
        value = -float(np.log((shares * right).sum(1) + 1e-9).mean()) + PENALTY * float((weights**2).sum())
        slope = np.concatenate([(rows.T @ wrong + 2 * PENALTY * weights).ravel(), wrong.sum(0)])
        return value, slope.astype(np.float64)

    start = np.zeros(wide * many + many)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 120}).x.astype(np.float32)
    return found[: wide * many].reshape(wide, many), found[wide * many :]


def shares_of(scores: Array) -> Array:
    """Probabilities, a row for each of the rows of scores."""
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float32)


def held_out(plain: Array, variants: Array, kinds: Places, people: Sequence[str]) -> Array:
    """Probabilities for each cut-out by a model that saw nobody of its fold."""
    names = sorted(set(people))
    fold = dict(zip(np.random.default_rng(SEED).permutation(names), np.arange(len(names)) % FOLDS, strict=True))
    mine = np.array([fold[person] for person in people])
    shares = np.zeros((len(kinds), len(KINDS)), np.float32)
    for number in range(FOLDS):
        train, test = mine != number, mine == number
        rows = np.concatenate([plain[train], *variants[:, train]])
        weights, offsets = fitted(rows, np.tile(kinds[train], len(variants) + 1))
        shares[test] = shares_of(plain[test] @ weights + offsets)
    return shares


def tell(shares: Array, kinds: Places, people: Sequence[str]) -> None:
    """How often the most likely word is right, and how often a word is said and right."""
    said = shares.argmax(1)
    sure = shares.max(1) >= np.array([SURE[KINDS[one]] for one in said])
    print(f"{len(kinds)} mouths of {len(set(people))} people, each judged by a model that saw none of that person")
    for place, kind in enumerate(KINDS):
        mine = kinds == place
        hits, of = int((said[mine] == place).sum()), int(mine.sum())
        told, right = int((sure & (said == place)).sum()), int((sure & (said == place) & mine).sum())
        low, high = (wilson(hits, of).low, wilson(hits, of).high)
        counts = ", ".join(f"{name} {int((said[mine] == n).sum())}" for n, name in enumerate(KINDS))
        print(f"  {kind}: {hits} of {of} ({hits / of:.1%}, 95% interval {low:.1%} to {high:.1%}); told as {counts};")
        missed = int((sure & mine & (said != place)).sum())
        print(f"    the word is said of {told}, rightly of {right}; another word is said of {missed} that are {kind}")
    for person in sorted(name for name in set(people) if people.count(name) > 1):
        mine = np.array([name == person for name in people])
        parts = [
            f"{kind} {int((said[here] == place).sum())} of {int(here.sum())}"
            for place, kind in enumerate(KINDS)
            if (here := mine & (kinds == place)).any()
        ]
        print(f"  {person}: {', '.join(parts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-judge", action="store_true", help="write no weights")
    options = parser.parse_args()
    cuts, kinds, people = mouths()
    random = np.random.default_rng(SEED)
    plain = np.stack([seen(cut) for cut in cuts])
    variants = np.stack([[seen(varied(cut, random)) for cut in cuts] for _ in range(VARIANTS)])
    if not options.only_judge:
        weights, offsets = fitted(np.concatenate([plain, *variants]), np.tile(kinds, VARIANTS + 1))
        with atomic_file(FILE) as file:
            np.savez_compressed(file, weights=weights.astype(np.float16), offsets=offsets)
        print(f"{FILE.name}: {FILE.stat().st_size:,} bytes, sha256 {sha256(FILE)}")
    tell(held_out(plain, variants, kinds, people), kinds, people)


if __name__ == "__main__":
    main()
