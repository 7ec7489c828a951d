"""A message in English, for programs, and at the beginning of a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib_lora.messages.message import Message, recognised

PARTS = [Message("{n} like {like}", {"n": 2, "like": "a.jpg"}), Message("none")]


def test_values_are_filled_in_as_python_writes_them() -> None:
    message = Message("{share:.0%}, {more:,}{tail}", {"share": 0.455, "more": 1200, "tail": Message(" of it"), "x": 1})
    assert str(message) == "46%, 1,200 of it"
    assert str(Message("{parts}.", {"parts": PARTS})) == "2 like a.jpg, none."
    assert str(Message("{parts}.", {"parts": []})) == "."


@pytest.mark.parametrize(
    ("translation", "said"),
    [
        ("von {of} gut: {n:.1f} ({part})", "von 3 gut: 2.0 (keine)"),
        ("", "2.0 of 3: keine"),
        ("{n} von {of}: {part}", "2.0 of 3: keine"),  # another format
        ("{of.real} {n:.1f} {part}", "2.0 of 3: keine"),
        ("{n:.1f} {", "2.0 of 3: keine"),
    ],
)
def test_it_is_said_in_another_language(translation: str, said: str) -> None:
    message = Message("{n:.1f} of {of}: {part}", {"n": 2, "of": 3, "part": Message("none")})
    assert message.translated({"{n:.1f} of {of}: {part}": translation, "none": "keine"}) == said
    assert message.translated({}) == "2.0 of 3: none"


def test_for_programs_it_is_plain_values_and_only_those_that_it_names() -> None:
    plain = Message("{parts}: {n:.2f}", {"parts": PARTS, "n": 0.5, "other": object()}, "some-code").for_programs()
    first, second = ({"code": "", "template": one.template, "values": {**one.values}} for one in PARTS)
    assert plain == {
        "code": "some-code",
        "template": "{parts}: {n:.2f}",
        "values": {"parts": [first, second], "n": 0.5},
    }
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("only 7 of 8 (a.jpg)", {"n": "7", "of": "8 (a.jpg)"}),
        ("only 7 of 8 of 9", {"n": "7", "of": "8 of 9"}),
        ("only {n} of {of}", {"n": "{n}", "of": "{of}"}),
        ("only 7\nof 8 of 9", {"n": "7\nof 8", "of": "9"}),
    ],
)
def test_a_sentence_that_was_kept_becomes_a_message_again(text: str, values: dict[str, str]) -> None:
    found = recognised(text, ("(none)", "only {n} of {of}"))
    assert found == Message("only {n} of {of}", values)
    assert str(found) == text


@pytest.mark.parametrize("text", ["", "Only 7 of 8", "only  of 8", "only 7", "none", "(none)."])
def test_any_other_sentence_stays_as_it_is(text: str) -> None:
    assert recognised(text, ("(none)", "only {n} of {of}")) == text
    assert recognised("(none)", ("(none)",)) == Message("(none)")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Message("turned heads"), "Turned heads"),
        (Message("{why}.", {"why": "only 3 photos"}), "Only 3 photos."),
        (Message("{kept} is kept", {"kept": Message("half of it")}), "Half of it is kept"),
        (Message("{n} of 3", {"n": 2}), "2 of 3"),
        (Message(""), ""),
    ],
)
def test_it_can_begin_a_sentence(message: Message, said: str) -> None:
    assert str(message.capitalised()) == said


@pytest.mark.parametrize("text", ["{0}", "{n}", "{n.__class__}", "%s", "{", "}}", "$&"])
def test_a_value_is_never_looked_at_again(text: str) -> None:
    assert str(Message("{n}|{text}|{part}", {"n": 1, "text": text, "part": Message("{x}", {"x": text})})) == (
        f"1|{text}|{text}"
    )


def test_a_value_that_is_missing_is_a_fault() -> None:
    with pytest.raises(KeyError):
        str(Message("{n}"))


def test_the_examples_that_the_tab_is_tested_with_are_todays() -> None:
    """tests/javascript/texts.test.js says them and expects the same English."""
    maker = Path(__file__).parents[1] / "javascript" / "make_messages.py"
    made = subprocess.run([sys.executable, maker, "-"], capture_output=True, encoding="utf-8", check=True).stdout
    kept = maker.with_name("messages.json").read_text(encoding="utf-8")
    assert json.loads(made) == json.loads(kept), f"run: python {maker.relative_to(maker.parents[2])}"
