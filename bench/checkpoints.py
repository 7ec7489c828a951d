"""What a likeness curve would choose: each checkpoint compared with the photos that were trained on, and with others.

    python bench/checkpoints.py --work DIR                       mara, ines and tomas, twice the preset's steps
    python bench/checkpoints.py --work DIR --variants today --people unseen1

A curve that compares with the photos that are trained on costs no photo; one that compares with held-out photos is the
honest one. Each LoRA is trained for longer than the preset does, and the pictures of its checkpoints, with and without
the trigger word, are compared with both. DIR can be that of `bench.quality`, whose variants, people and base pictures
these are; what it has in checkpoints.jsonl is not trained again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import quality, results_file  # noqa: E402
from bench import quality_people as people  # noqa: E402
from bench import quality_pictures as pictures  # noqa: E402
from bench.quality_people import CLASS_WORDS  # noqa: E402
from bench.quality_pictures import ASKED, WITHOUT, mean  # noqa: E402
from bench.settings_study import add_row, read_rows  # noqa: E402

STEPS, EVERY = 448, 56  # the preset's for 16 photos are 224
FEW = 6  # so many pictures with the trigger word are painted for the curve of a training


def main() -> int:
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / "checkpoints.jsonl"
    done = {(row["variant"], row["person"]) for row in read_rows(file)}
    for variant, person in itertools.product(options.variants, options.people):
        if (variant, person) not in done:
            add_row(file, measured(variant, person, options.work, options.unseen))
    found = list(read_rows(file))
    print("\n".join(map(told, found)))
    results_file.save("checkpoints", found, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--variants", nargs="+", choices=quality.VARIANTS, default=[quality.TODAY], metavar="VARIANT")
    parser.add_argument("--people", nargs="+", choices=CLASS_WORDS, default=[*people.GROUPS[people.CHOOSING]])
    parser.add_argument("--unseen", type=Path, default=people.UNSEEN, help="folder of tools/unseen_people.py --photos")
    results_file.add_option(parser)
    return parser.parse_args()


def measured(variant: str, person: str, work: Path, unseen: Path) -> dict[str, Any]:
    """Train one LoRA and compare each of its checkpoints.

    Returns:
        "rows": by checkpoint the mean cosines of the pictures to the photos that were held out (`held_out`), to those
        that were trained on (`trained`; `few`: of the first six pictures alone), and of the pictures without the
        trigger word to those held out (`leak`, above the base's own).
    """
    from lib_lora.likeness.measure import template as templates
    from lib_lora.training.loop import train
    from lib_lora.training.plan.run_file import saved_steps

    place = quality.Place(work, unseen, 8)
    what = quality.VARIANTS[variant]
    if not (people.root_of(work, what.material) / "characters" / person).exists():
        people.take_in(person, what.material, work, unseen)
    photos, held_out = people.shared_out(people.photos_of(person, unseen))
    ours, others = (templates.build(pictures.engine(), some).array for some in (photos, held_out))
    word = CLASS_WORDS[person]
    asked = [one for one in pictures.questions(f"{people.trigger_of(person)} {word}", word) if one.kind == ASKED]
    plain = [one for one in pictures.questions(word, word) if one.kind in WITHOUT]
    base = [pictures.look(one) for one in pictures.paint_base(plain, place.sampling, work / "base")]
    strangers = mean(pictures.scores(base, others)) or 0.0
    run = quality.new_run(quality.Job(variant, person, 1), place, {"steps": STEPS, "save_every": EVERY})
    train(run, lambda *_, **__: None)
    rows = []
    for step in saved_steps(run):
        lora = run.checkpoint(step)
        found = [pictures.look(one) for one in pictures.paint(asked, place.sampling, lora)]
        without = [pictures.look(one) for one in pictures.paint(plain, place.sampling, lora)]
        rows.append({
            "step": step,
            "held_out": mean(pictures.scores(found, others)),
            "trained": mean(pictures.scores(found, ours)),
            "few": mean(pictures.scores(found[:FEW], ours)),
            "leak": (mean(pictures.scores(without, others)) or 0.0) - strangers,
        })  # fmt: skip
    shutil.rmtree(run.folder)
    return {"variant": variant, "person": person, "rows": rows}


def told(found: dict[str, Any]) -> str:
    """The table of one LoRA in Markdown, and what choosing by each column would give."""
    rows = found["rows"]
    columns = ("held_out", "trained", "few", "leak")
    lines = [
        f"{found['variant']}, {found['person']}:", "",
        "| step | held-out photos | trained photos | the same, 6 pictures | leak |",
        "|---|---|---|---|---|",
        *("| " + " | ".join([str(row["step"]), *(f"{row[name]:.3f}" for name in columns)]) + " |" for row in rows),
        "",
    ]  # fmt: skip
    best = max(row["held_out"] for row in rows)
    for name in columns[1:3]:
        chosen = max(rows, key=lambda row: row[name])
        alike = np.corrcoef([row["held_out"] for row in rows], [row[name] for row in rows])[0, 1]
        lines.append(
            f"Chosen by `{name}`: step {chosen['step']}, {best - chosen['held_out']:.3f} of cosine below the best by "
            f"the held-out photos; correlation {alike:.2f}."
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
