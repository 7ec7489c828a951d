"""Painting through a ComfyUI that runs, by a stand-in with the real one's answers."""

import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_comfyui import fake_comfyui
from faults import raises
from PIL import Image

from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.comfy_files import ComfyFiles, sweep_copies
from lib_lora.comfyui.comfy_painter import ComfyJob, ComfyPainter
from lib_lora.comfyui.workflow import ComfyBase
from lib_lora.errors import UserError
from lib_lora.grid.picture_origin import OWN_VAE, read_origin
from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.writing import write
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.registry import family_named
from lib_lora.models.reading.header import read_header
from lib_lora.pictures import Cell, save_picture
from lib_lora.workflows.judge.painting.comfyui_painters import LateComfyPainter

BASE = ComfyBase("base.safetensors", "sd1", "epsilon", clip_skip=2)
CELLS = [Cell(f"photo {n}", "blurry", seed=100 + n, width=64, height=96, steps=n + 1) for n in range(5)]


@pytest.fixture
def comfy():
    with fake_comfyui() as found:
        yield found


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "run" / "mara-001-000100.safetensors"
    path.parent.mkdir()
    return lora_file(path, 1.0)


def lora_file(path, value):
    """A whole LoRA of the UNet's layers, one number wide."""
    tensors = {}
    for layer in family_named("sd1").adapter_paths("unet", False):
        name = kohya_name("sd1", "unet", layer)
        tensors |= {f"{name}.lora_down.weight": torch.full((1, 2), value), f"{name}.alpha": torch.tensor(1.0)}
        tensors[f"{name}.lora_up.weight"] = torch.ones(2, 1)
    write(path, tensors, {"ss_output_name": "x"})
    return path


def painter(comfy, folder=None, **job):
    api = ComfyApi(comfy.address, pause=lambda _: None)
    return ComfyPainter(api, ComfyFiles(api, folder, "mara"), ComfyJob(BASE, "base", pause=lambda _: None, **job))


def test_each_cell_becomes_its_picture(comfy):
    got = {}
    pictures = painter(comfy).paint(CELLS, got.__setitem__)
    assert [one.getpixel((0, 0)) for one in pictures] == [(100 + n, n + 1, 90) for n in range(5)]
    assert [one.size for one in pictures] == [(64, 96)] * 5
    assert got == dict(enumerate(pictures))
    first = comfy.painted[0]
    assert first["4"]["inputs"] == {"ckpt_name": "base.safetensors"}
    assert first["3"]["inputs"]["sampler_name"] == "euler"
    assert first["11"]["inputs"] == {"stop_at_clip_layer": -2, "clip": ["4", 1]}
    assert first["9"]["class_type"] == "PreviewImage"  # nothing is left in the user's output folder
    assert not any("origin" in headers for headers in comfy.headers)


def test_no_more_than_a_few_wait_in_its_queue(comfy):
    longest = []
    painter(comfy).paint([*CELLS, *CELLS], lambda *_: longest.append(len(comfy.pending)))
    assert max(longest) <= 3


def test_with_and_without_the_lora_at_each_weight(comfy, lora):
    comfy.loras = {"faces\\mara-001-000100.safetensors": read_header(lora)[1]}
    cells = [CELLS[0], replace(CELLS[1], lora=lora, weight=0.7), replace(CELLS[2], lora=lora, weight=-0.25)]
    painter(comfy).paint(cells)
    assert "20" not in comfy.painted[0]
    values = [comfy.painted[n]["20"]["inputs"] for n in (1, 2)]
    assert [(one["strength_model"], one["strength_clip"]) for one in values] == [(0.7, 0.7), (-0.25, -0.25)]
    assert {one["lora_name"] for one in values} == {"faces\\mara-001-000100.safetensors"}


@pytest.mark.parametrize("beside", [False, True])
def test_vectors_that_comfyui_would_leave_out_are_said_before_the_first_picture(comfy, lora, tmp_path, beside):
    write(lora, {**read(lora).tensors, **bundled_tensors("mrxa", [torch.ones(2, 64)])}, {"ss_output_name": "x"})
    late = LateComfyPainter(tmp_path, comfy.address, SimpleNamespace(model=None))
    last = {"more": ((lora, 0.5),)} if beside else {"lora": lora}
    with raises("painter-without-vectors", has=(lora.name, "ComfyUI")):
        late.paint([CELLS[0], replace(CELLS[1], **last)])
    assert not comfy.painted


