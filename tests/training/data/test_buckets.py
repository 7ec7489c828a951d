"""Buckets: kohya's table, and that every photo is covered, cropped and reported to the pixel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from faults import misfit, raises
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.training.data.buckets import (
    Bucket,
    Placement,
    choose,
    make_buckets,
    place_without_upscaling,
    placement,
    report,
    resize_and_crop,
)

SIDES = st.integers(1, 6000)
SIZES = st.tuples(SIDES, SIDES)
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))
TABLES = st.sampled_from([(512, 64), (768, 64), (1024, 32), (640, 8), (64, 8)])

KOHYA_512 = [
    (256, 832),
    (256, 896),
    (256, 960),
    (256, 1024),
    (320, 704),
    (320, 768),
    (384, 640),
    (448, 576),
    (512, 512),
    (576, 448),
    (640, 384),
    (704, 320),
    (768, 320),
    (832, 256),
    (896, 256),
    (960, 256),
    (1024, 256),
]


def _kohya_table(side: int, low: int, high: int, step: int) -> list[tuple[int, int]]:
    """The reference's rule, written as it is told there."""
    area = side * side
    square = int(math.sqrt(area) // step) * step
    table = {(square, square)}
    for width in range(low, high + 1, step):
        height = min(high, int((area // width) // step) * step)
        if height >= low:
            table |= {(width, height), (height, width)}
    return sorted(table)


def test_the_512_table_is_the_one_kohya_prints() -> None:
    assert make_buckets(512, 256, 1024, 64) == KOHYA_512
    assert make_buckets(512) == KOHYA_512


@pytest.mark.parametrize(
    "args", [(512, 256, 1024, 64), (768, 256, 1536, 64), (1024, 256, 2048, 64), (1024, 512, 2048, 32)]
)
def test_the_table_is_kohyas(args: tuple[int, int, int, int]) -> None:
    assert make_buckets(*args) == _kohya_table(*args)


def test_the_wide_maximum_keeps_sdxls_area() -> None:
    """With kohya's default of 1024 every oblong bucket of SDXL is smaller than the square."""
    areas = {bucket: bucket.width * bucket.height for bucket in make_buckets(1024)}
    assert areas[Bucket(832, 1216)] > 0.96 * 1024**2
    assert areas[Bucket(512, 2048)] == 1024**2
    assert (
        max(bucket.width * bucket.height for bucket in make_buckets(1024, 256, 1024) if bucket.width < 1024) < 1024**2
    )


@settings(deadline=None)
@given(TABLES)
def test_every_bucket_holds_the_limits(table: tuple[int, int]) -> None:
    side, step = table
    buckets = make_buckets(side, step=step)
    assert Bucket(side, side) in buckets
    assert buckets == sorted(set(buckets))
    for width, height in buckets:
        assert width % step == height % step == 0
        assert width * height <= side * side
        assert max(width, height) <= 2 * side
        assert Bucket(height, width) in buckets


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((512, 256, 1024, 60), ("bucket-step-invalid", "8")),
        ((512, 256, 1024, 0), ("bucket-step-invalid", "8")),
        ((32, None, None, 64), ("bucket-step-above-size",)),
        ((512, 576, 1024, 64), ("bucket-limits-invalid", "must enclose")),
        ((512, 256, 448, 64), ("bucket-limits-invalid", "must enclose")),
        ((512, 0, 1024, 64), ("bucket-limits-invalid", "must enclose")),
    ],
)
def test_limits_that_leave_no_bucket_are_refused(args: tuple[int, ...], message: str) -> None:
    with raises(message[0], has=message[1:]):
        make_buckets(*args)


@pytest.mark.parametrize(
    ("photo", "bucket"),
    [
        ((512, 512), (512, 512)),
        ((4000, 4000), (512, 512)),
        ((320, 768), (320, 768)),  # exactly there, although (320, 704) exists too
        ((3000, 4000), (448, 576)),  # .75 lies nearer to .778 than to .6
        ((2000, 3000), (384, 640)),
        ((3000, 2000), (640, 384)),
        ((100, 5000), (256, 1024)),
        ((5000, 100), (1024, 256)),
    ],
)
def test_a_photo_goes_into_the_bucket_of_the_nearest_ratio(photo: tuple[int, int], bucket: tuple[int, int]) -> None:
    assert choose(photo, make_buckets(512)) == bucket


@settings(deadline=None)
@given(SIZES, TABLES)
def test_no_other_bucket_is_nearer(photo: tuple[int, int], table: tuple[int, int]) -> None:
    buckets = make_buckets(table[0], step=table[1])
    chosen = choose(photo, buckets)
    ratio = photo[0] / photo[1]
    errors = [abs(width / height - ratio) for width, height in buckets]
    assert photo == chosen or abs(chosen.width / chosen.height - ratio) == min(errors)


@settings(deadline=None)
@given(SIZES, TABLES, SHARES)
def test_every_photo_covers_its_bucket_and_the_crop_stays_inside(
    photo: tuple[int, int], table: tuple[int, int], at: tuple[float, float]
) -> None:
    bucket = choose(photo, make_buckets(table[0], step=table[1]))
    placed = placement(photo, bucket, at)
    width, height = placed.resized
    assert width == bucket.width or height == bucket.height
    assert width >= bucket.width
    assert height >= bucket.height
    assert 0 <= placed.left <= width - bucket.width
    assert 0 <= placed.top <= height - bucket.height
    # The picture keeps its shape: the side that was not matched is off by at most half a pixel.
    scale = max(bucket.width / photo[0], bucket.height / photo[1])
    assert abs(width - photo[0] * scale) <= 0.5 + 1e-6
    assert abs(height - photo[1] * scale) <= 0.5 + 1e-6
    # What is kept and what is cut away are the whole photo.
    left, top, right, bottom = placed.cropped
    assert min(left, top, right, bottom) >= 0
    assert left + right + bucket.width * photo[0] / width == pytest.approx(photo[0])
    assert top + bottom + bucket.height * photo[1] / height == pytest.approx(photo[1])
    kept = (photo[0] - left - right) * (photo[1] - top - bottom)
    assert placed.cropped_share == pytest.approx(1 - kept / (photo[0] * photo[1]), abs=1e-9)


def test_a_wide_photo_to_the_pixel() -> None:
    placed = placement((1200, 800), Bucket(512, 512))
    assert placed == Placement((1200, 800), Bucket(512, 512), (768, 512), 128, 0)
    assert placed.cropped == (200, 0, 200, 0)
    assert placed.cropped_share == pytest.approx(1 / 3)
    assert placed.scale == pytest.approx(0.64)
    assert placed.upscaled == 1.0
    assert placed.size_ids == (800, 1200, 0, 128, 512, 512)


def test_a_tall_photo_keeps_its_top_when_asked() -> None:
    placed = placement((256, 600), Bucket(512, 512), at=(0.5, 0.0))
    assert placed.resized == (512, 1200)
    assert (placed.left, placed.top) == (0, 0)
    assert placed.cropped == (0, 0, 0, 344)
    assert placed.upscaled == 2.0
    assert placement((256, 600), Bucket(512, 512), at=(0.5, 1.0)).size_ids == (600, 256, 688, 0, 512, 512)


def test_an_odd_rest_is_cut_as_kohya_cuts_it() -> None:
    assert placement((517, 512), Bucket(512, 512)).left == 2
    with misfit("at", 1.1):
        placement((517, 512), Bucket(512, 512), at=(1.1, 0))
    with misfit("size", 0):
        placement((0, 512), Bucket(512, 512))


def _kohya_no_upscale(photo: tuple[int, int], side: int, step: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """BucketManager.select_bucket with no_upscale: (resized, bucket)."""

    def steps(length: float) -> int:
        rounded = int(length + 0.5)
        return rounded - rounded % step

    ratio = photo[0] / photo[1]
    resized = photo
    if photo[0] * photo[1] > side * side:
        width = math.sqrt(side * side * ratio)
        height = side * side / width
        height_by_width, width_by_height = steps(steps(width) / ratio), steps(steps(height) * ratio)
        by_width = abs(steps(width) / height_by_width - ratio)
        by_height = abs(width_by_height / steps(height) - ratio)
        if by_width < by_height:
            resized = (steps(width), int(steps(width) / ratio + 0.5))
        else:
            resized = (int(steps(height) * ratio + 0.5), steps(height))
    return resized, (resized[0] - resized[0] % step, resized[1] - resized[1] % step)


@settings(deadline=None)
@given(st.tuples(st.integers(300, 4000), st.integers(300, 4000)))
def test_without_upscaling_it_is_kohyas_rule(photo: tuple[int, int]) -> None:
    assume(1 / 4 < photo[0] / photo[1] < 4)
    placed = place_without_upscaling(photo, 512)
    assert (placed.resized, placed.bucket) == _kohya_no_upscale(photo, 512, 64)


@settings(deadline=None)
@given(SIZES, TABLES, SHARES)
@example((180, 4002), (640, 8), (0.0, 0.0))  # one step less is still more than the area
def test_without_upscaling_nothing_is_enlarged_and_the_area_holds(
    photo: tuple[int, int], table: tuple[int, int], at: tuple[float, float]
) -> None:
    side, step = table
    try:
        placed = place_without_upscaling(photo, side, step, at)
    except UserError:
        scale = min(1.0, side / math.sqrt(photo[0] * photo[1]))
        assert min(photo) * scale < 2 * step  # only a photo that is a sliver is refused
        return
    width, height = placed.resized
    assert width <= photo[0]
    assert height <= photo[1]
    assert placed.bucket.width % step == placed.bucket.height % step == 0
    assert 0 < placed.bucket.width * placed.bucket.height <= side * side
    assert 0 <= placed.left <= width - placed.bucket.width
    assert 0 <= placed.top <= height - placed.bucket.height
    assert placed.upscaled == 1.0


def test_without_upscaling_the_area_is_held_where_kohyas_rounding_exceeds_it() -> None:
    photo = (1052, 1726)
    assert _kohya_no_upscale(photo, 1024, 32) == ((800, 1312), (800, 1312))
    assert 800 * 1312 > 1024**2
    placed = place_without_upscaling(photo, 1024, 32)
    assert (placed.resized, placed.bucket, placed.top) == ((800, 1312), (800, 1280), 16)


def test_without_upscaling_a_small_photo_stays_as_it_is() -> None:
    placed = place_without_upscaling((500, 333), 512)
    assert (placed.resized, placed.bucket, placed.left, placed.top) == ((500, 333), (448, 320), 26, 6)
    with raises("photo-too-narrow", has=("63", "400", "64")):
        place_without_upscaling((63, 400), 512)
    with raises("photo-too-narrow"):
        place_without_upscaling((20000, 200), 512)


def _photo(width: int, height: int) -> Image.Image:
    """A picture in which each pixel tells where it is: red grows to the right, green downwards."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, axis=0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, axis=1)
    return Image.fromarray(np.stack([across, down, np.full_like(down, 77)], axis=-1).round().astype(np.uint8))


@settings(deadline=None)
@given(
    st.tuples(st.integers(40, 700), st.integers(40, 700)),
    st.sampled_from([(64, 64), (96, 48), (48, 128)]),
    SHARES,
)
def test_the_pixels_come_from_where_the_placement_says(
    photo: tuple[int, int], bucket: tuple[int, int], at: tuple[float, float]
) -> None:
    placed = placement(photo, Bucket(*bucket), at)
    pixels = np.asarray(resize_and_crop(_photo(*photo), placed)).astype(float)
    assert pixels.shape == (bucket[1], bucket[0], 3)
    left, top, right, bottom = placed.cropped
    middle = ((left + photo[0] - right) / 2 - 0.5, (top + photo[1] - bottom) / 2 - 0.5)
    assert pixels[..., 0].mean() == pytest.approx(middle[0] / (photo[0] - 1) * 255, abs=1.5)
    assert pixels[..., 1].mean() == pytest.approx(middle[1] / (photo[1] - 1) * 255, abs=1.5)
    assert abs(pixels[..., 2] - 77).max() <= 1


def _area_average(pixels: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """The exact mean of the first axis over `length` equal parts, which may cut through pixels."""
    sums = np.concatenate([np.zeros_like(pixels[:1]), np.cumsum(pixels, axis=0)])
    edges = np.linspace(0, len(pixels), length + 1)
    whole = np.minimum(edges.astype(int), len(pixels) - 1)
    part = (edges - whole)[:, None]
    until = sums[whole] + part * pixels[whole]
    return np.asarray(np.diff(until, axis=0) / (len(pixels) / length))


@pytest.mark.parametrize("size", [(300, 200), (256, 333), (151, 149)])
def test_shrinking_averages_areas(size: tuple[int, int]) -> None:
    """Fine stripes are the hard case: whole-pixel boxes turn them into coarse ones."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    stripes = (127 + 100 * np.sin(x * x / 90) * np.cos(y / 3)).round().clip(0, 255).astype(np.uint8)
    placed = Placement(size, Bucket(128, 128), (128, 128), 0, 0)
    pixels = np.asarray(resize_and_crop(Image.fromarray(np.stack([stripes] * 3, axis=-1)), placed))
    expected = _area_average(_area_average(stripes.astype(float), 128).T, 128).T
    assert abs(pixels[..., 1].astype(float) - expected).max() <= 1


def test_enlarging_is_lanczos_and_an_exact_photo_is_left_alone() -> None:
    photo = _photo(100, 80)
    placed = placement(photo.size, Bucket(256, 128))
    expected = photo.resize((256, 205), Image.Resampling.LANCZOS).crop((0, 38, 256, 166))
    assert np.array_equal(np.asarray(resize_and_crop(photo, placed)), np.asarray(expected))
    same = resize_and_crop(photo, Placement(photo.size, Bucket(64, 64), photo.size, 10, 5))
    assert np.array_equal(np.asarray(same), np.asarray(photo)[5:69, 10:74])


def test_another_image_than_the_placed_one_is_refused() -> None:
    placed = placement((100, 80), Bucket(64, 64))
    with misfit("image", (100, 80), (80, 100)):
        resize_and_crop(_photo(80, 100), placed)
    with misfit("image", "RGBA"):
        resize_and_crop(_photo(100, 80).convert("RGBA"), placed)


def test_the_report_names_every_photo_and_warns() -> None:
    buckets = make_buckets(512)
    sizes = {"a.jpg": (1200, 1200), "名前.jpg": (300, 300), "wide.png": (5000, 500), "b.jpg": (768, 512)}
    text = report([(name, placement(size, choose(size, buckets))) for name, size in sizes.items()])
    lines = text.splitlines()
    assert lines[0].split() == ["photo", "size", "bucket", "cut", "left/top/right/bottom", "cut", "scaled"]
    assert lines[1].split() == ["a.jpg", "1200x1200", "512x512", "0/0/0/0", "0%", "0.43x"]
    assert lines[2].split() == ["名前.jpg", "300x300", "512x512", "0/0/0/0", "0%", "1.71x"]
    assert lines[3].split() == ["wide.png", "5000x500", "1024x256", "1500/0/1500/0", "60%", "0.51x"]
    assert lines[4].split() == ["b.jpg", "768x512", "640x384", "0/25/0/26", "10%", "0.83x"]
    # Columns stay under each other in a terminal, where each of the two Japanese characters is two wide.
    assert lines[1].index("1200x1200") == lines[2].index("300x300") + 2 == lines[3].index("5000x500")
    assert lines[5] == "4 photos in 3 buckets: 512x512 (2), 640x384 (1), 1024x256 (1)"
    assert lines[6:] == [
        "warning: 名前.jpg: enlarged 1.71x, it will look soft: use a larger original",
        "warning: wide.png: 60% is cut away: crop the photo yourself around the person",
    ]


def test_rows_of_the_report_that_agree_share_one() -> None:
    """Thirty pictures of one size were thirty rows and thirty warnings."""
    buckets = make_buckets(512)
    sizes = {f"{number:02d}.jpg": (300, 300) for number in range(30)} | {"a.jpg": (900, 900), "b.jpg": (900, 900)}
    lines = report([(name, placement(size, choose(size, buckets))) for name, size in sizes.items()]).splitlines()
    assert [line.split("  ")[0].strip() for line in lines[1:4]] == ["00.jpg and 29 more", "a.jpg", "b.jpg"]
    assert lines[1].split()[-5:] == ["300x300", "512x512", "0/0/0/0", "0%", "1.71x"]
    assert lines[4] == "32 photos in 1 bucket: 512x512 (32)"
    assert lines[5:] == ["warning: 00.jpg and 29 more: enlarged 1.71x, it will look soft: use a larger original"]


def test_warnings_begin_where_they_are_said_to() -> None:
    assert placement((1000, 1000), Bucket(1496, 1496)).warnings() == []
    assert len(placement((1000, 1000), Bucket(1504, 1504)).warnings()) == 1
    assert placement((400, 300), Bucket(512, 512)).cropped_share == pytest.approx(0.25, abs=0.001)
    assert placement((398, 300), Bucket(512, 512)).warnings() == [
        "enlarged 1.71x, it will look soft: use a larger original"
    ]
    assert [text[:15] for text in placement((410, 300), Bucket(256, 256)).warnings()] == ["27% is cut away"]
