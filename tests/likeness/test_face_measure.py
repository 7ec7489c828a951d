"""One picture against a template: faces, their doubts, what it is nearest to, and pictures that are none."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from faults import raises
from PIL import Image, ImageFilter
from remembering import Remembering

from lib_lora import typed_settings
from lib_lora.faces.array_text import unpacked
from lib_lora.faces.face import Face
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure.face_measure import ImageScore, Measurer
from lib_lora.likeness.measure.template import Template

COUNT = 5


@pytest.fixture(scope="module")
def eye(engine) -> Remembering:
    return Remembering(engine)


@pytest.fixture(scope="module")
def template(eye, photos, tmp_path_factory) -> Template:
    """Five photos of mara, one of them a second time in worse quality, and one of viktor."""
    folder = tmp_path_factory.mktemp("photos")
    files = photos("mara")[:COUNT]
    with Image.open(files[0]) as image:
        image.save(folder / "copy.jpg", quality=40)
    shutil.copy(photos("viktor")[0], folder / "viktor.jpg")
    return templates.build(eye, [*files, folder / "copy.jpg", folder / "viktor.jpg"])


@pytest.fixture(scope="module")
def measure(eye, template) -> Measurer:
    return Measurer(eye, template)


def plain(number: int) -> Image.Image:
    return Image.new("RGB", (300, 200), (number, number, number))


# -- the same person and another


def test_another_picture_of_the_person_is_alike_and_a_strangers_is_not(measure, photos, template):
    own, other = measure([photos("mara")[8], photos("ines")[0]])
    assert own.score.likeness > 0.65
    assert other.score.likeness < 0.6  # much alike for strangers
    for measured in (own, other):
        score = measured.score
        assert score.counts
        assert (score.reason, score.faces, score.largest) == ("", 1, None)
        assert score.likeness == pytest.approx(float(measured.embedding @ template.array))
        assert np.linalg.norm(measured.embedding) == pytest.approx(1, abs=1e-5)
        assert measured.size == (640, 640)
        assert measured.surroundings.sum() == pytest.approx(1, abs=1e-5)
        assert score.face.px > 100


def test_the_nearest_photo_by_hand(measure, photos, template):
    (found,) = measure([photos("mara")[8]])
    cosines = {item.file: float(unpacked(item.embedding) @ found.embedding) for item in template.references}
    assert found.score.nearest == max(cosines, key=cosines.get)
    assert found.score.nearest_likeness == pytest.approx(max(cosines.values()))
    assert -1 <= found.score.copy_ssim < 0.9
    bits = {item.file: (int(item.hash, 16) ^ found.hash).bit_count() for item in template.references}
    assert found.score.copy_bits == min(bits.values())
    assert found.score.nearest_copy in [name for name, apart in bits.items() if apart == min(bits.values())]


def test_a_photo_itself_is_recognised_as_such(measure, photos):
    (found,) = measure([photos("mara")[1]])
    assert (found.score.nearest, found.score.nearest_copy) == ("01.jpg", "01.jpg")
    assert found.score.nearest_likeness == pytest.approx(1, abs=1e-5)
    assert (found.score.copy_bits, found.score.copy_ssim) == (0, pytest.approx(1, abs=1e-4))


def test_a_photo_left_out_of_the_template_can_be_copied_too(measure, photos, template):
    left_out = {item.file for item in template.references if not item.used}
    assert "viktor.jpg" in left_out
    assert len(left_out & {"00.jpg", "copy.jpg"}) == 1
    (found,) = measure([photos("viktor")[0]])
    assert found.score.likeness < 0.5
    assert (found.score.nearest, found.score.nearest_copy, found.score.copy_bits) == ("viktor.jpg", "viktor.jpg", 0)
    assert found.score.nearest_likeness == pytest.approx(1, abs=1e-5)


def test_a_copy_in_worse_quality_stays_near(measure, portrait):
    small = portrait("mara", 2).resize((320, 320), Image.Resampling.BICUBIC)
    (found,) = measure([small])
    assert found.score.nearest == "02.jpg"
    assert found.score.copy_bits <= 2
    assert found.score.copy_ssim > 0.85
    assert found.score.nearest_likeness > 0.95


# -- several faces


def test_of_several_faces_the_most_alike_counts_and_the_largest_is_described(measure, portrait):
    both = Image.new("RGB", (1000, 640), "grey")
    both.paste(portrait("viktor", 3), (0, 0))
    both.paste(portrait("mara", 8).resize((360, 360)), (640, 140))
    (found,) = measure([both])
    (alone,) = measure([portrait("mara", 8)])
    assert found.score.faces == 2
    assert found.score.likeness == pytest.approx(alone.score.likeness, abs=0.1)
    assert found.score.largest < 0.5
    assert found.score.counts


def test_a_face_far_behind_or_a_pattern_taken_for_one_is_nobody_who_could_be_meant(measure, portrait):
    scene = Image.new("RGB", (1000, 640), "grey")
    scene.paste(portrait("mara", 8), (0, 0))
    scene.paste(portrait("viktor", 3).resize((200, 200)), (720, 200))
    (found,) = measure([scene])
    assert (found.score.faces, found.score.largest) == (1, None)


# -- doubts


def test_a_tiny_face_is_measured_but_does_not_count(measure, portrait):
    scene = Image.new("RGB", (400, 400), "grey")
    scene.paste(portrait("mara", 8).resize((44, 44)), (170, 170))
    (found,) = measure([scene])
    assert found.score.likeness is not None
    assert found.score.reason.startswith("the face is only ")
    assert not found.score.counts
    assert found.score.face.fault == "small"


def test_a_blurred_face_does_not_count(measure, portrait):
    (found,) = measure([portrait("mara", 8).filter(ImageFilter.GaussianBlur(16))])
    assert found.score.reason == "the face is blurred"
    assert found.score.likeness is not None
    assert not found.score.counts


def test_no_face(measure):
    (found,) = measure([plain(128)])
    assert found.score == ImageScore("picture 1", None, "no face found", 0)
    assert found.embedding is None
    assert found.size == (300, 200)
    assert found.hash is not None
    assert found.surroundings.sum() == pytest.approx(1)
    assert not found.score.counts


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 5), (33, 17)])
def test_pictures_of_odd_sizes_are_pictures(measure, size):
    (found,) = measure([Image.effect_noise(size, 80).convert("RGB")])
    assert (found.score.faces, found.size) == (0, size)


def test_grey_and_transparent_pictures_are_measured(measure, portrait, tmp_path):
    portrait("mara", 8).convert("L").save(tmp_path / "grey.png")
    clear = portrait("mara", 8).convert("RGBA")
    clear.putalpha(Image.new("L", clear.size, 255))
    clear.save(tmp_path / "clear.png")
    grey, rgba = measure([tmp_path / "grey.png", tmp_path / "clear.png"])
    (colour,) = measure([portrait("mara", 8)])
    assert grey.score.likeness == pytest.approx(colour.score.likeness, abs=0.1)
    assert rgba.score.likeness == pytest.approx(colour.score.likeness, abs=1e-6)


# -- files


def test_broken_files_are_results_with_a_reason_and_cost_nobody_else(measure, photos, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    (tmp_path / "half.jpg").write_bytes(photos("mara")[8].read_bytes()[:3000])
    (tmp_path / "folder.png").mkdir()
    names = ["empty.png", "text.jpg", "half.jpg", "folder.png", "gone ü.png"]
    seen = []
    found = measure([*(tmp_path / name for name in names), photos("mara")[8]], seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert [item.score.image for item in found] == [*names, "08.jpg"]
    for item, name in zip(found, names):
        assert (item.embedding, item.hash, item.surroundings, item.size) == (None, None, None, (0, 0))
        assert (item.score.likeness, item.score.faces, item.score.counts) == (None, 0, False)
        assert name in item.score.reason
    assert found[-1].score.counts


def test_no_pictures_give_no_results(measure):
    assert measure([]) == []


def test_pictures_without_a_file_are_numbered(measure):
    assert [item.score.image for item in measure([plain(10), plain(20)])] == ["picture 1", "picture 2"]


# -- what may be kept


def test_a_score_holds_plain_numbers_and_no_embedding(measure, photos):
    (found,) = measure([photos("mara")[8]])
    written = json.dumps(typed_settings.to_dict(found.score), allow_nan=False)
    assert typed_settings.from_dict(ImageScore, json.loads(written)) == found.score
    assert len(written) < 1500
    assert f"{float(found.embedding[0]):.5f}" not in written


# -- eyes


class Coloured:
    """An engine whose faces have eyes of one colour."""

    id, licence = "coloured", ""

    def __init__(self, eyes: tuple[float, float, float] | None) -> None:
        self.eyes = eyes

    def faces(self, image: Image.Image) -> list[Face]:
        points = np.array([[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]], np.float32)
        vector = np.asarray(image, np.float32).mean((0, 1)) + np.array([1, 2, 3])
        return [
            Face((20, 20, 60, 80), points, 0.9, (vector / np.linalg.norm(vector)).astype("f4"), 300.0, eyes=self.eyes)
        ]


@pytest.mark.parametrize(
    ("count", "eyes", "change"),
    [(3, (53.0, 14.0, 20.0), 5.0), (3, (50.0, 10.0, 20.0), 0.0), (2, (53.0, 14.0, 20.0), None), (3, None, None)],
)
def test_the_eyes_are_compared_with_the_photos_where_three_show_them(tmp_path, count, eyes, change):
    files = []
    for number, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250)][:count]):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (100, 100), colour).save(files[-1])
    engine = Coloured((50.0, 10.0, 20.0))
    measure = Measurer(engine, templates.build(engine, files))
    engine.eyes = eyes
    (found,) = measure([plain(100)])
    assert found.score.eye_change == (None if change is None else pytest.approx(change))
    assert found.score.copy_ssim is None  # this engine gives no crop


# -- another engine


def test_a_template_of_another_engine_is_refused(eye, template):
    with raises("template-of-other-engine"):
        Measurer(Remembering(eye, "other"), template)
