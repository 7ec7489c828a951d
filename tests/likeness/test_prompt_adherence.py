"""What was asked for and not given, from made-up measurements."""

import pytest

from lib_lora.faces.face import Quality
from lib_lora.grid.prompts import PROMPTS
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.verdict.facts import Asked
from lib_lora.likeness.verdict.prompt_adherence import missed, remarks


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
