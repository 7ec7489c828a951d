"""The delivered file: never over another one, never twice, and the user's notes stay the user's."""

import json
import shutil

import pytest
import torch
from faults import raises
from PIL import Image

from lib_lora.deploy.folder import add_preview, deliver
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.writing import write
from lib_lora.runs.records.origin import lora_origin
from lib_lora.training.plan.run_file import load_run

pytestmark = pytest.mark.once("where a file is put is ours; how it is written and read is repeated in lora")


@pytest.fixture
def run(finished):
    return load_run(finished.run)


@pytest.fixture
def lora(run):
    return run.checkpoint(3)


NAME = "mara-müller-名前"
FILE = f"{NAME}.safetensors"


def _other(lora, path, dtype=torch.float16):
    """A LoRA with other tensors."""
    content = read(lora)
    tensors = {key: tensor * 2 if "lora_up" in key else tensor for key, tensor in content.tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, tensors, content.metadata, dtype=dtype)
    return path.read_bytes()


def test_delivering_twice_leaves_one_file(run, lora, tmp_path):
    out = tmp_path / "Lora ü" / "名前"
    first = deliver(lora_origin(run), lora, out)
    changed = first.stat().st_mtime_ns
    notes = first.with_suffix(".json").read_bytes()
    assert deliver(lora_origin(run), lora, out) == first == out / FILE
    assert first.stat().st_mtime_ns == changed
    assert first.with_suffix(".json").read_bytes() == notes
    assert sorted(path.name for path in out.iterdir()) == [f"{NAME}.json", FILE]


def test_other_tensors_under_the_name_are_never_replaced(run, lora, tmp_path):
    theirs = _other(lora, tmp_path / FILE)
    first = deliver(lora_origin(run), lora, tmp_path)
    assert first.name == f"{NAME}-2.safetensors"
    assert (tmp_path / FILE).read_bytes() == theirs
    assert read(first).metadata["ss_output_name"] == read(first).metadata["modelspec.title"] == f"{NAME}-2"
    assert deliver(lora_origin(run), lora, tmp_path) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{NAME}-2.json",
        f"{NAME}-2.safetensors",
        FILE,
    ]
    copy = read(first).tensors
    assert all(torch.equal(tensor, copy[key]) for key, tensor in read(lora).tensors.items())


def test_another_step_or_run_gets_a_number_and_the_older_one_stays(run, lora, tmp_path):
    """A prompt that names the older one means what it meant."""
    first = deliver(lora_origin(run), lora, tmp_path)
    before = first.read_bytes()
    second = deliver(lora_origin(run), run.checkpoint(2), tmp_path)
    assert (first.name, second.name) == (FILE, f"{NAME}-2.safetensors")
    assert "step 2, " in json.loads(second.with_suffix(".json").read_text(encoding="utf-8"))["notes"]
    assert first.read_bytes() == before
    assert deliver(lora_origin(run), lora, tmp_path) == first
    assert deliver(lora_origin(run), run.checkpoint(2), tmp_path) == second


def test_what_an_earlier_version_delivered_is_used_as_it_is(run, lora, tmp_path):
    """It bears the checkpoint's name; a second card of the same LoRA would help nobody."""
    shutil.copy(lora, tmp_path / lora.name)
    assert deliver(lora_origin(run), lora, tmp_path) == tmp_path / lora.name
    assert deliver(lora_origin(run), run.checkpoint(2), tmp_path).name == FILE
    _other(lora, tmp_path / "out" / lora.name)  # nor is another file of that name touched
    assert deliver(lora_origin(run), lora, tmp_path / "out").name == FILE


def test_no_name_is_given_that_the_webui_finds_in_another_folder(run, lora, tmp_path):
    theirs = tmp_path / "Lora" / "Leute" / f"{NAME.upper()}.ckpt"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    out = tmp_path / "Lora"
    assert deliver(lora_origin(run), lora, out, searched=[out]).name == f"{NAME}-2.safetensors"
    assert deliver(lora_origin(run), lora, out, searched=[out]).name == f"{NAME}-2.safetensors"
    assert theirs.read_bytes() == b"theirs"


