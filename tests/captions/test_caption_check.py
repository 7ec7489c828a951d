"""Warnings about captions."""

from lib_lora.captions.caption_check import problems
from lib_lora.character.store import Character, declare_consent

MARA = Character("Mara", "mrxa", "woman", declare_consent("fictional"), traits=["brown eyes"])


def photos(count, caption="photo of mrxa woman, brown eyes"):
    return {f"{number:02}.jpg": f"{caption}, place {number}" for number in range(count)}


def texts(captions):
    return [problem.text for problem in problems(captions, MARA)]


def test_good_captions_have_no_problem():
    assert texts(photos(24)) == []
    assert texts({}) == []


def test_each_problem_names_its_photo():
    found = problems({**photos(3), "none.jpg": " ", "other.jpg": "a woman", "long.jpg": "mrxa" + ", red" * 40}, MARA)
    assert [problem.photo for problem in found] == ["none.jpg", "other.jpg", "long.jpg"]
    assert found[0].text == "none.jpg has no caption."
    assert "lacks the trigger 'mrxa'" in found[1].text
    assert "tokens; what is beyond 75" in found[2].text


def test_a_phrase_in_nearly_every_caption_is_told_but_not_the_characters_own():
    with_hat = {name: f"{text}, Hat" for name, text in photos(20).items()}
    (said,) = texts(with_hat)
    assert said.startswith("'Hat' is in 20 of 20 captions")
    with_hat |= {f"{n}.png": "mrxa woman" for n in range(3)}
    assert texts(with_hat) == []
    assert texts(dict(list(with_hat.items())[:7])) == []
