"""What is said of pictures in which something hides who the face is, and of pictures in which nothing does.

Six people's held-out pictures (none of them was seen by the models of `lib_lora.faces.unjudgeable`), spoilt in each way
of `bench.spoilt_pictures`, turned, or left alone; each judged against a template of the person's other photos. The
models were made with these ways of spoiling, so two covers that they never met are drawn here too: a mosaic, and a ball
(which is like the covers that they know). The last rows are pictures of the size that the small base model paints,
after its VAE, judged by the lines that a test grid has there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from bench.spoilt_pictures import PAINTINGS, SPOILS, compressed, mild, smoothed, turned
from bench.verdict.error_rates import share
from lib_lora.character.photo_files import open_photo
from lib_lora.faces.array_types import Array
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.unjudgeable import COVERS, STYLES
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure.calibration import COHORT, Calibration, against, calibrate
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.vae_ceiling import ceiling_of, scores_of
from lib_lora.likeness.verdict.facts import Asked, status_of
from lib_lora.likeness.verdict.metrics import facts_of
from lib_lora.likeness.verdict.picture_set import PictureSet
from lib_lora.likeness.verdict.verdict import judge

ROOT = Path(__file__).resolve().parents[2]
PERSONAS = ROOT / "tests" / "data" / "personas"
PHOTOS = 14  # of 24
JUDGED = 5  # of the other ten
SIDE = 400
ROLLS = (30, 60, 90, 180)
SMALL = 128
OF_FILES = ("heavy compression", "posterised")  # what happens to a picture after it was painted
BASE = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
HIDDEN = (*COVERS, *STYLES)

Make = Callable[[Image.Image, Array, np.random.Generator], Image.Image]


def _ways() -> dict[str, Make]:
    """Every way to change a picture, by the name of its row."""
    ways: dict[str, Make] = {
        "as it is": lambda image, _points, _random: image,
        "mildly harder": lambda image, _points, random: mild(image, random),
        "black and white": lambda image, _points, _random: image.convert("L").convert("RGB"),
        "skin like plastic": lambda image, _points, random: smoothed(image, random),
        "JPEG of quality 30": lambda image, _points, _random: compressed(image, 30),
    }
    for degrees in ROLLS:
        ways[f"turned by {degrees} degrees"] = lambda image, _points, random, by=degrees: turned(  # type: ignore[misc]
            image, by * (1 if random.random() < 0.5 else -1)
        )
    ways |= SPOILS
    for name, paint in PAINTINGS.items():
        ways[f"painted: {name}"] = lambda image, _points, random, how=paint: how(image, random)  # type: ignore[misc]
    ways["eyes covered, otherwise: a mosaic"] = mosaic
    ways["lower half covered, otherwise: a ball"] = ball
    for name in ("as it is", *SPOILS):
        ways[f"{SMALL} pixels: {name}"] = partial(small, ways[name], name in OF_FILES)
    return ways


def mosaic(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """Squares of one colour over both eyes, as in newspapers; the head must be upright."""
    pixels = np.asarray(image.convert("RGB"), np.uint8).copy()
    apart = float(np.linalg.norm(points[1] - points[0]))
    middle = (points[0] + points[1]) / 2
    left, right = (round(middle[0] + side * random.uniform(0.9, 1.2) * apart) for side in (-1, 1))
    top, bottom = (round(middle[1] + side * random.uniform(0.35, 0.45) * apart) for side in (-1, 1))
    part = pixels[max(0, top) : bottom, max(0, left) : right]
    squares = max(2, round(part.shape[1] / (apart * random.uniform(0.3, 0.45))))
    coarse = cv2.resize(part, (squares, max(1, round(squares * part.shape[0] / part.shape[1]))),
                        interpolation=cv2.INTER_AREA)  # fmt: skip
    part[:] = cv2.resize(coarse, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)
    return Image.fromarray(pixels)


def ball(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """A ball with light on one side in front of the mouth; the head must be upright."""
    apart = float(np.linalg.norm(points[1] - points[0]))
    x, y = (points[3] + points[4]) / 2
    colour = np.array(random.uniform(60, 220, 3))
    result = image.convert("RGB").copy()
    draw, radius = ImageDraw.Draw(result), random.uniform(0.72, 0.85) * apart
    for step in range(24):  # rings, lighter towards one side
        size = radius * (1 - step / 24)
        shade = tuple(int(value) for value in np.clip(colour * (0.7 + 0.5 * step / 24), 0, 255))
        centre = x + 0.25 * (radius - size), y + 0.1 * apart - 0.2 * (radius - size)
        draw.ellipse((centre[0] - size, centre[1] - size, centre[0] + size, centre[1] + size), fill=shade)
    return result


@lru_cache(maxsize=1)
def _through_vae() -> Callable[[Image.Image], Image.Image]:
    """What the small base model's VAE makes of a picture."""
    import torch  # here: the other measurements of bench/verdict/likeness.py need no model, and it takes seconds

    from lib_lora.models.families.identify import identify
    from lib_lora.models.vae import reconstruct

    return partial(reconstruct, identify(BASE).load_vae(torch.float32, torch.device("cpu")))


