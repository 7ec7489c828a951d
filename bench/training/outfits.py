"""Whether words of its own in the captions of each outfit keep the outfits apart, on the small base model.

    python bench/training/outfits.py --work DIR

The base model paints little but heads, so an outfit is a band of colour here: above the forehead, half of a person's
photos are made red, the other half blue, from edge to edge. With each LoRA 20 pictures are painted for each of three
prompts: the plain one, and it with the words of the one and of the other. The colour above the forehead is measured in
them, and the face is compared with photos that were held out. DIR can be that of `bench.training.quality`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
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
from bench.training.quality_people import CLASS_WORDS  # noqa: E402
from bench.training.quality_pictures import Question, mean  # noqa: E402
from lib_lora.character import caption_files  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.files import atomic_file, write_text  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402

COLOURS = {"red": (170.0, 40.0, 40.0), "blue": (40.0, 60.0, 170.0)}
STRENGTH = 0.7  # how much of a pixel above the forehead is the outfit's colour
PICTURES, SAMPLING = 20, 8
FOREHEAD = 0.05  # the band's edge, in heights of the face below the box's top
NEITHER = 45.0  # levels of difference between red and blue that are no outfit's
DESCRIBED, INVENTED, KNOWN = ("red hat", "blue hat"), ("rovak", "belun"), ("light hair", "dark hair")
VARIANTS: dict[str, tuple[Sequence[str], Mapping[str, Any]]] = {  # the words of the two, and settings
    "none": ((), {}),
    "described": (DESCRIBED, {}),
    "invented": (INVENTED, {}),
    "known to the base": (KNOWN, {}),
    "invented, twice the steps": (INVENTED, {"passes": 112}),
    "invented, preserved": (INVENTED, quality.PRESERVE["w1s25"]),
}


def main() -> int:
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = []
    print("| words | person | asked for | red | blue | neither | identity |\n|---|---|---|---|---|---|---|")
    for name in options.variants:
        for person in options.people:
            for row in measured(name, person, options.work, options.unseen):
                found.append(row)
                shares = " | ".join(f"{row[one]}" for one in ("red", "blue", "neither"))
                print(f"| {name} | {person} | {row['asked']} | {shares} | {row['identity']:.2f} |", flush=True)
    results_file.save("outfits", found, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="WORDS")
    parser.add_argument("--people", nargs="+", choices=CLASS_WORDS, default=[*people.GROUPS[people.CHOOSING]])
    parser.add_argument("--unseen", type=Path, default=people.UNSEEN, help="folder of tools/unseen_people.py --photos")
    results_file.add_option(parser)
    return parser.parse_args()


def measured(name: str, person: str, work: Path, unseen: Path) -> list[dict[str, Any]]:
    """Train a LoRA of a person with two outfits, and count what its pictures wear.

    Returns:
        A row for each prompt: "identity" as share of the held-out photos' own likeness, and the number of pictures
        that are "red", "blue" and "neither" above the forehead, the last with those that show no face.
    """
    from lib_lora.likeness.measure import template as templates
    from lib_lora.training.loop import train
    from lib_lora.workflows.train.prepare import start_run

    words, settings = VARIANTS[name]
    root = work / "outfits" / ("-".join(words).replace(" ", "") or "none")
    if not (root / "characters" / person).exists():
        _take_in(person, root, words, unseen)
    _, held_out = people.shared_out(people.photos_of(person, unseen))
    template = templates.build(pictures.engine(), held_out)
    fixed = {"seed": 1, "save_every": 100_000, "samples": 0, "keep_states": 1}
    run = start_run(root, person, TrainingRequest(pictures.BASE, NARROW, {**settings, **fixed}, few=True))
    lora = train(run, lambda *_, **__: None)
    plain = f"photo of {people.trigger_of(person)} {CLASS_WORDS[person]}"
    rows = []
    for place, (colour, phrase) in enumerate(zip(("nothing", *COLOURS), ("", *(words or DESCRIBED)), strict=True)):
        prompt = f"{plain}, {phrase}" if phrase else plain
        asked = [Question("outfit", prompt, 40_000 + 100 * place + n) for n in range(PICTURES)]
        painted = pictures.paint(asked, SAMPLING, lora)
        worn = [worn_in(picture) for picture in painted]
        cosine = mean(pictures.scores([pictures.look(one) for one in painted], template.array))
        counts = {one: worn.count(one) for one in ("red", "blue", "neither")}
        ceiling = float(np.mean(template.loo))
        rows.append({"variant": name, "person": person, "asked": colour, **counts,
                     "identity": (cosine or 0.0) / ceiling})  # fmt: skip
    shutil.rmtree(run.folder)
    return rows


def _take_in(person: str, root: Path, words: Sequence[str], unseen: Path) -> None:
    """Make the character whose photos wear the one outfit and the other in turn."""
    from lib_lora.workflows.photos.new_character import NewCharacter, new_character

    trained, _ = people.shared_out(people.photos_of(person, unseen))
    folder = root / "dressed" / person
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    who = NewCharacter(person, people.trigger_of(person), CLASS_WORDS[person], "fictional")
    for number, photo in enumerate(trained):
        colour = [*COLOURS][number % 2]
        file = folder / f"{photo.stem}.png"
        with atomic_file(file) as stream:
            dressed(pictures.photo_of_side(photo), COLOURS[colour]).save(stream, "PNG")
        plain = f"photo of {who.trigger} {who.class_word}"
        write_text(caption_files.path_of(file), ", ".join([plain, *words[number % 2 : number % 2 + 1]]) + "\n")
    new_character(root, who, folder)


def above_forehead(picture: Image.Image) -> int | None:
    """How many rows are above the largest face's forehead; None where there is no face, or no room above it."""
    faces = pictures.engine().faces(picture)
    if not faces:
        return None
    _, top, _, height = faces[0].box
    rows = round(top + FOREHEAD * height)
    return rows if rows > 3 else None


def dressed(picture: Image.Image, colour: Sequence[float]) -> Image.Image:
    """A picture in the colour of an outfit above the forehead."""
    rows = above_forehead(picture)
    if rows is None:
        raise SystemExit("A photo shows no face with room above the forehead; leave its person out.")
    values: Array = np.asarray(picture, float).copy()
    values[:rows] = (1 - STRENGTH) * values[:rows] + STRENGTH * np.array(colour)
    return Image.fromarray(values.round().astype(np.uint8))


def worn_in(picture: Image.Image) -> str:
    """What is worn: "red" or "blue", by the mean colour above the forehead, or "neither"."""
    rows = above_forehead(picture)
    if rows is None:
        return "neither"
    red, _, blue = np.asarray(picture, float)[:rows].reshape(-1, 3).mean(axis=0)
    return "neither" if abs(red - blue) < NEITHER else "red" if red > blue else "blue"


if __name__ == "__main__":
    sys.exit(main())
