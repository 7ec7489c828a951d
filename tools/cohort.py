"""Make the anonymous cohort of the face measurement, and the simulated people of its tests.

A developer's tool: needs the packages `random-face` (for its two networks; `pip install --no-deps` is enough) and
`openvino`. No picture is shipped and nothing here runs on a user's machine.

    python tools/cohort.py FOLDER

writes ``lib_lora/faces/models/cohort.npz``, embeddings of people who do not exist, one picture each, and
``tests/data/simulated_people.npz``, embeddings of a few further people in sixty pictures each. Every picture that was
measured is remembered in FOLDER, so the command goes on where it was stopped; with another seed, truncation or mix take
another FOLDER. It also writes contact sheets there, to choose `LEFT_OUT` and `PEOPLE` by eye; with ``--look N`` only
those of N candidates for the simulated people.

The pictures come from MobileStyleGAN (Belousov 2021, arXiv 2104.04767), which turns a style of 512 numbers into a face.
Its layers take a style for each resolution: the coarse ones give pose, hair and shape, the fine ones light, colour and
background. What looks like one person in several pictures is one style with others mixed in, more in the fine layers.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import openvino
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora.faces.array_types import Array, Numbers  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.face import FaceEngine, Quality  # noqa: E402
from lib_lora.files import atomic_file, sha256  # noqa: E402

COHORT_FILE = ROOT / "lib_lora" / "faces" / "models" / "cohort.npz"
PEOPLE_FILE = ROOT / "tests" / "data" / "simulated_people.npz"

SEED = 20261125
TRUNCATION = 0.7  # how far a style lies from the mean one; at 1 many pictures are spoilt
SIZE = 512  # pixels; what the test grid paints
THUMBNAIL = 128  # pixels, of the contact sheets
CANDIDATES = 1000  # for the cohort
PICTURES = 60  # of each simulated person
SAME = 0.60  # cosine to the person's first picture under which a picture is not that person's
NEAR_COPY = 0.9  # cosine from which two people of the cohort count as one
LEAST_SCORE, LEAST_BLUR = 0.80, 50.0  # a face that is sure and sharp; stricter than `Quality.doubt`

# Chosen by eye from the contact sheets, generously: candidates for the cohort who may be under 18, or wear sunglasses.
LEFT_OUT = """
    3 8 15 16 22 24 30 32 35 41 42 44 47 51 57 60 61 64 67 70 72 77 78 81 82 85 89 90 92 93 95 100 101 105 106 107
    108 111 112 113 117 123 126 127 130 132 138 144 149 152 153 156 159 163 164 166 169 170 171 172 173 178 179 180
    181 184 188 190 193 194 197 199 203 205 206 208 209 214 215 217 219 224 226 227 228 236 238 241 244 246 247 250
    252 256 263 266 267 276 279 281 282 284 286 289 294 296 299 301 302 305 306 307 310 311 317 320 321 322 324 328
    330 331 334 337 341 342 344 345 346 347 351 352 354 355 361 365 374 375 376 379 380 384 385 386 387 389 392 394
    398 402 405 406 407 412 415 429 432 433 434 437 438 443 446 447 448 451 454 455 456 460 462 464 467 468 470 474
    476 479 482 484 486 489 491 495 497 501 502 503 504 509 510 513 515 518 521 524 527 529 531 532 536 540 541 545
    546 553 556 557 560 562 564 565 566 567 572 575 576 578 580 581 585 592 595 596 599 602 603 607 610 616 623 624
    626 627 628 635 637 638 645 646 648 650 654 655 660 664 667 670 672 674 678 685 689 690 692 695 698 705 713 714
    715 720 725 727 732 733 737 739 740 741 742 751 752 754 759 763 765 766 767 771 773 776 778 780 785 786 788 790
    792 797 798 799 800 802 803 807 808 813 815 820 823 830 831 835 839 841 842 846 847 851 853 855 857 859 860 866
    870 873 876 877 880 881 883 884 887 890 891 897 899 902 903 904 907 908 909 915 916 918 922 924 928 931 932 936
    938 941 942 951 954 958 965 966 970 974 981 983 985 987 988 989 990 991 993 994 996 999
