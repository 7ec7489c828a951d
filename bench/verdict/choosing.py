"""Measure how near the search for step and weight comes to the best: simulated runs with a known truth.

    python bench/verdict/choosing.py  six people, two settings, each with few and with many lost faces (minutes)

Nothing is trained and nothing painted. The faces are stored embeddings of people who do not exist
(tests/data/simulated_people.npz); a "painted" face lies between one of a person's own pictures and a stranger's, nearer
to the person the more of the identity a step at a weight is supposed to keep. Pictures of one prompt and seed go out
from the same two faces at every step and weight. The search itself (limits, finalists, fresh seeds) is the real one.

The yardstick knows nothing that the search knows: 400 other pictures of each of the 18 cells against photos of the
person that are not in the template. A run counts as good where the chosen cell keeps at least 95 % of what the best of
the 18 keeps, counted from what strangers reach. A second recogniser, ignored prompts and copies are not simulated.

"Before" is the search with eight prompts, any step within one standard error, and no answer where no cell keeps the
limits or holds on fresh seeds; its finalists are those of "now".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.verdict.error_rates import simulated  # noqa: E402

PEOPLE, STEPS, WEIGHTS = 6, (100, 200, 300, 400, 500, 600), (0.6, 0.8, 1.0)
PHOTOS, HELD_OUT = 20, 16  # of 60 pictures; the others are what is painted
LOSSES = (0.1, 0.6)
SMALL = "the face is too small"  # why a lost face does not count
Kept = Callable[[int, float], float]


def gentle(step: int, weight: float) -> float:
    """The identity that a slow training keeps: it rises until the end."""
    return 0.92 * weight**0.7 * (1 - float(np.exp(-step / 220)))


def hot(step: int, weight: float) -> float:
    """That of too high a learning rate: the best is early, and a lower weight mends some of what came later."""
    burnt = max(0.0, step - 250) / 350 * weight**2
    return 0.9 * weight**0.5 * (1 - float(np.exp(-step / 80))) * (1 - 0.7 * burnt)


SETTINGS: dict[str, Kept] = {"gentle": gentle, "too high a rate": hot}


@dataclass
class Trained:
    """A simulated run of one person.

    Attributes:
        own, others: embeddings (n x d) that pictures are made of: the person's, and strangers'.
        kept: of the identity, by step and weight.
        loss: share of the pictures without a face that can be measured.
        seed: of the run.
    """

    own: Any
    others: Any
    kept: Kept
    loss: float
    seed: int

    def faces(self, cell: tuple[int, float], seeds: Sequence[int]) -> list[Any]:
        """The painted faces, None where it is lost."""
        made, found = simulated(), []
        for number in seeds:
            shared = np.random.default_rng([self.seed, number])  # the same for all cells
            own, other = self.own[shared.integers(len(self.own))], self.others[shared.integers(len(self.others))]
            hard = shared.normal(0, 0.06)
            alone = np.random.default_rng([self.seed, number, cell[0], round(100 * cell[1])])
            share = float(np.clip(self.kept(*cell) + hard + alone.normal(0, 0.05), 0, 1))
            lost = 0.5 * shared.random() + 0.5 * alone.random() < _quantile(self.loss)
            found.append(None if lost else made.blend(own, other, 1 - share).astype(np.float32))
        return found


def _quantile(share: float) -> float:
    """Under which half of the sum of two uniform numbers lies with this probability."""
    return float(np.sqrt(share / 2)) if share <= 0.5 else 1 - float(np.sqrt((1 - share) / 2))


def search(trained: Trained, template: Any, count: int) -> tuple[tuple[int, float] | None, str]:
    """The chosen cell, and whether limits hold."""
    from lib_lora.likeness.comparing.choice import candidate, choose, least_broken, to_confirm
    from lib_lora.likeness.measure.calibration import BASE, COHORT, against, calibrate
    from lib_lora.likeness.measure.cohort import cohort
    from lib_lora.likeness.measure.face_measure import ImageScore, Measured
    from lib_lora.likeness.report import report as reports
    from lib_lora.likeness.verdict.facts import Asked, Training
    from lib_lora.likeness.verdict.picture_set import PictureSet

    made = simulated()
    base = [trained.others[np.random.default_rng([trained.seed, n]).integers(len(trained.others))] for n in range(20)]
    strangers = [(BASE, against(template, np.stack(base))), (COHORT, against(template, cohort(template.engine)))]
    lines = calibrate(template.loo, strangers)

    def grid(cell: tuple[int, float], seeds: range) -> Any:
        pictures = [
            made.picture(face, template) if face is not None else Measured(ImageScore("", 0.3, SMALL, 1, made.FACE))
            for face in trained.faces(cell, seeds)
        ]
        asked = [Asked(f"prompt {number % 20}", seed=number) for number in seeds]
        shown = PictureSet(pictures, asked, training=Training(*cell, STEPS))
        subject = reports.Subject("simulated")
        paths, basis = reports.Paths([str(n) for n in seeds]), reports.Basis(template, lines, "")
        return candidate(reports.make(shown, paths, basis, subject))

    screened = [grid((step, weight), range(count)) for step in STEPS for weight in WEIGHTS]
    if count >= 12:  # as it is now: more prompts where most faces are lost
        screened = [grid((one.step, one.weight), range(20)) if one.counted < 5 else one for one in screened]
    if count < 12 and choose(screened) is None:  # as it was: nothing is confirmed, nothing chosen
        return None, "nothing"
    tried = [one for one in to_confirm(screened) if one.feasible or count >= 12]  # as it was: no broken one beside
    finals = [grid((one.step, one.weight), range(5000, 5020)) for one in tried]
    best = choose(finals)
    if best is None and count < 12:
        return None, "nothing"
    best = best or least_broken(finals)
    return (best.step, best.weight), "well" if best.feasible else "doubtful"


def truth(trained: Trained, photos: Any) -> dict[tuple[int, float], float]:
    """What each cell keeps by the yardstick: mean cosine to held-out photos, less that of strangers."""
    made = simulated()
    mean = made.unit(photos.mean(0))
    zero = float((trained.others @ mean).mean())
    sure = Trained(trained.own, trained.others, trained.kept, 0.0, trained.seed)
    return {
        (step, weight): float(np.mean(np.stack(sure.faces((step, weight), range(10_000, 10_400))) @ mean)) - zero
        for step in STEPS
        for weight in WEIGHTS
    }


def measure(repeats: int) -> list[dict[str, Any]]:
    """One row for each setting, share of lost faces and way of searching."""
    from lib_lora.likeness.comparing import choice

    made = simulated()
    people = made.people()
    rows = []
    for setting, kept in SETTINGS.items():
        for loss in LOSSES:
            shares: dict[str, list[float]] = {"before": [], "now": []}
            doubtful = dict.fromkeys(shares, 0)
            for person in range(PEOPLE):
                for number in range(repeats):
                    random = np.random.default_rng([person, number])
                    order = random.permutation(people.shape[1])
                    template = made.template_of(people[person][order[:PHOTOS]])
                    held_out = people[person][order[PHOTOS : PHOTOS + HELD_OUT]]
                    others = people[[one for one in range(len(people)) if one != person]].reshape(-1, people.shape[2])
                    own = people[person][order[PHOTOS + HELD_OUT :]]
                    trained = Trained(own, others, kept, loss, 1000 * person + number)
                    known = truth(trained, held_out)
                    best = max(known.values())
                    for way, count, given_up in (("before", 8, 1.0), ("now", 12, choice.MOST_GIVEN_UP)):
                        usual, choice.MOST_GIVEN_UP = choice.MOST_GIVEN_UP, given_up
                        try:
                            cell, how = search(trained, template, count)
                        finally:
                            choice.MOST_GIVEN_UP = usual
                        shares[way].append(known[cell] / best if cell else 0.0)
                        doubtful[way] += how == "doubtful"
            for way, found in shares.items():
                values = np.array(found)
                rows.append(
                    {
                        "setting": setting,
                        "lost": loss,
                        "way": way,
                        "runs": len(values),
                        "within 5 %": float((values >= 0.95).mean()),
                        "worst person": float((values.reshape(PEOPLE, -1) >= 0.95).mean(1).min()),
                        "median": float(np.median(values)),
                        "no answer": float((values == 0).mean()),
                        "doubtful": doubtful[way] / len(values),
                    }
                )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md; the file of results has more."""
    print("| training | faces lost | within 5 % of the best, before | now | no answer, before | now |")
    print("|---|---|---|---|---|---|")
    found = {(row["setting"], row["lost"], row["way"]): row for row in rows}
    for setting, lost in dict.fromkeys((row["setting"], row["lost"]) for row in rows):
        before, now = (found[setting, lost, way] for way in ("before", "now"))
        near = [f"{row['within 5 %'] * row['runs']:.0f} of {row['runs']}" for row in (before, now)]
        silent = [f"{row['no answer'] * row['runs']:.0f}" for row in (before, now)]
        print(f"| {setting} | {lost:.0%} | " + " | ".join([*near, *silent]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each person and setting (default: 5)")
    results_file.add_option(parser)
    options = parser.parse_args()
    rows = measure(options.repeats)
    show(rows)
    results_file.save("choosing", rows, options.results)


if __name__ == "__main__":
    main()
