"""The photos through a VAE that loses nothing, one that blurs, and none; and at which size they go through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from remembering import Remembering

from lib_lora.character.photo_files import open_photo
from lib_lora.faces.array_text import unpacked
from lib_lora.faces.face import Face
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure import vae_ceiling
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import Ceiling, Reconstruct, ceiling_of, scores_of
from lib_lora.likeness.measure.vae_traces import PAINTED_AT_MOST, trace_ratio
from lib_lora.models.families.identify import identify
from lib_lora.models.vae import reconstruct

COUNT = 6
SMALL_BASE = Path(__file__).parents[1] / "data" / "mini-face" / "mini-face.safetensors"


def unchanged(image: Image.Image) -> Image.Image:
    return image


def blurring(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(8))


# -- real faces


@pytest.fixture(scope="module")
def eye(engine) -> Remembering:
    return Remembering(engine)


@pytest.fixture(scope="module")
def mara(eye, photos) -> tuple[Template, list[Path]]:
    files = photos("mara")[:COUNT]
    return templates.build(eye, files), files


@pytest.fixture(scope="module")
def whole(eye, mara) -> list[Ceiling]:
    """Nothing lost, at full size."""
    return ceiling_of(eye, *mara, [10_000.0], unchanged)


def test_a_vae_that_loses_nothing_gives_the_leave_one_out_scores(mara, whole):
    template, _ = mara
    known = {item.file: item.likeness for item in template.used}
    assert sorted(item.photo for item in whole) == sorted(known)
    assert len(known) >= COUNT - 1
    for item in whole:
        assert item.likeness == pytest.approx(known[item.photo], abs=0.04)
    assert np.median(scores_of(whole)) == pytest.approx(np.median(template.loo), abs=0.015)


def test_a_face_is_not_made_larger_than_it_is(mara, whole):
    known = {item.file: item.face.px for item in mara[0].used}
    for item in whole:
        assert item.face.px == pytest.approx(known[item.photo], rel=0.12)


def test_a_vae_that_blurs_lets_less_through(eye, mara, whole):
    blurred = {item.photo: item for item in ceiling_of(eye, *mara, [10_000.0], blurring)}
    assert all(blurred[item.photo].face.blur < item.face.blur for item in whole)
    values = [blurred[item.photo].likeness for item in whole]
    assert all(value is None or value < item.likeness for value, item in zip(values, whole))
    assert len(scores_of(list(blurred.values()))) == sum(value is not None for value in values)


def test_small_painted_faces_let_less_through(eye, mara, whole):
    """At 50 pixels even without a VAE something is lost."""
    small = ceiling_of(eye, *mara, [50.0], unchanged)
    assert len(small) == len(whole)
    assert all(40 < item.face.px < 62 for item in small)
    assert np.median(scores_of(small)) < np.median(scores_of(whole)) - 0.01


# -- which size, and what is skipped; an engine that needs no face


class Marked:
    """Finds one face in the middle of a picture that is not plain; what it knows of a picture is its red.

    Its box is 0.5 of the height and 0.4 of the width.
    """

    id, licence = "marked", ""

    def faces(self, image: Image.Image) -> list[Face]:
        pixels = np.asarray(image, np.float32)
        if pixels.std() < 1:
            return []
        width, height = image.size
        vector = np.array([1.0, pixels[..., 0].mean() / 255, 0.0], np.float32)
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.4, 0.6], [0.6, 0.6]], np.float32) * [width, height]
        box = (0.3 * width, 0.25 * height, 0.4 * width, 0.5 * height)
        return [Face(box, points, 0.9, vector / np.linalg.norm(vector), 300.0)]


Made = tuple[Template, list[Path]]


@pytest.fixture
def made(tmp_path) -> Callable[..., Made]:
    """made(400, 200): a template of square photos of these sizes, in a folder; the faces are half as high."""

    def make(*sides: int) -> Made:
        files = []
        for number, side in enumerate(sides):
            stripes = np.zeros((side, side, 3), np.uint8)
            stripes[:, ::2] = 30 * number + 20  # each photo of its own red, or they would be copies
            stripes[:, ::2, 0] = 255 - 40 * number
            Image.fromarray(stripes).save(tmp_path / f"{number}.png")
            files.append(tmp_path / f"{number}.png")
        return templates.build(Marked(), files), files

    return make


class Listener:
    """A VAE that loses nothing and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Image.Image] = []

    def __call__(self, image: Image.Image) -> Image.Image:
        self.given.append(image)
        return image