"""
PEOPLE = (4, 27, 23, 26, 32, 40, 47, 48, 1, 5, 17, 25, 33, 34, 57, 69)  # the simulated ones: eight women, eight men

# Styles for the layers m.conv1 and m.layers.0 to m.layers.6, coarse to fine: which of three groups each belongs to.
GROUPS = (0, 0, 0, 1, 1, 2, 2, 2)
Mix = tuple[tuple[float, float], ...]  # least and most of another style, by group
UNMIXED: Mix = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
ONE_PICTURE: Mix = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.9))  # the person as they are, in another light
SAME_PERSON: Mix = ((0.10, 0.45), (0.05, 0.40), (0.0, 0.9))
COHORT, SIMULATED, MEAN = 1, 2, 3  # separate streams of random numbers


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
        self._mean: Array = np.mean([self._map(row) for row in noise], axis=0)

    def _map(self, noise: Numbers) -> Array:
        return np.asarray(self._mapping([noise.astype(np.float32)[None]])[0][0], np.float32)

    def style(self, random: np.random.Generator) -> Array:
        """A person: 512 numbers."""
        return self._mean + TRUNCATION * (self._map(random.standard_normal(512)) - self._mean)

    def paint(self, style: Array, random: np.random.Generator, mix: Mix, groups: Sequence[int] = GROUPS) -> Image.Image:
        """A picture of `style` into which other styles are mixed, by an amount drawn from `mix` for each group."""
        return self.picture_of([self.mixed(style, random, amounts) for amounts in mix], groups)

    def mixed(self, style: Array, random: np.random.Generator, amounts: tuple[float, float]) -> Array:
        """A style with another one mixed in, by an amount drawn between these."""
        return style + random.uniform(*amounts) * (self.style(random) - style)

    def picture_of(self, styles: Sequence[Array], groups: Sequence[int] = GROUPS) -> Image.Image:
        """A picture whose layers have the style of their group."""
        feed = {name: styles[group][None] for name, group in zip(self._inputs, groups, strict=True)}
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


class PaintedPeople:
    """Paints and measures pictures, and remembers in a folder what was measured."""

    def __init__(self, painter: Painter, engine: FaceEngine, folder: Path) -> None:
        self._painter, self._engine, self.folder = painter, engine, folder

    def embedding(self, stream: int, person: int, number: int) -> Array | None:
        """Of picture `number` of a person: 128, unit length; None where not just one clear face is in it.

        Picture 0 of a simulated person is the unmixed one.
        """
        path = self._path(stream, person, number)
        if not path.exists():
            style = self._painter.style(np.random.default_rng([SEED, stream, person]))
            mix = ONE_PICTURE if stream == COHORT else SAME_PERSON if number else UNMIXED
            image = self._painter.paint(style, np.random.default_rng([SEED, stream, person, 1 + number]), mix)
            with atomic_file(path.with_suffix(".jpg")) as file:
                image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).save(file, "JPEG", quality=90)
            with atomic_file(path) as file:
                np.save(file, _measure(self._engine, image))
        kept = np.load(path)
        return kept if kept.size else None

    def sheet(self, name: str, pictures: Sequence[tuple[int, int, int]]) -> None:
        """A contact sheet of measured pictures (stream, person, number), each with its person or number on it."""
        columns = 10
        rows = -(-len(pictures) // columns)
        sheet = Image.new("RGB", (columns * THUMBNAIL, rows * THUMBNAIL))
        for place, (stream, person, number) in enumerate(pictures):
            with Image.open(self._path(stream, person, number).with_suffix(".jpg")) as thumbnail:
                ImageDraw.Draw(thumbnail).text((2, 2), str(number or person), "yellow", stroke_width=2, stroke_fill=0)
                sheet.paste(thumbnail, (place % columns * THUMBNAIL, place // columns * THUMBNAIL))
        with atomic_file(self.folder / f"{name}.png") as file:
            sheet.save(file, "PNG")

    def _path(self, stream: int, person: int, number: int) -> Path:
        return self.folder / f"{stream}-{person:04}" / f"{number:04}.npy"


def _measure(engine: FaceEngine, image: Image.Image) -> Array:
    """The only face's embedding (128), or an empty array."""
    faces = engine.faces(image)
    if len(faces) == 1:
        quality = Quality.of(faces[0])
        if not quality.doubt and quality.score >= LEAST_SCORE and quality.blur >= LEAST_BLUR:
            return faces[0].embedding
    return np.empty(0, np.float32)