def test_a_delivered_lora_is_known_by_its_tensors(comfy, lora, tmp_path):
    other = read_header(lora_file(tmp_path / "other.safetensors", 2.0))[1]
    comfy.loras = {"mara-001-000100.safetensors": other, "mara.safetensors": other, "mara-2.safetensors": None}
    painting = painter(comfy)
    with raises("comfyui-lora-missing", ("mara-001-000100.safetensors", "/comfy/models/loras")):
        painting.paint([replace(CELLS[0], lora=lora)])
    comfy.loras["mara-2.safetensors"] = read_header(lora)[1]
    painting.paint([replace(CELLS[0], lora=lora)])
    assert comfy.painted[0]["20"]["inputs"]["lora_name"] == "mara-2.safetensors"


def test_a_file_of_the_name_is_taken_where_nothing_is_known_of_it(comfy, lora):
    comfy.loras = {"mara-001-000100.safetensors": None}
    painter(comfy).paint([replace(CELLS[0], lora=lora)])
    assert len(comfy.painted) == 1


@pytest.mark.parametrize("below", ["", "faces"])  # the folder that is set may lie in ComfyUI's
def test_the_lora_is_put_there_while_it_is_painted_with(comfy, lora, tmp_path, below):
    comfy.folder = tmp_path / "loras"
    (comfy.folder / below).mkdir(parents=True)
    cell = replace(CELLS[0], lora=lora)
    one, other = painter(comfy, comfy.folder / below), painter(comfy, comfy.folder / below)
    one.paint([cell])
    other.paint([cell])  # the first one's copy is in the list
    names = [prompt["20"]["inputs"]["lora_name"] for prompt in comfy.painted]
    assert names[0] != names[1]
    assert all((comfy.folder / name).read_bytes() == lora.read_bytes() for name in names)
    one.close()
    other.paint([cell])
    assert comfy.painted[2]["20"]["inputs"]["lora_name"] == names[1]
    other.close()
    assert list((comfy.folder / below).iterdir()) == []
    again = painter(comfy, comfy.folder / below)
    again.paint([cell])  # ComfyUI keeps a LoRA by its name, so that none may come twice
    assert comfy.painted[3]["20"]["inputs"]["lora_name"] not in names
    again.close()


def test_a_copy_that_was_left_behind_is_swept_a_day_later(comfy, lora, tmp_path, monkeypatch):
    comfy.folder = tmp_path / "loras"
    theirs = [comfy.folder / name / "style.safetensors" for name in ("sameface-faces", "sameface-2024", "other")]
    for path in theirs:
        path.parent.mkdir(parents=True)
        lora_file(path, 2.0)
        for old in (path, path.parent):
            os.utime(old, (1, 1))
    painting = painter(comfy, comfy.folder)
    cell = replace(CELLS[0], lora=lora)
    painting.paint([cell])
    copy = comfy.folder / comfy.painted[0]["20"]["inputs"]["lora_name"]
    for path in (copy, copy.parent):
        os.utime(path, (1000, 1000))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", _kept_open)
        painting.close()
    assert copy.is_file()
    sweep_copies(comfy.folder, 1000 + 86_000)
    assert copy.is_file()
    sweep_copies(comfy.folder, 1000 + 87_000)
    assert sorted(comfy.folder.rglob("*.safetensors")) == sorted(theirs)
    assert not copy.parent.exists()


def test_a_copy_in_use_is_not_swept_however_long_it_takes(comfy, lora, tmp_path):
    comfy.folder = tmp_path / "loras"
    comfy.folder.mkdir()
    painting, cell = painter(comfy, comfy.folder), replace(CELLS[0], lora=lora)
    painting.paint([cell])
    copy = comfy.folder / comfy.painted[0]["20"]["inputs"]["lora_name"]
    for path in (copy, copy.parent):
        os.utime(path, (1000, 1000))
    painting.paint([cell])
    sweep_copies(comfy.folder)
    assert copy.is_file()
    painting.close()
    sweep_copies(tmp_path / "nowhere")  # is no fault


def _kept_open(*_args, **_kwargs):
    raise PermissionError(13, "The process cannot access the file because it is being used by another process")


