"""Lists of prompts of any encoding and size, and wildcards in them."""

import random

import pytest
from faults import raises

from lib_lora.workflows.produce.prompts import prompt_list
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow, parse, read_prompts
from lib_lora.workflows.produce.prompts.wildcards import Wildcards

pytestmark = pytest.mark.once("it uses the standard library alone")
LINES = "a café, 名前\n\n# not this one\n  in a   red coat \n"
TEXTS = ["a café, 名前", "in a red coat"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark"])
def test_any_encoding(tmp_path, encoding):
    path = tmp_path / "prompts.txt"
    text = LINES.replace("\n", "\r\n")
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-mark" else text.encode(encoding))
    assert [row.prompt for row in read_prompts(path)] == TEXTS


def test_a_text_of_an_old_windows_program(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("ein Café – schön".encode("cp1252"))
    assert read_prompts(path) == [PromptRow("ein Café – schön")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table(separator):
    text = separator.join(["Prompt", "negative prompt", "seed", "size", "weight", "steps", "cfg scale"])
    text += "\n" + separator.join(['"a, b; c"', "blurry", "7", "512x768", "0.8", "30", "5.5"])
    text += "\n" + separator.join(["plain", "", "", "", "", "", ""]) + "\n\n# no\n" + "short\n"
    assert parse(text, "x") == [
        PromptRow("a, b; c", "blurry", 7, 512, 768, 0.8, 30, 5.5),
        PromptRow("plain"),
        PromptRow("short"),
    ]


def test_a_prompt_with_commas_is_no_table():
    assert parse("prompt, more prompt\nother, text", "x") == [
        PromptRow("prompt, more prompt"),
        PromptRow("other, text"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "prompts-empty"),
        ("\n# only this\n", "prompts-empty"),
        ("a\0b", "prompts-unreadable"),
        ("x" * 8001, "prompts-line-wrong"),
        ("prompt,seed\na,-1", "prompts-line-wrong"),
        ("prompt,seed\na,1.5", "prompts-line-wrong"),
        ("prompt,seed\na,4294967296", "prompts-line-wrong"),
        ("prompt,weight\na,nan", "prompts-line-wrong"),
        ("prompt,weight\na,3", "prompts-line-wrong"),
        ("prompt,size\na,512", "prompts-line-wrong"),
        ("prompt,size\na,510x512", "prompts-line-wrong"),
        ("prompt,width\na,99999", "prompts-line-wrong"),
        ("prompt,seed\n,1", "prompts-line-wrong"),
        ("prompt,seed\na,1,2,3", "prompts-line-wrong"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, code):
    with raises(code):
        parse(text, "x")


def test_too_much(tmp_path, monkeypatch):
    path = tmp_path / "prompts.txt"
    path.write_text("abc\n" * 10, encoding="utf-8")
    monkeypatch.setattr(prompt_list, "MOST_ROWS", 9)
    with raises("prompts-too-many"):
        read_prompts(path)
    monkeypatch.setattr(prompt_list, "MOST_BYTES", 9)
    with raises("prompts-too-large"):
        read_prompts(path)
    with raises("file-missing"):
        read_prompts(tmp_path / "none")


@pytest.fixture
def cards(tmp_path):
    (tmp_path / "places").mkdir()
    (tmp_path / "places" / "far.txt").write_text("a beach\n# no\n\na __colour__ desert\n", encoding="utf-8")
    (tmp_path / "colour.txt").write_bytes(b"\xef\xbb\xbfred\nblue\n")
    (tmp_path / "circle.txt").write_text("x __circle__", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n#\n", encoding="utf-8")
    (tmp_path.parent / "secret.txt").write_text("secret", encoding="utf-8")
    return Wildcards([tmp_path / "not there", tmp_path])


def test_wildcards_are_filled_and_alike_again(cards):
    filled = {cards.fill("at __places/far__, {a|b {c|d}} hat", random.Random(n)) for n in range(200)}
    places = ["a beach", "a red desert", "a blue desert"]
    assert filled == {f"at {place}, {hat} hat" for place in places for hat in ("a", "b c", "b d")}
    assert cards.fill("__colour__ {1|2|3}", random.Random(5)) == cards.fill("__colour__ {1|2|3}", random.Random(5))


def test_weights_of_choices(cards):
    found = [cards.fill("{9::often|1::rare|0::never}", random.Random(n)) for n in range(500)]
    assert found.count("never") == 0
    assert 20 < found.count("rare") < 100


def test_each_name_is_chosen_for_itself(cards):
    found = {cards.fill("__colour__ __colour__", random.Random(n)) for n in range(50)}
    assert found == {"red red", "red blue", "blue red", "blue blue"}


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("__nothing__", "wildcard-unknown"),
        ("__../secret__", "wildcard-name-invalid"),
        ("__/etc/passwd__", "wildcard-name-invalid"),
        ("__empty__", "wildcard-empty"),
        ("__circle__", "wildcard-endless"),
    ],
)
def test_wildcards_that_cannot_be(cards, prompt, code):
    with raises(code):
        cards.fill(prompt, random.Random(1))


def test_they_are_looked_for_beforehand(cards):
    cards.check(["a __colour__ hat", "no wildcard", "snake__case__"][:2])
    with raises("wildcard-unknown"):
        cards.check(["a __colour__ hat", "__none__"])
