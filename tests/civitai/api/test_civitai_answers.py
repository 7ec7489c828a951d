"""Answers are read without being trusted: types, sizes, letters; ten thousand that were made at random."""

from __future__ import annotations

import json
import random
import string
from dataclasses import fields, is_dataclass

import pytest
from fake_civitai import HTML, file_row, model_row, version_row

from lib_lora.civitai.api.civitai_answers import error_of, is_web_page, model_of, parsed, version_of
from lib_lora.civitai.file_names import numbered, safe_name
from lib_lora.civitai.licence_lights import LIGHTS
from lib_lora.civitai.model_lookup import FoundModel

ROUNDS = 10_000
_JUNK = [
    None,
    True,
    -1,
    0,
    2**31,
    10**17,
    1.5,
    1e300,
    "",
    "x" * 10_000,
    "../../etc/passwd",
    "C:\\Windows\\x.safetensors",
    "\x1b[31m\x00\u202e\ud800",
    "<script>alert(1)</script>",
    "{Image,Rent}",
    "Sell",
    "file:///etc/passwd",
    [],
    {},
    [[[[]]]],
    {"a": {"b": []}},
    ["Image", 5, None],
    [{}] * 50,
]


def test_a_version_is_read():
    content = b"abc"
    images = [
        {"url": "https://image.example/1.jpeg", "type": "image", "nsfwLevel": 1},
        {"url": "https://image.example/ü", "nsfwLevel": 1},
        {"url": 5},
        "x",
    ]
    row = version_row(files=[file_row(content, hashes={"SHA256": "ab" * 32, "AutoV3": "A" * 12})], images=images)
    found = version_of(parsed(json.dumps(row).encode()))
    assert (found.id, found.model, found.name, found.model_name, found.base) == (501, 401, "v1", "Ink style", "SD 1.5")
    assert found.words == ("style of x",)  # a LoRA's call is none
    assert (found.files[0].sha256, found.files[0].autov3, found.files[0].bytes) == ("AB" * 32, "A" * 12, 3)
    assert [one.url for one in found.pictures] == ["https://image.example/1.jpeg"]
    assert (found.has("ab" * 32), found.has("AAAAAAAAAAAA"), found.has("B" * 12)) == (True, True, False)
    assert version_of(version_row()).has("ab" * 32) is None


@pytest.mark.parametrize(
    ("word", "left"),
    [
        ("<lo<a>ra:evil:1>", "lora:evil:1"),
        ("<<lora:x:1>lora:evil:1>", "lora:evil:1"),
        ("<" + "x" * 199, "x" * 199),
        ("ink > pen, <lora:x:1>", "ink pen"),
        ("<lora:x:1>", None),
    ],
)
def test_no_trained_word_calls_a_lora(word, left):
    assert version_of(version_row(trainedWords=[word])).words == ((left,) if left else ())


def test_a_model_is_read():
    found = model_of(model_row(modelVersions=[version_row(1), {"id": "x"}, version_row(2)], minor=None, poi="no"))
    assert (found.id, found.name, found.creator, found.kind) == (401, "Ink style", "inka", "LORA")
    assert [one.id for one in found.versions] == [1, 2]
    assert (found.minor, found.poi, found.nsfw, found.level) == (None, None, False, 1)
    assert found.permissions.known


@pytest.mark.parametrize("row", [None, [], "x", 5, {}, {"id": 0}, {"id": -5}, {"id": "5"}, {"id": 2**40}, {"id": True}])
def test_what_is_no_model_is_none(row):
    assert version_of(row) is None
    assert model_of(row) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 200_000, b"\xff\xfe", b'{"id": 1e999}', b'{"id": NaN}', b"[" + b"9" * 5000 + b"]", HTML],
)
def test_what_is_no_json_is_none(content):
    assert parsed(content) is None


def test_refusals_are_read():
    body = json.dumps({"error": "Early Access", "deadline": "2026-12-24T10:00:00.000Z"}).encode()
    assert error_of(body) == ("Early Access", "2026-12-24")
    assert error_of(b'{"error": "Unauthorized", "message": "log in"}') == ("log in", "")
    assert error_of(b'{"deadline": "<b>"}') == error_of(b"[]") == error_of(HTML) == ("", "")
    assert is_web_page(HTML)
    assert is_web_page(b"\n <html>")
    assert not is_web_page(b'{"a": "<"}')


def _text(randomness):
    return "".join(randomness.choice(string.printable + "ü名\x1b\u202e") for _ in range(randomness.randrange(30)))


