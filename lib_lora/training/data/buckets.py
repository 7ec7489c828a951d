"""Chooses the bucket (one of a few picture sizes that are trained) for each photo, and scales and crops it into it.

The rule is kohya's (`make_bucket_resolutions`, `BucketManager`), with a wide maximum of twice the side. It knows
sizes and pixels; it does not know what is on a photo: the caller may say where the crop should lie.
All sizes are (width, height) in pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wcwidth import wcswidth

from lib_lora.errors import Misfit, UserError

if TYPE_CHECKING:
    from PIL import Image

LATENT_PIXELS = 8  # one latent cell covers 8 x 8 pixels
UPSCALED_TOO_MUCH = 1.5  # beyond this a photo looks soft, and the LoRA learns the softness
CROPPED_TOO_MUCH = 0.25  # share of the photo's area
_MANY = 3  # photos of which the report would say the same


class Bucket(NamedTuple):
    """A size that is trained, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Placement:
    """How one photo goes into its bucket: scaled to `resized`, then a window of the bucket's size cut out.

    Attributes:
        photo: the photo's size, after EXIF rotation.
        bucket: what is trained.
        resized: the size after scaling; no side is smaller than the bucket's.
        left, top: where the window begins, in pixels of the resized photo.
    """

    photo: tuple[int, int]
    bucket: Bucket
    resized: tuple[int, int]
    left: int
    top: int

    @property
    def scale(self) -> float:
        """Resized pixels per photo pixel; above 1 the photo is enlarged."""
        return max(self.resized[0] / self.photo[0], self.resized[1] / self.photo[1])

    @property
    def upscaled(self) -> float:
        """By how much the photo is enlarged; 1.0 when it is not."""
        return max(1.0, self.scale)

    @property
    def cropped(self) -> tuple[float, float, float, float]:
        """What is cut away at the left, top, right and bottom, in pixels of the photo."""
        across, down = self.photo[0] / self.resized[0], self.photo[1] / self.resized[1]
        right = self.resized[0] - self.bucket.width - self.left
        bottom = self.resized[1] - self.bucket.height - self.top
        return self.left * across, self.top * down, right * across, bottom * down

    @property
    def cropped_share(self) -> float:
        """The share of the photo's area that is cut away, 0..1."""
        return 1 - self.bucket.width * self.bucket.height / (self.resized[0] * self.resized[1])

    @property
    def size_ids(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's six numbers: original height, width; crop top, left; target height, width.

        The crop is where it truly is, in pixels of the resized photo (kohya swaps the axes here).
        """
        return self.photo[1], self.photo[0], self.top, self.left, self.bucket.height, self.bucket.width

    def warnings(self) -> list[str]:
        """What a person should know about this photo before it is trained; empty when all is well."""
        found = []
        if self.upscaled > UPSCALED_TOO_MUCH:
            found.append(f"enlarged {self.upscaled:.2f}x, it will look soft: use a larger original")
        if self.cropped_share > CROPPED_TOO_MUCH:
            found.append(f"{self.cropped_share:.0%} is cut away: crop the photo yourself around the person")
        return found


def make_buckets(side: int, minimum: int | None = None, maximum: int | None = None, step: int = 64) -> list[Bucket]:
    """Kohya's table of buckets, sorted: every width in steps, with the largest height that keeps the area.

    Args:
        side: the square that sets the area, e.g. 512 (SD1.5) or 1024 (SDXL).
        minimum: the shortest side; by default 256, or half the side where that is less.
        maximum: the longest side; by default twice the side (with kohya's 1024, SDXL's oblong buckets lose area).
        step: sides are multiples of it; 64 for SD1 and SD2, 32 or 64 for SDXL; itself a multiple of 8.

    Raises:
        UserError: numbers that leave no bucket.
    """
    if step < LATENT_PIXELS or step % LATENT_PIXELS:
        raise UserError(
            f"The bucket step must be a multiple of {LATENT_PIXELS} pixels, not {step}.",
            code="bucket-step-invalid",
            step=step,
        )
    if side < step:
        raise UserError(
            f"The training size {side} is smaller than the bucket step {step}; raise the size or lower the step.",
            code="bucket-step-above-size",
            step=step,
            size=side,
        )
    square = side // step * step
    if minimum is None:
        minimum = min(256, max(side // 2, step))
    if maximum is None:
        maximum = 2 * side
    low = -(-minimum // step) * step
    high = maximum // step * step
    if minimum < 1 or not low <= square <= high:
        raise UserError(
            f"The bucket limits {minimum} to {maximum} must enclose the size {side} in steps of {step} pixels.",
            code="bucket-limits-invalid",
        )
    found = {Bucket(square, square)}
    for width in range(low, high + 1, step):
        height = min(high, side * side // width // step * step)
        if height >= low:
            found |= {Bucket(width, height), Bucket(height, width)}
    return sorted(found)


def choose(size: tuple[int, int], buckets: Sequence[Bucket]) -> Bucket:
    """The bucket of exactly this size, else the one whose width/height is nearest (the first of equals).

    Args:
        size: the photo's (width, height), after EXIF rotation.
        buckets: at least one, as `make_buckets` gives them.
    """
    _check_size(size)
    if size in buckets:
        return Bucket(*size)
    ratio = size[0] / size[1]
    return min(buckets, key=lambda bucket: abs(bucket.width / bucket.height - ratio))


def placement(photo_size: tuple[int, int], bucket: Bucket, at: tuple[float, float] = (0.5, 0.5)) -> Placement:
    """Scale the photo until it covers the bucket, then crop.

    Args:
        photo_size: (width, height), after EXIF rotation.
        bucket: where it goes.
        at: where the window lies in what is left over, across and down: 0 keeps the left or top edge,
            0.5 the centre, 1 the right or bottom edge.

    Raises:
        ValueError: a size below 1 pixel, or `at` outside 0..1.
    """
    _check_size(photo_size)
    width, height = photo_size
    if width * bucket.height > bucket.width * height:
        resized = (_rounded(width * bucket.height, height), bucket.height)
    else:
        resized = (bucket.width, _rounded(height * bucket.width, width))
    return _cropped(photo_size, bucket, resized, at)


def place_without_upscaling(
    photo_size: tuple[int, int], side: int, step: int = 64, at: tuple[float, float] = (0.5, 0.5)
) -> Placement:
    """Kohya's `bucket_no_upscale`: shrink only what is larger than side², then cut down to whole steps.

    Each photo gets its own bucket, so a batch is filled by repeats more often. There is no limit on a side.

    Raises:
        UserError: the photo is narrower than one step, before or after shrinking.
        ValueError: a size below 1 pixel, or `at` outside 0..1.
    """
    _check_size(photo_size)
    width, height = photo_size
    resized = photo_size
    if width * height > side * side:
        ratio = width / height
        ideal = side * math.sqrt(ratio)
        by_width, by_height = _whole_steps(ideal, step), _whole_steps(ideal / ratio, step)
        # Make one side a whole number of steps: the one after which the other loses less.
        other_height, other_width = _whole_steps(by_width / ratio, step), _whole_steps(by_height * ratio, step)
        if not (by_width and by_height and other_height and other_width):
            raise _too_narrow(photo_size, step)
        if abs(by_width / other_height - ratio) < abs(other_width / by_height - ratio):
            resized = (by_width, _rounded(by_width * height, width))
        else:
            resized = (_rounded(by_height * width, height), by_height)
    across, down = resized[0] // step * step, resized[1] // step * step
    if not across or not down:
        raise _too_narrow(photo_size, step)
    if across * down > side * side:
        # Rounding up half a pixel met a whole step; the area is what fills memory, so the longer side gives way.
        longer = side * side // min(across, down) // step * step
        across, down = (longer, down) if across > down else (across, longer)
    return _cropped(photo_size, Bucket(across, down), resized, at)


def resize_and_crop(image: Image.Image, placed: Placement) -> Image.Image:
    """The pixels that are trained: RGB, exactly the bucket's size.

    Shrinking averages areas (OpenCV's INTER_AREA, as kohya does; Pillow's BOX takes whole pixels only and
    is jagged at odd factors), enlarging is Lanczos.

    Args:
        image: RGB, EXIF rotation applied, of the size `placed.photo`.

    Raises:
        ValueError: the image is not the photo that was placed.
    """
    from PIL import Image

    if image.size != placed.photo or image.mode != "RGB":
        raise Misfit(f"expected an RGB image of {placed.photo}, got {image.mode} of {image.size}", "image")
    width, height = placed.resized
    if width < image.width and height < image.height:
        import cv2
        import numpy as np

        image = Image.fromarray(cv2.resize(np.asarray(image), (width, height), interpolation=cv2.INTER_AREA))
    elif placed.resized != image.size:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    window = (placed.left, placed.top, placed.left + placed.bucket.width, placed.top + placed.bucket.height)
    return image.crop(window)


def report(rows: Sequence[tuple[str, Placement]]) -> str:
    """The table that is shown before the first step: each photo, its bucket, what is cut away, how much it is enlarged.

    Photos for which all of that is the same share a row, where they are many.

    Args:
        rows: (the photo's name, its placement).

    Returns:
        Lines of text: the table, the pictures in each bucket, and one line for each warning.
    """
    table: list[tuple[str, ...]] = [("photo", "size", "bucket", "cut left/top/right/bottom", "cut", "scaled")]
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, placed in rows:
        sides = "/".join(f"{pixels:.0f}" for pixels in placed.cropped)
        size = f"{placed.photo[0]}x{placed.photo[1]}"
        row = (size, str(placed.bucket), sides, f"{placed.cropped_share:.0%}", f"{placed.scale:.2f}x")
        alike.setdefault(row, []).append(name)
    table += [(name, *row) for row, names in alike.items() for name in _folded(names)]
    widths = [max(map(_columns, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(_padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]
    counts = Counter(placed.bucket for _, placed in rows)
    lines.append(
        f"{len(rows)} photos in {len(counts)} bucket{'s' if len(counts) > 1 else ''}: "
        + ", ".join(f"{b} ({n})" for b, n in sorted(counts.items()))
    )
    warned: dict[str, list[str]] = {}
    for name, placed in rows:
        for text in placed.warnings():
            warned.setdefault(text, []).append(name)
    lines += [f"warning: {name}: {text}" for text, names in warned.items() for name in _folded(names)]
    return "\n".join(lines)


def _folded(names: list[str]) -> list[str]:
    """Names as they are if they are few; of many the first, and how many there are beside it."""
    return names if len(names) < _MANY else [f"{names[0]} and {len(names) - 1} more"]


def _columns(text: str) -> int:
    """How many columns of a terminal it takes: none where it holds control characters, whose effect nobody knows."""
    return max(0, wcswidth(text))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise Misfit(f"a photo of {size[0]} x {size[1]} pixels has no size", "size")


def _rounded(numerator: int, denominator: int) -> int:
    """numerator / denominator, halves up, without the error of floats: a cover must not be a pixel short."""
    return (2 * numerator + denominator) // (2 * denominator)


def _whole_steps(length: float, step: int) -> int:
    return int(length + 0.5) // step * step


def _too_narrow(size: tuple[int, int], step: int) -> UserError:
    return UserError(
        f"A photo of {size[0]} x {size[1]} pixels is narrower than one bucket step of {step} pixels "
        "when upscaling is off; leave it out, or allow upscaling.",
        code="photo-too-narrow",
        size=size,
    )


def _cropped(photo: tuple[int, int], bucket: Bucket, resized: tuple[int, int], at: tuple[float, float]) -> Placement:
    if not all(0 <= share <= 1 for share in at):
        raise Misfit(f"the crop's place must lie in 0..1, got {at}", "at")
    # int() rounds down, so the centre of an odd rest is kohya's: rest // 2.
    left, top = (int((resized[axis] - bucket[axis]) * at[axis]) for axis in (0, 1))
    return Placement(photo, bucket, resized, left, top)
