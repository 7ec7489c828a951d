"""Measure how often a sheet of four pictures is recognised, and how often a single picture is taken for one.

    python bench/photos/sheets.py --sheets 1500

Sheets and single pictures are made of tests/data/personas. Prints two tables.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from lib_lora.photos.importing.sheets import boxes  # noqa: E402

CODECS = [("PNG", 0), ("JPEG", 75), ("JPEG", 85), ("JPEG", 95), ("WEBP", 75), ("WEBP", 90)]
SIDE = 640


def people() -> list[list[Image.Image]]:
    """The pictures of each person."""
    folders = sorted(path for path in (ROOT / "tests" / "data" / "personas").iterdir() if path.is_dir())
    return [[Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))] for folder in folders]


def saved(image: Image.Image, codec: str, quality: int) -> Image.Image:
    """`image` as it comes back from a file."""
    stream = io.BytesIO()
    image.save(stream, codec, quality=quality)
    return Image.open(stream).convert("RGB")


def shaped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of `image`, of `size` pixels."""
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def sheet(pictures: list[Image.Image], gutter: int, colour: str, scale: float) -> Image.Image:
    """Four pictures of one size, two beside two."""
    width, height = pictures[0].size
    made = Image.new("RGB", (2 * width + gutter, 2 * height + gutter), colour)
    for number, picture in enumerate(pictures):
        made.paste(picture, ((number % 2) * (width + gutter), (number // 2) * (height + gutter)))
    return made.resize((round(made.width * scale), round(made.height * scale)), Image.Resampling.BICUBIC)


def exact(found: tuple[tuple[int, int, int, int], ...], size: tuple[int, int], gutter: float) -> bool:
    """Whether the cuts lie where they should: no gutter left in a piece, at most 8 pixels lost beyond it."""
    (_, _, left, top), (right, *_), (_, bottom, *_), _ = found
    cuts = ((left, right, size[0]), (top, bottom, size[1]))
    return all(
        -1.5 <= (side - gutter) / 2 - first <= 8 and -1.5 <= second - (side + gutter) / 2 <= 8
        for first, second, side in cuts
    )


def measure_sheets(everyone: list[list[Image.Image]], number: int, draw: random.Random) -> dict[str, Any]:
    """Print how many of each kind are recognised; and give it."""
    counts: dict[str, list[int]] = {}
    seconds = 0.0
    for one in range(number):
        mixed = one % 2 == 1
        pool = [picture for person in everyone for picture in person] if mixed else draw.choice(everyone)
        size = draw.choice([(SIDE, SIDE), (SIDE, SIDE), (SIDE, 400), (400, SIDE), (512, 512)])
        pictures = [shaped(picture, size) for picture in draw.sample(pool, 4)]
        gutter, colour = draw.choice([0, 0, 0, 4, 8, 16]), draw.choice(["white", "black"])
        scale, codec = draw.choice([0.5, 0.6, 0.8, 1.0, 1.0, 1.25, 1.6]), draw.choice(CODECS)
        image = saved(sheet(pictures, gutter, colour, scale), *codec)
        start = time.perf_counter()
        found = boxes(image)
        seconds += time.perf_counter() - start
        groups = ("all", "mixed people" if mixed else "one person", f"gutter {gutter}", f"{codec[0]} {codec[1]}")
        for group in (*groups, f"scale {scale}"):
            count = counts.setdefault(group, [0, 0, 0])
            count[0] += 1
            count[1] += found is not None
            count[2] += found is not None and exact(found, image.size, gutter * scale)
    print(f"{'sheets':22} number  found  cut well")
    for group, (total, hits, well) in sorted(counts.items()):
        print(f"{group:22} {total:6} {hits / total:6.1%} {well / max(hits, 1):8.1%}")
    print(f"{1000 * seconds / number:.1f} ms each")
    of_kinds = {group: {"number": one[0], "found": one[1], "cut well": one[2]} for group, one in sorted(counts.items())}
    return {"sheets": of_kinds, "seconds each": seconds / number}


def singles(everyone: list[list[Image.Image]], draw: random.Random) -> Iterator[tuple[str, Image.Image]]:
    """Pictures that are no sheets of two by two, and their kinds."""
    all_of_them = [picture for person in everyone for picture in person]
    for image in all_of_them:
        yield "portrait", image
        for _ in range(4):
            left, top, side = draw.randrange(120), draw.randrange(120), draw.choice([512, 900, 1300])
            yield "crop, resized", image.crop((left, top, left + 512, top + 512)).resize((side, side))
        for name, colour, wide in (("white", "white", 8), ("dark", "#141414", 4), ("brown", "#7a5230", 12)):
            framed, low, high = image.copy(), SIDE // 2 - wide // 2, SIDE // 2 + wide // 2 - 1
            ImageDraw.Draw(framed).rectangle((low, 0, high, SIDE), fill=colour)
            ImageDraw.Draw(framed).rectangle((0, low, SIDE, high), fill=colour)
            yield f"{name} window frame", saved(framed, "JPEG", 85)
        levels = np.asarray(image).astype(np.int16)
        levels[:, SIDE // 2 :] += 60
        yield "half in the sun", Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        halves = Image.new("RGB", (SIDE, SIDE), "#d0c0b0")
        halves.paste("#304050", (SIDE // 2, 0, SIDE, SIDE))
        halves.paste(image.resize((400, 400)), (120, 240))
        yield "half-and-half wall", halves
        second, third = draw.sample(all_of_them, 2)
        beside = Image.new("RGB", (2 * SIDE, SIDE))
        beside.paste(image, (0, 0))
        beside.paste(second, (SIDE, 0))
        yield "two beside each other", beside
        above = Image.new("RGB", (SIDE, 2 * SIDE))
        above.paste(image, (0, 0))
        above.paste(second, (0, SIDE))
        yield "two above each other", above
        three = Image.new("RGB", (2 * SIDE, 2 * SIDE))
        three.paste(image.resize((2 * SIDE, 2 * SIDE)).crop((0, 300, 2 * SIDE, 300 + SIDE)), (0, 0))
        three.paste(second, (0, SIDE))
        three.paste(third, (SIDE, SIDE))
        yield "one above two", three
        nine = Image.new("RGB", (1200, 1200))
        for number, picture in enumerate(draw.sample(all_of_them, 9)):
            nine.paste(picture.resize((400, 400)), (number % 3 * 400, number // 3 * 400))
        yield "three by three", nine


def measure_singles(everyone: list[list[Image.Image]], draw: random.Random) -> dict[str, Any]:
    """Print how many of each kind are taken for a sheet; and give it."""
    counts: dict[str, list[int]] = {}
    for kind, image in singles(everyone, draw):
        count = counts.setdefault(kind, [0, 0])
        count[0] += 1
        count[1] += boxes(image) is not None
    print(f"\n{'no sheets':22} number  taken for one")
    for kind, (total, wrong) in counts.items():
        print(f"{kind:22} {total:6} {wrong:6}")
    return {"no sheets": {kind: {"number": one[0], "taken for one": one[1]} for kind, one in counts.items()}}


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheets", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    results_file.add_option(parser)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    everyone = people()
    figures = {**measure_sheets(everyone, options.sheets, draw), **measure_singles(everyone, draw)}
    results_file.save("sheets", figures, options.results)


if __name__ == "__main__":
    main()