def test_a_folder_of_another_comfyui_is_said(comfy, lora, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    painting = painter(comfy, tmp_path / "elsewhere")
    with raises("comfyui-folder-of-another"):
        painting.paint([replace(CELLS[0], lora=lora)])
    painting.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_pictures_say_how_they_were_painted(comfy, tmp_path):
    picture = painter(comfy).paint([replace(CELLS[0], sampler="DPM++ 2M")])[0]
    save_picture(tmp_path / "a.png", picture, CELLS[0], picture.info["parameters"])
    origin = read_origin(tmp_path / "a.png")
    assert (origin.kind, origin.base, origin.vae) == ("painted", "base", OWN_VAE)
    assert picture.info["parameters"].endswith("Model: base, Clip skip: 2, VAE: None, Version: ComfyUI")
    assert comfy.painted[0]["3"]["inputs"]["scheduler"] == "karras"


def test_over_pictures_each_under_a_name_of_its_own(comfy, tmp_path):
    cells = []
    for n, colour in enumerate(("red", "blue", "red")):
        Image.new("RGB", (30, 30), colour).save(tmp_path / f"{n}.png")
        cells.append(replace(CELLS[n], start=tmp_path / f"{n}.png", strength=0.4))
    painter(comfy).paint(cells)
    names = [prompt["13"]["inputs"]["image"] for prompt in comfy.painted]
    assert [names[0] == names[1], names[0] == names[2]] == [False, True]
    assert {name.removesuffix(" [temp]") for name in names} == set(comfy.uploads)
    assert [prompt["3"]["inputs"]["denoise"] for prompt in comfy.painted] == [0.4] * 3
    assert all(b'name="type"\r\n\r\ntemp\r\n' in body for body in comfy.uploads.values())


def test_further_loras_beside_the_first_and_alone(comfy, lora, tmp_path):
    (tmp_path / "style.pt").write_bytes(b"not read")
    comfy.loras = {"mara-001-000100.safetensors": None, "styles/Style.pt": None}
    more = ((tmp_path / "style.pt", 0.5),)
    painter(comfy).paint([replace(CELLS[0], lora=lora, more=more), replace(CELLS[1], more=more)])
    first, second = comfy.painted
    assert (first["20"]["inputs"]["lora_name"], first["21"]["inputs"]["lora_name"]) == tuple(comfy.loras)
    assert first["21"]["inputs"]["strength_model"] == second["20"]["inputs"]["strength_model"] == 0.5
    assert "21" not in second


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("error", "Could not detect model type"),
        ("memory", "its memory is full"),
        ("no picture", "finished without a picture"),
    ],
)
def test_a_node_that_fails_is_one_sentence_and_what_is_there_stays(comfy, fault, said):
    got, comfy.slow = [], 3

    def each(number, _picture):
        got.append(number)
        comfy.fault = fault

    with raises("comfyui-painting-failed", said):
        painter(comfy).paint(CELLS, each)
    assert got == [0]
    assert comfy.pending == []  # nothing of ours goes on there


def test_who_interrupts_it_in_comfyui_stops_the_painting(comfy):
    comfy.fault = "interrupted"
    with raises("stopped-in-comfyui"):
        painter(comfy).paint(CELLS)
    assert comfy.pending == []


def test_stop_interrupts_its_own_picture_and_no_other(comfy):
    comfy.slow = 1000
    comfy.pending = [("somebody-elses", {})]
    looks = []
    with raises("painting-stopped"):
        painter(comfy, stopping=lambda: looks.append(1) or len(looks) > 3).paint(CELLS)
    assert [one[0] for one in comfy.pending] == ["somebody-elses"]
    assert not any(one == "POST /interrupt" for one in comfy.asked)
    comfy.pending = []
    looks.clear()
    with raises("painting-stopped"):
        painter(comfy, stopping=lambda: looks.append(1) or len(looks) > 3).paint(CELLS)
    assert comfy.pending == []
    assert comfy.asked.count("POST /interrupt") == 1


