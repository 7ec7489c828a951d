"""Several people in one LoRA: does each trigger word paint its own person, and can all be in one picture?

    python bench/training/several_people.py --work DIR
    python bench/training/several_people.py --work DIR --groups mara+tomas --base FILE --preset sd15-face --side 512

The first's training names the others in the setting `together`; each photo has a caption with its own person's trigger
word. With each LoRA 20 pictures of each person are painted, ten of each class word alone, and ten of all together; all
faces are compared with the photos of each person that were held out. The small base model, which is the default, paints
one face in a picture, whatever it is asked for. DIR can be that of `bench.training.quality`.
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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training import quality  # noqa: E402
from bench.training import quality_people as people  # noqa: E402
from bench.training import quality_pictures as pictures  # noqa: E402
from bench.training.quality_people import CLASS_WORDS, Material  # noqa: E402
from lib_lora.character import caption_files  # noqa: E402
from lib_lora.character.photo_files import list_photos  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.files import write_text  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.runs.run_lock import only_process  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402

GROUPS = ("mara+tomas", "mara+tomas+ines", "unseen2+tomas", "unseen1+ines")  # no two of one trigger word
PICTURES, FEW, SAMPLING = 20, 10, 8
VARIANTS: dict[str, Mapping[str, Any]] = {
    "plain": {},
    "preserved": quality.PAINTED,
}
HEAD = (
    "| settings | LoRA of | prompt | likeness to each | recognised, each | of pictures | all in one |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, eq=False)
class TrainedPerson:
    """One of the people.

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
        for name, group in itertools.product(options.variants, options.groups):
            for row in measured(name, group, options):
                found.append(row)
                alike = ", ".join("-" if one is None else f"{one:.2f}" for one in row["alike"])
                seen = ", ".join(map(str, row["recognised"]))
                cells = (name, row["lora"], row["prompt"], alike, seen, row["of"], row["all"])
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    results_file.save("several_people", found, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="SETTINGS")
    parser.add_argument("--groups", nargs="+", default=GROUPS, metavar="FIRST+SECOND")
    parser.add_argument("--base", type=Path, default=pictures.BASE, help="another checkpoint of Stable Diffusion 1")
    parser.add_argument("--preset", default=NARROW)
    parser.add_argument("--side", type=int, default=pictures.SIDE, help="of the pictures, in pixels")
    parser.add_argument("--unseen", type=Path, default=people.UNSEEN, help="folder of tools/unseen_people.py --photos")
    results_file.add_option(parser)
    return parser.parse_args()


def measured(name: str, group: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train the people in one LoRA, and the first alone; compare what they paint.

    Returns:
        A row for each LoRA and prompt: "alike", the mean cosine to each person as a share of the likeness that their
        own photos have; "recognised", in how many pictures each is; and in how many "all" are.
    """
    from lib_lora.training.loop import train
    from lib_lora.workflows.train.prepare import start_run

    work, unseen = options.work, options.unseen
    root = people.root_of(work, Material())
    everyone = [person_of(one, options) for one in group.split("+")]
    for one in everyone:
        if not (root / "characters" / one.name).exists():
            people.take_in(one.name, Material(), work, unseen)
        for photo in list_photos(root / "characters" / one.name / "photos"):
            write_text(caption_files.path_of(photo), f"photo of {one.called}\n")
    first, *others = everyone
    fixed = {"seed": 1, "save_every": 100_000, "samples": 0, "keep_states": 1, **VARIANTS[name]}
    beside = {"together": [one.name for one in others]}
    rows = []
    for label, settings in ((group, fixed | beside), (first.name, fixed)):
        run = start_run(root, first.name, TrainingRequest(options.base, options.preset, settings, few=True))
        lora = train(run, lambda *_, **__: None)
        for row in compared(lora, everyone, options):
            rows.append({"variant": name, "lora": label, **row})
        shutil.rmtree(run.folder)
    return rows


def person_of(name: str, options: argparse.Namespace) -> TrainedPerson:
    """One of the people, with the photos that were held out, and what the base model paints of the class."""
    from lib_lora.likeness.measure import template as templates

    _, held_out = people.shared_out(people.photos_of(name, options.unseen))
    template = templates.build(pictures.engine(), held_out)
    word = CLASS_WORDS[name]
    base = painted(f"photo of {word}", 50_000, PICTURES, options)
    strangers = [best for image in base if (best := alike(image, template.array)) is not None]
    line = max(strangers, default=1.0)
    return TrainedPerson(name, f"{people.trigger_of(name)} {word}", template.array, float(np.mean(template.loo)), line)


def compared(lora: Path, everyone: Sequence[TrainedPerson], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a LoRA paints for each person, for each class word, and for all people at once."""
    words = dict.fromkeys(one.called.split()[1] for one in everyone)
    asked = [(f"photo of {one.called}", PICTURES) for one in everyone]
    asked += [(f"photo of {word}", FEW) for word in words]
    asked.append((f"photo of {' and '.join(one.called for one in everyone)}", FEW))
    rows = []
    for place, (prompt, count) in enumerate(asked):
        images = painted(prompt, 51_000 + 100 * place, count, options, lora)
        scores = [[alike(image, one.template) for image in images] for one in everyone]
        rows.append({
            "prompt": prompt,
            "of": count,
            "alike": [_share(column, one) for column, one in zip(scores, everyone, strict=True)],
            "recognised": [
                sum(score is not None and score > one.line for score in column)
                for column, one in zip(scores, everyone, strict=True)
            ],
            "all": sum(all_shown(image, everyone) for image in images),
        })  # fmt: skip
    return rows


def _share(scores: Sequence[float | None], person: TrainedPerson) -> float | None:
    mean = pictures.mean([np.nan if score is None else score for score in scores])
    return None if mean is None else mean / person.ceiling


def alike(image: Image.Image, template: Array) -> float | None:
    """The cosine of the picture's most alike face to a template; None where there is no face."""
    faces = pictures.engine().faces(image)
    return max((float(face.embedding @ template) for face in faces), default=None)


def all_shown(image: Image.Image, everyone: Sequence[TrainedPerson]) -> bool:
    """Whether each person has a face of their own in the picture."""
    faces = [face.embedding for face in pictures.engine().faces(image)]
    return any(
        all(float(face @ one.template) > one.line for face, one in zip(chosen, everyone, strict=True))
        for chosen in itertools.permutations(faces, len(everyone))
    )


def painted(
    prompt: str, seed: int, count: int, options: argparse.Namespace, lora: Path | None = None
) -> list[Image.Image]:
    """Pictures of one prompt, with a LoRA file or without any."""
    asked = [pictures.Question("group", prompt, seed + n) for n in range(count)]
    return pictures.paint(asked, SAMPLING, lora, pictures.painter(options.base, options.side))


if __name__ == "__main__":
    sys.exit(main())
