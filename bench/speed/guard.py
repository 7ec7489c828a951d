"""What the guard in txt2img costs for each picture: time, memory, and that it loads no torch.

    python bench/speed/guard.py  less than a minute on two cores

A character with ten photos and a test grid; the pictures are portraits of two people who do not exist, resized. The
time is that from the webui's call to its return, after one picture that is not counted; where other programs use the
processor, the smallest time and the processor's own say more than the median. The webui's own part, making the
infotext, is left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from guarded_character import guarded_character, portraits  # noqa: E402
from planting import MINI  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.guard.guard_judge import GuardJudge  # noqa: E402
from lib_lora.guard.guard_settings import GuardSettings  # noqa: E402

SIZES = ((512, 512), (768, 768), (1024, 1024))
_MEGABYTE = 1 << 20


def measured(root: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds by size of the picture, and megabytes of the process before and after the first picture."""
    guarded_character(root, MINI, SIZES)
    settings = GuardSettings(True, "mara")
    process, judge = psutil.Process(), GuardJudge(lambda: root)
    before = process.memory_info().rss
    found: dict[str, Any] = {}
    for size in SIZES:
        text = f"a\nSteps: 20, Sampler: Euler, Seed: 1, Size: {size[0]}x{size[1]}, Model: {MINI.stem}"
        pictures = []
        for path in [*portraits("mara"), *portraits("tomas")]:
            with Image.open(path) as image:
                pictures.append(image.convert("RGB").resize(size))
        judge(pictures[0], text, settings)
        took, worked, reasons = list[float](), list[float](), set()
        for number in range(rounds):
            begun, cpu = time.perf_counter(), time.process_time()
            checked = judge(pictures[number % len(pictures)], text, settings)
            took.append(1000 * (time.perf_counter() - begun))
            worked.append(1000 * (time.process_time() - cpu))
            reasons.add(checked.reason)
        assert "not judged" not in reasons
        name = f"{size[0]} x {size[1]}"
        found[name] = {"median": statistics.median(took), "least": min(took), "processor": statistics.median(worked)}
        print(f"{name}: {_three(**found[name])}, {rounds} pictures")
    found["megabytes"] = (process.memory_info().rss - before) / _MEGABYTE
    found["torch"] = "torch" in sys.modules
    print(f"memory: {found['megabytes']:.0f} MB more; torch loaded: {'yes' if found['torch'] else 'no'}")
    return found


def _three(median: float, least: float, processor: float) -> str:
    return f"median {median:.0f} ms, least {least:.0f} ms, processor time {processor:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="pictures of each size")
    results_file.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results_file.save("guard", measured(Path(folder), options.rounds), options.results)


if __name__ == "__main__":
    main()
