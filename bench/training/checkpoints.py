"""What a likeness curve would choose: each checkpoint compared with the photos that were trained on, and with others.

    python bench/training/checkpoints.py --work DIR  mara, ines and tomas, twice the preset's steps
    python bench/training/checkpoints.py --work DIR --variants today --people unseen1

A curve that compares with the photos that are trained on costs no photo; one that compares with held-out photos is the
honest one. Each LoRA is trained for longer than the preset does, and the pictures of its checkpoints are compared with
both, those without the trigger word with the held-out photos. Then the rules of *Stop early* are applied to what six
pictures say, and what they choose is compared with the best by the held-out photos. DIR can be that of
`bench.training.quality`, whose variants, people and base pictures these are; what it has in checkpoints.jsonl is not
trained again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training import quality  # noqa: E402
from bench.training import quality_people as people  # noqa: E402
from bench.training import quality_pictures as pictures  # noqa: E402
from bench.training.quality_people import CLASS_WORDS  # noqa: E402
from bench.training.quality_pictures import ASKED, WITHOUT, mean  # noqa: E402
from bench.training.settings_study import (  # noqa: E402
    StudyJob,
    add_row,
    read_rows,
)
from lib_lora.runs.run_lock import only_process  # noqa: E402
from lib_lora.training.plan.checkpoint_test import measured_steps  # noqa: E402
from lib_lora.workflows.train.likeness_curve import no_longer_rises, to_keep  # noqa: E402

STEPS, EVERY = 448, 56  # the preset's for 16 photos are 224
FEW = 6  # so many pictures with the trigger word are painted for the curve of a training


def main() -> int:
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / "checkpoints.jsonl"
    with only_process(options.work, "wait for it, or name another --work"):
        done = {(row["variant"], row["person"]) for row in read_rows(file)}
        for variant, person in itertools.product(options.variants, options.people):
            if (variant, person) not in done:
                add_row(file, measured(variant, person, options.work, options.unseen))
    found = read_rows(file)
    print("\n".join(told(row, ceiling(row["person"], options.unseen)) for row in found))
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
    from bench.training.quality_ingredients import laid_over
    from lib_lora.likeness.measure import template as templates
    from lib_lora.training.loop import train
    from lib_lora.training.plan.run_file import saved_steps

    place = quality.QualityFolders(work, unseen, 8)
    what = quality.VARIANTS[variant]
    if what.material.class_pictures:
        people.paint_class(work, what.material.class_pictures, CLASS_WORDS[person])
    if not (people.root_of(work, what.material) / "characters" / person).exists():
        people.take_in(person, what.material, work, unseen)
    photos, held_out = people.shared_out(people.photos_of(person, unseen))
    ours, others = (templates.build(pictures.engine(), some).array for some in (photos, held_out))
    word = CLASS_WORDS[person]
    asked = [one for one in pictures.questions(f"{people.trigger_of(person)} {word}", word) if one.kind == ASKED]
    plain = [one for one in pictures.questions(word, word) if one.kind in WITHOUT]
    base = [pictures.look(one) for one in pictures.paint_base(plain, place.sampling, work / "base")]
    strangers = mean(pictures.scores(base, others)) or 0.0
    run = quality.new_run(StudyJob(variant, person, 1), place, {"steps": STEPS, "save_every": EVERY})
    with laid_over(what.ingredients):
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


def ceiling(person: str, unseen: Path) -> float:
    """The likeness of the photos that are trained on among themselves, of which the curve's identity is a share."""
    from lib_lora.likeness.measure import template as templates

    photos, _ = people.shared_out(people.photos_of(person, unseen))
    return float(np.mean(templates.build(pictures.engine(), photos).loo))


def stopped_early(rows: Sequence[Mapping[str, Any]], top: float) -> tuple[int, int]:
    """Where *Stop early* would end the training by what six pictures say, and the step that it would use; identity is
    reckoned as a share of the photos' own likeness here, `top`. At least one row has to have a number."""
    shares = {row["step"]: row["few"] / top for row in rows if row["few"] is not None}
    identities: dict[int, float] = {}
    for step in sorted(measured_steps(STEPS, EVERY) & shares.keys()):
        identities[step] = shares[step]
        if no_longer_rises(identities):
            return step, to_keep(identities)
    return step, step


def told(found: Mapping[str, Any], top: float) -> str:
    """The table of one LoRA in Markdown, and what *Stop early* would choose (`top`: see `ceiling`)."""
    rows = found["rows"]
    columns = ("held_out", "trained", "few", "leak")
    lines = [
        f"{found['variant']}, {found['person']}:", "",
        "| step | held-out photos | trained photos | the same, 6 pictures | leak |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        numbers = ("-" if row[name] is None else f"{row[name]:.3f}" for name in columns)
        lines.append(f"| {row['step']} | {' | '.join(numbers)} |")
    known = [row for row in rows if None not in (row["held_out"], row["trained"], row["few"])]
    if len(known) < 2:
        return "\n".join([*lines, ""])
    held_out = {row["step"]: row["held_out"] for row in known}
    end, used = stopped_early(known, top)
    alike = [np.corrcoef([*held_out.values()], [row[name] for row in known])[0, 1] for name in columns[1:3]]
    lines += [
        "",
        f"Correlation with the held-out photos: {alike[0]:.2f}, and {alike[1]:.2f} by six pictures. Stop early ends at "
        f"step {end} and uses step {used}: {max(held_out.values()) - held_out[used]:.3f} of cosine below the best.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
