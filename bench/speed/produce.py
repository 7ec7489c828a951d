"""What a production costs beside its painting, whether its memory grows, and who passes.

    python -m lib_lora try --no-open          once: the small base model, a LoRA of Mara
    python bench/speed/produce.py --what time     about twenty minutes on two cores
    python bench/speed/produce.py --what judging  less than a minute
    python bench/speed/produce.py --what memory   about five minutes
    python bench/speed/produce.py --what passing  about three minutes

time      The same pictures are painted by the painter alone, and by a production that judges each, in alternation; the
          seeds are other ones each time. A production of one try each, so that both paint the same number. Ratio of the
          medians of the rounds, and the same of the process's own processor time: where other programs use the cores,
          that says more, with OMP_WAIT_POLICY=PASSIVE, so that waiting threads of torch do not count as work.
judging   What a picture costs besides being painted: it is written, judged and noted. Pictures that were painted before
          are handed over, one after the other; milliseconds a picture, without the first one, for which the networks
          are loaded.
memory    Resident memory of a process that judges and notes 5,000 pictures, which are copies of a few that were painted
          before, so that only the painting is left out: after 500 pictures, and at the end.
passing   Each of the six people of the tests: half of their 24 portraits are the photos, the other half and all
          portraits of the others are pictures to judge, as they are and through the small base model's VAE. How many of
          the person's own fail, and how many strangers' pass, with Wilson's 95 % intervals. Pictures of one person are
          not independent, so the intervals are somewhat too narrow.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from lib_lora.__main__ import let_waiting_threads_sleep  # noqa: E402

let_waiting_threads_sleep()  # as every command of SameFace does, before torch is loaded

from bench import results_file  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.character.store import Character, create  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.likeness.measure.intervals import wilson  # noqa: E402
from lib_lora.workflows.judge.painting.painters import painter_of  # noqa: E402
from lib_lora.workflows.judge.picture_lines import PHOTOS  # noqa: E402
from lib_lora.workflows.produce import production_request, production_store  # noqa: E402
from lib_lora.workflows.produce.picture_check import PictureCheck  # noqa: E402
from lib_lora.workflows.produce.produce import TOGETHER, Producer  # noqa: E402
from lib_lora.workflows.produce.produce_command import shares_processor  # noqa: E402
from lib_lora.workflows.produce.production import ProductionPlan, cell_of  # noqa: E402
from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings  # noqa: E402
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow  # noqa: E402
from lib_lora.workflows.produce.prompts.wildcards import Wildcards  # noqa: E402
from lib_lora.workflows.train.demo import home_of  # noqa: E402
from lib_lora.workspace.workspace import Workspace  # noqa: E402

NAME = "mara"
PERSONAS = ROOT / "tests" / "data" / "personas"
PROMPTS = ("close-up, smiling", "in a red coat", "portrait, black background", "looking to the left", "in a garden")
_NO_CARDS = Wildcards()


def planned(root: Path, count: int, seed: int) -> tuple[Any, ProductionPlan]:
    """The run of `try`, and a plan of as many pictures with one try each."""
    settings = ProduceSettings(count=count, tries=1, seed=seed)
    request = ProduceRequest([PromptRow(text) for text in PROMPTS], settings)
    return production_request.plan_of(root, NAME, request)


def measure_time(root: Path, count: int, rounds: int) -> dict[str, Any]:
    """Seconds of painting alone, and of a production, by round, and of their processor time."""
    run, plan = planned(root, count, 1)
    painter = painter_of(None, run.model(), run.file.settings)()
    check = PictureCheck(run.character_folder, NAME, SFaceEngine(), run.file.base.path)
    lora = run.checkpoint(plan.step)
    alone, whole = list[tuple[float, float]](), list[tuple[float, float]]()

    def paint(plan: ProductionPlan) -> None:
        cells = [cell_of(plan, item, 1, lora, _NO_CARDS) for item in range(1, plan.count + 1)]
        for place in range(0, len(cells), TOGETHER):
            painter.paint(cells[place : place + TOGETHER])

    def produced(plan: ProductionPlan) -> None:
        folder = production_store.make(run.character_folder, plan)
        Producer(
            folder,
            lora,
            lambda: painter,
            lambda: check,
            _NO_CARDS,
            lambda *_, **__: None,
            in_turn=lambda: shares_processor(None),
        ).run()
        shutil.rmtree(folder.path)

    for number in range(rounds + 1):  # the first one is not counted
        took: dict[Callable[[ProductionPlan], None], tuple[float, float]] = {}
        for work in (paint, produced) if number % 2 else (produced, paint):
            seed = 10_000 * number + (5000 if work is paint else 0)
            took[work] = _seconds(work, replace(plan, count=count if number else TOGETHER, seed=seed))
        if number:
            alone.append(took[paint])
            whole.append(took[produced])
            print(
                f"round {number}: {alone[-1][0]:.1f} s alone, {whole[-1][0]:.1f} s produced; processor time "
                f"{alone[-1][1]:.1f} s and {whole[-1][1]:.1f} s",
                flush=True,
            )
    ratio, processor = (
        statistics.median(one[place] for one in whole) / statistics.median(one[place] for one in alone)
        for place in (0, 1)
    )
    print(f"{count} pictures: {ratio:.3f} times the time of painting alone, {processor:.3f} times its processor time")
    found: dict[str, Any] = {"pictures": count, "ratio": ratio, "processor_ratio": processor}
    for name, rows in (("alone", alone), ("whole", whole)):
        found |= {name: [one[0] for one in rows], f"{name}_processor": [one[1] for one in rows]}
    return found


def _seconds(work: Callable[[ProductionPlan], None], plan: ProductionPlan) -> tuple[float, float]:
    """Seconds from beginning to end, and of processor time over all cores."""
    began, cpu = time.perf_counter(), time.process_time()
    work(plan)
    return time.perf_counter() - began, time.process_time() - cpu


class _Copies:
    """A painter that gives pictures that were painted before."""

    def __init__(self, pictures: Sequence[Image.Image]) -> None:
        self._pictures = pictures

    def paint(self, cells: Sequence[Any], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        for number in range(len(cells)):
            if each:
                each(number, self._pictures[number % len(self._pictures)].copy())
        return []

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        return image


def measure_judging(root: Path, count: int) -> dict[str, Any]:
    """Milliseconds a picture, from beginning to end and of processor time."""
    run, plan = planned(root, count, 1)
    lora = run.checkpoint(plan.step)
    cells = [cell_of(plan, item, 1, lora, _NO_CARDS) for item in range(1, 9)]
    copies = _Copies(painter_of(None, run.model(), run.file.settings)().paint(cells))
    check = PictureCheck(run.character_folder, NAME, SFaceEngine(), run.file.base.path)

    def produced(plan: ProductionPlan) -> None:
        folder = production_store.make(run.character_folder, plan)
        Producer(
            folder, lora, lambda: copies, lambda: check, _NO_CARDS, lambda *_, **__: None, in_turn=lambda: True
        ).run()
        shutil.rmtree(folder.path)

    first, all_ = (_seconds(produced, replace(plan, count=number)) for number in (1, count + 1))
    wall, processor = (1000 * (all_[place] - first[place]) / count for place in (0, 1))
    print(f"{count} pictures: {wall:.0f} ms each, {processor:.0f} ms of processor time")
    return {"pictures": count, "milliseconds": wall, "processor": processor}


def measure_memory(root: Path, count: int) -> dict[str, Any]:
    """Megabytes after a tenth of the pictures, and at the end."""
    run, plan = planned(root, count, 1)
    painter = painter_of(None, run.model(), run.file.settings)()
    lora = run.checkpoint(plan.step)
    few = painter.paint([cell_of(plan, item, 1, lora, _NO_CARDS) for item in range(1, 6)])
    del painter
    check = PictureCheck(run.character_folder, NAME, SFaceEngine(), run.file.base.path)
    folder, found, process = production_store.make(run.character_folder, plan), dict[int, float](), psutil.Process()

    def emit(_kind: str, **fields: Any) -> None:
        if fields["painted"] in (count // 10, count):
            found[fields["painted"]] = process.memory_info().rss / 1e6

    try:
        Producer(folder, lora, lambda: _Copies(few), lambda: check, _NO_CARDS, emit).run()
    finally:
        shutil.rmtree(folder.path)
    early, late = found[count // 10], found[count]
    print(f"memory: {early:.0f} MB after {count // 10:,} pictures, {late:.0f} MB after {count:,}")
    return {"pictures": count, "early": early, "late": late}


def measure_passing(root: Path) -> list[dict[str, Any]]:
    """How many of the person's own pictures fail, and how many of strangers pass."""
    run, _ = planned(root, 1, 1)
    painter = painter_of(None, run.model(), run.file.settings)()
    people = {path.name: sorted(path.glob("*.jpg")) for path in sorted(PERSONAS.iterdir()) if path.is_dir()}
    rows = []
    with tempfile.TemporaryDirectory(prefix="passing-") as folder:
        work = Path(folder)
        for through in (False, True):
            pictures = {
                name: _pictures(paths, work / name, painter if through else None) for name, paths in people.items()
            }
            own_failed = own = passed = strangers = 0
            for name, paths in people.items():
                character = create(work / f"data-{through}", Character(name=name, trigger="mrxa", class_word="person"))
                character.photos.mkdir(parents=True, exist_ok=True)
                for path in paths[::2]:
                    shutil.copy(path, character.photos)
                check = PictureCheck(character, name, SFaceEngine(), PHOTOS)
                for other, shown in pictures.items():
                    reasons = [check(path).reason for path in (shown[1::2] if other == name else shown)]
                    good = sum(reason in ("", "copy") for reason in reasons)  # what repeats a photo shows its face
                    if other == name:
                        own, own_failed = own + len(reasons), own_failed + len(reasons) - good
                    else:
                        strangers, passed = strangers + len(reasons), passed + good
            failed, let = wilson(own_failed, own), wilson(passed, strangers)
            row = {"through": through, "own": own, "own_failed": own_failed, "strangers": strangers, "passed": passed}
            rows.append(row)
            print(
                f"{'through the VAE' if through else 'as they are':15}  own that fail: {own_failed} of {own}, "
                f"{failed.value:.1%} ({failed.low:.1%} to {failed.high:.1%}); strangers that pass: {passed} of "
                f"{strangers}, {let.value:.1%} ({let.low:.1%} to {let.high:.1%})",
                flush=True,
            )
    return rows


