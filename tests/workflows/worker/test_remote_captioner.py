"""A captioner that asks: what it sends, what it takes as an answer, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import raises
from PIL import Image

from lib_lora.captions.captioner import LONGEST, MOST
from lib_lora.errors import UserError
from lib_lora.workflows.worker.remote_captioner import RemoteCaptioner


class Parent:
    """In place of the pipe: answers each question with `phrases`, and keeps the size of the picture."""

    def __init__(self, phrases: Any) -> None:
        self.phrases = phrases
        self.asked: list[dict[str, Any]] = []
        self.sizes: list[tuple[int, int]] = []

    def ask(self, what: str, **fields: Any) -> Iterator[dict[str, Any]]:
        self.asked.append({"ask": what, **fields})
        with Image.open(fields["file"]) as image:
            self.sizes.append(image.size)
        if isinstance(self.phrases, Exception):
            raise self.phrases
        yield {"done": True, "phrases": self.phrases}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "7" / "Fotos ü"


def test_it_sends_a_small_picture_and_deletes_it(folder: Path) -> None:
    parent = Parent(["red coat", "park"])
    captioner = RemoteCaptioner(parent, folder, "webui-blip")
    photo = Image.new("RGB", (4000, 3000), "red")
    assert captioner.phrases(photo) == ["red coat", "park"]
    assert captioner.phrases(Image.new("RGB", (30, 40))) == ["red coat", "park"]
    assert (captioner.id, photo.size) == ("webui-blip", (4000, 3000))
    assert parent.sizes == [(1024, 768), (30, 40)]
    asked = {"ask": "caption", "captioner": "webui-blip", "file": str(folder / "photo.png")}
    assert parent.asked == [asked, asked]
    assert list(folder.iterdir()) == []


def test_what_comes_back_is_made_harmless(folder: Path) -> None:
    phrases = ["  red\ncoat ", "", 3, None, "x" * 1000, *["park"] * 100]
    found = RemoteCaptioner(Parent(phrases), folder, "webui-tags").phrases(Image.new("RGB", (8, 8)))
    assert found[:2] == ["red coat", "x" * LONGEST]
    assert len(found) <= MOST


@pytest.mark.parametrize("phrases", [None, "red coat", {"red": 1}])
def test_what_is_no_list_is_said(folder: Path, phrases: Any) -> None:
    with raises("captioner-failed"):
        RemoteCaptioner(Parent(phrases), folder, "webui-tags").phrases(Image.new("RGB", (8, 8)))


def test_a_refusal_is_passed_on_and_nothing_is_left(folder: Path) -> None:
    captioner = RemoteCaptioner(
        Parent(UserError("Not while a LoRA is trained.", code="some-fault")), folder, "webui-blip"
    )
    with raises("some-fault", has="while a LoRA is trained"):
        captioner.phrases(Image.new("RGB", (8, 8)))
    assert list(folder.iterdir()) == []
