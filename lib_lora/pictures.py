"""Defines what a painted picture is asked to be, and writes PNG files that say how they were generated.

Knows the texts in the file; does not know who paints, or what becomes of the picture. Imports nothing heavy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.files import atomic_file, opened
from lib_lora.provenance.source_type import GENERATED, PNG_KEY, address, packet

if TYPE_CHECKING:
    from PIL import Image

NEGATIVE = "blurry, deformed, extra limbs, lowres"  # the negative prompt of all test pictures
LIGHTEST, HEAVIEST = -10, 10  # weights that a LoRA may have in a prompt
SMALL_FACE = 1 / 3  # of the side for which a model was made: larger faces are painted well the first time
_MODEL = ", Model: "
_COMPRESSION = 4  # of zlib's nine levels; Pillow's usual one (6) takes 2.6 times as long for files 3.5 % smaller


@dataclass(frozen=True)
class Cell:
    """One picture to paint.

    Attributes:
        prompt, negative: texts, without ``<lora:...>``.
        seed: of the initial noise, 0..2^32-1.
        lora: the LoRA file, or None for the base model alone.
        weight: of the LoRA; 1 = as trained.
        width, height: pixels, multiples of 8.
        steps: sampling steps.
        cfg: guidance scale; 1 = none.
        sampler: a name that A1111 uses too.
        name, framing, angle, attributes: of the prompt (`prompts.Prompt`).
        start: a picture to begin from (A1111's img2img); stretched to `width` x `height`; None = from noise alone.
        strength: share of the sampling that is done over `start`, 0 (only the VAE's changes) .. 1, as A1111's denoising
            strength; means nothing without `start`.
        inverted: paint over `start` with the noise that the model would paint it from, instead of the seed's; only the
            sampler Euler can, and only diffusers paints so. Means nothing without `start`.
        variation: how far the initial noise is turned towards that of `variation_seed`, 0 (not at all) .. 1, as A1111's
            "variation strength".
        variation_seed: 0..2^32-1.
        more: further LoRA files with their weights, which are used beside `lora`.
        detail: share of the sampling that the painter's own means (a webui's ADetailer) does again over small faces;
            0 = it does not.
        detail_side: pixels of the square in which it does so; the smaller faces are those of less than `SMALL_FACE` of
            it. Means nothing without `detail`.
    """

    prompt: str
    negative: str
    seed: int
    lora: Path | None = None
    weight: float = 1.0
    width: int = 512
    height: int = 512
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "Euler"
    name: str = ""
    framing: str = ""
    angle: str = ""
    attributes: tuple[str, ...] = ()
    start: Path | None = None
    strength: float = 1.0
    inverted: bool = False
    variation: float = 0.0
    variation_seed: int = 0
    more: tuple[tuple[Path, float], ...] = ()
    detail: float = 0.0
    detail_side: int = 512


def parameters(cell: Cell, base: str = "") -> str:
    """How a cell was painted, in A1111's words (its "PNG info"); `base` is the base model's name, empty = not said."""
    loras = ((cell.lora, cell.weight), *cell.more) if cell.lora else cell.more
    lora = "".join(f" <lora:{path.stem}:{weight:g}>" for path, weight in loras)
    over = f", Denoising strength: {cell.strength:g}" if cell.start else ""
    if cell.start and cell.inverted:
        over += ", Inverted noise: True"
    if cell.variation:
        over = f", Variation seed: {cell.variation_seed}, Variation seed strength: {cell.variation:g}{over}"
    return (
        f"{cell.prompt}{lora}\nNegative prompt: {cell.negative}\nSteps: {cell.steps}, Sampler: {cell.sampler}, "
        f"CFG scale: {cell.cfg:g}, Seed: {cell.seed}, Size: {cell.width}x{cell.height}{over}"
        f"{_MODEL + _quoted(base) if base else ''}"
    )


def is_painted_as(path: Path, cell: Cell) -> bool:
    """Whether a picture says that it was painted as the cell asks, with whichever base model."""
    text = parameters_of(path) or ""
    return text == parameters(cell) or text.startswith(parameters(cell) + _MODEL)


def _quoted(value: str) -> str:
    """A value as A1111 writes it where its own marks occur in it."""
    return json.dumps(value, ensure_ascii=False) if set(value) & set(',:"\n') else value


def save_picture(path: Path, picture: Image.Image, cell: Cell, infotext: str = "") -> None:
    """Write a PNG with the cell's `parameters` and IPTC's digital source type, as text and as an XMP packet.

    Args:
        path: of the file.
        picture: what was painted.
        cell: what was asked for.
        infotext: what the painter itself says of how it was painted, in place of `parameters`.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo  # the limits above are read where no picture is

    about = PngInfo()
    about.add_itxt("parameters", infotext or parameters(cell))
    about.add_itxt("DigitalSourceType", address(GENERATED))
    about.add_itxt(PNG_KEY, packet())
    with atomic_file(path) as stream:
        picture.save(stream, "PNG", pnginfo=about, compress_level=_COMPRESSION)


def parameters_of(path: Path) -> str | None:
    """The `parameters` that a PNG says it was painted with; None where it does not say, or cannot be read."""
    from PIL import Image

    try:
        with opened(path) as stream, Image.open(stream) as image:
            text = getattr(image, "text", {}).get("parameters")
    except (OSError, ValueError, SyntaxError):  # the last is Pillow's word for a broken PNG
        return None
    return None if text is None else str(text)
