"""Pictures made harder, as photos and painted pictures are: mildly, or so far that no face can be judged in them.

Every function takes a generator of random numbers, so that the same seed gives the same picture. Knows no face engine.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageFilter

from lib_lora.faces.array_types import Array, Numbers, Pixels

Spoil = Callable[[Image.Image, Array, np.random.Generator], Image.Image]


def mild(image: Image.Image, random: np.random.Generator, chance: float = 0.45) -> Image.Image:
    """A photo of the same moment as an everyday camera might have taken it: each of these with a chance of 45 %.

    Cropped and moved (70 to 95 % of the picture), turned by up to 15 degrees, other light (gamma 0.6 to 1.7, light from
    one side, warm or cold), small (160 to 400 pixels), out of focus (0.5 to 1.6 pixels of 512), JPEG of quality 35 to
    85.
    """
    steps: list[Callable[[Image.Image, np.random.Generator], Image.Image]] = [
        _crop, _turn, _light, _shrink, _focus, _compress
    ]  # fmt: skip
    for step in steps:
        if random.random() < chance:
            image = step(image, random)
    return image


def _crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    side = int(min(image.size) * random.uniform(0.70, 0.95))
    left = random.uniform(0.2, 0.8) * (image.width - side)
    top = random.uniform(0.35, 0.8) * (image.height - side)
    return image.crop((int(left), int(top), int(left) + side, int(top) + side))


def _turn(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return turned(image, random.uniform(-15, 15))


def _light(image: Image.Image, random: np.random.Generator) -> Image.Image:
    values = np.asarray(image, np.float64) / 255
    values = values ** math.exp(random.uniform(math.log(0.6), math.log(1.7)))
    across = np.linspace(-1, 1, values.shape[1])[None, :, None]
    values = values * (1 + random.uniform(-0.4, 0.4) * across)
    warm = random.uniform(-0.12, 0.12)
    return _picture(values * (1 + warm, 1, 1 - warm) * 255)


def _shrink(image: Image.Image, random: np.random.Generator) -> Image.Image:
    side = int(random.uniform(160, 400))
    return image.resize((side, round(side * image.height / image.width)), Image.Resampling.LANCZOS)


def _focus(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.6) * image.width / 512))


def _compress(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return compressed(image, int(random.integers(35, 86)))


def turned(image: Image.Image, degrees: float) -> Image.Image:
    """Turned anticlockwise, on a larger picture so that nothing is cut off; the corners repeat the edge's colours."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    height, width = pixels.shape[:2]
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    size = (math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    whole = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Image.fromarray(np.asarray(whole, np.uint8))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """After JPEG of a quality 1..95."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def smoothed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Skin like plastic, as overtrained LoRAs paint it; a face that can still be judged."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    scale = pixels.shape[1] / 640
    size = max(3, round(31 * scale))
    return Image.fromarray(np.asarray(cv2.bilateralFilter(pixels, size, random.uniform(40, 70), 15 * scale), np.uint8))


# -- so far that nothing can be judged; `points` are the five of the face, 5 x 2 in pixels


def eyes_covered(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """A bar, sunglasses, a strip of skin, hair or cloth over both eyes."""
    return cover(image, points, random, OVER_EYES[int(random.integers(len(OVER_EYES)))])


def lower_covered(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """A mask, a scarf, a hand or a bar over nose tip and mouth."""
    return cover(image, points, random, OVER_MOUTH[int(random.integers(len(OVER_MOUTH)))])


# Outlines in units of the distance between the eyes: origin between the eyes, x to the picture's right, y down.
OVER_EYES: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (((-1.1, -0.32), (1.1, -0.32), (1.1, 0.32), (-1.1, 0.32)),),
    (((-0.95, -0.25), (-0.12, -0.22), (-0.15, 0.25), (-0.5, 0.36), (-0.88, 0.2)),
     ((0.95, -0.25), (0.12, -0.22), (0.15, 0.25), (0.5, 0.36), (0.88, 0.2)),
     ((-0.2, -0.2), (0.2, -0.2), (0.2, -0.1), (-0.2, -0.1))),
    (((-1.0, -0.3), (1.0, -0.3), (0.95, 0.25), (0.3, 0.34), (0.0, 0.02), (-0.3, 0.34), (-0.95, 0.25)),),
    (((-1.4, -1.4), (1.4, -1.4), (1.25, 0.3), (0.3, 0.28), (-0.4, 0.34), (-1.2, 0.22)),),
)  # fmt: skip
OVER_MOUTH: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (((-0.85, 0.55), (0.0, 0.35), (0.85, 0.55), (0.8, 1.5), (0.0, 1.95), (-0.8, 1.5)),),
    (((-1.2, 0.75), (1.2, 0.65), (1.4, 2.4), (-1.4, 2.4)),),
    (((-0.8, 0.72), (0.8, 0.72), (0.8, 1.5), (-0.8, 1.5)),),
    (((-0.75, 0.6), (0.35, 0.55), (1.3, 1.1), (1.2, 2.2), (-0.6, 1.8)),),
)


def cover(
    image: Image.Image, points: Array, random: np.random.Generator, shapes: tuple[tuple[tuple[float, float], ...], ...]
) -> Image.Image:
    """A picture with these outlines over a face, filled with one of five kinds of cloth."""
    pixels = np.asarray(image.convert("RGB"), np.float64)
    right, left = (np.asarray(points[index], np.float64) for index in (0, 1))
    across = left - right
    length = float(np.linalg.norm(across))
    down = np.array([-across[1], across[0]])
    middle = (left + right) / 2
    mask = np.zeros(pixels.shape[:2], np.uint8)
    for shape in shapes:
        jitter = random.normal(0, 0.04, (len(shape), 2))
        outline = middle + (np.array(shape) + jitter) @ np.stack([across, down])
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    soft = cv2.GaussianBlur(mask.astype(np.float64) / 255, (0, 0), max(0.6, length * random.uniform(0.005, 0.03)))
    return _picture(pixels + (_cloth(pixels, mask, length, random) - pixels) * soft[..., None])


def _cloth(pixels: Numbers, mask: Pixels, length: float, random: np.random.Generator) -> Numbers:
    """What covers: black, one colour, skin, stripes, or coarse noise; with light from one side and fine noise."""
    height, width = mask.shape
    kind = int(random.integers(5))
    colour = random.uniform(0, 255, 3)
    if kind == 0:
        colour = np.full(3, random.uniform(0, 40))
    if kind == 1:  # a hand or a fringe: the colours round the face's middle
        inside = pixels[mask > 0]
        colour = np.median(inside, axis=0) if len(inside) else colour
    cloth = np.broadcast_to(colour, pixels.shape).copy()
    y, x = np.mgrid[0:height, 0:width]
    turn = random.uniform(0, math.pi)
    along = (x * math.cos(turn) + y * math.sin(turn)) / max(1.0, length)
    if kind == 3:
        cloth += (40 * np.sin(along * 2 * math.pi * random.uniform(1, 6)))[..., None]
    if kind == 4:
        side = max(4, int(width / max(2.0, length) * random.uniform(2, 8)))
        coarse = random.normal(0, 35, (side, side, 3))
        cloth += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cloth += (random.uniform(-25, 25) * (along - along.mean()))[..., None]
    return np.asarray(cloth + random.normal(0, random.uniform(0.5, 5), pixels.shape), np.float64)


def heavily_compressed(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """JPEG of quality 2 to 8."""
    del points
    return compressed(image, int(random.integers(2, 9)))


def posterised(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """3 to 5 levels a channel."""
    del points
    levels = int(random.integers(3, 6))
    values = np.asarray(image.convert("RGB"), np.float64) / 255
    return _picture(np.floor(values * levels).clip(0, levels - 1) / (levels - 1) * 255)


def painted(image: Image.Image, points: Array, random: np.random.Generator) -> Image.Image:
    """One of `PAINTINGS`."""
    del points
    return list(PAINTINGS.values())[int(random.integers(len(PAINTINGS)))](image, random)


def brushed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Brush strokes."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    result = cv2.stylization(pixels, sigma_s=random.uniform(40, 90), sigma_r=random.uniform(0.4, 0.6))
    return Image.fromarray(np.asarray(result, np.uint8))


def washed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """An edge-preserving wash, as of watercolours."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    result = cv2.edgePreservingFilter(
        pixels, flags=1, sigma_s=random.uniform(50, 90), sigma_r=random.uniform(0.45, 0.7)
    )
    return Image.fromarray(np.asarray(result, np.uint8))


