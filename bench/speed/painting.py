"""How long the pictures of a test grid take to paint: one after the other, and as many together as the painter likes.

    python bench/speed/painting.py                                                   20 pictures of the small base model
    python bench/speed/painting.py --base FILE --side 512 --pictures 4 --together 2  of another, two at a time

Both ways in turn, in one process, after a picture that is not counted; the model is loaded and no LoRA is merged. The
pictures differ by their seeds and words, as those of a grid do. To compare two versions of the program run it in both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from lib_lora.grid import diffusers_painter  # noqa: E402
from lib_lora.grid.diffusers_painter import DiffusersPainter  # noqa: E402
from lib_lora.models.families.identify import identify  # noqa: E402
from lib_lora.pictures import NEGATIVE, Cell  # noqa: E402
from lib_lora.training import distributed  # noqa: E402
from lib_lora.training.precision import dtype_of  # noqa: E402

MINI = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Paint as often as was asked for, and print the seconds."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=MINI, help="the checkpoint")
    parser.add_argument("--side", type=int, default=128, help="of the pictures, in pixels")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="of sampling")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--together", type=int, help="pictures at a time, in place of what the painter likes here")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    if options.together:
        diffusers_painter.at_a_time = lambda *_: options.together
    painter = DiffusersPainter(identify(options.base), distributed.device(), dtype_of(options.precision))
    cells = [
        Cell(f"photo of a person, {n}", NEGATIVE, n, width=options.side, height=options.side, steps=options.steps)
        for n in range(options.pictures)
    ]
    painter.paint(cells[:1])
    seconds: dict[str, list[float]] = {"one by one": [], "together": []}
    for _ in range(options.repeat):
        for name, lists in (("one by one", [[cell] for cell in cells]), ("together", [cells])):
            began = time.perf_counter()
            for some in lists:
                painter.paint(some)
            seconds[name].append(time.perf_counter() - began)
    for name, taken in seconds.items():
        print(f"{name}: median {statistics.median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})")
    results_file.save("painting", {"pictures": options.pictures, "seconds": seconds}, options.results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