def test_ctrl_c_leaves_nothing_behind_there(comfy):
    def each(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        painter(comfy).paint(CELLS, each)
    assert comfy.pending == []


def test_a_restart_in_the_middle_is_one_sentence(comfy):
    comfy.restart_after, comfy.slow = 2, 3
    got = []
    with raises("comfyui-pictures-lost"):
        painter(comfy).paint(CELLS, lambda number, _: got.append(number))
    assert got == [0]  # the second was painted, and forgotten before it was fetched
    assert len(painter(comfy).paint(CELLS[1:])) == 4


def test_a_comfyui_that_dies_is_one_sentence(comfy):
    waited = []
    with fake_comfyui() as dies:
        api = ComfyApi(dies.address, pause=waited.append)
        painting = ComfyPainter(api, ComfyFiles(api), ComfyJob(BASE, "base", pause=waited.append))
        stopper = threading.Event()

        def each(*_):
            if not stopper.is_set():
                stopper.set()
                api._opener.open = _refused

        with raises("comfyui-unreachable", dies.address):
            painting.paint(CELLS, each)
    assert sum(waited) < 20


def _refused(*_args, **_kwargs):
    raise ConnectionRefusedError(111, "Connection refused")


def test_nobody_there(comfy):
    with fake_comfyui() as gone:
        address = gone.address
    with raises("comfyui-unreachable", address):
        ComfyApi(address, pause=lambda _: None).version()


def test_an_answer_that_is_lost_paints_nothing_twice(comfy):
    comfy.lost = 2
    assert len(painter(comfy).paint(CELLS)) == 5
    assert len(comfy.painted) == 5


@pytest.mark.parametrize("plain", [True, False])
def test_what_comfyui_lacks_is_said_before_the_first_picture(comfy, lora, plain):
    comfy.plain_lists = plain
    painting = painter(comfy)
    with raises("comfyui-sampler-missing", "dpmpp_3m_sde"):
        painting.paint([CELLS[0], replace(CELLS[1], sampler="DPM++ 3M SDE")])
    with raises("comfyui-sampler-unknown", "Restart"):
        painting.paint([CELLS[0], replace(CELLS[1], sampler="Restart")])
    with raises("comfyui-without-variations"):
        painting.paint([replace(CELLS[1], variation=0.5)])
    files = ComfyFiles(ComfyApi(comfy.address))
    with raises("comfyui-checkpoint-missing", ("another.ckpt", "/comfy/models/checkpoints")):
        files.checkpoint(lora.with_name("another.ckpt"))
    comfy.checkpoints = ["sub/Another.ckpt", "sub/x/another.ckpt"]
    assert files.checkpoint(lora.with_name("another.ckpt")) == "sub/x/another.ckpt"
    assert comfy.painted == []


def test_a_refused_workflow_names_each_node_and_its_fault(comfy):
    comfy.checkpoints = ["another.safetensors"]
    said = "CheckpointLoaderSimple: Value not in list (ckpt_name: 'base.safetensors')"
    with raises("comfyui-workflow-refused", said):
        painter(comfy).paint(CELLS)


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("/history/", b"<html>", "comfyui-answer-unreadable"),
        ("/history/", b"[]", "comfyui-answer-unreadable"),
        ("/history/", b"[" * 100_000, "comfyui-answer-unreadable"),
        ("/queue", b'{"queue_running": 3}', "comfyui-answer-unreadable"),
        ("/view", b"no picture", "comfyui-picture-invalid"),
        ("/view", b"", "comfyui-picture-invalid"),
        ("/object_info/KSampler", b"{}", "comfyui-node-missing"),
        ("/object_info/KSampler", b"null", "comfyui-node-missing"),
    ],
)
def test_answers_that_are_none(comfy, path, content, code):
    comfy.slow = 2
    comfy.answer[path] = content
    with raises(code):
        painter(comfy).paint(CELLS[:2])


def test_a_picture_of_another_size_is_not_taken(comfy, tmp_path):
    Image.new("RGB", (65, 96)).save(tmp_path / "a.png")
    comfy.answer["/view"] = (tmp_path / "a.png").read_bytes()
    with raises("comfyui-picture-invalid", "65x96"):
        painter(comfy).paint(CELLS[:1])
    comfy.answer["/view"] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0" + b"\0" * 40  # a bomb's header
    with raises("comfyui-picture-invalid"):
        painter(comfy).paint(CELLS[:1])


@pytest.mark.parametrize("content", [b"{}", b'{"system": 3}', b"[]", b"hello"])
def test_something_else_at_the_address(comfy, content):
    comfy.answer["/system_stats"] = content
    with raises("comfyui-answer-unreadable"):
        ComfyApi(comfy.address).version()


def test_what_it_refuses_is_said_with_its_status(comfy):
    with raises("comfyui-refused", "404"):
        ComfyApi(f"{comfy.address}/elsewhere").version()


def test_errors_are_user_errors_that_can_be_pickled(comfy):
    with pytest.raises(UserError) as caught:
        ComfyApi("http://a b")
    assert caught.value.field == "comfyui"
