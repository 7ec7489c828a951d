"""Further LoRAs as they are given: files and names, with and without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import raises

from lib_lora.workflows.judge.further_loras import further_loras


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("ink.safetensors", "below/Öl v1.2.safetensors", "below/old.pt"):
        path = tmp_path / "loras" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "here 名前.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "loras"


@pytest.mark.parametrize(
    ("text", "file", "weight"),
    [
        ("ink", "ink.safetensors", 1.0),
        ("ink:0.6", "ink.safetensors", 0.6),
        ("ink:-1", "ink.safetensors", -1.0),
        (" ink.safetensors:.5 ", "ink.safetensors", 0.5),
        ("Öl v1.2", "below/Öl v1.2.safetensors", 1.0),
        ("Öl v1.2:0.25", "below/Öl v1.2.safetensors", 0.25),
        ("here 名前.safetensors:0.6", "../here 名前.safetensors", 0.6),
        ("./here 名前.safetensors", "../here 名前.safetensors", 1.0),
    ],
)
def test_a_file_or_a_name_with_a_weight(folder, text, file, weight):
    [(path, found)] = further_loras([text], [folder])
    assert (path.resolve(), found) == ((folder / file).resolve(), weight)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["nobody"], "lora-unknown"),
        (["nobody.safetensors"], "lora-unknown"),
        (["old"], "lora-unknown"),  # a pickle
        (["loras/nobody.safetensors:0.5"], "lora-file-missing"),
        (["C:\\loras\\nobody.safetensors"], ("lora-file-missing", "lora-unknown")),  # its colon is no weight's
        (["ink:99"], "lora-weight-wrong"),
        (["ink:nan"], "lora-weight-wrong"),
        (["ink:inf"], "lora-weight-wrong"),
        ([""], "lora-without-name"),
        ([":0.5"], "lora-without-name"),
        (["ink:0.5", "ink:0.6"], "lora-twice"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, texts, code):
    with raises(code):
        further_loras(texts, [folder])


def test_several_keep_their_order(folder):
    found = further_loras(["Öl v1.2:0.2", "ink:0.7"], [folder])
    assert [(path.stem, weight) for path, weight in found] == [("Öl v1.2", 0.2), ("ink", 0.7)]
    assert further_loras([]) == ()
