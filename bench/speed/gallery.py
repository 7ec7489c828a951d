"""How quickly the gallery of a production opens and scrolls, in headless Chromium.

    python bench/speed/gallery.py --pictures 200 1000 5000  about two minutes

Each number of pictures of 512 x 512 pixels is put into a production and shown by the real page. Opening lasts from the
click on the step until the first ten small pictures are there. Scrolling goes through the whole gallery, 800 pixels a
frame; a frame is late that takes longer than 100 ms. Answering is what a look for new pictures costs, as the page takes
one every three seconds: five times one picture more, processor time of this process, which has the server in it. Needs
playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from browser_fixtures import find_chromium  # noqa: E402
from in_page import go, refresh, until  # noqa: E402
from planted_page import Planted, planted_page  # noqa: E402
from planting import MINI, PRODUCTION, plant_production, plant_run, tried  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.workflows.produce.production_store import ProductionFolder  # noqa: E402

_DIFFERENT = 200  # pictures; the others are copies of them
_FIRST = (
    "() => [...document.querySelectorAll('.sf-produced img')].slice(0, 10).filter((one) => one.naturalWidth).length"
)
_SCROLL = """async () => {
    const frames = [];
    const wait = () => new Promise((resolve) => requestAnimationFrame(resolve));
    let before = performance.now();
    while (window.scrollY + window.innerHeight < document.documentElement.scrollHeight - 1) {
        window.scrollBy(0, 800);
        await wait();
        frames.push(performance.now() - before);
        before = performance.now();
    }
    return frames;
}"""


def measure(root: Path, count: int, browser: Any) -> dict[str, Any]:
    """Seconds until the gallery is there, and milliseconds of each frame while it is scrolled."""
    with planted_page(root) as planted:
        folder = planted.character("Lena")
        plant_run(folder, saved=[100], base=str(MINI))
        draw = np.random.default_rng(1)
        made = plant_production(folder, plan=replace(PRODUCTION, count=count))
        for item in range(1, count + 1):
            one = tried(item, 1, likeness=float(draw.random()), code=f"{int(draw.integers(2**63)):016x}")
            if item <= _DIFFERENT:
                clouds = draw.integers(0, 255, (16, 16, 3), np.uint8)
                Image.fromarray(clouds).resize((512, 512)).save(made.pictures / one.file)
            else:
                shutil.copyfile(made.pictures / tried(item % _DIFFERENT + 1, 1).file, made.pictures / one.file)
            made.note(one)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.goto(planted.address)
        until(page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")
        refresh(page)
        began = time.perf_counter()
        go(page, "produce", "lena")
        until(page, f"() => ({_FIRST})() === 10")
        opened = time.perf_counter() - began
        frames = page.evaluate(_SCROLL)
        page.close()
        answers = answered(planted, browser, made, count)
    look = 1000 * statistics.median(answers["seconds"])
    late = sum(frame > 100 for frame in frames)
    print(
        f"{count:,} pictures: there after {opened:.2f} s; {len(frames)} frames, median "
        f"{statistics.median(frames):.0f} ms, longest {max(frames):.0f} ms, {late} late; "
        f"a look for new ones {look:.0f} ms of processor time, {max(answers['bytes']):,} bytes",
        flush=True,
    )
    return {"pictures": count, "opened": opened, "frames": frames, "late": late, "answers": answers}


def answered(planted: Planted, browser: Any, made: ProductionFolder, count: int) -> dict[str, list[float]]:
    """Seconds and bytes of answers, each after one picture more."""
    page = browser.new_page()
    page.goto(planted.address)  # which lets it in
    host = planted.address.split("/?")[0].rstrip("/")
    where, found = f"{host}/sameface/v1/characters/lena/productions/{made.id}", []
    mark = page.request.get(where).json()["mark"]
    for attempt in range(2, 7):
        one = tried(count, attempt, "lost", 0.2)
        (made.pictures / one.file).touch()
        made.note(one)
        began = time.process_time()
        answer = page.request.get(f"{where}?since={mark}")
        found.append((time.process_time() - began, len(answer.body())))
        mark = answer.json()["mark"]
    page.close()
    return {"seconds": [seconds for seconds, _ in found], "bytes": [size for _, size in found]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs="+", default=[200, 1000, 5000], help="how many")
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    found = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for count in options.pictures:
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(Path(folder), count, browser))
        browser.close()
    results_file.save("gallery", {"gallery": found}, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
