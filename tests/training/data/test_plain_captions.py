"""What a picture is called when the person shall not be called."""

from random import Random

import pytest

from lib_lora.character.store import Character
from lib_lora.training.data.plain_captions import captions_needed, plain_caption, plain_captions, without_trigger

MARA = Character("Mara", "mrxa", "woman")


@pytest.mark.parametrize(
    ("caption", "plain"),
    [
        ("photo of mrxa woman, smiling", "photo of woman, smiling"),
        ("photo of mrxa", "photo of woman"),
        ("MRXA in a garden, mrxa's hat", "woman in a garden, woman's hat"),
        ("photo of mrxa  woman", "photo of woman"),
        ("photo of mrxa womanly figure", "photo of woman womanly figure"),
        ("photo of mrxastic woman", "photo of mrxastic woman"),
        ("", ""),
    ],
)
def test_the_class_word_stands_where_the_trigger_was(caption, plain):
    assert without_trigger(caption, "mrxa", "woman") == plain


def test_triggers_and_class_words_are_taken_as_they_are_written():
    assert without_trigger(r"photo of a.b* woman, a1b* woman", "a.b*", "woman") == "photo of woman, a1b* woman"
    assert without_trigger("photo of mrxa", "mrxa", r"g\1irl") == r"photo of g\1irl"
    assert without_trigger("photo of anna lena woman", "anna lena", "woman") == "photo of woman"


def test_a_third_are_called_by_plain_captions_and_all_that_can_come_is_known_before():
    random = Random(1)
    captions = ["photo of mrxa woman, smiling", ""]
    known = captions_needed(captions, MARA)
    for caption in captions:
        given = [plain_caption(caption, MARA, random) for _ in range(600)]
        assert set(given) <= set(known)
        own = without_trigger(caption, "mrxa", "woman")
        assert 340 < given.count(own) < 460
        assert set(plain_captions(MARA)) < set(given)


def test_a_caption_that_brings_the_person_without_the_trigger_is_never_kept_free_of_them():
    random = Random(2)
    given = {plain_caption("photo of a woman, smiling", MARA, random) for _ in range(100)}
    assert given == set(plain_captions(MARA))
