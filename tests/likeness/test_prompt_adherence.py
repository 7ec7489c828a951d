"""What was asked for and not given, from made-up measurements."""

import numpy as np
import pytest

from lib_lora.faces.face import Quality
from lib_lora.grid.prompts import PROMPTS
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.verdict.facts import Asked
from lib_lora.likeness.verdict.picture_set import PictureSet
from lib_lora.likeness.verdict.prompt_adherence import followed, missed, remarks


def seen(angle="front", attributes=(), yaw=0.0, expression="", px=120.0, reason="", name="a.png"):
    """A picture that was asked for something, and what was measured of it; px=0: no face was found."""
    face = Quality(px, 0.9, 300.0, yaw, expression=expression) if px else None
    score = ImageScore(name, 0.7 if px else None, reason, int(bool(px)), face)
    return name, Asked("p", "close", angle, tuple(attributes)), score


def turned(*yaws, **changes):
    return [seen("turned", yaw=yaw, name=f"{n}.png", **changes) for n, yaw in enumerate(yaws)]


def wants(value, *expressions):
    return [seen(attributes=[f"expression: {value}"], expression=one) for one in expressions]


def test_heads_that_should_turn_are_counted_whichever_side():
    (one,) = missed(turned(0.0, -0.6, 0.34, 0.1))
    assert one.text == "Asked to turn the head 4 times: turned once, looks ahead 3 times."
    assert (one.what, one.asked, one.measured, one.given) == ("turned head", 4, 4, 1)
    assert one.pictures == ["0.png", "2.png", "3.png"]
    assert (one.base_measured, one.base_given) == (None, None)


def test_what_the_base_model_does_without_the_lora_stands_beside_it():
    (one,) = missed(turned(0.0, 0.0), turned(0.9, 0.0))
    assert one.text == "Asked to turn the head twice: looks ahead twice. Without the LoRA: turned in 1 of 2."


@pytest.mark.parametrize(
    ("value", "expressions", "text"),
    [
        ("serious", ["smiling", "smiling"], "Asked to be serious twice: smiles twice."),
        ("neutral", ["slight smile"], "Asked to be serious once: smiles once."),
        (
            "serious",
            ["serious", "smiling", ""],
            "Asked to be serious 3 times: serious once, smiles once, not clear once.",
        ),
        ("smiling", ["serious", "slight smile"], "Asked to smile twice: smiling once, serious once."),
        ("serious", ["serious", ""], None),
        ("smiling", ["smiling"], None),
        ("surprised", ["smiling"], None),
    ],
)
def test_expressions_are_compared_with_what_was_asked(value, expressions, text):
    assert [one.text for one in missed(wants(value, *expressions))] == ([text] if text else [])


@pytest.mark.parametrize("changes", [{"px": 0}, {"px": 30.0}, {"reason": "asked for as a painting"}])
def test_nothing_is_said_of_a_face_that_cannot_be_judged(changes):
    assert missed(turned(0.0, **changes)) == []
    _, asked, score = turned(0.0, **changes)[0]
    assert remarks(asked, score) == []


def test_each_picture_says_what_it_lacks():
    _, asked, score = seen("turned", ["expression: serious"], yaw=0.1, expression="smiling")
    assert remarks(asked, score) == ["asked to turn the head, looks ahead", "asked to be serious, smiles"]


def test_the_prompts_of_the_grid_ask_in_these_words():
    """4 to turn, 2 to be serious, 2 to smile: another word in the prompts would silence a sentence."""
    cells = [(one.name, Asked(one.name, one.framing, one.angle, one.attributes)) for one in PROMPTS]
    face = Quality(120.0, 0.9, 300.0, 0.0, expression="serious")
    lines = [one.text for one in missed([(name, asked, ImageScore(name, 0.7, "", 1, face)) for name, asked in cells])]
    assert lines == [
        "Asked to turn the head 4 times: looks ahead 4 times.",
        "Asked to smile twice: serious twice.",
    ]
    face = Quality(120.0, 0.9, 300.0, 0.9, expression="smiling")
    lines = [one.text for one in missed([(name, asked, ImageScore(name, 0.7, "", 1, face)) for name, asked in cells])]
    assert lines == ["Asked to be serious twice: smiles twice."]


def sight(yaw, colour, expression="smiling"):
    """A picture of a head turned that far before one colour."""
    face = Quality(120.0, 0.9, 300.0, yaw, expression=expression)
    around = np.zeros(128, np.float32)
    around[colour] = 1.0
    return Measured(ImageScore("a.png", 0.7, "", 1, face), surroundings=around)


ASKED = [Asked(str(n), angle="turned" if n % 2 else "front", attributes=("expression: smiling",)) for n in range(8)]
BASE = [sight(0.6 if n % 2 else 0.0, n) for n in range(8)]


def test_a_set_that_does_what_the_base_model_does_follows_its_prompts():
    found = followed(PictureSet(BASE, ASKED, base=BASE))
    assert (found.judgeable, found.given, found.judgeable_base, found.given_base) == (12, 12, 12, 12)
    assert (found.turning, found.scene, found.followed) == pytest.approx((1, 1, 1))


def test_one_pose_before_one_wall_follows_no_prompt():
    one = [sight(0.02 * (n % 3 - 1), 100, "serious") for n in range(8)]
    found = followed(PictureSet(one, ASKED, base=BASE))
    assert (found.judgeable, found.given) == (12, 0)
    assert found.turning < 0.05
    assert found.scene == pytest.approx(0, abs=1e-6)
    assert found.followed < 0.05


def test_half_as_far_is_half():
    half = [sight(0.3 if n % 2 else 0.0, n) for n in range(8)]
    found = followed(PictureSet(half, ASKED, base=BASE))
    assert found.turning == pytest.approx(0.5)
    assert found.scene == pytest.approx(1)
    assert found.given == 8  # 0.3 is not yet turned
    assert found.followed == pytest.approx((8 / 12 + 0.5 + 1) / 3)


def test_what_the_base_model_does_not_do_cannot_be_asked_of_a_lora():
    still = [sight(0.0, n, "serious") for n in range(8)]
    found = followed(PictureSet(still, ASKED, base=still))
    assert found.turning is None
    assert found.given_base == 0
    assert (found.scene, found.followed) == (pytest.approx(1), None)  # one measure alone says too little


def test_without_base_pictures_nothing_is_said_of_prompts():
    assert followed(PictureSet(BASE, ASKED)).followed is None
    assert followed(PictureSet(BASE[:4], ASKED[:4], base=BASE[:4])).followed is None
