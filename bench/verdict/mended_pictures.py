"""Give the verdict spoilt pictures, and then the same as they were: what it says of them, and whether that is true.

    python bench/verdict/mended_pictures.py

The pictures are ten photos of each person of `bench.verdict.advice` that the template was not made of: damaged files,
no face, a tiny, blurred, cut-off or hidden one, two people, too few pictures, or pictures of somebody else. As they
were, they are what pictures would be if the advice had worked; no LoRA has a part in it, and nothing is painted. They
are judged by what `score FOLDER` does. Nothing spoilt may hold, and the person's own pictures must.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.spoilt_pictures import SPOILS  # noqa: E402
from bench.verdict.advice import everybody  # noqa: E402
from bench.verdict.followed_advice import TRAINED, AdvisedPerson  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.character.store import Character, create, declare_consent  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.face import Face  # noqa: E402
from lib_lora.likeness.verdict.verdict import Verdict  # noqa: E402
from lib_lora.workflows.judge.scoring import judge_files  # noqa: E402
from lib_lora.workspace.workspace import CharacterFolder  # noqa: E402

TINY = 30  # pixels of a face, of which 40 are needed
BLUR = 0.06  # radius, in sides of the face
FEW = 2  # pictures
STRANGERS, DAMAGED, TOO_FEW, MENDED = "somebody else", "damaged files", f"{FEW} pictures", "as they were"

Spoil = Callable[[Image.Image, Face], Image.Image]


@dataclass(frozen=True)
class SaidOfSet:
    """What the verdict says of one set of pictures.

    Attributes:
        rule, kind, advice: of the verdict.
        judged: there is a verdict.
        holds: it says that the face holds.
    """

    rule: str
    kind: str
    advice: str
    judged: bool
    holds: bool

    @classmethod
    def of(cls, verdict: Verdict) -> SaidOfSet:
        """What of a verdict is kept."""
        holds = verdict.judged and not verdict.drift
        return cls(verdict.rule, verdict.kind, verdict.advice, verdict.judged, holds)


def without_face(image: Image.Image, face: Face) -> Image.Image:
    """The strip beside the face that is larger, left or right; at least a pixel of it."""
    left, right = max(1, int(face.box[0])), min(image.width - 1, int(face.box[0] + face.box[2]))
    strip = (0, 0, left, image.height) if left > image.width - right else (right, 0, image.width, image.height)
    return image.crop(strip).resize(image.size)


def tiny(image: Image.Image, face: Face) -> Image.Image:
    """So small that the face has `TINY` pixels."""
    scale = TINY / face.px
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def blurred(image: Image.Image, face: Face) -> Image.Image:
    """Out of focus by `BLUR` of the face."""
    return image.filter(ImageFilter.GaussianBlur(BLUR * face.px))


def cut_off(image: Image.Image, face: Face) -> Image.Image:
    """Cut through the middle of the face."""
    middle = int(face.box[0] + face.box[2] / 2)
    return image.crop((middle, 0, image.width, image.height))


WAYS: dict[str, Spoil] = {
    "no face": without_face,
    f"faces of {TINY} pixels": tiny,
    "out of focus": blurred,
    "cut through the face": cut_off,
}


def beside(image: Image.Image, other: Image.Image) -> Image.Image:
    """Two pictures side by side, both as high as the first."""
    second = other.resize((round(other.width * image.height / other.height), image.height))
    both = Image.new("RGB", (image.width + second.width, image.height))
    both.paste(image, (0, 0))
    both.paste(second, (image.width, 0))
    return both


class MendedJudge:
    """Judges pictures as `score FOLDER` does, each set as files in a new folder below `work`."""

    def __init__(self, engine: SFaceEngine, work: Path) -> None:
        self.engine, self._work, self._folders = engine, work, 0

    def character(self, person: AdvisedPerson) -> CharacterFolder:
        """One with a person's first photos."""
        folder = create(self._work, Character(person.name, "trxg", person.class_word, declare_consent("fictional")))
        for photo in person.photos[:TRAINED]:
            (folder.photos / photo.name).write_bytes(photo.read_bytes())
        return folder

    def __call__(self, character: CharacterFolder, pictures: Sequence[bytes]) -> SaidOfSet:
        """What is said of the bytes of some PNG files."""
        self._folders += 1
        folder = self._work / f"pictures {self._folders}"
        folder.mkdir()
        files = [folder / f"{number:02}.png" for number in range(len(pictures))]
        for file, content in zip(files, pictures, strict=True):
            file.write_bytes(content)
        report, _ = judge_files(self.engine, character, character.path.name, files)
        return SaidOfSet.of(report.verdict)


def png(image: Image.Image) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def measured(people: Mapping[str, AdvisedPerson], names: Iterable[str], work: Path) -> list[dict[str, Any]]:
    """What is said of each person's pictures: spoilt in each way, mended, and of somebody else's.

    Args:
        people: all; the next of the same class word is somebody else.
        names: of those to be measured.
        work: an empty folder.
    """
    judge, rows = MendedJudge(SFaceEngine(), work), []
    for place, name in enumerate(names):
        own, strangers = (
            [open_photo(path) for path in one.photos[TRAINED:]] for one in (people[name], other_than(name, people))
        )
        character = judge.character(people[name])
        for way, pictures in spoilt(own, strangers, judge.engine, place).items():
            rows.append({"person": name, "way": way, **vars(judge(character, pictures))})
        rows.append({"person": name, "way": MENDED, **vars(judge(character, [png(image) for image in own]))})
    return rows


def other_than(name: str, people: Mapping[str, AdvisedPerson]) -> AdvisedPerson:
    """The next person of the same class word."""
    alike = [one for one, person in people.items() if person.class_word == people[name].class_word]
    return people[alike[(alike.index(name) + 1) % len(alike)]]


def spoilt(
    own: Sequence[Image.Image], strangers: Sequence[Image.Image], engine: SFaceEngine, seed: int
) -> dict[str, list[bytes]]:
    """Files of a person's pictures, by the way in which they are spoilt."""
    found = {}
    faces = [engine.faces(image)[0] for image in own]
    for way, spoil in WAYS.items():
        found[way] = [png(spoil(image, face)) for image, face in zip(own, faces, strict=True)]
    for number, (way, cover) in enumerate(SPOILS.items()):
        random = np.random.default_rng([seed, number])
        found[way] = [png(cover(image, face.points, random)) for image, face in zip(own, faces, strict=True)]
    found["two people"] = [png(beside(*both)) for both in zip(own, strangers, strict=True)]
    found[DAMAGED] = [png(image)[:200] for image in own]
    found[TOO_FEW] = [png(image) for image in own[:FEW]]
    found[STRANGERS] = [png(image) for image in strangers]
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each way, as it stands in docs/likeness.md."""
    lines = ["| pictures | what is said (people) | the face holds |", "|---|---|---|"]
    for way in dict.fromkeys(row["way"] for row in rows):
        some = [row for row in rows if row["way"] == way]
        said = ", ".join(f"{rule} ({n})" for rule, n in Counter(row["rule"] for row in some).most_common())
        lines.append(f"| {way} | {said} | {sum(row['holds'] for row in some)} of {len(some)} |")
    return "\n".join(lines)


def main() -> int:
    people = everybody()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", choices=people, default=[*people], metavar="PERSON")
    results_file.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = measured(people, options.people, Path(work))
    print(table(rows))
    results_file.save("mended_pictures", rows, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
