"""Make the people that the verdict's error rates are measured on: never seen by any line, limit or test.

A developer's tool: needs the packages `random-face` (`pip install --no-deps` is enough), `openvino`, and for choosing
the pictures `dlib-bin` and `face-recognition-models`. No picture is shipped, but the small photos.

    python tools/unseen_people.py FOLDER --look 60       contact sheets of candidates, to choose `PEOPLE` by eye
    python tools/unseen_people.py FOLDER                 writes bench/unseen_people.npz
    python tools/unseen_people.py FOLDER --photos TARGET writes 24 small photos of each into folders (tests/data/unseen)
    python tools/unseen_people.py FOLDER --photos TARGET --people 28 29     of these candidates (tests/data/confirming)

A person is one style of MobileStyleGAN (`tools/cohort.py`) with others mixed in: as for the simulated people, and in a
third of the pictures more of them in the coarsest layers, which turn the head. What is the same person is decided by
dlib's recogniser, not by SFace, so that the pictures are not made to measure for the verdict: SFace may find them hard.
Each picture is measured as it is and, made harder, a second time (`bench.spoilt_pictures.mild`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.second_recogniser import SecondRecogniser  # noqa: E402
from bench.spoilt_pictures import mild  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.face import Face  # noqa: E402
from lib_lora.files import atomic_file, sha256  # noqa: E402
from tools.cohort import SAME_PERSON, SEED, UNMIXED, Painter, networks  # noqa: E402

FILE = ROOT / "bench" / "unseen_people.npz"
UNSEEN = 4  # a stream of random numbers of their own (`tools.cohort`)
PEOPLE = (1, 2, 8, 18)  # chosen by eye from the contact sheets: adults, half of them women
PICTURES = 46  # of each: 24 photos and a grid of 20, with some to spare
PHOTOS, SIDE, QUALITY = 24, 256, 88  # of each that are written as files, their pixels, JPEG's quality
SAME = 0.45  # dlib's distance to the person's first picture, at most
# Styles for m.conv1 and m.layers.0 to m.layers.6: the coarsest two, which turn the head, are a group of their own.
TURNING = (0, 0, 1, 2, 2, 3, 3, 3)
TURNED = ((0.5, 1.0), (0.1, 0.4), (0.05, 0.4), (0.0, 0.9))
EVERY = 3  # one picture in so many is a turned one


class PaintedPeople:
    """Paints pictures of a candidate, and keeps them and what was measured in a folder, so that the command goes on
    where it was stopped; with another engine or other ways to spoil pictures take another folder."""

    def __init__(self, painter: Painter, folder: Path) -> None:
        self._painter, self._folder = painter, folder

    def picture(self, person: int, number: int) -> Image.Image:
        """512 x 512; number 0 is the unmixed one."""
        path = self._folder / f"{person:04}" / f"{number:04}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            style = self._painter.style(np.random.default_rng([SEED, UNSEEN, person]))
            random = np.random.default_rng([SEED, UNSEEN, person, 1 + number])
            if number and number % EVERY == 0:
                image = self._painter.paint(style, random, TURNED, TURNING)
            else:
                image = self._painter.paint(style, random, SAME_PERSON if number else UNMIXED)
            with atomic_file(path) as file:
                image.save(file, "PNG")
        with Image.open(path) as found:
            return found.convert("RGB")


def only(faces: list[Face]) -> Face | None:
    """The one face of a picture that can be judged."""
    return faces[0] if len(faces) == 1 and not faces[0].quality.doubt else None


def measure(
    painted: PaintedPeople, person: int, engine: SFaceEngine, second: SecondRecogniser, pictures: int = PICTURES
) -> tuple[Array, Array, list[int]]:
    """Embeddings of a person's first so many pictures as they are and made harder (not a number where no face can be
    judged), and which pictures they are."""
    clean: list[Array] = []
    hard: list[Array] = []
    numbers: list[int] = []
    anchor: Array | None = None
    number = -1
    while len(clean) < pictures:
        number += 1
        image = painted.picture(person, number)
        face = only(engine.faces(image))
        if face is None:
            if number == 0:
                raise SystemExit(f"Candidate {person} has no clear face; choose another.")
            continue
        found = second.describe(image, face.box)
        anchor = found if anchor is None else anchor
        if float(np.linalg.norm(found - anchor)) > SAME:
            continue
        harder = only(engine.faces(mild(image, np.random.default_rng([SEED, UNSEEN, person, number, 1]))))
        clean.append(face.embedding)
        hard.append(np.full_like(face.embedding, np.nan) if harder is None else harder.embedding)
        numbers.append(number)
    return np.stack(clean), np.stack(hard), numbers


def sheet(
    painted: PaintedPeople, path: Path, pictures: list[tuple[int, int]], side: int = 128, columns: int = 10
) -> None:
    """A contact sheet of (person, number), in reading order."""
    whole = Image.new("RGB", (columns * side, -(-len(pictures) // columns) * side))
    for place, (person, number) in enumerate(pictures):
        small = painted.picture(person, number).resize((side, side), Image.Resampling.BOX)
        whole.paste(small, (place % columns * side, place // columns * side))
    with atomic_file(path) as file:
        whole.save(file, "PNG")


def write_photos(painted: PaintedPeople, target: Path, people: Sequence[int]) -> None:
    """The first pictures of each person as small files ``NAME/00.jpg``, to train on and to compare with."""
    engine, second = SFaceEngine(), SecondRecogniser()
    for person in people:
        folder = target / f"unseen{person}"
        folder.mkdir(parents=True, exist_ok=True)
        for place, number in enumerate(measure(painted, person, engine, second, PHOTOS)[2]):
            small = painted.picture(person, number).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            with atomic_file(folder / f"{place:02}.jpg") as file:
                small.save(file, "JPEG", quality=QUALITY)
        print(f"{folder.name}: {PHOTOS} photos", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps the pictures; holds the contact sheets")
    parser.add_argument("--look", type=int, metavar="N", help="only show N candidates")
    parser.add_argument("--photos", type=Path, metavar="TARGET", help="only write 24 small photos of each there")
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE, help="of whom photos are written")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    painted = PaintedPeople(Painter(networks(), options.threads), options.folder)
    if options.look:
        sheet(painted, options.folder / "candidates.png", [(person, 0) for person in range(options.look)])
        return
    if options.photos:
        write_photos(painted, options.photos, options.people)
        return
    engine, second = SFaceEngine(), SecondRecogniser()
    clean, hard, began = [], [], time.monotonic()
    for person in PEOPLE:
        kept = options.folder / f"person-{person:04}.npz"
        if not kept.exists():
            plain, harder, numbers = measure(painted, person, engine, second)
            with atomic_file(kept) as file:
                np.savez(file, plain=plain, harder=harder, numbers=np.array(numbers))
        with np.load(kept) as archive:
            plain, harder, numbers = archive["plain"], archive["harder"], archive["numbers"].tolist()
        sheet(painted, options.folder / f"person-{person:04}.png", [(person, number) for number in numbers], columns=12)
        print(
            f"person {person}: {PICTURES} of {numbers[-1] + 1} pictures, {time.monotonic() - began:.0f} s", flush=True
        )
        clean.append(plain)
        hard.append(harder)
    with atomic_file(FILE) as file:
        np.savez_compressed(
            file,
            clean=np.stack(clean).astype(np.float16),
            hard=np.stack(hard).astype(np.float16),
            engine=np.array(engine.id),
            made=np.array("MobileStyleGAN (random-face 2021.7.21.1) by tools/unseen_people.py"),
        )
    print(f"{FILE.name}: {len(PEOPLE)} people, {FILE.stat().st_size} bytes, sha256 {sha256(FILE)}")


if __name__ == "__main__":
    main()