def test_a_file_that_claims_the_same_hash_is_compared_by_its_tensors(run, lora, tmp_path):
    _other(lora, tmp_path / FILE)
    claimed = (tmp_path / FILE).read_bytes()
    for key in ("sshs_model_hash", "modelspec.hash_sha256"):
        ours, theirs = read(lora).metadata[key], read(tmp_path / FILE).metadata[key]
        assert ours != theirs
        claimed = claimed.replace(theirs.encode(), ours.encode())
    (tmp_path / FILE).write_bytes(claimed)
    assert read(tmp_path / FILE).metadata["sshs_model_hash"] == read(lora).metadata["sshs_model_hash"]
    assert deliver(lora_origin(run), lora, tmp_path).name == f"{NAME}-2.safetensors"
    assert (tmp_path / FILE).read_bytes() == claimed


@pytest.mark.parametrize("there", [b"", b"not a LoRA at all, but somebody's file"])
def test_what_is_no_lora_is_not_replaced_either(run, lora, tmp_path, there):
    (tmp_path / FILE).write_bytes(there)
    (tmp_path / f"{NAME}-2.safetensors").mkdir()
    assert deliver(lora_origin(run), lora, tmp_path).name == f"{NAME}-3.safetensors"
    assert (tmp_path / FILE).read_bytes() == there


def test_the_users_notes_are_kept(run, lora, tmp_path):
    target = deliver(lora_origin(run), lora, tmp_path)
    path = target.with_suffix(".json")
    notes = json.loads(path.read_text(encoding="utf-8"))
    edited = {**notes, "notes": "best with 0.8", "preferred weight": 0.8, "mine": "名前"}
    path.write_text(json.dumps(edited, ensure_ascii=False), encoding="utf-8")
    deliver(lora_origin(run), lora, tmp_path)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    add_preview(lora_origin(run), target, picture)
    now = json.loads(path.read_text(encoding="utf-8"))
    assert {key: value for key, value in now.items() if key != "sameface"} == {
        key: value for key, value in edited.items() if key != "sameface"
    }


def test_a_preview_leaves_the_notes_as_they_are(run, lora, tmp_path):
    target = deliver(lora_origin(run), lora, tmp_path)
    before = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
    picture = tmp_path / "picture.jpg"
    Image.new("RGB", (8, 8), "red").save(picture)
    add_preview(lora_origin(run), target, picture)
    after = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
    assert before["notes"].startswith("SameFace run 001, step 3, 4 photos")
    assert {**after, "sameface": None} == {**before, "sameface": None}
    with Image.open(target.with_suffix(".png")) as preview:
        assert (preview.size, preview.getpixel((0, 0))[0]) == ((8, 8), 254)


def test_the_users_own_preview_is_kept(run, lora, tmp_path):
    target = deliver(lora_origin(run), lora, tmp_path)
    own = target.with_suffix(".preview.png")
    Image.new("RGB", (4, 4), "blue").save(own)
    add_preview(lora_origin(run), target, own)
    assert not target.with_suffix(".png").exists()


def test_a_folder_that_cannot_be_is_one_sentence(run, lora, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with raises("file-inaccessible", has="Cannot write"):
        deliver(lora_origin(run), lora, tmp_path / "file" / "Lora")


def test_a_checkpoint_that_is_gone_or_cut_is_one_sentence(run, lora, tmp_path):
    with raises("file-missing", has="gone.safetensors"):
        deliver(lora_origin(run), lora.with_name("gone.safetensors"), tmp_path)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(lora.read_bytes()[:-100])
    with raises("checkpoint-damaged", has="cut.safetensors"):
        deliver(lora_origin(run), cut, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
