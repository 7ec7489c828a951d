"""Measure how many views from the front of one person pass the lines of `one_face`, from a picture seen from the side.

    python bench/photos/frontal_views.py

Each photo of the six people and of the unseen ones whose head is turned is the picked picture once; the other photos of
that person that look at least 0.15 less to that side, and hardly to the other, are compared with it. The lines are the
shares of the way from the cohort's median to 1; what passes none is a view that would be lost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from lib_lora.captions.slots import AHEAD, TURNED  # noqa: E402
from lib_lora.character.photo_files import list_photos, open_photo  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.face import Face  # noqa: E402
from lib_lora.likeness.measure.cohort import cohort  # noqa: E402
from lib_lora.likeness.measure.one_face import KEPT, KEPT_ALIKE, KEPT_BACK  # noqa: E402

FOLDERS = (ROOT / "tests" / "data" / "personas", ROOT / "tests" / "data" / "unseen")
BANDS = ((AHEAD, TURNED), (TURNED, 1.0))  # of the picked picture's yaw
SHARES = (KEPT, KEPT_ALIKE, KEPT_BACK)
FRONT = 0.3  # yaw up to which a view is from the front


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results_file.add_option(parser)
    options = parser.parse_args()
    engine = SFaceEngine()
    strangers = cohort(engine.id)
    if strangers is None:
        raise SystemExit("the default engine has no cohort")
    people = [
        [face for photo in list_photos(person) for face in engine.faces(open_photo(photo))[:1]]
        for folder in FOLDERS
        for person in sorted(folder.iterdir())
        if person.is_dir()
    ]
    text = table(people, strangers)
    print(text)
    results_file.save("frontal_views", results_file.rows(text), options.results)
    return 0


def table(people: Sequence[Sequence[Face]], strangers: Array) -> str:
    """One row for each of `BANDS`: pairs of pictures, and the share of them above each line."""
    above = " | ".join(f"above {share:g}" for share in SHARES)
    lines = [f"| yaw of the picked picture | pairs | likeness, median | {above} |", "|---" * (3 + len(SHARES)) + "|"]
    for low, high in BANDS:
        found = [pair for faces in people for pair in _pairs(faces, strangers, low, high)]
        likeness = [cosine for cosine, _ in found]
        passed = [np.mean([cosine >= median + share * (1 - median) for cosine, median in found]) for share in SHARES]
        middle = f"{np.median(likeness):.2f}" if found else ""
        shares = " | ".join(f"{share:.0%}" for share in passed) if found else " | ".join([""] * len(SHARES))
        lines.append(f"| {low:g} to {high:g} | {len(found)} | {middle} | {shares} |")
    return "\n".join(lines)


def _pairs(faces: Sequence[Face], strangers: Array, low: float, high: float) -> list[tuple[float, float]]:
    """Cosine of each view from the front to each picked picture, and the median of strangers to that picture."""
    found = []
    for picked in faces:
        if not low <= abs(picked.yaw) < high:
            continue
        side = 1 if picked.yaw > 0 else -1
        median = float(np.median(strangers @ picked.embedding))
        found += [
            (float(other.embedding @ picked.embedding), median)
            for other in faces
            if abs(other.yaw) <= FRONT and side * (picked.yaw - other.yaw) >= AHEAD
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