@pytest.fixture(autouse=True)
def _copies_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """These vectors are all much alike."""
    monkeypatch.setattr("lib_lora.faces.robust_mean.NEAR_COPY", 2.0)


def test_the_smallest_photo_is_made_the_smallest_painted_size(made):
    heard = Listener()
    found = ceiling_of(Marked(), *made(800, 400, 600), [40.0, 80.0, 120.0], heard)
    # quantiles 1/6, 1/2, 5/6 of 40, 80, 120
    sizes = [40 + 80 * share for share in (1 / 6, 1 / 2, 5 / 6)]
    assert [item.photo for item in found] == ["1.png", "2.png", "0.png"]
    for image, size in zip(heard.given, sizes):
        # the face's longer side is half the photo; what is shown round it is 2.2 times that, or all there is
        assert image.height == pytest.approx(min(2.2, 2.0) * size, abs=4)


def test_sizes_are_never_raised_and_sides_are_multiples_of_eight(made):
    for painted in ([5000.0], [1.0], [33.3, 47.1, 61.7, 90.0, 230.0]):
        heard = Listener()
        ceiling_of(Marked(), *made(800, 400, 601), painted, heard)
        assert len(heard.given) == 3
        for image, side in zip(heard.given, (400, 601, 800)):
            assert image.mode == "RGB"
            assert image.width % 8 == image.height % 8 == 0
            assert 8 <= image.height <= side + 4
            assert image.width <= side + 4


def test_a_small_photo_keeps_its_size_where_faces_were_painted_large(made):
    heard = Listener()
    ceiling_of(Marked(), *made(160, 800), [300.0], heard)
    assert [image.height for image in heard.given] == [160, 600]


def test_a_photo_given_twice_as_large_is_shown_the_same(made):
    """Only the painted size counts once the photo is large enough."""
    one, other = Listener(), Listener()
    ceiling_of(Marked(), *made(400, 500, 600), [64.0], one)
    ceiling_of(Marked(), *made(800, 1000, 1200), [64.0], other)
    assert [image.size for image in one.given] == [image.size for image in other.given]


def test_without_a_vae_there_is_no_ceiling(made):
    assert ceiling_of(Marked(), *made(400, 500), [64.0], lambda image: None) == []


def test_a_face_that_is_lost_has_no_likeness(made):
    found = ceiling_of(Marked(), *made(400, 500), [64.0], lambda image: Image.new("RGB", image.size, "grey"))
    assert found == [Ceiling("0.png", None, None), Ceiling("1.png", None, None)]
    assert scores_of(found).shape == (0,)
    assert scores_of([]).shape == (0,)


def test_a_face_too_small_to_judge_has_a_quality_but_no_likeness(made):
    found = ceiling_of(Marked(), *made(400, 500), [20.0], unchanged)
    assert [item.likeness for item in found] == [None, None]
    assert all(item.face.fault == "small" for item in found)


def test_only_photos_of_the_template_that_are_there_are_taken(made, tmp_path):
    template, files = made(400, 500, 600, 700)
    stranger = tmp_path / "other.png"
    Image.effect_noise((300, 300), 80).convert("RGB").save(stranger)
    assert [item.photo for item in ceiling_of(Marked(), template, [stranger, *files[1:]], [64.0], unchanged)] == [
        "1.png",
        "2.png",
        "3.png",
    ]
    assert ceiling_of(Marked(), template, [stranger], [64.0], unchanged) == []
    assert ceiling_of(Marked(), template, [], [64.0], unchanged) == []


