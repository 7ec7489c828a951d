"""Measure with which noise a head that was turned stays turned, and the same face, when it is painted over.

    python bench/photos/turned_heads.py --work DIR --faces 2

The faces are those of `bench/photos/invent.py --what whole` (DIR may be that of such a run). Of each, the head is
turned to both sides as far as is asked for first, and the picture is painted over at three strengths: with the noise
that the picture was painted from before the head was turned, with other noise, and with the noise that the turned
picture would be painted from (`lib_lora/grid/noise_inversion.py`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.photos.invent import BASE, DESCRIBE, least_like_the_others  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.face import Face  # noqa: E402
from lib_lora.pictures import Cell  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.invent import invent  # noqa: E402
from lib_lora.workflows.invent.coverage_plan import prompt_of  # noqa: E402
from lib_lora.workflows.invent.generation_strategies import Strategy  # noqa: E402
from lib_lora.workflows.invent.invent_paint import further_job  # noqa: E402
from lib_lora.workflows.invent.invented_folder import InventedFolder  # noqa: E402
from lib_lora.workflows.invent.turned_starts import TurnedStarts  # noqa: E402
from lib_lora.workflows.judge.painting.painters import painter_of  # noqa: E402
from lib_lora.workflows.train.prepare import plan as plan_of_base  # noqa: E402
from lib_lora.workspace.workspace import Workspace  # noqa: E402

STRENGTHS = (0.2, 0.3, 0.5)
OTHER = 777  # seed of other noise
NOISES = ("of the picture before", "other", "of the turned picture")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--faces", type=int, default=2)
    results_file.add_option(parser)
    options = parser.parse_args()
    text = table([row for number in range(options.faces) for row in of_face(options.work, number)])
    print(text)
    results_file.save("turned_heads", results_file.rows(text), options.results)
    return 0


Row = tuple[
    str, str, float, float, float, float, float
]  # noise, face and side, strength; yaw and likeness: turned, then


def of_face(work: Path, number: int) -> list[Row]:
    """Every noise and strength, of both sides of one face where its head can be turned there."""
    name, engine = f"nova-{number}", SFaceEngine()
    invented = InventedFolder(Workspace(work).character(name))
    if invented.plan is None:
        invent.candidates(work, name, invent.CandidatesRequest(DESCRIBE, BASE, seed=1 + 1000 * number, trials=0))
    plan, found = invented.plan, [one for one in invented.painted() if one.is_candidate]
    if plan is None:
        raise SystemExit("no plan was written")
    root = least_like_the_others(invented, found, engine)
    info, train = plan_of_base(TrainingRequest(BASE))
    painter = painter_of(None, info, train)()
    picked = engine.faces(open_photo(invented.path / root.file))[0]
    rows: list[Row] = []
    for side in ("left", "right"):
        start = TurnedStarts(engine, invented.path, plan.side).made(root.file, side, 0)
        if start is None:
            continue
        turned = engine.faces(open_photo(start))[0]
        wish = {"framing": "close", "angle": side}
        for strength in STRENGTHS:
            job = further_job(plan, number, wish, Strategy("turn", strength), root, invented.path, DESCRIBE)
            own = replace(job.cell, prompt=prompt_of(wish, DESCRIBE), start=start, inverted=False)
            cells = [own, replace(own, seed=OTHER, variation=0.0), replace(own, inverted=True)]
            rows += _painted(painter.paint, cells, engine, picked, turned, f"{name}, {side}")
    return rows


def _painted(paint, cells: Sequence[Cell], engine: SFaceEngine, picked: Face, turned: Face, what: str) -> list[Row]:  # type: ignore[no-untyped-def]
    rows: list[Row] = []
    sign = 1 if turned.yaw > 0 else -1  # what was turned back to the other side counts as less than nothing
    for noise, cell, picture in zip(NOISES, cells, paint(cells), strict=True):
        for face in engine.faces(picture)[:1]:
            seen = [(sign * one.yaw, float(one.embedding @ picked.embedding)) for one in (turned, face)]
            rows.append((noise, what, cell.strength, *seen[0], *seen[1]))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The means over faces and sides."""
    lines = [
        "| noise | strength | heads | yaw, turned | yaw, painted over | likeness to the picked, turned "
        "| likeness to the picked, painted over |",
        "|---|---|---|---|---|---|---|",
    ]
    for noise in NOISES:
        for strength in STRENGTHS:
            some = [row[3:] for row in rows if (row[0], row[2]) == (noise, strength)]
            if some:
                turned, alike, yaw, then = (statistics.fmean(column) for column in zip(*some, strict=True))
                lines.append(
                    f"| {noise} | {strength:g} | {len(some)} | {turned:.2f} | {yaw:.2f} | {alike:.2f} | {then:.2f} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
