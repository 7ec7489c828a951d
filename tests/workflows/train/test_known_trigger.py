"""Whether a base model knows a face for a word, on painters that do and do not, and on the small base itself."""

from itertools import cycle
from pathlib import Path

import numpy as np
import planted
import pytest

from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.train.known_trigger import PaintSize, compare, face_for, face_in_base, with_face

BASE = Path(__file__).parents[2] / "data" / "mini-face" / "mini-face.safetensors"
STRANGERS = ("ines", "clara", "lena", "tomas", "viktor", "mara")


class Paints:
    """Strangers in turn, and mara for the word that it knows."""

    def __init__(self, word):
        self.word, self.strangers = word, cycle(STRANGERS)

    def paint(self, cells, each=None):
        found = []
        for number, cell in enumerate(cells):
            name = "mara" if self.word in cell.prompt else next(self.strangers)
            found.append(planted.opened(planted.portraits(name)[number]))
            if each:
                each(number, found[-1])
        return found

    def reconstruct(self, image):
        return None


@pytest.mark.once("arithmetic of our own")
def test_one_face_for_a_word_is_known_and_strangers_are_not(eye):
    seen = []
    known = face_for(Paints("sks"), "sks", "woman", PaintSize(640), engine=eye, progress=seen.append)
    assert known.known
    assert known.alike > 0.7 > known.usual
    assert "choose another word" in known.said
    assert seen == list(range(16))
    unknown = face_for(Paints("sks"), "mrxa", "woman", PaintSize(640), engine=eye)
    assert not unknown.known
    assert "no certain face" in unknown.said
    told = with_face(CommandResult("mrxa: mr + xa", {"trigger": "mrxa"}), known)
    assert (told.good, told.values["base"]["known"]) == (False, True)
    assert with_face(CommandResult("", {}), unknown).good


def test_too_few_faces_are_no_answer(eye):
    class Walls(Paints):
        def paint(self, cells, each=None):
            return [planted.landscape(planted.opened(planted.portraits("mara")[0])) for _ in cells]

    found = face_for(Walls("x"), "sks", "woman", PaintSize(640), engine=eye)
    assert found is None
    told = with_face(CommandResult("t", {}), found)
    assert (told.good, told.values["base"]) == (True, None)
    assert "Too few faces" in told.text


@pytest.mark.once("arithmetic of our own")
def test_random_faces_are_called_known_in_one_set_of_a_hundred_at_most():
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(60):
        vectors = random.normal(size=(16, 128)) + random.normal(size=128) * 0.7
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        alarms += compare(vectors, 8).known
    assert alarms <= 2


@pytest.mark.once("what this base knows; painting and measuring are repeated where they are done")
@pytest.mark.parametrize("word", ["mrxa"])
def test_the_small_base_knows_no_face_for_an_invented_word(word):
    found = face_in_base(BASE, word, "woman", steps=6)
    assert found is not None
    assert not found.known
