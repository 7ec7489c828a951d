"""What becomes of a person's own photos when they are changed: which are recognised as copies, and how much likeness a
style costs. Six people with 24 pictures each.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from bench.spoilt_pictures import compressed
from bench.verdict.error_rates import between, share
from bench.verdict.hidden_faces import PHOTOS, people
from lib_lora.character.photo_files import open_photo
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure.face_measure import Measurer
from lib_lora.likeness.verdict.traits import copy_limits, is_copy

QUALITY, CUT, SHRUNK = 60, 0.05, 0.5

Change = Callable[[Image.Image], Image.Image]


def _cropped(image: Image.Image) -> Image.Image:
    left, top = (round(CUT * side) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def _shrunk(image: Image.Image) -> Image.Image:
    return image.resize((round(image.width * SHRUNK), round(image.height * SHRUNK)), Image.Resampling.LANCZOS)


def _brushed(image: Image.Image) -> Image.Image:
    return Image.fromarray(cv2.stylization(np.asarray(image)))


COPIES: Mapping[str, Change] = {
    f"compressed again (JPEG of quality {QUALITY})": lambda image: compressed(image, QUALITY),
    f"reduced to {SHRUNK:.0%}": _shrunk,
    f"cropped by {CUT:.0%} on each side": _cropped,
    "mirrored": ImageOps.mirror,
}
STYLES: Mapping[str, Change] = {
    "as it is": lambda image: image,
    "black and white": lambda image: image.convert("L").convert("RGB"),
    "brush strokes": _brushed,
}


def copies() -> list[dict[str, Any]]:
    """A row for each way to copy a photo of the template, and one for the pictures that are no copies."""
    engine = SFaceEngine()
    found: dict[str, list[float]] = {name: [] for name in (*COPIES, "other pictures")}
    groups: dict[str, list[str]] = {name: [] for name in found}
    for person, files in people().items():
        template = templates.build(engine, files[:PHOTOS])
        limits, measure = copy_limits(template), Measurer(engine, template)
        asked = [(name, change(open_photo(file))) for file in files[:PHOTOS] for name, change in COPIES.items()]
        asked += [("other pictures", open_photo(file)) for file in files[PHOTOS:]]
        for name, image in asked:
            found[name].append(float(is_copy(measure.one(image, name).score, limits)))
            groups[name].append(person)
    return [
        {"pictures": name, "copies": round(sum(found[name])), "of": len(found[name])}
        | {"share": share(found[name], groups[name])}
        for name in found
    ]


def styles() -> list[dict[str, Any]]:
    """A row for each style: the mean likeness of each person's other pictures to the template of the photos."""
    engine = SFaceEngine()
    means: dict[str, list[float]] = {name: [] for name in STYLES}
    unseen: dict[str, int] = dict.fromkeys(STYLES, 0)
    count = 0
    for files in people().values():
        template = templates.build(engine, files[:PHOTOS])
        count += len(files[PHOTOS:])
        for name, change in STYLES.items():
            faces = [engine.faces(change(open_photo(file))) for file in files[PHOTOS:]]
            unseen[name] += sum(not one for one in faces)
            means[name].append(statistics.fmean(float(one[0].embedding @ template.array) for one in faces if one))
    return [
        {"style": name, "lowest": min(values), "mean": statistics.fmean(values), "highest": max(values)}
        | {"without a face": unseen[name], "of": count}
        for name, values in means.items()
    ]


def show_copies(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print("| pictures | called copies (95 % over people) |")
    print("|---|---|")
    for row in rows:
        print(f"| {row['pictures']} | {row['copies']} of {row['of']}{between(row['share'])} |")


def show_styles(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print("| the photos | mean likeness | of the six people | without a face |")
    print("|---|---|---|---|")
    for row in rows:
        between = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        print(f"| {row['style']} | {row['mean']:.2f} | {between} | {row['without a face']} of {row['of']} |")
