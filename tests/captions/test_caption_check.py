"""Warnings about captions."""

from lib_lora.captions.caption_check import problems
from lib_lora.character.store import Character, declare_consent

MARA = Character("Mara", "mrxa", "woman", declare_consent("fictional"), traits=["brown eyes"])


def photos(count, caption="photo of mrxa woman, brown eyes"):
    return {f"{number:02}.jpg": f"{caption}, place {number}" for number in range(count)}


def codes(captions):
    return [problem.code for problem in problems(captions, MARA)]


def test_good_captions_have_no_problem():
    assert codes(photos(24)) == []
    assert codes({}) == []


def test_each_problem_names_its_photo():
    found = problems({**photos(3), "none.jpg": " ", "other.jpg": "a woman", "long.jpg": "mrxa" + ", red" * 40}, MARA)
    assert [problem.photo for problem in found] == ["none.jpg", "other.jpg", "long.jpg"]
    assert [problem.code for problem in found] == ["caption-missing", "trigger-missing", "too-many-tokens"]
    assert found[1].command == ("caption", "Mara", "--add", "mrxa woman", "--place", "0")
    assert (found[2].details["tokens"] > 75, found[2].details["limit"]) == (True, 75)


def test_the_same_caption_everywhere_is_one_problem():
    (problem,) = problems(dict.fromkeys(photos(8), "photo of mrxa woman"), MARA)
    assert (problem.code, problem.details, problem.command) == ("captions-identical", {"captions": 8}, ())
    plain = "photo of mrxa woman, brown eyes"  # says nothing of the photos, which filling would mend
    (problem,) = problems(dict.fromkeys(photos(8), plain), MARA)
    assert (problem.code, problem.command) == ("captions-identical", ("caption", "Mara", "--fill"))


def test_a_phrase_in_nearly_every_caption_is_reported_but_not_the_characters_own():
    with_hat = {name: f"{text}, Hat" for name, text in photos(20).items()}
    (problem,) = problems(with_hat, MARA)
    assert problem.code == "constant-phrases"
    assert problem.details == {"phrases": "'Hat'", "captions": 20}
    smiling = {name: f"{text}, Smiling, close-up" for name, text in with_hat.items()}
    others, expression = problems(smiling, MARA)
    assert (others.code, others.details["phrases"]) == ("constant-phrases", "'Hat', 'close-up'")
    assert (expression.code, expression.details["phrase"]) == ("constant-expression", "Smiling")
    with_hat |= {f"{n}.png": "mrxa woman" for n in range(3)}
    assert codes(with_hat) == []
    assert codes(dict(list(with_hat.items())[:7])) == []
