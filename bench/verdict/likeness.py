"""Measure the verdict: how often it is wrong, and how long it takes.

    python bench/verdict/likeness.py --simulate  error rates on grids made of stored embeddings (minutes; `error_rates`)
    python bench/verdict/likeness.py --own       the same for sets of other sizes without a stranger
    python bench/verdict/likeness.py --hidden    what is said of covered, tilted, compressed, posterised, painted faces
                                                 (--rows painted: only the rows that begin so)
    python bench/verdict/likeness.py --photos    which changed photos are called copies, and what styles cost
    python bench/verdict/likeness.py --time      the scorer: load, one picture, twenty pictures, memory (two threads)

Prints tables as they stand in docs/likeness.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.verdict import changed_photos, error_rates, hidden_faces  # noqa: E402


def timings() -> dict[str, Any]:
    """Ask the scorer as a webui would: its own process, one JSON line a picture."""
    import cv2
    from PIL import Image

    from lib_lora.character.store import Character, Consent, create
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    cv2.setNumThreads(2)
    began = time.perf_counter()
    SFaceEngine().faces(Image.new("RGB", (512, 512)))
    loaded = time.perf_counter() - began

    with tempfile.TemporaryDirectory() as home:
        root = Path(home) / "data"
        folder = create(root, Character("mara", "mrxa", "woman", Consent("fictional", "2026-11-25")))
        pictures = []
        for number, path in enumerate(sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))):
            if number < 16:
                shutil.copy(path, folder.photos)
            pictures.append(str(Path(home) / f"{number:02d}.png"))
            with Image.open(path) as photo:
                photo.convert("RGB").resize((512, 512)).save(pictures[-1])
        with _Scorer(root) as ask:
            ask({"image": pictures[0]})  # the template is made
        with _Scorer(root) as ask:
            ask({"image": pictures[0]})
            each = [ask({"image": picture}) for _ in range(3) for picture in pictures[:20]]
            twenty = [ask({"images": pictures[:20]}) for _ in range(3)]
            started, memory = ask.started(), ask.memory()
    print(f"OpenCV {cv2.__version__}, two threads, 512 x 512 PNG")
    print(f"models loaded and a first picture scored: {loaded:.2f} s; process start to first answer: {started:.2f} s")
    print(f"one picture: median {statistics.median(each) * 1000:.0f} ms, slowest {max(each) * 1000:.0f} of {len(each)}")
    print(f"twenty pictures and their report: median {statistics.median(twenty):.2f} s of {len(twenty)}")
    print(f"memory of the process: {memory:.0f} MB")
    seconds = {"loading": loaded, "start": started, "one picture": each, "twenty pictures": twenty}
    return {"OpenCV": cv2.__version__, "seconds": seconds, "memory, MB": memory}


class _Scorer:
    """A running ``sameface scorer`` for mara, with two threads; call it with a question for the seconds it took."""

    def __init__(self, root: Path) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "2")
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib_lora", "scorer", "mara", "--data", str(root)], cwd=ROOT, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **threads},
        )  # fmt: skip
        self._first = 0.0

    def __enter__(self) -> _Scorer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=60)

    def __call__(self, question: dict[str, Any]) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.perf_counter()
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer.get("likeness") is None and not answer.get("pictures"):
            raise SystemExit(f"the scorer said {answer}")
        now = time.perf_counter()
        self._first = self._first or now - self._began
        return now - began

    def started(self) -> float:
        """Seconds from the start of the process to its first answer."""
        return self._first

    def memory(self) -> float:
        """Of the process, in MB."""
        return float(psutil.Process(self._process.pid).memory_info().rss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--hidden", action="store_true")
    parser.add_argument("--rows", default="", metavar="WORD")
    parser.add_argument("--photos", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--draws", type=int, default=960)
    parser.add_argument("--seed", type=int, default=1)
    results_file.add_option(parser)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    if options.simulate:
        figures["simulate"] = error_rates.simulate(options.draws, options.seed)
    if options.own:
        figures["own"] = error_rates.own_pictures(options.draws, options.seed)
    if options.hidden:
        figures["hidden"] = hidden_faces.hidden_faces(options.seed, options.rows)
        hidden_faces.show(figures["hidden"])
    if options.photos:
        figures["copies"], figures["styles"] = changed_photos.copies(), changed_photos.styles()
        changed_photos.show_copies(figures["copies"])
        print()
        changed_photos.show_styles(figures["styles"])
    if options.time:
        figures["time"] = timings()
    if figures:
        results_file.save("likeness", figures, options.results)


if __name__ == "__main__":
    main()
