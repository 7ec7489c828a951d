"""What `outfits.py` and `several_people.py` count: colours that are worn, and people in a picture."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bench.training import outfits, several_people
from bench.training import quality_people as people
from bench.training import quality_pictures as pictures
from bench.training.several_people import TrainedPerson

PHOTO = Path(__file__).parents[1] / "data" / "personas" / "mara" / "00.jpg"


@pytest.mark.parametrize("colour", outfits.COLOURS)
def test_what_a_photo_was_dressed_in_is_what_it_wears(colour):
    plain = pictures.photo_of_side(PHOTO)
    worn = outfits.dressed(plain, outfits.COLOURS[colour])
    assert outfits.worn_in(worn) == colour
    assert outfits.worn_in(plain) != colour
    rows = outfits.above_forehead(plain)
    assert np.array_equal(np.asarray(worn)[rows:], np.asarray(plain)[rows:])  # the face stays


def test_a_picture_without_a_face_wears_neither():
    assert outfits.worn_in(Image.new("RGB", (128, 128), (200, 20, 20))) == "neither"


@pytest.mark.parametrize("group", several_people.GROUPS)
def test_the_people_of_a_group_have_trigger_words_of_their_own(group):
    names = group.split("+")
    assert len({people.trigger_of(name) for name in names}) == len(names) > 1


def one(name, at):
    return TrainedPerson(name, f"{name} woman", np.eye(4)[at], 1.0, 0.5)


@pytest.mark.parametrize(
    ("faces", "shown"),
    [
        ([[1, 0, 0, 0], [0, 1, 0, 0]], True),
        ([[0, 1, 0, 0], [1, 0, 0, 0]], True),
        ([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0.6, 0, 0]], True),
        ([[1, 0, 0, 0], [0, 0.4, 0, 0]], False),  # under the line
        ([[1, 1, 0, 0]], False),  # one face is not two people
        ([[1, 0, 0, 0], [1, 0, 0, 0]], False),
        ([], False),
    ],
)
def test_everyone_has_a_face_of_their_own(faces, shown, monkeypatch):
    found = [SimpleNamespace(embedding=np.asarray(face, float)) for face in faces]
    monkeypatch.setattr(pictures, "engine", lambda: SimpleNamespace(faces=lambda image: found))
    assert several_people.all_shown(Image.new("RGB", (8, 8)), [one("a", 0), one("b", 1)]) is shown
