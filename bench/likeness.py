"""Measure the verdict: how often it is wrong, and how long it takes.

    python bench/likeness.py --simulate          error rates on grids made of stored embeddings (seconds)
    python bench/likeness.py --time              load, one picture, twenty pictures, memory (two threads)

Prints tables as they stand in docs/likeness.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FIXED = 0.363  # SFace's published threshold for pairs
PICTURES, PHOTOS = 20, 24


def _simulated() -> Any:
    spec = importlib.util.spec_from_file_location("simulated", ROOT / "tests" / "likeness" / "simulated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulated"] = module
    spec.loader.exec_module(module)
    return module


def simulate(draws: int, seed: int) -> list[dict[str, float]]:
    """One row for each number of strangers on a grid of 20.

    A draw picks a person, 24 of their pictures as photos, 20 - k others as the grid's faces, and k pictures of other
    people. `alarm` is the share of draws whose verdict is drift of some kind; `fixed` the same with the published
    threshold in place of the calibrated line and the same number of pictures that it takes.
    """
    from lib_lora.likeness.intervals import alarm_count
    from lib_lora.likeness.metrics import facts_of
    from lib_lora.likeness.verdict import judge

    made = _simulated()
    people = made.people()
    rows = []
    for strangers in range(11):
        random = np.random.default_rng([seed, strangers])
        alarms = fixed = wrong_low = wrong_low_fixed = wrong_high = wrong_high_fixed = 0
        for _ in range(draws):
            person = int(random.integers(len(people)))
            order = random.permutation(people.shape[1])
            template = made.template_of(people[person][order[:PHOTOS]])
            own = people[person][order[PHOTOS : PHOTOS + PICTURES - strangers]]
            others = random.permutation([other for other in range(len(people)) if other != person])
            foreign = [people[other][random.integers(people.shape[1])] for other in others[:strangers]]
            known = made.lines_of(template)
            assert known.lines is not None, known.refusal
            verdict = judge(facts_of(made.shown([*own, *foreign], template), template, known))
            alarms += verdict.drift
            mine, theirs = own @ template.array, np.array([face @ template.array for face in foreign])
            below = int((mine < FIXED).sum() + (theirs < FIXED).sum())
            fixed += below >= alarm_count(PICTURES)
            wrong_low += int((mine < known.lines.keep).sum())
            wrong_low_fixed += int((mine < FIXED).sum())
            wrong_high += int((theirs >= known.lines.keep).sum())
            wrong_high_fixed += int((theirs >= FIXED).sum())
        faces, wrong = draws * (PICTURES - strangers), draws * strangers
        rows.append(
            {
                "strangers": strangers,
                "alarm": alarms / draws,
                "fixed": fixed / draws,
                "own_rejected": wrong_low / faces,
                "own_rejected_fixed": wrong_low_fixed / faces,
                "strangers_accepted": wrong_high / wrong if wrong else float("nan"),
                "strangers_accepted_fixed": wrong_high_fixed / wrong if wrong else float("nan"),
            }
        )
    return rows


def show(rows: list[dict[str, float]]) -> None:
    print("| strangers of 20 | verdict drift | same rule, 0.363 | own pictures under the line | with 0.363 | "
          "strangers over the line | with 0.363 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row['strangers']:.0f}",
            *("-" if value != value else f"{value:.1%}" for value in list(row.values())[1:]),
        ]
        print("| " + " | ".join(cells) + " |")


def timings() -> None:
    import cv2
    from PIL import Image

    cv2.setNumThreads(2)
    photos = ROOT / "tests" / "data" / "personas" / "mara"
    before = time.perf_counter()
    from lib_lora.likeness.engine import SFaceEngine
    from lib_lora.likeness.measure import Measurer
    from lib_lora.likeness.template import build

    engine = SFaceEngine()
    pictures = [Image.open(path).convert("RGB").resize((512, 512)) for path in sorted(photos.glob("*.jpg"))]
    imported = time.perf_counter()
    engine.faces(pictures[0])
    loaded = time.perf_counter()
    template = build(engine, sorted(photos.glob("*.jpg"))[:8])
    measure = Measurer(engine, template)
    measure.one(pictures[0], "warm")
    each = []
    for _ in range(3):
        for picture in pictures[:20]:
            start = time.perf_counter()
            measure.one(picture, "picture")
            each.append(time.perf_counter() - start)
    start = time.perf_counter()
    measure(pictures[:20])
    twenty = time.perf_counter() - start
    memory = psutil.Process().memory_info().rss / 2**20
    print(f"OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads, pictures of 512 x 512")
    print(f"imports {imported - before:.2f} s, models and first picture {loaded - imported:.2f} s")
    print(
        f"one picture: median {statistics.median(each) * 1000:.0f} ms, slowest {max(each) * 1000:.0f} ms of {len(each)}"
    )
    print(f"twenty pictures: {twenty:.2f} s; memory of the process {memory:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.simulate:
        show(simulate(options.draws, options.seed))
    if options.time:
        timings()


if __name__ == "__main__":
    main()