def _mutated(value, randomness):
    """A value with some of it replaced, taken away or doubled."""
    roll = randomness.random()
    if roll < 0.05:
        return randomness.choice(_JUNK)
    if roll < 0.07:
        return _text(randomness)
    if isinstance(value, dict):
        kept = {key: _mutated(one, randomness) for key, one in value.items() if randomness.random() > 0.05}
        return {**kept, _text(randomness): 1} if randomness.random() < 0.05 else kept
    if isinstance(value, list):
        return [_mutated(one, randomness) for one in value for _ in range(randomness.choice((1, 1, 1, 1, 0, 3)))]
    return value


def _see_that_it_is_bounded(value):
    if is_dataclass(value):
        for field in fields(value):
            _see_that_it_is_bounded(getattr(value, field.name))
    elif isinstance(value, tuple):
        assert len(value) <= 1000
        for one in value:
            _see_that_it_is_bounded(one)
    elif isinstance(value, str):
        assert len(value) <= 2000
        assert value.isprintable()
        value.encode("utf-8")
    else:
        assert value is None or isinstance(value, (bool, int, frozenset))


def test_ten_thousand_answers_at_random():
    """Nothing raises, everything is bounded and printable, and what was not said is never green."""
    randomness = random.Random(23)
    version = version_row(files=[file_row(b"abc"), file_row(b"def")], images=[{"url": "https://a.example/b", "x": 1}])
    model = model_row(modelVersions=[version])
    texts = {"version": json.dumps(version).encode(), "model": json.dumps(model).encode()}
    seen = {"read": 0, "refused": 0, "green": 0}
    last = {}
    for turn in range(ROUNDS):
        kind = ("version", "model")[turn % 2]
        if turn % 5 == 0:  # bytes
            content = bytearray(texts[kind])
            for _ in range(randomness.randrange(1, 6)):
                content[randomness.randrange(len(content))] = randomness.randrange(256)
            content = bytes(content[: randomness.choice((None, None, randomness.randrange(len(content))))])
        else:
            content = json.dumps(_mutated(version if kind == "version" else model, randomness)).encode()
        row = parsed(content)
        found = version_of(row) if kind == "version" else model_of(row)
        if found is None:
            seen["refused"] += 1
            continue
        seen["read"] += 1
        _see_that_it_is_bounded(found)
        last[kind] = found
        one = FoundModel("x", last.get("version"), last.get("model"))
        lights = {purpose: shown.light for purpose, shown in one.assessment.lights.items()}
        assert set(lights.values()) <= set(LIGHTS)
        if lights["pictures"] == "green":
            seen["green"] += 1
            subject = one.subject()
            assert (subject.poi, subject.minor, subject.permissions.no_credit) == (False, False, True)
            assert "Image" in subject.permissions.commercial
            assert subject.licence.pictures == "allowed"
        for file in found.files if kind == "version" else ():
            name = safe_name(file.name, "x")
            assert "/" not in name
            assert "\\" not in name
            assert name.endswith(".safetensors")
    assert seen["read"] > 3000, seen
    assert seen["refused"] > 500, seen
    assert 500 < seen["green"] < seen["read"], seen


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ink.safetensors", "ink.safetensors"),
        ("ink", "ink.safetensors"),
        ("INK.SafeTensors", "INK.safetensors"),
        ("../../../ink.safetensors", "ink.safetensors"),
        ("..\\..\\ink.safetensors", "ink.safetensors"),
        ("/etc/passwd", "passwd.safetensors"),
        ("C:evil.safetensors", "C_evil.safetensors"),
        ("a:b*c?.safetensors", "a_b_c_.safetensors"),
        ("ink.safetensors.exe", "ink.safetensors.exe.safetensors"),
        ("..", "other.safetensors"),
        ("", "other.safetensors"),
        ("///", "other.safetensors"),
        (". . .", "other.safetensors"),
        ("con.safetensors", "_con.safetensors"),
        ("LPT1", "_LPT1.safetensors"),
        ("com0", "_com0.safetensors"),
        ("nul .v2", "_nul .v2.safetensors"),
        ("nul.txt.safetensors", "_nul.txt.safetensors"),
        (".hidden.safetensors", "hidden.safetensors"),
        ("-rf.safetensors", "rf.safetensors"),
        ("名前.safetensors", "名前.safetensors"),
        ("a\x00b\n\u202ec.safetensors", "a_b__c.safetensors"),
        ("<lora:x:1>.safetensors", "_lora_x_1_.safetensors"),
        ("ink .safetensors", "ink.safetensors"),
    ],
)
def test_names_are_safe_on_every_system(given, expected):
    assert safe_name(given, "other") == expected


@pytest.mark.parametrize("given", ["x" * 5000, "名" * 5000, "a." * 500])
def test_long_names_are_cut(given):
    name = safe_name(given, "other")
    assert 10 < len(name.encode()) < 240
    assert name.endswith(".safetensors")
    assert len(numbered(name, 12)) == len(name) + 3
