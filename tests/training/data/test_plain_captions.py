"""What a picture is called when the person shall not be called."""

from random import Random

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character
from lib_lora.training.data.plain_captions import captions_needed, plain_caption, plain_captions

MARA = Character("Mara", "mrxa", "woman")


def test_a_third_are_called_by_plain_captions_and_all_that_can_come_is_known_before():
    random = Random(1)
    captions = ["photo of mrxa woman, smiling", ""]
    known = captions_needed(captions, MARA)
    for caption in captions:
        given = [plain_caption(caption, MARA, random) for _ in range(600)]
        assert set(given) <= set(known)
        own = without_character(caption, MARA)
        assert 340 < given.count(own) < 460
        assert set(plain_captions(MARA)) < set(given)


def test_a_caption_that_brings_the_person_without_the_trigger_is_never_kept_free_of_them():
    random = Random(2)
    given = {plain_caption("photo of a woman, smiling", MARA, random) for _ in range(100)}
    assert given == set(plain_captions(MARA))
