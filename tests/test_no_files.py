"""What is no file - a pipe that nobody writes to, a device without end, a socket - is refused at once, by everything
that is given a path."""

import os
import socket
import threading
import zipfile
from pathlib import Path

import pytest

from lib_lora.character.photo_files import open_photo
from lib_lora.character.store import Character, create, read_yaml
from lib_lora.deploy import comfyui
from lib_lora.errors import UserError
from lib_lora.files import content, opened, read_json, sha256
from lib_lora.lora import hashes
from lib_lora.lora.file import reading, sidecars, trigger_notes
from lib_lora.models.families.identify import identify
from lib_lora.models.reading.archive import Archive
from lib_lora.models.reading.weights import open_tensors, read_header
from lib_lora.photos.importing.photo_import import see_that_one_opens, take_in
from lib_lora.pictures import parameters_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files in folders")
SOON = 10.0  # seconds; a pipe would be waited for without end


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path may have a hundred letters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _linked_pipe(path: Path) -> None:
    os.mkfifo(path.with_name(f"{path.stem} of it"))
    path.symlink_to(path.with_name(f"{path.stem} of it"))


KINDS = {"pipe": _pipe, "socket": _socket, "device": _device, "linked pipe": _linked_pipe}
READERS = {
    "photo": (open_photo, "a.jpg"),
    "hash": (sha256, "a.bin"),
    "settings": (read_yaml, "a.yaml"),
    "json": (read_json, "a.json"),
    "checkpoint": (identify, "a.safetensors"),
    "old checkpoint": (open_tensors, "a.ckpt"),
    "pickle": (Archive, "a.pt"),
    "header": (read_header, "a.safetensors"),
    "LoRA": (reading.read, "a.safetensors"),
    "model hash": (hashes.legacy_file_hash, "a.safetensors"),
    "bytes": (lambda path: hashes.sshs_model_hash(hashes.FileBytes(path)), "a.safetensors"),
    "preview": (sidecars.plain_png, "a.png"),
    "notes": (sidecars.notes_beside, "a.json"),
    "only photo": (lambda path: see_that_one_opens([path]), "a.jpg"),
    "only zip": (lambda path: see_that_one_opens([path]), "a.zip"),
}


def soon(run):
    """What came of `run`, which must not wait for anybody."""
    found = []

    def do():
        try:
            found.append(run())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(SOON)
    assert found, "it waits"
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_file_refuses_what_is_none(reader, kind, tmp_path):
    read, name = READERS[reader]
    KINDS[kind](tmp_path / name)
    said = soon(lambda: read(tmp_path / name))
    assert isinstance(said, UserError), said
    assert f"it is a {kind.split()[-1]}, not a file" in str(said)
    assert name in str(said)


@pytest.mark.parametrize("kind", KINDS)
def test_who_only_wants_to_know_more_goes_without_it(kind, tmp_path):
    for name in ("a.safetensors", "b.png", "extra_model_paths.yaml"):
        KINDS[kind](tmp_path / name)
    assert soon(lambda: trigger_notes.answers_to(tmp_path / "a.safetensors")) == set()
    assert soon(lambda: parameters_of(tmp_path / "b.png")) is None
    assert soon(lambda: list(comfyui._named(tmp_path / "extra_model_paths.yaml"))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_photos_among_them_are_taken_in(kind, tmp_path, png):
    folder = create(tmp_path / "data", Character("Mara", "mrxa", "woman"))
    heap = tmp_path / "heap"
    heap.mkdir()
    (heap / "good.png").write_bytes(png)
    for name in ("b.jpg", "good.txt"):
        KINDS[kind](heap / name)
    result = soon(lambda: take_in([heap / "b.jpg", heap], folder))
    assert [path.name for path in result.added] == ["good.png"]
    assert len(result.skipped) == 1
    assert f"b.jpg: it is a {kind.split()[-1]}, not a file" in str(result.skipped[0])


@pytest.mark.parametrize("mode", [0o010644, 0o020644, 0o060644, 0o140644, 0o120777])
def test_a_zip_s_entry_that_says_it_is_no_file_is_left_out(mode, tmp_path, png):
    folder = create(tmp_path / "data", Character("Mara", "mrxa", "woman"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        info = zipfile.ZipInfo("odd.png")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, png)
        archive.writestr("good.png", png)
    result = take_in([tmp_path / "all.zip"], folder)
    assert [path.name for path in result.added] == ["good.png"]
    assert len(result.skipped) == 1
    assert "odd.png in all.zip is" in str(result.skipped[0])


def test_a_plain_file_is_opened(tmp_path):
    (tmp_path / "a").write_bytes(b"1\r\n2")
    (tmp_path / "b").symlink_to("a")
    assert content(tmp_path / "b") == b"1\r\n2"
    with pytest.raises((IsADirectoryError, PermissionError)), opened(tmp_path):
        pass


@pytest.fixture
def png(tmp_path):
    from PIL import Image

    Image.linear_gradient("L").save(tmp_path / "made.png")
    return (tmp_path / "made.png").read_bytes()
