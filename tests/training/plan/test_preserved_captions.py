"""With which captions output preservation asks."""

from random import Random

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character
from lib_lora.training.plan.preserved_captions import (
    PHRASES,
    anybody,
    calls,
    captions_needed,
    free_caption,
    joined,
    most_captions,
    own_first,
    painted_captions,
    phrase_prompts,
    phrases_for,
)

MARA = Character("Mara", "mrxa", "woman")


def test_no_caption_calls_the_character_and_all_that_can_come_are_known_before():
    random = Random(1)
    captions = ["photo of mrxa woman, outdoors", ""]
    known = captions_needed(captions, [MARA])
    for caption in captions:
        given = [free_caption(caption, [MARA], random) for _ in range(2000)]
        assert set(given) <= set(known)
        assert not [text for text in given if calls(text, [MARA])]
        own = without_character(caption, MARA)
        assert 400 < given.count(own) < 600  # a quarter
        assert set(anybody([MARA])) < set(given)
        assert {joined(own, phrase) for phrase in phrases_for(caption)} < set(given)


def test_a_caption_that_brings_the_person_without_the_trigger_is_never_kept_free_of_them():
    random = Random(2)
    given = {free_caption("photo of the woman, smiling", [MARA], random) for _ in range(500)}
    assert given == set(anybody([MARA]))


def test_every_phrase_is_asked_for_of_anybody_and_of_some_photo():
    assert all(any(caption.endswith(phrase) for caption in anybody([MARA])) for phrase in PHRASES)
    of_photos = {phrase for number in range(40) for phrase in phrases_for(f"photo of mrxa woman, tag {number}")}
    assert of_photos == set(PHRASES)
    assert joined("", "smiling") == "smiling"


def test_a_name_that_is_the_trigger_calls_nobody_else():
    anna = Character("Anna", "anna", "woman")
    assert not [caption for caption in anybody([anna]) if calls(caption, [anna])]
    assert len(anybody([anna])) < len(anybody([MARA]))


def test_no_more_captions_are_needed_than_the_estimate_counts():
    captions = [f"photo of mrxa woman, tag {number}" for number in range(7)]
    assert len(captions_needed(captions, [MARA])) <= most_captions(7)
    assert len(captions_needed(captions, [MARA])) > 0.8 * most_captions(7)


def test_each_phrase_is_asked_for_beside_the_trigger_and_beside_the_class_word():
    prompts = phrase_prompts([MARA])
    assert [one.ours for one in prompts] == [f"photo of mrxa woman, {phrase}" for phrase in PHRASES]
    assert [one.of_base for one in prompts] == [f"photo of woman, {phrase}" for phrase in PHRASES]


def test_neither_traits_nor_the_trigger_are_beside_a_phrase_of_the_base():
    red = Character("Red", "red", "woman", traits=["light hair"])
    prompts = phrase_prompts([red])
    assert {phrase for phrase in PHRASES if "red" in phrase.split()} == {"in a red coat"}
    assert len(prompts) == len(PHRASES) - 1
    assert "photo of red woman, dark hair" in [one.ours for one in prompts]
    assert not [one for one in prompts if calls(one.of_base, [red])]


def test_of_several_characters_none_is_called_and_each_photo_has_the_class_word_of_its_own():
    tomas, anna = Character("Tomas", "toxm", "man"), Character("Anna", "anna", "person")
    ordered = own_first([MARA, tomas, anna])
    assert ordered == {"": [MARA, tomas, anna], "Tomas": [tomas, MARA, anna], "Anna": [anna, MARA, tomas]}
    together, random = ordered["Tomas"], Random(3)
    captions = ["photo of toxm man, outdoors", "photo of mrxa woman and toxm man"]
    known = captions_needed(captions, together)
    given = [free_caption(caption, together, random) for caption in captions for _ in range(2000)]
    assert set(given) <= set(known)
    assert {"photo of man, outdoors", "photo of woman and man", "photo of maria man"} < set(given)
    assert not [text for text in given if any(word in text.split() for word in ("toxm", "mrxa", "anna"))]
    assert {one.ours.split(",")[0] for one in phrase_prompts(together)} == {"photo of toxm man"}
    assert {one.of_base.split(",")[0] for one in phrase_prompts(together)} == {"photo of man"}
    each = [captions_needed([f"photo of {some[0].called}"], some) for some in ordered.values()]
    assert sum(map(len, each)) <= most_captions(3, 3)


def test_what_the_base_paints_is_asked_for_by_captions_that_are_known_before():
    tomas = Character("Tomas", "toxm", "man")
    photos = [(f"photo of mrxa woman, tag {number}", "") for number in range(3)]
    photos += [(f"photo of toxm man, tag {number}", "Tomas") for number in range(3, 5)]
    found = painted_captions(photos, [MARA, tomas], Random, 200)
    ordered = own_first([MARA, tomas])
    known = {name: captions_needed([text for text, of in photos if of == name], ordered[name]) for name in ordered}
    assert set(found) <= {*known[""], *known["Tomas"]}
    assert {"photo of woman, tag 1", "photo of man, tag 4"} <= set(found)
    assert found[:50] == painted_captions(photos, [MARA, tomas], Random, 50)
    assert len(set(found)) > 50