def small(make: Make, afterwards: bool, image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """Changed, then at the size that the small base model paints, after its VAE; or `afterwards` changed."""
    if afterwards:
        return make(_painted_small(image), points, random)
    return _painted_small(make(image, points, random))


def _painted_small(image: Image.Image) -> Image.Image:
    return _through_vae()(image.convert("RGB").resize((SMALL, SMALL), Image.Resampling.LANCZOS))


def _small_lines(engine: SFaceEngine, template: templates.Template, photos: Sequence[Path]) -> Calibration:
    """The lines for pictures of that size, as a test grid draws them: by what the VAE lets through."""
    found = [engine.faces(_painted_small(open_photo(file))) for file in photos]
    sizes = [faces[0].px for faces in found if faces]
    top = scores_of(ceiling_of(engine, template, photos, sizes, _through_vae()))
    return calibrate(template.loo, [(COHORT, against(template, cohort(engine.id)))], top)


def people() -> dict[str, list[Path]]:
    """The six people's pictures, of which the first `PHOTOS` are for the template."""
    return {path.name: sorted(path.glob("*.jpg")) for path in sorted(PERSONAS.iterdir()) if path.is_dir()}


def hidden_faces(seed: int, begins: str = "") -> dict[str, Any]:
    """A row for each way whose name begins like this."""
    engine = SFaceEngine()
    ways = [(row, way, make) for row, (way, make) in enumerate(_ways().items()) if way.startswith(begins)]
    seen: dict[str, dict[str, list[Measured]]] = {way: {} for _, way, _ in ways}
    lines: dict[str, Calibration] = {}
    small_lines: dict[str, Calibration] = {}
    known: dict[str, templates.Template] = {}
    for place, (person, files) in enumerate(people().items()):
        template = templates.build(engine, files[:PHOTOS])
        known[person] = template
        lines[person] = calibrate(template.loo, [(COHORT, against(template, cohort(engine.id)))])
        if any(_is_small(way) for _, way, _ in ways):
            small_lines[person] = _small_lines(engine, template, files[:PHOTOS])
        measure = Measurer(engine, template)
        for number, file in enumerate(files[PHOTOS : PHOTOS + JUDGED]):
            image = open_photo(file).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            points = engine.faces(image)[0].points
            for row, way, make in ways:
                random = np.random.default_rng([seed, place, number, row])
                seen[way].setdefault(person, []).append(measure.one(make(image, points, random), file.name))
    return {way: _row(shown, known, small_lines if _is_small(way) else lines) for way, shown in seen.items()}


def _is_small(way: str) -> bool:
    return way.startswith(f"{SMALL} pixels")


def _row(
    pictures: Mapping[str, Sequence[Measured]],
    known: Mapping[str, templates.Template],
    lines: Mapping[str, Calibration],
) -> dict[str, Any]:
    said: Counter[str] = Counter()
    judged, groups, verdicts = [], [], Counter[str]()
    for person, some in pictures.items():
        for one in some:
            fault = one.score.face.fault if one.score.face else ""
            word = fault or status_of(one.score, lines[person])
            said[word] += 1
            judged.append(float(word in ("ok", "drift", "lost")))
            groups.append(person)
        shown = PictureSet(list(some), [Asked(f"prompt {number}") for number in range(len(some))])
        verdict = judge(facts_of(shown, known[person], lines[person]))
        verdicts["no verdict" if not verdict.judged else "drift" if verdict.drift else "holds"] += 1
    return {"said": dict(said.most_common()), "judged": share(judged, groups), "verdicts of sets": dict(verdicts)}


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print("| pictures | judged | what is said of them | verdicts of the six people's sets |")
    print("|---|---|---|---|")
    for way, row in rows.items():
        rate = row["judged"]
        share_judged = f"{rate['value']:.0%}"
        if rate["low"] < rate["high"]:
            share_judged += f" ({rate['low'] * 100:.0f} to {rate['high'] * 100:.0f})"
        said = ", ".join(f"{word} {count}" for word, count in row["said"].items())
        verdicts = ", ".join(f"{word} {count}" for word, count in row["verdicts of sets"].items())
        print(f"| {way} | {share_judged} | {said} | {verdicts} |")
