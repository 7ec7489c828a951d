"""A painter that asks: what it asks for, what it takes as an answer, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import misfit, raises
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.pictures import Cell
from lib_lora.workflows.worker.remote_painter import RemotePainter

LORA = Path("/runs/001/checkpoints/mara-001-000003.safetensors")
CELLS = [
    Cell("photo of mrxa woman", "blurry", 2**32 - 1, LORA, 0.8, 128, 192, 9, 4.5, "DPM++ 2M"),
    Cell("photo of woman", "blurry", 5, width=128, height=128, name="beach"),
    Cell("photo of woman, 名前", "", 6, LORA, width=128, height=128),
]


class Parent:
    """In place of the pipe: answers with what `answer` gives for what is asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def ask(self, what: str, **fields: Any) -> Iterator[dict[str, Any]]:
        self.asked.append({"ask": what, **fields})
        for message in self.answer(fields):
            if "error" in message:
                raise UserError(message["error"], code="some-fault")
            yield message


def _painting(*numbers: int, info: str = "by the webui, Seed: {}"):
    """Paints these pictures, each in a grey of its own."""

    def answer(fields):
        for number in numbers:
            path = Path(fields["folder"]) / f"{number}.png"
            Image.new("RGB", (128, 128), (10 * number, 0, 0)).save(path)
            yield {"number": number, "file": str(path), "infotext": info.format(number)}
        yield {"done": True}

    return answer


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "jobs" / "7" / "Bilder ü"


def _painter(answer, folder) -> RemotePainter:
    return RemotePainter(Parent(answer), folder, Path("/models/Basis ü.safetensors"))


def test_it_asks_for_pictures_as_a_host_knows_them(folder):
    painter = _painter(_painting(0, 1, 2), folder)
    painter.paint(CELLS)
    [asked] = painter.pipe.asked
    assert (asked["ask"], asked["base"], asked["folder"]) == ("paint", "/models/Basis ü.safetensors", str(folder))
    pictures = [Cell(**{**one, "lora": one["lora"] and Path(one["lora"])}) for one in asked["pictures"]]
    assert pictures[0] == Cell("photo of mrxa woman", "blurry", 2**32 - 1, LORA, 0.8, 128, 192, 9, 4.5, "DPM++ 2M")
    assert (pictures[1].lora, pictures[2].prompt) == (None, "photo of woman, 名前")
    painter.paint([Cell("face", "", 1, start=Path("/cuts/ü.png"), strength=0.4)] * 3)
    more = ((Path("/loras/ink ü.safetensors"), 0.4),)
    [one, *_] = painter.pipe.asked[1]["pictures"]
    assert (one["start"], one["strength"]) == ("/cuts/ü.png", 0.4)
    assert "detail" not in one  # which an older webui would not understand
    painter.paint([Cell("face", "", 1, detail=0.4, detail_side=768)] * 3)
    [one, *_] = painter.pipe.asked[2]["pictures"]
    assert (one["detail"], one["detail_side"]) == (0.4, 768)
    assert not {"more", "further_loras"} & set(one)  # what an older webui's part would refuse
    painter.paint([replace(CELLS[0], more=more)] * 3)
    one = painter.pipe.asked[3]["pictures"][0]
    assert one["further_loras"] == [["/loras/ink ü.safetensors", 0.4]]
    with pytest.raises(TypeError, match="further_loras"):  # as an older part does, which would paint without them
        Cell(**one)


def test_pictures_are_handed_on_as_they_come_and_given_in_order(folder):
    seen = []
    painter = _painter(_painting(1, 0, 2), folder)
    pictures = painter.paint(CELLS, lambda number, picture: seen.append((number, picture.info["parameters"])))
    assert seen == [(number, f"by the webui, Seed: {number}") for number in (1, 0, 2)]
    assert [picture.getpixel((0, 0))[0] for picture in pictures] == [0, 10, 20]
    assert list(folder.iterdir()) == []


def test_what_is_no_answer_to_it_is_passed_over(folder):
    def answer(fields):
        for noise in ({"number": 3}, {"number": -1}, {"number": "0"}, {"number": None}, {}):
            yield {"file": "/etc/passwd", **noise}
        yield from _painting(0, 1, 2)(fields)

    assert len(_painter(answer, folder).paint(CELLS)) == 3


