"""Whether a picture is recognised as painted from its pixels alone: by where the base model's VAE changes it.

    python bench/verdict/vae_traces.py
    python bench/verdict/vae_traces.py --choosing   the pictures and photos that the limit was chosen with

Pictures that the small base model paints, and photos of ten people who do not exist at the same size, each saved in the
ways that pictures are passed on, and measured by `lib_lora.likeness.measure.vae_traces`. Its limit was chosen with
other pictures and other photos of the same people. Intervals have painted pictures and people as the units.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training import quality_pictures as pictures  # noqa: E402
from bench.verdict.error_rates import between, share  # noqa: E402
from lib_lora.likeness.measure.vae_ceiling import Reconstruct  # noqa: E402
from lib_lora.likeness.measure.vae_traces import PAINTED_AT_MOST, trace_ratio  # noqa: E402

DATA = ROOT / "tests" / "data"
CLASS_WORDS, OTHER_SEEDS = ("woman", "man"), 500_000  # the second has other seeds, else the pictures are alike
CHOOSING = {"painted": slice(0, 12), "photos": slice(0, 4), "words": slice(0, 1)}  # the limit was chosen with these
MEASURED = {
    "painted": slice(12, 36),
    "photos": slice(4, 12),
    "words": slice(0, 2),
}  # pictures of each class word, photos
STEPS = 8  # of sampling
MOVED = 3  # pixels

Ratios = Mapping[str, Sequence[float]]  # of pictures, by the way in which they were saved


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """A picture after JPEG."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resampled(picture: Image.Image, times: float) -> Image.Image:
    """Made larger or smaller, and back again."""
    side = round(picture.width * times)
    return picture.resize((side, side), Image.Resampling.LANCZOS).resize(picture.size, Image.Resampling.LANCZOS)


def blurred(picture: Image.Image, pixels: float) -> Image.Image:
    """Out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(pixels))


def cut(picture: Image.Image) -> Image.Image:
    """Without its left and upper edges, at the same size, so that no cell of the latents is where it was."""
    return picture.crop((MOVED, MOVED, *picture.size)).resize(picture.size, Image.Resampling.LANCZOS)


PLAIN = "PNG"
SAVED: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    PLAIN: lambda picture: picture,
    **{f"JPEG of quality {quality}": partial(as_jpeg, quality=quality) for quality in (95, 75, 50, 30)},
    "enlarged by half and made smaller again": partial(resampled, times=1.5),
    "made half as large and enlarged again": partial(resampled, times=0.5),
    f"cut by {MOVED} pixels": cut,
    **{f"blurred by {pixels} pixels": partial(blurred, pixels=pixels) for pixels in (0.8, 1.2, 2)},
    "sharpened": lambda picture: picture.filter(ImageFilter.UnsharpMask(2, 150, 0)),
}


def ratios_of(shown: Sequence[Image.Image], back: Reconstruct) -> Ratios:
    """`trace_ratio` of pictures that were saved in each way."""
    found = {way: [trace_ratio(save(one), back) for one in shown] for way, save in SAVED.items()}
    return {way: [math.inf if one is None else one for one in ratios] for way, ratios in found.items()}


def people(which: Mapping[str, slice]) -> dict[str, list[Path]]:
    """Photos of each person."""
    folders = [*(DATA / "personas").iterdir(), *(DATA / "unseen").iterdir()]
    return {one.name: sorted(one.glob("*.jpg"))[which["photos"]] for one in sorted(folders) if one.is_dir()}


def asked(which: Mapping[str, slice]) -> list[pictures.Question]:
    """What the base model paints."""
    return [
        replace(one, seed=one.seed + OTHER_SEEDS * place)
        for place, word in list(enumerate(CLASS_WORDS))[which["words"]]
        for one in pictures.questions(word, word)[which["painted"]]
    ]


def rows_of(painted: Ratios, photos: Mapping[str, Ratios]) -> list[dict[str, Any]]:
    """For each way to save pictures, how many painted ones and how many photos are called painted."""
    rows = []
    for way in SAVED:
        found = [float(one <= PAINTED_AT_MOST) for one in painted[way]]
        wrong = [(who, float(one <= PAINTED_AT_MOST)) for who, ratios in photos.items() for one in ratios[way]]
        rows.append({
            "saved": way,
            "painted": share(found, [str(place) for place in range(len(found))]),
            "photos": share([value for _, value in wrong], [who for who, _ in wrong]),
            "median": statistics.median(painted[way]),
            "largest": max(painted[way]),
            "smallest": min(one for ratios in photos.values() for one in ratios[way]),
        })  # fmt: skip
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As it stands in docs/likeness.md."""
    lines = [
        "| saved as | painted pictures called painted | photos called painted | ratio of painted: median, largest | "
        "of photos: smallest |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{rate['value']:.0%}{between(rate)} of {rate['draws']}" for rate in (row["painted"], row["photos"])]
        cells += [f"{row['median']:.2f}, {row['largest']:.2f}", f"{row['smallest']:.2f}"]
        lines.append(f"| {row['saved']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choosing", action="store_true")
    results_file.add_option(parser)
    options = parser.parse_args()
    which = CHOOSING if options.choosing else MEASURED
    from lib_lora.models.vae import reconstruct

    vae = pictures.painter().vae

    def back(image: Image.Image) -> Image.Image:
        return reconstruct(vae, image)

    painted = ratios_of(pictures.paint(asked(which), STEPS), back)
    photos = {
        who: ratios_of([pictures.photo_of_side(file) for file in files], back) for who, files in people(which).items()
    }
    rows = rows_of(painted, photos)
    print(table(rows))
    results_file.save("vae_traces", {"rows": rows, "painted": painted, "photos": photos}, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
