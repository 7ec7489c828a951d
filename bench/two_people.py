"""Two people in one LoRA: does each trigger word paint its own person, and can both be in one picture?

    python bench/two_people.py --work DIR
    python bench/two_people.py --work DIR --pairs mara+tomas --base FILE --preset face --side 512

The second is named in the setting `together`; each photo has a caption with its own person's trigger word. With each
LoRA 20 pictures of each of the two are painted, ten of each class word alone, and ten of both together; all faces are
compared with the photos of both that were held out. The small base model, which is the default, paints one face in a
picture, whatever it is asked for. DIR can be that of `bench.quality`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import quality, results_file  # noqa: E402
from bench import quality_people as people  # noqa: E402
from bench import quality_pictures as pictures  # noqa: E402
from bench.quality_people import CLASS_WORDS, Material  # noqa: E402
from lib_lora.character import caption_files  # noqa: E402
from lib_lora.character.photo_files import list_photos  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.files import write_text  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.runs.run_lock import only_process  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402

PAIRS = ("mara+tomas", "ines+mara", "unseen1+unseen2")
PICTURES, FEW, SAMPLING = 20, 10, 8
VARIANTS: dict[str, Mapping[str, Any]] = {"plain": {}, "preserved": quality.PRESERVE["w1s25"]}
HEAD = (
    "| settings | LoRA of | prompt | like the first | like the second | recognised, first | second | both |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, eq=False)
class Person:
    """One of the two.

    Attributes:
        called: trigger and class word.
        template: of the held-out photos.
        ceiling: their own mean likeness.
        line: the highest cosine that twenty pictures of the base model have.
    """

    name: str
    called: str
    template: Array
    ceiling: float
    line: float


def main() -> int:
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(HEAD)
    found = []
    options.work.mkdir(parents=True, exist_ok=True)
    with only_process(options.work, "wait for it, or name another --work"):
        for name, pair in itertools.product(options.variants, options.pairs):
            for row in measured(name, pair, options):
                found.append(row)
                numbers = " | ".join("-" if one is None else f"{one:.2f}" for one in row["alike"])
                counts = " | ".join(f"{one} of {row['of']}" for one in (*row["recognised"], row["both"]))
                print(f"| {name} | {row['lora']} | {row['prompt']} | {numbers} | {counts} |", flush=True)
    results_file.save("two_people", found, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="SETTINGS")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="FIRST+SECOND")
    parser.add_argument("--base", type=Path, default=quality.BASE, help="another checkpoint of Stable Diffusion 1")
    parser.add_argument("--preset", default=NARROW)
    parser.add_argument("--side", type=int, default=pictures.SIDE, help="of the pictures, in pixels")
    parser.add_argument("--unseen", type=Path, default=people.UNSEEN, help="folder of tools/unseen_people.py --photos")
    results_file.add_option(parser)
    return parser.parse_args()


def measured(name: str, pair: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train both people in one LoRA, and the first alone; compare what they paint.

    Returns:
        A row for each LoRA and prompt: "alike", the mean cosine to each of the two as a share of the likeness that
        their own photos have; "recognised", in how many pictures each is; and in how many "both" are.
    """
    from lib_lora.training.loop import train
    from lib_lora.workflows.train.prepare import start_run

    work, unseen = options.work, options.unseen
    root = people.root_of(work, Material())
    both = [person_of(one, options) for one in pair.split("+")]
    for one in both:
        if not (root / "characters" / one.name).exists():
            people.take_in(one.name, Material(), work, unseen)
        for photo in list_photos(root / "characters" / one.name / "photos"):
            write_text(caption_files.path_of(photo), f"photo of {one.called}\n")
    first, second = both
    fixed = {"seed": 1, "save_every": 100_000, "samples": 0, "keep_states": 1, **VARIANTS[name]}
    beside = {"together": [second.name]}
    rows = []
    for label, settings in ((pair, fixed | beside), (first.name, fixed)):
        run = start_run(root, first.name, TrainingRequest(options.base, options.preset, settings, few=True))
        lora = train(run, lambda *_, **__: None)
        for row in compared(lora, both, options):
            rows.append({"variant": name, "lora": label, **row})
        shutil.rmtree(run.folder)
    return rows


def person_of(name: str, options: argparse.Namespace) -> Person:
    """One of the two, with the photos that were held out, and what the base model paints of the class."""
    from lib_lora.likeness.measure import template as templates

    _, held_out = people.shared_out(people.photos_of(name, options.unseen))
    template = templates.build(pictures.engine(), held_out)
    word = CLASS_WORDS[name]
    base = painted(f"photo of {word}", 50_000, PICTURES, options)
    strangers = [best for image in base if (best := alike(image, template.array)) is not None]
    line = max(strangers, default=1.0)
    return Person(name, f"{people.trigger_of(name)} {word}", template.array, float(np.mean(template.loo)), line)


def compared(lora: Path, both: Sequence[Person], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a LoRA paints for each person, for each class word, and for both people at once."""
    words = dict.fromkeys(one.called.split()[1] for one in both)
    asked = [(f"photo of {one.called}", PICTURES) for one in both]
    asked += [(f"photo of {word}", FEW) for word in words]
    asked.append((f"photo of {both[0].called} and {both[1].called}", FEW))
    rows = []
    for place, (prompt, count) in enumerate(asked):
        images = painted(prompt, 51_000 + 100 * place, count, options, lora)
        scores = [[alike(image, one.template) for image in images] for one in both]
        seen = [
            [score is not None and score > one.line for score in column]
            for one, column in zip(both, scores, strict=True)
        ]
        rows.append({
            "prompt": prompt,
            "of": count,
            "alike": [
                None if (value := pictures.mean([np.nan if score is None else score for score in column])) is None
                else value / one.ceiling
                for one, column in zip(both, scores, strict=True)
            ],
            "recognised": [sum(column) for column in seen],
            "both": sum(_apart(image, both) for image in images),
        })  # fmt: skip
    return rows


def alike(image: Image.Image, template: Array) -> float | None:
    """The cosine of the picture's most alike face to a template; None where there is no face."""
    faces = pictures.engine().faces(image)
    return max((float(face.embedding @ template) for face in faces), default=None)


def _apart(image: Image.Image, both: Sequence[Person]) -> bool:
    """Whether one face is the first person, and another face the second."""
    faces = [face.embedding for face in pictures.engine().faces(image)]
    found = [{n for n, face in enumerate(faces) if float(face @ one.template) > one.line} for one in both]
    return any(one != other for one in found[0] for other in found[1])


def painted(
    prompt: str, seed: int, count: int, options: argparse.Namespace, lora: Path | None = None
) -> list[Image.Image]:
    """Pictures of one prompt, with a LoRA file or without any."""
    asked = [pictures.Question("pair", prompt, seed + n) for n in range(count)]
    return pictures.paint(asked, SAMPLING, lora, pictures.painter(options.base, options.side))


if __name__ == "__main__":
    sys.exit(main())
