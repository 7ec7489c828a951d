"""Captions as bytes from anywhere."""

from faults import raises
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.character import caption_files
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
