"""A checkpoint that the disk has damaged is named, whatever is damaged in it; a whole one never is."""

import json
import random
import struct

import pytest
import torch
from faults import misfit, raises

from lib_lora.errors import UserError
from lib_lora.lora.file.integrity import HEADER_HASH, check_whole, header_hash, is_whole
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.writing import write
from lib_lora.models.families.registry import family_named


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a checkpoint."""
    noise = torch.Generator().manual_seed(1)
    path = tmp_path_factory.mktemp("whole") / "mara-001-000840.safetensors"
    tensors = {}
    for layer in family_named("sd1").adapter_paths("unet", False)[:40]:
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
        tensors[f"{name}.lora_down.weight"] = torch.randn(2, 4, generator=noise)
        tensors[f"{name}.lora_up.weight"] = torch.randn(4, 2, generator=noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib_lora.lora.file.writing.check", lambda *_: None)  # it has few layers, to be small
        write(path, tensors, build(LoraFacts(family="sd1", trigger="mrxa 名前", steps=840)))
    return path.read_bytes()


@pytest.fixture
def file(content, tmp_path):
    path = tmp_path / "mara-001-000840.safetensors"
    path.write_bytes(content)
    return path


def test_as_it_was_written(file):
    check_whole(file)
    assert is_whole(file)
    assert len(read(file).metadata[HEADER_HASH]) == 64


def test_damage_anywhere_is_named(file, content):
    (length,) = struct.unpack("<Q", content[:8])
    draw, same = random.Random(4), 0
    for number in range(400):
        changed = bytearray(content)
        at = draw.randrange(8 + length) if number % 2 else draw.randrange(len(content))
        if number % 8 == 6:
            changed[at : at + 64] = bytes(len(changed[at : at + 64]))
        elif number % 8 == 7:
            del changed[at:]
        else:
            changed[at] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
        try:
            check_whole(file)
        except UserError as error:
            assert (error.code, str(file) in str(error)) == ("checkpoint-damaged", True)  # noqa: PT017
            continue
        same += 1
        file_tensors, metadata = read(file).tensors, read(file).metadata
        file.write_bytes(content)
        whole = read(file)
        assert all(torch.equal(file_tensors[key], whole.tensors[key]) for key in whole.tensors)
        unlike = {key for key in whole.metadata.keys() | metadata if whole.metadata.get(key) != metadata.get(key)}
        assert all("sameface.header_" in key or len(key) == len(HEADER_HASH) for key in unlike)  # its own name alone
    assert same < 20


def test_one_of_an_older_version_is_checked_by_its_tensors(file, content):
    (length,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + length])
    del table["__metadata__"][HEADER_HASH]
    header = json.dumps(table).encode("utf-8")
    old = struct.pack("<Q", len(header)) + header + content[8 + length :]
    file.write_bytes(old)
    check_whole(file)
    file.write_bytes(old[:-5] + bytes([old[-5] ^ 4]) + old[-4:])
    with raises("checkpoint-damaged", has="SHA-256"):
        check_whole(file)


def test_what_is_not_there_is_not_called_damaged(tmp_path):
    with raises("file-missing"):
        check_whole(tmp_path / "gone.safetensors")
    assert not is_whole(tmp_path / "gone.safetensors")


def test_the_header_hash_is_of_what_it_says():
    one = b'{"a": {"dtype": "F16"}, "__metadata__": {"x": "1"}}'
    same = b'{"__metadata__":{"sameface.header_sha256":"?","x":"1"},"a":{"dtype":"F16"}}   '
    assert header_hash(one) == header_hash(same)
    assert header_hash(one) != header_hash(one.replace(b"1", b"2"))
    for odd in (b"[]", b'{"__metadata__": 3}'):
        with misfit("header"):
            header_hash(odd)
