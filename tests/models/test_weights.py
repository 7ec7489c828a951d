"""Containers: what is read, and what each wrong file is called."""

import contextlib
import json
import pickle
import struct

import pytest
import torch
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lib_lora.errors import UserError
from lib_lora.models.reading.weights import open_tensors, read_header


def test_reads_what_safetensors_wrote(tmp_path):
    tensors = {
        "a": torch.randn(3, 4),
        "b": torch.randn(5).half(),
        "c": torch.randn(2, 2).bfloat16(),
        "d": torch.arange(6).reshape(2, 3),
        "e": torch.tensor(2.5),
        "f": torch.tensor([]),
    }
    save_file(tensors, str(tmp_path / "x.safetensors"), metadata={"k": "v"})
    file = open_tensors(tmp_path / "x.safetensors")
    assert file.keys() == set(tensors)
    assert file.metadata == {"k": "v"}
    for key, tensor in tensors.items():
        assert file.shape(key) == tuple(tensor.shape)
        assert torch.equal(file.read(key), tensor)
    assert file.read("a", torch.float16).dtype == torch.float16
    assert torch.equal(file.read("b", torch.float32), tensors["b"].float())


def test_a_pickle_of_tensors_is_read_and_unwrapped(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, path)
    assert torch.equal(open_tensors(path).read("w"), torch.ones(2))
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(open_tensors(tmp_path / "old.pt").read("w", torch.float16), torch.ones(2).half())


class _Evil:
    def __reduce__(self):
        return (open, ("this-file-must-not-appear", "w"))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": _Evil()}, path)
    with raises("checkpoint-unsafe", has="evil.ckpt"):
        open_tensors(path)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(_Evil()))
    with raises("checkpoint-archive-damaged", has="raw.pt"):
        open_tensors(tmp_path / "raw.pt")
    assert not (tmp_path / "this-file-must-not-appear").exists()


def test_truncated_files(tmp_path):
    save_file({"w": torch.zeros(1000)}, str(tmp_path / "x.safetensors"))
    whole = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(whole[:-100])
    with raises("safetensors-truncated"):
        open_tensors(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(whole[:40])
    with raises("safetensors-truncated"):
        open_tensors(tmp_path / "x.safetensors")
    torch.save({"w": torch.zeros(1000)}, tmp_path / "x.ckpt")
    (tmp_path / "x.ckpt").write_bytes((tmp_path / "x.ckpt").read_bytes()[:-500])
    with raises("checkpoint-archive-damaged"):
        open_tensors(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.safetensors", b"", ("file-empty",)),
        ("x.safetensors", b"version https://git-lfs.github.com/spec/v1\n", ("file-is-lfs-pointer", "LFS")),
        ("x.safetensors", b"<!DOCTYPE html><html>", ("file-is-web-page",)),
        ("x.safetensors", b"\xff" * 64, ("safetensors-invalid", "its header is invalid")),
        ("x.txt", b"hello", ("checkpoint-wrong-format",)),
    ],
)
def test_other_files(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with raises(said[0], has=said[1:]):
        open_tensors(tmp_path / name)


def test_folders_and_missing_files(tmp_path):
    with raises("file-missing"):
        open_tensors(tmp_path / "none.safetensors")
    with raises("checkpoint-is-folder", folder=tmp_path):
        open_tensors(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with raises("checkpoint-is-diffusers", folder=tmp_path, weights=False):
        open_tensors(tmp_path)


def _file_with_header(path, table):
    raw = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * 64)
    return path


@pytest.mark.parametrize(
    "table",
    [
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}},
        {"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}},
        {"w": {"dtype": "XX", "shape": [1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}},
        {"w": {"dtype": "F32", "shape": [1]}},
        {"w": 5},
        {"w": {"dtype": "F32", "shape": [0, 10**30], "data_offsets": [0, 0]}},
        {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in ("a", "b")},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 32]}},
        [1, 2],
        {"__metadata__": [1]},
        b"[" * 5000,
    ],
)
def test_hostile_headers(tmp_path, table):
    with raises("safetensors-invalid"):
        read_header(_file_with_header(tmp_path / "x.safetensors", table))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_tensors_or_a_sentence(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    path.write_bytes(raw)
    with contextlib.suppress(UserError):  # any other exception fails the test
        open_tensors(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_a_damaged_pickle_gives_tensors_or_a_sentence(tmp_path_factory, place, junk):
    path = tmp_path_factory.mktemp("damaged") / "x.ckpt"
    torch.save({"state_dict": {"w": torch.ones(4), "v": torch.zeros(3, 2)}}, path)
    raw = bytearray(path.read_bytes())
    place %= len(raw)
    raw[place : place + len(junk)] = junk
    path.write_bytes(bytes(raw))
    with contextlib.suppress(UserError):  # any other exception fails the test
        open_tensors(path)
