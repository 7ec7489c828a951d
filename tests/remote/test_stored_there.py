"""What a place says of the files that it keeps is looked at before it is believed."""

from types import SimpleNamespace

import pytest
from faults import raises

from lib_lora.remote import stored_there

VERSION = {"version": "a" * 16, "bytes": 3 << 30, "idle": 90_000.0, "needed": False}
MODEL = {"sha256": "b" * 64, "names": ["base.safetensors"], "bytes": 7, "idle": 1.0, "needed": True}


def _place(answer):
    place = SimpleNamespace(name="workshop", address=lambda: "mara@host")
    return SimpleNamespace(place=place, ask=lambda what, **fields: answer)


def test_what_is_there_in_words():
    found = stored_there.stored(_place({"versions": [VERSION], "shared": [MODEL], "jobs": 1}))
    assert found.lines() == [
        f"  SameFace {'a' * 16}, 3.0 GB, not used for 1 day",
        "  base.safetensors, 1 MB, in use",
    ]
    assert (found.size, found.jobs, found.values()["bytes"]) == ((3 << 30) + 7, 1, (3 << 30) + 7)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"versions": []},
        {"versions": {}, "shared": []},
        {"versions": [None], "shared": []},
        {"versions": [{**VERSION, "bytes": -1}], "shared": []},
        {"versions": [{**VERSION, "bytes": True}], "shared": []},
        {"versions": [{**VERSION, "idle": float("nan")}], "shared": []},
        {"versions": [{**VERSION, "idle": 1e300}], "shared": []},
        {"versions": [], "shared": [{**MODEL, "names": [3]}]},
        {"versions": [], "shared": [], "jobs": "many"},
        {"versions": [], "shared": [], "left": "/"},
    ],
)
def test_an_answer_that_is_none(answer):
    with raises("remote-answer-unreadable", has="mara@host"):
        stored_there.stored(_place(answer))


def test_names_from_there_are_harmless_and_few():
    names = ["\x1b]52;c;eA==\x07evil", *["x" * 500] * 2000]
    found = stored_there.clean(_place({"versions": [], "shared": [{**MODEL, "names": names}]}), "c" * 64)
    [line] = found.lines()
    assert line.isprintable()
    assert len(line) < 400