@pytest.mark.parametrize("infotext", [None, 3, "a\0b \ud800", "x" * 10**6])
def test_a_strange_infotext_can_be_kept_all_the_same(folder, infotext, tmp_path):
    from lib_lora.pictures import save_picture

    def answer(fields):
        for message in _painting(0)(fields):
            yield {**message, "infotext": infotext}

    [picture] = _painter(answer, folder).paint(CELLS[:1])
    save_picture(tmp_path / "kept.png", picture, CELLS[0], picture.info["parameters"])
    with Image.open(tmp_path / "kept.png") as kept:
        assert 0 < len(kept.text["parameters"]) <= 20_000


def test_an_infotext_of_the_webui_is_kept_in_the_picture(folder, tmp_path):
    from lib_lora.pictures import parameters_of, save_picture

    [picture] = _painter(_painting(0), folder).paint(CELLS[:1])
    save_picture(tmp_path / "kept.png", picture, CELLS[0], picture.info["parameters"])
    assert parameters_of(tmp_path / "kept.png") == "by the webui, Seed: 0"
    picture.save(tmp_path / "plain.png")
    assert parameters_of(tmp_path / "plain.png") is None


def test_too_few_pictures_are_said_and_those_that_came_are_not_lost(folder):
    seen = []
    with raises("webui-painted-too-few", has=("2", "3")):
        _painter(_painting(0, 2), folder).paint(CELLS, lambda number, picture: seen.append(number))
    assert seen == [0, 2]


def test_an_error_of_the_webui_is_said_as_it_is(folder):
    with raises("some-fault", has="no model is loaded"):
        _painter(lambda fields: iter([{"error": "no model is loaded"}]), folder).paint(CELLS)


@pytest.mark.parametrize("name", ["../outside.png", "sub/../../outside.png", "/etc/hostname", "", "sub/in.png"])
def test_only_files_of_its_folder_are_opened_and_deleted(folder, name):
    outside = folder.parent / "outside.png"
    (folder / "sub").mkdir(parents=True)
    for path in (outside, folder / "sub" / "in.png"):
        Image.new("RGB", (8, 8)).save(path)
    path = folder / name if name else None
    with raises("webui-wrong-path", has="somewhere other"):
        _painter(lambda fields: iter([{"number": 0, "file": str(path)}]), folder).paint(CELLS)
    assert outside.exists()
    assert (folder / "sub" / "in.png").exists()


def test_a_link_is_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    folder.mkdir(parents=True)
    try:
        (folder / "0.png").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links")
    with raises("webui-wrong-path", has="somewhere other"):
        _painter(lambda fields: iter([{"number": 0, "file": str(folder / "0.png")}]), folder).paint(CELLS)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"%!PS-Adobe-3.0"])
def test_a_damaged_picture_is_one_sentence(folder, content):
    def answer(fields):
        (folder / "0.png").write_bytes(content)
        yield {"number": 0, "file": str(folder / "0.png")}

    with raises("photo-unreadable", has="0.png"):
        _painter(answer, folder).paint(CELLS)
    assert list(folder.iterdir()) == []


def test_what_a_webui_cannot_paint_is_not_asked_for(folder):
    with misfit("cell"):
        _painter(_painting(0), folder).paint([Cell("a", "", 1, variation=0.1)])


# -- through the VAE


def test_a_picture_comes_back_from_the_vae(folder):
    def answer(fields):
        with Image.open(fields["file"]) as given:
            assert given.size == (64, 72)
            given.point(lambda level: level + 1).save(fields["out"])
        yield {"done": True, "file": fields["out"]}

    rebuilt = _painter(answer, folder).reconstruct(Image.new("RGB", (64, 72), (7, 8, 9)))
    assert (rebuilt.size, rebuilt.getpixel((3, 3))) == ((64, 72), (8, 9, 10))
    assert list(folder.iterdir()) == []


def test_a_webui_without_a_vae_at_hand_rebuilds_nothing(folder):
    rebuilt = _painter(lambda fields: iter([{"done": True, "file": None}]), folder).reconstruct(
        Image.new("RGB", (8, 8))
    )
    assert rebuilt is None
    assert list(folder.iterdir()) == []