def _pictures(paths: Sequence[Path], folder: Path, painter: Any) -> list[Path]:
    """Pictures to judge; through the painter's VAE where there is one."""
    if painter is None:
        return list(paths)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for path in paths:
        image = open_photo(path)
        side = 512
        image = image.resize((side, side), Image.Resampling.LANCZOS)
        found.append(folder / f"{path.stem}.png")
        painter.reconstruct(image).save(found[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--what", choices=("time", "judging", "memory", "passing"), required=True, help="what is measured"
    )
    parser.add_argument("--data", type=Path, help="the data folder of try (default: the user's)")
    parser.add_argument(
        "--pictures", type=int, help="how many (default: 200 for the time, 100 for judging, 5000 for the memory)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the time")
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    root = options.data or home_of(None)
    if not Workspace(root).character(NAME).file.is_file():
        parser.error(f"there is no {NAME} in {root}; run: python -m lib_lora try --no-open")
    found: Any
    if options.what == "time":
        found = measure_time(root, options.pictures or 200, options.rounds)
    elif options.what == "judging":
        found = measure_judging(root, options.pictures or 100)
    elif options.what == "memory":
        found = measure_memory(root, options.pictures or 5000)
    else:
        found = measure_passing(root)
    results_file.save("produce", {options.what: found}, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
