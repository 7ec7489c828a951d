"""The pictures by which `bench.training.quality` judges a LoRA: prompts, seeds, painting, and what is measured in one.

Pictures are painted many at a time by the small base model, with and without a LoRA, for the same prompts and seeds;
the base's own are kept in a folder. Words are judged by the measures of the base's captions (`tools.mini.captions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from bench.second_recogniser import SecondRecogniser, available
from lib_lora.character.photo_files import open_photo
from lib_lora.faces.array_types import Array
from lib_lora.files import atomic_file, digest_of
from lib_lora.likeness.verdict.picture_set import mean_pair
from tools.mini import captions

if TYPE_CHECKING:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine
    from tools.mini.paint import Painter

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
GUIDANCE, SAMPLER, SIDE = 3.0, "Euler", 128
TOGETHER = 16  # pictures that are painted at a time
NEUTRAL, EACH, APART = 20, 4, 5  # pictures: of the plain prompt, of each word, of each prompt without the trigger
ASKED = "asked"  # the kind of the plain prompt with the trigger; a word's kind is the word itself
WORDS = captions.ALL
# Prompts without the trigger, by what they ask for; the last four ask for somebody else than the class word does.
WITHOUT = {
    "class word": "photo of a {own}",
    "any person": "photo of a person",
    "other words": "close-up portrait photo, outdoors, soft daylight, {own}",
    "another name": "photo of zelvo {own}",
    "other class": "photo of a {other}",
}
OTHER = {"woman": "man", "man": "woman"}
PAIRS = {  # what is measured, and two words that ask for the opposite
    "yaw": ("looking left", "looking right"),
    "smile": ("serious", "smiling"),
    "background": ("dark background", "light background"),
    "hair": ("dark hair", "light hair"),
}


@dataclass(frozen=True)
class Question:
    """One picture that is asked for.

    Attributes:
        kind: `ASKED`, a word of `WORDS` or a key of `WITHOUT`.
        prompt: the text.
        seed: of the noise.
    """

    kind: str
    prompt: str
    seed: int


@dataclass(frozen=True, eq=False)
class Seen:
    """What was measured in one picture that shows a face; biometric data, not for keeping.

    Attributes:
        embedding: SFace's, of unit length.
        measured: by the rules of the base's captions.
        px: the face's longer side in pixels.
        second: dlib's descriptor; None where it is not installed.
    """

    embedding: Array
    measured: captions.Measured
    px: float
    second: Array | None = None


def questions(who: str, class_word: str) -> list[Question]:
    """All pictures that judge a LoRA; `who` is trigger and class word, or the class word alone for the base model."""
    found = [Question(ASKED, f"photo of {who}", 20_000 + n) for n in range(NEUTRAL)]
    for place, word in enumerate(WORDS):
        found += [Question(word, f"photo of {who}, {word}", 21_000 + 100 * place + n) for n in range(EACH)]
    for place, (kind, text) in enumerate(WITHOUT.items()):
        prompt = text.format(own=class_word, other=OTHER[class_word])
        found += [Question(kind, prompt, 23_000 + 100 * place + n) for n in range(APART)]
    return found


@lru_cache(maxsize=1)
def painter(base: Path = BASE, side: int = SIDE) -> Painter:
    """One for all runs of a process; `side` of its pictures in pixels."""
    from tools.mini.paint import Painter

    return Painter(base, side)


def paint(
    asked: Sequence[Question], steps: int, lora: Path | None = None, brush: Painter | None = None, weight: float = 1.0
) -> list[Image.Image]:
    """A picture for each question, with a LoRA file at a weight or without any; `brush`: None = the small base's."""
    from lib_lora.lora.adapter.merge import merged
    from lib_lora.lora.file.reading import read

    brush = brush or painter()
    with ExitStack() as applied:
        if lora:
            parts = {"unet": brush.unet, **brush.text.parts()}
            content = read(lora)
            applied.enter_context(merged(parts, brush.info.family, content, weight))
            applied.enter_context(brush.text.with_inversions(content.inversions))
        prompts, seeds = [one.prompt for one in asked], [one.seed for one in asked]
        return brush.paint(prompts, seeds, steps, GUIDANCE, SAMPLER, TOGETHER)