def make_cohort(painted: PaintedPeople) -> Array:
    """One embedding of each person of the cohort: n x 128, unit length."""
    left_out = {int(number) for number in LEFT_OUT.split()}
    clear: list[int] = []
    kept: list[Array] = []
    for person in _progress(range(CANDIDATES), "cohort"):
        embedding = painted.embedding(COHORT, person, 0)
        if embedding is None or person in left_out:
            continue
        if kept and (np.stack(kept) @ embedding).max() > NEAR_COPY:
            continue
        clear.append(person)
        kept.append(embedding)
    for start in range(0, len(clear), 100):
        painted.sheet(f"cohort-{start:04}", [(COHORT, person, 0) for person in clear[start : start + 100]])
    print(f"cohort: {len(kept)} people of {CANDIDATES} candidates")
    return np.stack(kept)


def make_people(painted: PaintedPeople, people: Sequence[int]) -> Array:
    """The simulated people's embeddings: people x `PICTURES` x 128, unit length; the first picture is unmixed."""
    result = []
    for person in _progress(people, "simulated people"):
        first = painted.embedding(SIMULATED, person, 0)
        if first is None:
            raise SystemExit(f"Candidate {person} has no clear face; choose another.")
        kept, numbers, number = [first], [0], 0
        while len(kept) < PICTURES:
            number += 1
            embedding = painted.embedding(SIMULATED, person, number)
            if embedding is not None and float(first @ embedding) >= SAME:
                kept.append(embedding)
                numbers.append(number)
        painted.sheet(f"person-{person:04}", [(SIMULATED, person, taken) for taken in numbers])
        print(f"person {person}: {PICTURES} of {number + 1} pictures")
        result.append(np.stack(kept))
    return np.stack(result)


def look(painted: PaintedPeople, many: int) -> None:
    """A contact sheet of candidates for the simulated people."""
    clear = [number for number in range(many) if painted.embedding(SIMULATED, number, 0) is not None]
    for start in range(0, len(clear), 100):
        painted.sheet(f"candidates-{start:04}", [(SIMULATED, number, 0) for number in clear[start : start + 100]])


def _progress(items: Sequence[int], what: str) -> Iterator[int]:
    """The items one by one, with a line now and then."""
    begun = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said > 10 or done == len(items):
            print(f"{what}: {done} of {len(items)}, {now - begun:.0f} s", flush=True)
            said = now


def _save(path: Path, embeddings: Array, engine: str) -> None:
    with atomic_file(path) as file:
        np.savez_compressed(
            file,
            embeddings=embeddings.astype(np.float16),
            engine=np.array(engine),
            seed=np.array(SEED),
            made=np.array(f"MobileStyleGAN (random-face 2021.7.21.1), truncation {TRUNCATION}, by tools/cohort.py"),
        )
    print(f"{path.name}: {embeddings.shape}, {path.stat().st_size} bytes, sha256 {sha256(path)}")


def networks() -> Path:
    """The folder of the two networks in the package `random-face`, which need not be importable."""
    spec = importlib.util.find_spec("random_face")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package random-face is missing: pip install --no-deps random-face")
    return Path(spec.submodule_search_locations[0]) / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="remembers what was measured; holds the contact sheets")
    parser.add_argument("--look", type=int, metavar="N", help="only show N candidates for the simulated people")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    engine = SFaceEngine()
    painted = PaintedPeople(Painter(networks(), options.threads), engine, options.folder)
    if options.look:
        look(painted, options.look)
        return
    _save(COHORT_FILE, make_cohort(painted), engine.id)
    _save(PEOPLE_FILE, make_people(painted, PEOPLE), engine.id)


if __name__ == "__main__":
    main()
