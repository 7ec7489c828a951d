"""Make the anonymous cohort of the face measurement, and the simulated people of its tests.

A developer's tool: needs the packages `random-face` (for its two networks) and `openvino`; no picture is shipped and
nothing here runs on a user's machine.

    python tools/cohort.py --work FOLDER

writes ``lib_lora/likeness/models/cohort.npz``, embeddings of people who do not exist, one picture each, and
``tests/data/simulated_people.npz``, embeddings of a few further people in sixty pictures each. Every picture that was
measured is remembered in FOLDER, so the command goes on where it was stopped. ``--sheets`` also writes contact sheets
there; ``--look N`` only paints the first pictures of N candidates for the simulated people, to choose `PEOPLE` from.

The pictures come from MobileStyleGAN (Belousov 2021, arXiv 2104.04767), which turns a style of 512 numbers into a face.
Its layers take a style for each resolution: the coarse ones give pose, hair and shape, the fine ones light, colour and
background. What looks like one person in several pictures is one style with others mixed in, more in the fine layers.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import openvino
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora.files import atomic_file, digest_of, sha256  # noqa: E402
from lib_lora.likeness.engine import SFaceEngine  # noqa: E402
from lib_lora.likeness.faces import Array, FaceEngine, Quality  # noqa: E402

SEED = 20261125
TRUNCATION = 0.7  # how far a style lies from the mean one; at 1 many pictures are spoilt
SIZE = 512  # pixels; what the test grid paints
CANDIDATES = 1000  # for the cohort
PICTURES = 60  # of each simulated person
SAME = 0.60  # cosine to the person's first picture under which a picture is not that person's
LEAST_SCORE, LEAST_BLUR = 0.80, 50.0  # a face that is sure and sharp; stricter than `Quality.doubt`

# Styles for the layers m.conv1 and m.layers.0 to m.layers.6, coarse to fine: which of three groups each belongs to.
GROUPS = (0, 0, 0, 1, 1, 2, 2, 2)
Mix = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
ONE_PICTURE: Mix = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.9))  # the person as they are, in another light
SAME_PERSON: Mix = ((0.10, 0.45), (0.05, 0.40), (0.0, 0.9))
COHORT, SIMULATED, MEAN = 1, 2, 3  # separate streams of random numbers


@dataclass(frozen=True)
class Measured:
    """One picture: its only face's embedding (128, unit length), or None and why it is left out."""

    embedding: Array | None
    why: str = ""


class Painter:
    """MobileStyleGAN in OpenVINO, with a style of its own for each of the eight resolutions."""

    def __init__(self, folder: Path, threads: int) -> None:
        # Without the hint, processors with bfloat16 units would paint slightly other pictures.
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        self._mapping = core.compile_model(core.read_model(folder / "MappingNetwork.xml"), "CPU", options)
        synthesis = core.read_model(folder / "SynthesisNetwork.xml")
        self._inputs = _separate(synthesis)
        self._synthesis = core.compile_model(synthesis, "CPU", options)
        noise = np.random.default_rng([SEED, MEAN]).standard_normal((2000, 512))
        self._mean = np.mean([self._map(row) for row in noise], axis=0)

    def _map(self, noise: Array) -> Array:
        return np.array(self._mapping([noise.astype(np.float32)[None]])[0][0])

    def style(self, random: np.random.Generator) -> Array:
        """A person: 512 numbers."""
        return self._mean + TRUNCATION * (self._map(random.standard_normal(512)) - self._mean)

    def paint(self, style: Array, random: np.random.Generator, mix: Mix) -> Image.Image:
        """A picture of `style` into which other styles are mixed, by an amount drawn from `mix` for each group."""
        groups = [style + random.uniform(*amounts) * (self.style(random) - style) for amounts in mix]
        feed = {name: groups[group][None] for name, group in zip(self._inputs, GROUPS, strict=True)}
        values = self._synthesis(feed)[0][0]
        whole = Image.fromarray(np.uint8(np.clip((values.transpose(1, 2, 0) + 1) * 127.5 + 0.5, 0, 255)))
        return whole.resize((SIZE, SIZE), Image.Resampling.BOX)


def _separate(model: openvino.Model) -> list[str]:
    """Give every resolution of the synthesis network its own input instead of the common "style"; their names."""
    (common,) = model.get_parameters()
    names = [f"style{number}" for number in range(len(GROUPS))]
    own = []
    for name in names:
        parameter = openvino.opset13.parameter([1, 512], np.float32, name)
        parameter.output(0).set_names({name})
        own.append(parameter)
    for reader in common.output(0).get_target_inputs():
        weight = reader.get_node().input_value(1).get_node() if reader.get_node().get_input_size() > 1 else None
        layer = re.match(r"m\.(?:conv1|layers\.(\d))\.", weight.get_friendly_name()) if weight else None
        number = 1 + int(layer[1]) if layer and layer[1] else 0  # what is no layer only asks for the batch's size
        reader.replace_source_output(own[number].output(0))
    model.add_parameters(own)
    model.remove_parameter(common)
    model.validate_nodes_and_infer_types()
    return names


class Measurer:
    """Paints and measures pictures, and remembers what was measured in a folder."""

    def __init__(self, painter: Painter, engine: FaceEngine, folder: Path) -> None:
        self._painter, self._engine, self.folder = painter, engine, folder

    def picture(self, stream: int, person: int, number: int) -> Measured:
        """Picture `number` of a person; number 0 of a simulated person is the unmixed one."""
        path = self.folder / f"{stream}-{person:04}" / f"{number:04}.npy"
        if not path.exists():
            style = self._painter.style(np.random.default_rng([SEED, stream, person]))
            plain = stream == SIMULATED and number == 0
            mix = ((0.0, 0.0),) * 3 if plain else ONE_PICTURE if stream == COHORT else SAME_PERSON
            image = self._painter.paint(style, np.random.default_rng([SEED, stream, person, 1 + number]), mix)
            found = _measure(self._engine, image)
            with atomic_file(path.with_suffix(".jpg")) as stream_out:
                image.resize((160, 160), Image.Resampling.BOX).save(stream_out, "JPEG", quality=90)
            with atomic_file(path) as stream_out:
                np.save(stream_out, np.array(found.why) if found.embedding is None else found.embedding)
        kept = np.load(path)
        return Measured(None, str(kept)) if kept.ndim == 0 else Measured(kept)

    def thumbnail(self, stream: int, person: int, number: int) -> Path:
        """A small picture of it, once it was measured."""
        return self.folder / f"{stream}-{person:04}" / f"{number:04}.jpg"


def _measure(engine: FaceEngine, image: Image.Image) -> Measured:
    faces = engine.faces(image)
    if len(faces) != 1:
        return Measured(None, f"{len(faces)} faces")
    quality = Quality.of(faces[0])
    if quality.doubt:
        return Measured(None, quality.doubt)
    if quality.score < LEAST_SCORE or quality.blur < LEAST_BLUR:
        return Measured(None, "not sure or not sharp")
    return Measured(faces[0].embedding)


def progress(items: Sequence[int], what: str) -> Iterator[int]:
    """The items one by one, with a line of progress every few seconds."""
    begun = said = time.monotonic()
    for index, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - said > 10 or index + 1 == len(items):
            left = (now - begun) / (index + 1) * (len(items) - index - 1)
            print(f"{what}: {index + 1} of {len(items)}, {left / 60:.1f} minutes left", flush=True)
            said = now