def daubed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Oil daubs."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    return Image.fromarray(_oil(pixels, max(2, round(pixels.shape[1] * random.uniform(0.008, 0.016)))))


def pencilled(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A pencil drawing, grey or coloured."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    grey, colour = cv2.pencilSketch(pixels, sigma_s=random.uniform(40, 80), sigma_r=0.07, shade_factor=0.05)
    result = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) if random.random() < 0.5 else colour
    return Image.fromarray(np.asarray(result, np.uint8))


PAINTINGS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "brush strokes": brushed,
    "a wash": washed,
    "oil daubs": daubed,
    "a pencil drawing": pencilled,
}


def _oil(pixels: Pixels, radius: int) -> Pixels:
    """Each pixel becomes the mean of the most frequent of eight levels of brightness round it."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.int64) * 8 // 256
    side = 2 * radius + 1
    best, result = np.zeros(grey.shape, np.float32), np.zeros(pixels.shape, np.float32)
    for level in range(8):
        there = (grey == level).astype(np.float32)
        many = cv2.boxFilter(there, -1, (side, side), normalize=False)
        total = cv2.boxFilter(pixels.astype(np.float32) * there[..., None], -1, (side, side), normalize=False)
        more = many > best
        best[more] = many[more]
        result[more] = total[more] / many[more][:, None]
    return np.asarray(result, np.uint8)


SPOILS: dict[str, Spoil] = {
    "eyes covered": eyes_covered,
    "lower half covered": lower_covered,
    "heavy compression": heavily_compressed,
    "posterised": posterised,
    "painted": painted,
}


def _picture(values: Numbers) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
