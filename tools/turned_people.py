"""Make photos of turned heads, for the people of whom the verdict asks for such photos (tests/data/turned).

A developer's tool; needs what `tools/unseen_people.py` needs.

    python tools/turned_people.py FOLDER                 contact sheets of what is found, to choose `DROPPED` by eye
    python tools/turned_people.py FOLDER --photos TARGET writes 5 small photos of each into folders (tests/data/turned)

What turns the head is learned from styles of `STYLES` other people: the change of style that goes with `Face.yaw` among
them (their covariance). As it is the mean of many, it carries no face of its own, unlike a single style mixed in. It is
added to the coarsest layers of the person's style; the others are mixed a little, as for their further photos. A
picture is kept where the head is turned far enough and dlib's recogniser, not SFace, calls it the same person.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.second_recogniser import SecondRecogniser  # noqa: E402
from lib_lora.captions.slots import PROFILE, TURNED  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.files import atomic_file  # noqa: E402
from tools.cohort import SEED, UNMIXED, Painter, networks  # noqa: E402
from tools.unseen_people import PEOPLE, QUALITY, SIDE, UNSEEN, PaintedPeople, measure, only  # noqa: E402

TURNS = 5  # a stream of random numbers of their own (`tools.cohort`)
STYLES = 150  # from which it is learned what turns a head
FURTHER = (27,)  # chosen by eye like `PEOPLE`, for want of more people whose style is known
CONFIRMING = (28, 29, 33, 50)  # those of tests/data/confirming
EVERYBODY = (*PEOPLE, *FURTHER, *CONFIRMING)
FURTHER_PHOTOS = 24  # of each of them; those of the others are in tests/data/unseen and tests/data/confirming
COUNTS = (3, 2)  # photos in which the head is turned to either side; the other way round of every second person
SHOWN = 3  # of each side on the contact sheets
TRIES = 80  # of each side, at most
BY = (0.2, 1.0)  # by how much `Face.yaw` is to change; it changes by more or less
NEAR = 0.5  # dlib's distance to the unmixed picture, at most; of 0.45 (`SAME`) few turned heads are
LESS_NEAR = {18: 0.56}  # who looks to the left in all pictures, and is less alike when looking to the right
OTHERS = ((0.0, 0.15), (0.0, 0.3), (0.0, 0.9))  # of other styles, for coarse, middle and fine layers
DROPPED: dict[int, tuple[int, ...]] = {}  # by eye: pictures of a person with artefacts (their numbers)


def turning(painter: Painter, engine: SFaceEngine, folder: Path) -> Array:
    """The change of a style with which `Face.yaw` rises by 1; remembered in the folder."""
    kept = folder / "turning.npy"
    if not kept.exists():
        known: list[tuple[float, Array]] = []
        for number in range(STYLES):
            style = painter.style(np.random.default_rng([SEED, TURNS, number]))
            faces = engine.faces(painter.paint(style, np.random.default_rng([SEED, TURNS, number, 1]), UNMIXED))
            if len(faces) == 1:
                known.append((faces[0].yaw, style))
        yaws, styles = np.array([yaw for yaw, _ in known]), np.stack([style for _, style in known])
        yaws -= yaws.mean()
        with atomic_file(kept) as file:
            np.save(file, (yaws[:, None] * (styles - styles.mean(0))).sum(0) / (yaws**2).sum())
    return np.asarray(np.load(kept), np.float32)


class TurnedPeople:
    """Paints pictures of turned heads, and keeps them in a folder."""

    def __init__(self, painter: Painter, engine: SFaceEngine, folder: Path) -> None:
        self._painter, self._engine, self._folder = painter, engine, folder
        self._second, self._turning = SecondRecogniser(), turning(painter, engine, folder)

    def picture(self, person: int, number: int) -> Image.Image:
        """As it is written: even numbers look to the left of the picture, odd ones to the right."""
        path = self._folder / f"turned-{person:04}" / f"{number:04}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            style = self._painter.style(np.random.default_rng([SEED, UNSEEN, person]))
            random = np.random.default_rng([SEED, TURNS, person, 1000 + number])
            coarse, middle, fine = (self._painter.mixed(style, random, amounts) for amounts in OTHERS)
            coarse = coarse + random.uniform(*BY) * (1 if number % 2 else -1) * self._turning
            image = self._painter.picture_of([coarse, middle, fine])
            with atomic_file(path) as file:
                image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "PNG")
        with Image.open(path) as kept:
            return kept.convert("RGB")

    def found(self, person: int, side: int, many: int) -> list[tuple[int, float, float]]:
        """The first pictures that are good: number, `Face.yaw` and dlib's distance to the unmixed picture; `side` as
        the remainder of their numbers."""
        style = self._painter.style(np.random.default_rng([SEED, UNSEEN, person]))
        plain = self._painter.picture_of([style, style, style])
        face = self._engine.faces(plain)[0]
        anchor = self._second.describe(plain, face.box)
        good: list[tuple[int, float, float]] = []
        for number in range(side, 2 * TRIES, 2):
            if number in DROPPED.get(person, ()):
                continue
            image = self.picture(person, number)
            face_there = only(self._engine.faces(image))
            if face_there is None or not TURNED <= face_there.yaw * (1 if side else -1) < PROFILE:
                continue
            apart = float(np.linalg.norm(self._second.describe(image, face_there.box) - anchor))
            if apart <= LESS_NEAR.get(person, NEAR):
                good.append((number, face_there.yaw, apart))
            if len(good) == many:
                break
        return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps the pictures; holds the contact sheet")
    parser.add_argument("--photos", type=Path, metavar="TARGET", help="write the photos there")
    parser.add_argument("--people", type=int, nargs="+", choices=EVERYBODY, default=EVERYBODY, metavar="N")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    engine, painter = SFaceEngine(), Painter(networks(), options.threads)
    turned = TurnedPeople(painter, engine, options.folder)
    for person in options.people:
        odd = EVERYBODY.index(person) % 2
        counts = (SHOWN, SHOWN) if options.photos is None else COUNTS[:: -1 if odd else 1]
        sides = [turned.found(person, side, many) for side, many in enumerate(counts)]
        for side, found in zip(("left", "right"), sides, strict=True):
            told = ", ".join(f"{number}: {yaw:+.2f}, {apart:.2f}" for number, yaw, apart in found)
            print(f"person {person}, {side}: {told}", flush=True)
        if options.photos is None:
            whole = Image.new("RGB", (SHOWN * SIDE, 2 * SIDE))
            for row, found in enumerate(sides):
                for column, (number, _, _) in enumerate(found):
                    whole.paste(turned.picture(person, number), (column * SIDE, row * SIDE))
            with atomic_file(options.folder / f"turned-{person:04}.png") as file:
                whole.save(file, "PNG")
            continue
        numbers = [number for found in sides for number, _, _ in found]
        write(options.photos / f"unseen{person}", "turned", [turned.picture(person, number) for number in numbers])
        if person in FURTHER:
            painted = PaintedPeople(painter, options.folder)
            plain = measure(painted, person, engine, SecondRecogniser(), FURTHER_PHOTOS)[2]
            write(options.photos / f"unseen{person}", "", [painted.picture(person, number) for number in plain])


def write(folder: Path, name: str, pictures: list[Image.Image]) -> None:
    """Small files ``turned-00.jpg`` or ``00.jpg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, picture in enumerate(pictures):
        with atomic_file(folder / (f"{name}-{place:02}.jpg" if name else f"{place:02}.jpg")) as file:
            picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)


if __name__ == "__main__":
    main()