def paint_base(asked: Sequence[Question], steps: int, folder: Path) -> list[Image.Image]:
    """The same without a LoRA; what is in the folder is not painted again."""
    files = [folder / f"{digest_of(one.prompt, str(one.seed), str(steps))[:24]}.png" for one in asked]
    missing = [(one, file) for one, file in zip(asked, files, strict=True) if not file.exists()]
    for (_, file), picture in zip(missing, paint([one for one, _ in missing], steps), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as stream:
            picture.save(stream, "PNG")
    return [open_photo(file) for file in files]


def keep_sheet(painted: Sequence[Image.Image], path: Path) -> None:
    """Write the pictures in rows of five: the plain prompt, the words, then a row for each prompt without trigger."""
    from tools.mini.evaluate import sheet

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        sheet(painted, APART).save(stream, "PNG")


@lru_cache(maxsize=1)
def engine() -> SFaceEngine:
    """One for all pictures of a process."""
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    return SFaceEngine()


@lru_cache(maxsize=1)
def second() -> SecondRecogniser | None:
    """dlib's recogniser, where it is installed."""
    return SecondRecogniser() if available() else None


def look(picture: Image.Image) -> Seen | None:
    """Measure the largest face; None where there is none."""
    from tools.mini.evaluate import measured

    faces = engine().faces(picture)
    if not faces:
        return None
    other = second()
    described = None if other is None else other.describe(picture, faces[0].box)
    return Seen(faces[0].embedding, measured(picture, faces[0]), faces[0].px, described)


def scores(pictures: Sequence[Seen | None], template: Array) -> Array:
    """SFace's cosine of each picture to a template; not a number where there is no face."""
    return np.array([np.nan if one is None else float(one.embedding @ template) for one in pictures])


def second_scores(pictures: Sequence[Seen | None], mean: Array) -> Array:
    """dlib's negative distance of each picture to the photos' mean; not a number where it is not known."""
    known = [None if one is None else one.second for one in pictures]
    return np.array([np.nan if one is None else -float(np.linalg.norm(one - mean)) for one in known])


def obeyed(pictures: Sequence[Seen | None], word: str) -> float:
    """The share that does what a word asks; a picture without a face does not."""
    return float(np.mean([one is not None and captions.obeys(one.measured, word) for one in pictures]))


def answers(found: Mapping[str, Sequence[Seen | None]]) -> dict[str, list[float]]:
    """What is measured in the pictures of each word of `PAIRS`, which are given by kind; those without a face are left
    out."""
    return {
        word: [float(getattr(one.measured, what)) for one in found[word] if one is not None]
        for what, pair in PAIRS.items()
        for word in pair
    }


def effects(ours: Mapping[str, Sequence[float]], base: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """For each pair of words the difference that they make, as a share of the base model's, 0..1; none for a pair of
    which one word has no picture with a face, or that makes none in the base model. Both are what `answers` gives."""

    def apart(found: Mapping[str, Sequence[float]], pair: tuple[str, str]) -> float:
        return float(np.mean(found[pair[1]]) - np.mean(found[pair[0]]))

    return {
        what: float(np.clip(apart(ours, pair) / apart(base, pair), 0, 1))
        for what, pair in PAIRS.items()
        if all(ours[word] and base[word] for word in pair) and apart(base, pair)
    }


def spreads(pictures: Sequence[Seen | None]) -> dict[str, float]:
    """How varied a set is: standard deviations of direction, mouth and background, and how far faces are from alike.

    Returns:
        "yaw" and "smile" in distances of the eyes, "background" in levels, "faces": 1 - mean cosine of all pairs;
        empty for fewer than five faces.
    """
    found = [one for one in pictures if one is not None]
    alike = mean_pair([one.embedding for one in found])
    if alike is None:
        return {}
    values = {name: [getattr(one.measured, name) for one in found] for name in ("yaw", "smile", "background")}
    return {**{name: float(np.std(column, ddof=1)) for name, column in values.items()}, "faces": 1 - alike}


def colours(pictures: Sequence[Image.Image]) -> dict[str, list[float]]:
    """The mean colour of places that are no part of a face, in CIE L*a*b* (0..100, about -100..100).

    Returns:
        "background": of the two upper corners; "clothes": of the two lower ones, where the small base paints clothes
        or long hair.
    """
    found: dict[str, list[Array]] = {"background": [], "clothes": []}
    for picture in pictures:
        pixels = np.asarray(picture.convert("RGB"), np.float32) / 255
        lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
        edge = max(1, round(lab.shape[0] * captions.CORNER))
        for name, rows in (("background", lab[:edge]), ("clothes", lab[-edge:])):
            found[name].append(np.concatenate([rows[:, :edge], rows[:, -edge:]]).reshape(-1, 3).mean(0))
    return {name: [round(float(value), 2) for value in np.mean(values, axis=0)] for name, values in found.items()}


def photo_of_side(path: Path) -> Image.Image:
    """A photo in the size of the painted pictures, so that both are measured alike."""
    return open_photo(path).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def plain(value: float | None) -> float | None:
    """A number for a line of results; None for what is none."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def mean(values: Any) -> float | None:
    """Of what is a number; None where nothing is."""
    known = np.asarray(values, float)
    return plain(float(known[np.isfinite(known)].mean())) if np.isfinite(known).any() else None
