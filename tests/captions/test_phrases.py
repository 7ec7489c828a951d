"""Editing captions: the laws that hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.captions import phrases

WORD = st.text(st.characters(codec="utf-8", exclude_characters=","), max_size=12)
CAPTION = st.lists(WORD, max_size=6).map(",".join)
PHRASE = WORD.filter(lambda word: word.strip())
PLACE = st.integers(-8, 8)


def keys(caption):
    return [phrases.key(one) for one in phrases.split(caption)]


@given(CAPTION)
def test_split_and_join_are_each_others_inverse(caption):
    parts = phrases.split(caption)
    assert phrases.split(phrases.join(parts)) == parts
    assert all(one == one.strip() and one for one in parts)


@given(CAPTION, PHRASE, st.none() | PLACE)
def test_what_is_added_is_there_once_more_at_most_and_the_others_stay(caption, phrase, place):
    edited = phrases.add(caption, phrase, place)
    assert phrases.key(phrase) in keys(edited)
    assert phrases.add(edited, phrase, place) == edited
    if phrases.key(phrase) not in keys(caption):
        assert keys(phrases.remove(edited, phrase)) == keys(caption)
        place = -1 if place is None else place
        if -len(keys(edited)) <= place < len(keys(edited)):
            assert keys(edited)[place] == phrases.key(phrase)


@given(CAPTION, PHRASE)
def test_what_is_removed_is_gone_and_nothing_else(caption, phrase):
    edited = phrases.remove(caption, phrase)
    assert keys(edited) == [one for one in keys(caption) if one != phrases.key(phrase)]
    assert phrases.remove(edited, phrase) == edited


@given(CAPTION, PHRASE, PHRASE)
def test_what_is_replaced_gives_its_place_to_the_other(caption, phrase, by):
    edited = phrases.replace(caption, phrase, by)
    if phrases.key(phrase) not in keys(caption):
        assert edited == caption
    else:
        assert phrases.key(by) in keys(edited)
        assert phrases.same(phrase, by) or phrases.key(phrase) not in keys(edited)
        assert set(keys(edited)) == (set(keys(caption)) - {phrases.key(phrase)}) | {phrases.key(by)}


@given(CAPTION, PHRASE, PLACE)
def test_what_is_moved_stands_where_it_was_put(caption, phrase, place):
    caption = phrases.add(caption, phrase)
    edited = phrases.move(caption, phrase, place)
    assert set(keys(edited)) == set(keys(caption))
    assert keys(phrases.remove(edited, phrase)) == keys(phrases.remove(caption, phrase))
    count = len(keys(edited))
    if -count <= place < count:
        assert keys(edited)[place] == phrases.key(phrase)


@given(st.dictionaries(WORD, CAPTION, max_size=5))
def test_frequencies_count_captions_not_words(captions):
    found = phrases.frequency(captions)
    assert [count for _, count in found] == sorted((count for _, count in found), reverse=True)
    for phrase, count in found:
        assert count == sum(phrases.key(phrase) in keys(caption) for caption in captions.values())
    assert {phrases.key(one) for one, _ in found} == {one for caption in captions.values() for one in keys(caption)}


def test_a_caption_that_is_not_changed_keeps_its_spelling():
    odd = " photo of mrxa woman ,smiling,, Smiling"
    assert phrases.add(odd, "SMILING") == odd
    assert phrases.remove(odd, "hat") == odd
    assert phrases.replace(odd, "hat", "cap") == odd
    assert phrases.move(odd, "hat", 0) == odd


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda text: phrases.add(text, "red coat, smiling, red coat", 1), "photo of mrxa woman, red coat, smiling"),
        (lambda text: phrases.add(text, "indoors"), "photo of mrxa woman, smiling, indoors"),
        (lambda text: phrases.remove(text, "smiling, hat"), "photo of mrxa woman"),
        (lambda text: phrases.replace(text, "Smiling", "serious, indoors"), "photo of mrxa woman, serious, indoors"),
        (lambda text: phrases.move(text, "smiling", 0), "smiling, photo of mrxa woman"),
    ],
)
def test_the_four_edits(edit, expected):
    assert edit("photo of mrxa woman, smiling") == expected


def test_only_what_changes_is_given_back():
    captions = {"a.jpg": "mrxa, smiling", "b.jpg": "mrxa"}
    assert phrases.change(captions, lambda text: phrases.remove(text, "smiling")) == {"a.jpg": "mrxa"}
    assert phrases.frequency(captions) == [("mrxa", 2), ("smiling", 1)]
