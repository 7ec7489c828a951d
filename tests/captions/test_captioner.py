"""Sentences and tags of captioners as phrases: what may change stays, the person and the permanent go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.captions import permanent, phrases
from lib_lora.captions.captioner import LONGEST, MOST, of_sentence, of_tags


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "a woman with long brown hair wearing a red coat standing in front of a building",
            ["wearing a red coat", "standing in front of a building"],
        ),
        (
            "arafed woman in a white shirt and black pants posing for a picture",
            ["in a white shirt and black pants", "posing for a picture"],
        ),
        (
            "there is a woman that is sitting on a bench with her hand on her chin",
            ["sitting on a bench", "with her hand on her chin"],
        ),
        ("a close up of a young woman with blue eyes and a red scarf", ["with a red scarf"]),
        (
            "a beautiful asian woman in a black and white dress holding a cup of coffee in her hand",
            ["in a black and white dress", "holding a cup of coffee"],
        ),
        ("a man with a beard and glasses wearing a t - shirt", ["with glasses", "wearing a t-shirt"]),
        ("smiling woman with long black and brown hair and a smile on her face", ["smiling", "with a smile"]),
        ("a 25 year old woman with freckles and a nose ring", ["with a nose ring"]),
        (
            "a woman looking at the camera with a building in the background",
            ["looking at the camera", "with a building in the background"],
        ),
        (
            "a woman in a red dress standing next to an elderly handsome man in front of an old house",
            ["in a red dress", "standing next to a man", "in front of an old house"],
        ),
        (
            "araffed image of a woman with a hat on her head and a pair of sunglasses",
            ["with a hat", "a pair of sunglasses"],
        ),
        ("a woman swimming in a pool", ["swimming in a pool"]),
        ("a woman wearing running shoes and a hat and a hat and a hat", ["wearing running shoes and a hat"]),
        ("a woman's face with a dark background", ["with a dark background"]),
        ("a woman with her hair in a bun", ["in a bun"]),
        ("woman in a t-shirt with the words love on it", ["in a t-shirt"]),
        ("a woman wearing an attractive hat for an hour in a uniform", ["wearing a hat for an hour", "in a uniform"]),
        ("a man holding a picture of a cat", ["holding a picture of a cat"]),
        (
            "arafed woman with blonde hair and a white shirt smiling at the camera",
            ["with a white shirt", "smiling at the camera"],
        ),
        ("a man in a black jacket leans against a wall", ["in a black jacket", "leaning against a wall"]),
        ("a beautiful young woman sits in a chair by a window", ["sitting in a chair", "by a window"]),
        ("a woman with a nose piercing and a choker", ["with a nose piercing and a choker"]),
        ("a woman in a blue shirt has her arms crossed", ["in a blue shirt", "with her arms crossed"]),
        ("a woman with a tattoo on her arm", []),
        ("a girl", []),
        ("", []),
    ],
)
def test_a_sentence_becomes_what_may_change(sentence: str, expected: list[str]) -> None:
    assert of_sentence(sentence) == expected


def test_hair_stays_where_it_is_asked_for() -> None:
    sentence = "a woman with long brown hair and green eyes wearing a hat"
    assert of_sentence(sentence, keep_hair=True) == ["with long brown hair", "wearing a hat"]
    assert of_tags("long_hair, brown_hair, green_eyes, hat", keep_hair=True) == ["long hair", "brown hair", "hat"]


def test_tags_lose_their_marks_and_the_person() -> None:
    tags = "1girl, solo, brown_eyes, red_coat, looking_at_viewer, (smile:0.9)"
    assert of_tags(tags) == ["red coat", "looking at viewer", "smile"]
    assert of_tags(tags.split(",")) == of_tags(tags)


DROPPED = (
    "2boys,6+girls,multiple girls,long_hair,hair,facial_hair,blue eyes,large_breasts,dark skin,dark-skinned_female,"
    "mature_female,old_man,asian,mole_under_eye,round_face,lips,rating:safe,:d,o_o,^_^,beautiful,child,portrait,"
    "watermark,1other,heterochromia,(1girl:1.2)"
)


@pytest.mark.parametrize("tag", DROPPED.split(","))
def test_a_tag_of_the_permanent_is_dropped(tag: str) -> None:
    assert of_tags(tag) == []


@pytest.mark.parametrize(
    ("tag", "phrase"),
    [
        ("hair_ornament", "hair ornament"),
        ("wet_hair", "wet hair"),
        ("ponytail", "ponytail"),
        ("closed_eyes", "closed eyes"),
        (r"hat_\(cosplay\)", "hat cosplay"),
        ("((red_coat:1.3))", "red coat"),
        ("[umbrella]", "umbrella"),
        ("face_paint", "face paint"),
        ("t-shirt", "t-shirt"),
        ("black_hat", "black hat"),
    ],
)
def test_a_tag_of_what_may_change_stays(tag: str, phrase: str) -> None:
    assert of_tags(tag) == [phrase]


GLUE = (
    "a an the and with in on at of her hair eyes face lips hat coat wearing standing in front hand chin 's - , ( ) [ ] "
    "{ } : 0.9 arafed close up picture background 1girl solo _ \\ \n < > | 25 years old who is"
)
WORDS = [*sorted(permanent.PERSONS | permanent.COLOURS | permanent.OF_PERSONS), *GLUE.split(" ")]
TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join), st.lists(st.sampled_from(WORDS)).map("_".join)
)


@given(TEXTS, st.booleans())
def test_whatever_is_said_makes_clean_phrases(text: str, keep_hair: bool) -> None:
    for found in (of_sentence(text, keep_hair), of_tags(text, keep_hair), of_tags([text, text], keep_hair)):
        assert len(found) <= MOST
        assert len({phrases.key(phrase) for phrase in found}) == len(found)
        assert phrases.split(phrases.join(found)) == found
        for phrase in found:
            assert 1 < len(phrase) <= LONGEST
            assert not set(phrase) & set(',\n\r\t()[]{}<>|:\\"_')
            assert phrase == phrase.strip()


@given(st.sampled_from(sorted(permanent.COLOURS)), st.sampled_from(["eyes", "hair"]))
def test_the_colour_of_eyes_and_hair_is_never_said(colour: str, what: str) -> None:
    assert of_sentence(f"a woman with {colour} {what} wearing a hat") == ["wearing a hat"]
    assert of_sentence(f"a woman with a scarf and {colour} {what}") == ["with a scarf"]
    assert of_tags(f"{colour}_{what}, hat") == ["hat"]


def test_a_captioner_gone_astray_is_cut() -> None:
    assert of_sentence("wearing a hat and " * 5000) == ["wearing a hat"]
    assert len(of_tags([f"thing number {number}" for number in range(1000)])) == MOST
    assert of_sentence("x" * 500) == []
    assert len(of_sentence("wearing " + "very " * 50 + "big hats")[0]) <= LONGEST
