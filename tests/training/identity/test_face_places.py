"""Where faces lie on photos as they are trained, and which photos take part."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.faces import align
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import Face
from lib_lora.training.data.buckets import Bucket, placement, resize_and_crop
from lib_lora.training.identity.aligned_face import aligned
from lib_lora.training.identity.face_places import find_faces, place_of, placed_points, the_face

PHOTO = Path(__file__).parents[2] / "data" / "personas" / "mara" / "00.jpg"


def _face(left=20.0, size=100.0, blur=300.0, embedding=None):
    points = (align.PLACES - 56) / 112 * size + np.array([left + size / 2, 70.0])
    vector = np.eye(128, dtype=np.float32)[0] if embedding is None else embedding
    return Face((left, 20.0, size, size), points.astype(np.float32), 0.95, vector, blur)


class Engine:
    id = licence = "test"

    def __init__(self, *found):
        self.found = list(found)

    def faces(self, image):
        return self.found.pop(0)


@pytest.mark.parametrize("bucket", [Bucket(128, 128), Bucket(192, 128), Bucket(128, 256)])
def test_the_face_of_the_trained_picture_is_that_of_the_photo(bucket):
    picture = open_photo(PHOTO)
    face = SFaceEngine().faces(picture)[0]
    placed = placement(picture.size, bucket)
    place = place_of(face, placed)
    left, top, right, bottom = place.cells
    assert 0 <= left < right <= bucket.width // 8
    assert 0 <= top < bottom <= bucket.height // 8
    trained = np.asarray(resize_and_crop(picture, placed))[8 * top : 8 * bottom, 8 * left : 8 * right]
    pixels = torch.from_numpy(trained.copy()).permute(2, 0, 1)[None].float()
    found = aligned(pixels, place.matrix)[0].permute(1, 2, 0).numpy()
    inside = found.sum(-1) > 0  # where the bucket ends it is black
    assert inside.mean() > 0.6
    assert np.abs(found - face.crop.astype(float))[inside].mean() < 8  # levels; the trained picture is a fifth as wide


def test_a_face_that_is_small_or_cut_off_in_its_bucket_takes_no_part():
    placed = placement((640, 640), Bucket(128, 128))
    assert place_of(_face(left=200, size=300), placed) is not None
    assert place_of(_face(left=200, size=150), placed) is None  # 30 pixels
    points = align.PLACES.astype(np.float64)
    assert placed_points(points, Bucket(128, 128)) is not None
    assert placed_points(points + np.array([80.0, 0.0]), Bucket(128, 128)) is None


def test_the_person_must_be_clear():
    assert the_face([]) is None
    assert the_face([_face(), _face(size=60)]) is None  # 36 % of the area
    assert the_face([_face(), _face(size=40)]) is not None
    assert the_face([_face(blur=3.0)]) is None
    assert the_face([_face(size=30)]) is None


def test_the_template_is_of_the_photos_that_take_part():
    first, second = np.eye(128, dtype=np.float32)[:2]
    picture, placed = Image.new("RGB", (256, 256)), placement((256, 256), Bucket(128, 128))
    photos = [(name, placed, lambda: picture) for name in ("a", "b", "none", "two", "small")]
    engine = Engine([_face(embedding=first)], [_face(embedding=second)], [], [_face(), _face()], [_face(size=70)])
    found = find_faces(photos, engine)
    assert sorted(found.places) == ["a", "b"]
    assert found.template == pytest.approx((first + second) / np.sqrt(2))
    assert find_faces(photos[:1], Engine([])).template is None
