"""What a training step takes on a processor while other programs compute, and what the way threads wait changes.

    python bench/speed/busy.py --work DIR [--loads 0 1 2 4] [--steps 12] [--rounds 2] [--longest 300]
        [--set resolution=256 ...]

For each load two trainings of the bundled small base run in turn, as the command line starts them: one whose threads
soon sleep while they wait (`GOMP_SPINCOUNT`, which ``python -m lib_lora`` sets before torch is loaded), and one
as the OpenMP library decides by itself (torch is loaded before the variable is set). A load is so many processes that
do nothing but count. The time is that between the "step" events; the first steps do not count, since libraries choose
their ways and photos are encoded in them.

Prints a Markdown table: medians over all counted steps of all rounds, and their ratio. Needs a processor that does
nothing else; "others" is the share of it that further programs took in the quiet rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from bench import results_file  # noqa: E402
from bench.machine import MachineWatch, describe  # noqa: E402

DATA = ROOT / "tests" / "data"
STRATEGIES = {  # how each training is started
    "sleep": "import sys; from lib_lora.__main__ import main; sys.exit(main(sys.argv[1:]))",
    "library": "import sys, torch; from lib_lora.__main__ import main; sys.exit(main(sys.argv[1:]))",
}
WARM_UP = 3  # steps


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 1, 2, 4], metavar="N", help="busy processes")
    parser.add_argument("--steps", type=int, default=12, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="trainings of each kind at each load")
    parser.add_argument("--longest", type=float, default=300.0, help="seconds for each training")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training")
    results_file.add_option(parser)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    print(json.dumps(describe()), flush=True)
    print("| busy processes | threads sleep, s/step | library's own way, s/step | ratio | others |")
    print("|---|---|---|---|---|", flush=True)
    figures = []
    for load in options.loads:
        seconds: dict[str, list[float]] = {way: [] for way in STRATEGIES}
        others: list[float] = []
        for _ in range(options.rounds):
            for way in STRATEGIES:
                with tempfile.TemporaryDirectory(dir=options.work) as folder:
                    took, share = steps_of(way, Path(folder), load, options)
                seconds[way] += took
                others.append(share)
        quiet = f"{statistics.median(others):.0f} %" if load == 0 else "-"
        cells = [str(load), *map(_spread, seconds.values()), _ratio(*seconds.values()), quiet]
        print(f"| {' | '.join(cells)} |", flush=True)
        figures.append({"busy processes": load, "seconds a step": seconds, "others, percent": others})
    results_file.save("busy", figures, options.results)
    return 0


def _ratio(sleep: list[float], library: list[float]) -> str:
    return f"{statistics.median(library) / statistics.median(sleep):.2f}" if sleep and library else "-"


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return f"fewer than {WARM_UP + 2} steps"
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def steps_of(way: str, folder: Path, load: int, options: argparse.Namespace) -> tuple[list[float], float]:
    """Seconds of each counted step of one training beside `load` busy processes; and the others' share in percent."""
    words = ["run", str(DATA / "personas" / "mara"), "--base", str(DATA / "mini-face" / "mini-face.safetensors")]
    words += ["--name", "mara", "--trigger", "mrxa", "--class", "woman", "--consent", "fictional"]
    words += ["--data", str(folder), "--out", str(folder / "out"), "--steps", str(options.steps), "--grid-steps", "0"]
    for setting in [*options.set, "samples=0", f"save_every={options.steps}"]:
        words += ["--set", setting]
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    with open(folder / "log.txt", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", STRATEGIES[way], *words], cwd=ROOT, env=variables, stdout=log, stderr=log
        )
        try:
            _wait(child, folder, 1, options.longest)
            with busy(load):
                watch = MachineWatch(psutil.Process(child.pid))
                times = _wait(child, folder, options.steps, options.longest)
                share = watch.read()["others_percent"]
        finally:
            child.kill()
            child.wait()
    counted = list(itertools.pairwise(times))[WARM_UP:]
    if not counted and child.returncode != -signal.SIGKILL:
        raise SystemExit(f"The training failed:\n{(folder / 'log.txt').read_text(errors='replace')}")
    return [later - earlier for earlier, later in counted], share


def _wait(child: subprocess.Popen[bytes], folder: Path, steps: int, longest: float) -> list[float]:
    """The times of the steps, once there are so many or the training has ended."""
    from lib_lora.runs.events import read_events

    until = time.monotonic() + longest
    while True:
        ended = child.poll() is not None
        found = [
            float(event["t"])
            for path in folder.glob("characters/*/runs/*/events.jsonl")
            for event in read_events(path)
            if event["kind"] == "step"
        ]
        if len(found) >= steps or ended or time.monotonic() > until:
            return found
        time.sleep(0.2)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


if __name__ == "__main__":
    sys.exit(main())
