"""Captions as bytes from anywhere."""

from types import SimpleNamespace

import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.character import caption_files
from lib_lora.character.store import Character
from lib_lora.errors import UserError


@given(st.binary(max_size=400))
def test_any_bytes_are_a_caption_or_one_sentence(raw):
    text, said = None, ""
    try:
        text = caption_files.decode(raw, "a.txt")
    except UserError as error:
        said = str(error)
    assert said == "" or said.startswith("a.txt is not a caption")
    assert text is None or (text == " ".join(text.split()) and "\0" not in text)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_captions_come_back_from_every_usual_encoding(text):
    text = " ".join(text.replace("\ufeff", "").split())
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert caption_files.decode(text.encode(encoding), "a.txt") == (text or None)
    assert caption_files.decode("Größe: mrxa, café".encode("cp1252"), "a.txt") == "Größe: mrxa, café"


def test_a_caption_that_is_none_is_named():
    for raw in (b"\0", b"a\0b", b"x" * 100_001, b"\xff\xfe\0\0a\0\0\0"):
        with raises("caption-unreadable", has="a.txt"):
            caption_files.decode(raw, "a.txt")


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
    assert caption_files.without_character(caption, Character("Mara", "mrxa", "woman")) == plain


@pytest.mark.parametrize(
    ("caption", "trigger", "class_word", "plain"),
    [
        ("photo of a.b woman, axb woman", "a.b", "woman", "photo of woman, axb woman"),
        ("photo of mrxa", "mrxa", r"g\1irl", r"photo of g\1irl"),
        ("photo of anna lena woman", "anna lena", "woman", "photo of woman"),
    ],
)
def test_triggers_and_class_words_are_taken_as_they_are_written(caption, trigger, class_word, plain):
    # past the checks of `Character`, which refuse some of these
    character = SimpleNamespace(trigger=trigger, class_word=class_word)
    assert caption_files.without_character(caption, character) == plain
