"""Whether a picture is recognised as painted from its pixels alone: by how much the base model's VAE changes it again.

    python bench/verdict/vae_traces.py

Pictures that the small base model paints, and photos of ten people who do not exist at the same size, each saved in the
ways that pictures are passed on. A limit is drawn for each person from half of the painted pictures and half of the
person's photos, as they are (`lib_lora.likeness.measure.vae_traces`), and tells the other halves apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
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
from lib_lora.likeness.measure.vae_traces import limit_of, reconstruction_error  # noqa: E402

DATA = ROOT / "tests" / "data"
CLASS_WORDS, PAINTED, PHOTOS = ("woman", "man"), 16, 16  # painted for each class word; photos of each person
STEPS = 8  # of sampling
ENLARGED, BLUR, MOVED = 1.5, 0.8, 3  # times; the radius in pixels; pixels

Errors = Mapping[str, Sequence[float]]  # of pictures, by the way in which they were saved


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """A picture after JPEG."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resampled(picture: Image.Image) -> Image.Image:
    """Enlarged, and made smaller again."""
    side = round(picture.width * ENLARGED)
    return picture.resize((side, side), Image.Resampling.LANCZOS).resize(picture.size, Image.Resampling.LANCZOS)


def moved(picture: Image.Image) -> Image.Image:
    """Cut by some pixels, and as many added on the other side, so that no cell of the latents is where it was."""
    return picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, MOVED, 0, 1, MOVED))


PLAIN = "PNG"
SAVED: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    PLAIN: lambda picture: picture,
    **{f"JPEG of quality {quality}": partial(as_jpeg, quality=quality) for quality in (95, 75, 50)},
    "enlarged by half and made smaller again": resampled,
    f"cut by {MOVED} pixels": moved,
    f"blurred by {BLUR} pixels": lambda picture: picture.filter(ImageFilter.GaussianBlur(BLUR)),
}


def errors_of(shown: Sequence[Image.Image], back: Reconstruct) -> Errors:
    """How much a VAE changes pictures that were saved in each way."""
    return {way: [reconstruction_error(save(one), back) or 0.0 for one in shown] for way, save in SAVED.items()}


def people() -> dict[str, list[Path]]:
    """The first photos of each person."""
    folders = [*(DATA / "personas").iterdir(), *(DATA / "unseen").iterdir()]
    return {one.name: sorted(one.glob("*.jpg"))[:PHOTOS] for one in sorted(folders) if one.is_dir()}


def rows_of(painted: Errors, photos: Mapping[str, Errors]) -> list[dict[str, Any]]:
    """For each way to save pictures, how many painted ones and how many photos are called painted.

    Args:
        painted: of the base model's pictures; every second one draws the limits.
        photos: of each person's photos; every second one draws the person's limit.
    """
    rows = []
    limits = {who: limit_of(painted[PLAIN][::2], errors[PLAIN][::2]) for who, errors in photos.items()}
    for way in SAVED:
        found, wrong, of_painted, of_photos = [], [], [], []
        for who, limit in limits.items():
            found += [float(limit is not None and one <= limit) for one in painted[way][1::2]]
            of_painted += [who] * len(painted[way][1::2])
            wrong += [float(limit is not None and one <= limit) for one in photos[who][way][1::2]]
            of_photos += [who] * len(photos[who][way][1::2])
        rows.append({"saved": way, "painted": share(found, of_painted), "photos": share(wrong, of_photos)})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As it stands in docs/likeness.md."""
    lines = ["| saved as | painted pictures called painted | photos called painted |", "|---|---|---|"]
    for row in rows:
        cells = (f"{rate['value']:.1%}{between(rate)}" for rate in (row["painted"], row["photos"]))
        lines.append(f"| {row['saved']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results_file.add_option(parser)
    options = parser.parse_args()
    from lib_lora.models.vae import reconstruct

    vae = pictures.painter().vae

    def back(image: Image.Image) -> Image.Image:
        return reconstruct(vae, image)

    asked = [one for word in CLASS_WORDS for one in pictures.questions(word, word)[:PAINTED]]
    painted = errors_of(pictures.paint(asked, STEPS), back)
    photos = {who: errors_of([pictures.photo_of_side(file) for file in files], back) for who, files in people().items()}
    rows = rows_of(painted, photos)
    print(table(rows))
    results_file.save("vae_traces", {"rows": rows, "painted": painted, "photos": photos}, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
