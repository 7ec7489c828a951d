"""Measure whether the verdict sees that pictures ignore their prompts, on people who do not exist.

    python -m lib_lora try --no-open
    python bench/verdict/obedience.py DATA/characters/mara/runs/001/grids/001

The grid gives what the base model paints for the twenty prompts; `LoRA` is the grid's own. For each of six people two
sets are judged as if they answered the twenty prompts: `photos` are twelve photos that the template does not know, some
twice, and `one pose` is one such photo, shifted, cropped and in other brightness. Prints the table of docs/likeness.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.grid.paint_plan import file_name  # noqa: E402
from lib_lora.grid.prompts import PROMPTS  # noqa: E402
from lib_lora.likeness.measure import template as templates  # noqa: E402
from lib_lora.likeness.measure.calibration import BASE, COHORT, against, calibrate  # noqa: E402
from lib_lora.likeness.measure.cohort import cohort  # noqa: E402
from lib_lora.likeness.measure.face_measure import Measurer  # noqa: E402
from lib_lora.likeness.verdict.facts import Asked  # noqa: E402
from lib_lora.likeness.verdict.metrics import facts_of  # noqa: E402
from lib_lora.likeness.verdict.picture_set import PictureSet, likenesses, without_drawn  # noqa: E402
from lib_lora.likeness.verdict.verdict import judge  # noqa: E402
from lib_lora.workspace.grid_files import CELLS  # noqa: E402

PERSONAS = ROOT / "tests" / "data" / "personas"
PEOPLE = ("mara", "ines", "clara", "lena", "tomas", "viktor")
PHOTOS = 12  # in the template; twelve others are held out
SIDE, SHIFT = 160, 14  # pixels of a planted picture, and how far its edges are cropped
ASKED = [Asked(one.name, one.framing, one.angle, one.attributes) for one in PROMPTS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="folder of a test grid of mara with all twenty prompts")
    results_file.add_option(parser)
    options = parser.parse_args()
    painted = {role: _painted(options.grid, role) for role in ("base", "lora")}
    rows = []
    for name in PEOPLE:
        photos = sorted((PERSONAS / name).glob("*.jpg"))
        held_out = [open_photo(path) for path in photos[PHOTOS:]]
        sets = {"LoRA": painted["lora"]} if name == "mara" else {}
        sets |= {"photos": [held_out[n % len(held_out)] for n in range(len(ASKED))], "one pose": one_pose(held_out[0])}
        rows += judged(name, photos[:PHOTOS], sets, painted["base"])
    print(table(rows))
    results_file.save("obedience", rows, options.results)
    return 0


def _painted(grid: Path, role: str) -> list[Image.Image]:
    return [open_photo(grid / CELLS / file_name(role, number)) for number in range(1, len(ASKED) + 1)]


def one_pose(photo: Image.Image) -> list[Image.Image]:
    """Twenty pictures of one moment."""
    random, small, found = np.random.default_rng(1), photo.resize((SIDE, SIDE)), []
    for _ in ASKED:
        left, top, right, bottom = (int(edge) for edge in random.integers(0, SHIFT, 4))
        part = small.crop((left, top, SIDE - right, SIDE - bottom)).resize((SIDE, SIDE))
        found.append(ImageEnhance.Brightness(part).enhance(0.8 + 0.4 * float(random.random())))
    return found


def judged(
    name: str, photos: list[Path], sets: dict[str, list[Image.Image]], base: list[Image.Image]
) -> list[dict[str, Any]]:
    """A row for each set of pictures of a person."""
    engine = SFaceEngine()
    template = templates.build(engine, photos)
    measure = Measurer(engine, template)
    without = without_drawn(measure(base), ASKED)
    lines = calibrate(template.loo, [(BASE, likenesses(without)), (COHORT, against(template, cohort(engine.id)))])
    rows = []
    for what, pictures in sets.items():
        shown = PictureSet(without_drawn(measure(pictures), ASKED), ASKED, base=without)
        facts = facts_of(shown, template, lines)
        asked = facts.prompt
        rows.append(
            {
                "person": name,
                "set": what,
                "given": asked.given,
                "told": asked.judgeable,
                "given_base": asked.given_base,
                "told_base": asked.judgeable_base,
                "turning": asked.turning,
                "scene": asked.scene,
                "followed": asked.followed,
                "mutual": facts.identity.mutual,
                "mutual_photos": facts.photos.mutual,
                "yaw": facts.angles.yaw_spread,
                "yaw_photos": facts.photos.yaw_spread,
                "kind": judge(facts).kind,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| person | set | words (base) | turning | scene | followed | alike (photos) | spread of turns (photos) "
        "| verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        words = f"{row['given']} of {row['told']} ({row['given_base']} of {row['told_base']})"
        turning, scene, followed = (_shown(row[name]) for name in ("turning", "scene", "followed"))
        lines.append(
            f"| {row['person']} | {row['set']} | {words} | {turning} | {scene} | {followed} | {_shown(row['mutual'])} "
            f"({_shown(row['mutual_photos'])}) | {_shown(row['yaw'])} ({_shown(row['yaw_photos'])}) | {row['kind']} |"
        )
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