def test_each_photo_is_compared_with_the_others_only(made):
    template, files = made(400, 500, 600)
    vectors = {item.file: unpacked(item.embedding) for item in template.used}
    weights = {item.file: item.weight for item in template.used}
    found = ceiling_of(Marked(), template, files, [10_000.0], unchanged)
    for item in found:
        mean = sum(weights[name] * vector for name, vector in vectors.items() if name != item.photo)
        assert item.likeness == pytest.approx(float(vectors[item.photo] @ mean / np.linalg.norm(mean)), abs=0.01)


@pytest.mark.parametrize("box", [(-40.0, -30.0, 120.0, 160.0), (300.0, 350.0, 200.0, 150.0), (0.0, 0.0, 400.0, 400.0)])
def test_a_face_at_the_edge_is_cut_with_the_picture(box):
    """A detector's box reaches over the edge; nothing is invented beyond it."""
    photo = Image.effect_noise((400, 400), 60).convert("RGB")
    size = max(box[2:])
    shown = vae_ceiling._around(photo, box, size)
    left, top, width, height = box
    half = 1.1 * size
    wide = min(400, left + width / 2 + half) - max(0, left + width / 2 - half)
    high = min(400, top + height / 2 + half) - max(0, top + height / 2 - half)
    assert shown.size == (pytest.approx(wide, abs=4), pytest.approx(high, abs=4))
    halved = vae_ceiling._around(photo, box, size / 2)
    assert halved.size == (pytest.approx(wide / 2, abs=4), pytest.approx(high / 2, abs=4))


# -- whether the VAE has made a picture


@pytest.fixture(scope="module")
def small_vae() -> Reconstruct:
    """Of the small base model."""
    vae = identify(SMALL_BASE).load_vae(torch.float32, torch.device("cpu"))
    return lambda image: reconstruct(vae, image)


def _stamp(image: Image.Image) -> Image.Image:
    """A VAE that leaves a bright pixel in each cell, and knows it again."""
    pixels = np.asarray(image).astype(int)
    pixels[::8, ::8] = 200
    return Image.fromarray(pixels.astype(np.uint8))


def test_what_the_vae_has_decoded_is_changed_less_than_when_it_is_moved():
    grey = Image.new("RGB", (64, 48), (100, 100, 100))
    assert trace_ratio(_stamp(grey), _stamp) == 0
    assert trace_ratio(grey, _stamp) == pytest.approx(1)
    assert trace_ratio(grey, lambda image: image) is None  # it changes nothing anywhere
    assert trace_ratio(grey, lambda image: None) is None


@pytest.mark.parametrize("size", [(64, 60), (40, 64)])
def test_other_sizes_than_those_of_painted_pictures_say_nothing(size):
    assert trace_ratio(Image.new("RGB", size), _stamp) is None


def test_of_a_large_picture_the_middle_is_looked_at():
    sizes = []
    shown = _stamp(Image.new("RGB", (512, 264), (100, 100, 100)))
    assert trace_ratio(shown, lambda image: sizes.append(image.size) or _stamp(image)) == 0
    assert sizes == [(256, 256)] * 3


@pytest.mark.parametrize("number", range(3))
def test_the_small_base_models_vae_knows_what_it_has_decoded_from_photos(number, small_vae, photos):
    photo = open_photo(photos("mara")[number]).resize((128, 128))
    assert trace_ratio(small_vae(photo), small_vae) < PAINTED_AT_MOST < trace_ratio(photo, small_vae)
    soft = photo.filter(ImageFilter.GaussianBlur(1.5))
    assert trace_ratio(soft, small_vae) > PAINTED_AT_MOST
