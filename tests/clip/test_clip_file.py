"""Tensors out of files that nobody should trust: read as data, or refused in one sentence."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import raises

from lib_lora.clip.clip_file import opened
from lib_lora.models.reading.archive import LARGEST_PICKLE


def read_all(path: Path) -> dict[str, torch.Tensor]:
    with opened(path) as tensors:
        return {name: tensors.read(name) for name in tensors.shapes}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_torch_saved_is_read(dtype: torch.dtype, tmp_path: Path) -> None:
    whole = torch.randn(6, 4).to(dtype)
    saved = {"whole": whole, "part": whole[2:4, 1:3], "turned": whole.T, "one": torch.tensor(3.0, dtype=dtype)}
    torch.save(saved, tmp_path / "model.pt")
    read = read_all(tmp_path / "model.pt")
    assert read.keys() == saved.keys()
    for name, tensor in saved.items():
        assert read[name].dtype == dtype
        assert torch.equal(read[name], tensor)


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".safetensors"])
@pytest.mark.parametrize("old", [False, True])
def test_a_bomb_does_not_go_off(suffix: str, old: bool, tmp_path: Path) -> None:
    path, crater = tmp_path / f"model{suffix}", tmp_path / "crater"
    torch.save({"text_projection": Bomb(crater)}, path, _use_new_zipfile_serialization=not old)
    if suffix == ".safetensors":
        with raises("safetensors-invalid", has="model"):
            read_all(path)
    else:
        assert read_all(path) == {}
    assert not crater.exists()
    with open(path, "rb") as stream:  # it is a live one: pickle itself sets it off
        if old:
            for _ in range(4):  # magic number, version, system, and then the content
                pickle.load(stream)
        else:
            with zipfile.ZipFile(stream) as archive:
                pickle.loads(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))
    assert crater.exists()


def torch_zip(path: Path, pickled: bytes, **records: bytes) -> None:
    """A zip as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in records.items():
            archive.writestr(f"archive/data/{name}", data)


def tensor_call(storage: Any = ("storage", "key", 4), offset: int = 0, shape: Any = (4,), stride: Any = (1,)) -> bytes:
    """A pickle of {"text_projection": torch._utils._rebuild_tensor_v2(...)}, written by hand."""

    def value(item: Any) -> bytes:
        if isinstance(item, tuple):
            return b"(" + b"".join(map(value, item)) + b"t"
        return b"I%d\n" % item if isinstance(item, int) else b"V%s\n" % str(item).encode()

    mark, key, count = storage
    place = b"(" + value(mark) + b"ctorch\nFloatStorage\n" + value(key) + value("cpu") + value(count) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + value(offset) + value(shape) + value(stride) + b"tR"
    return b"\x80\x02}" + value("text_projection") + call + b"s."


def test_a_pickle_written_by_hand_is_read(tmp_path: Path) -> None:
    numbers = np.arange(4, dtype="<f4")
    torch_zip(tmp_path / "model.bin", tensor_call(offset=1, shape=(2, 2), stride=(1, 1)), key=numbers.tobytes())
    with opened(tmp_path / "model.bin") as tensors:
        assert tensors.shapes == {"text_projection": (2, 2)}
        assert tensors.read("text_projection").tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"", ""),
        (b"\x80\x02]cbuiltins\neval\n(V1\ntRa.", "no tensor"),
        (b"\x80\x02}V1\ncbuiltins\neval\n(V1\ntRs.", "no tensor"),
        (b"\x80\x02" + b"}V1\n" * 5000 + b"}" + b"s" * 5000 + b".", "recursion"),
        (tensor_call(shape=(5,)), "larger than its numbers"),
        (tensor_call(shape=(4, 4), stride=(0, 0)), "larger than its numbers"),
        (tensor_call(shape=(2, 2), stride=(4, 1)), "too short"),
        (tensor_call(offset=1), "too short"),
        (tensor_call(offset=-1), "makes no sense"),
        (tensor_call(offset=1 << 70), "too short"),
        (tensor_call(stride=(-1,)), "makes no sense"),
        (tensor_call(stride=(1, 1)), "makes no sense"),
        (tensor_call(shape=("4",), stride=("1",)), "makes no sense"),
        (tensor_call(storage=("storage", "key", 5)), "too short"),
        (tensor_call(storage=("storage", "../data.pkl", 4)), "no item named"),
        (tensor_call().replace(b"FloatStorage", b"LongStorage"), "too short"),
        (tensor_call(storage=("file", "key", 4)), "makes no sense"),
        (tensor_call().replace(b"FloatStorage", b"QInt8Storage"), "QInt8Storage"),
        (tensor_call()[:-20], ""),
        (tensor_call() + bytes(LARGEST_PICKLE), "table is too large"),
    ],
)
def test_a_damaged_pickle_is_said(pickled: bytes, said: str, tmp_path: Path) -> None:
    torch_zip(tmp_path / "model.bin", pickled, key=bytes(16))
    if said == "no tensor":  # what was called is a stub, so there is simply nothing
        with opened(tmp_path / "model.bin") as tensors:
            assert tensors.shapes == {}
        return
    with (
        raises(("checkpoint-archive-damaged", "clip-file-damaged"), has=("model.bin", said)),
        opened(tmp_path / "model.bin") as tensors,
    ):
        tensors.read("text_projection")


def rewritten(source: Path, target: Path, change: Callable[[zipfile.ZipInfo, bytes], bytes | None]) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info, old.read(info))
            if data is not None:
                new.writestr(info.filename, data, info.compress_type)


def _compress(info: zipfile.ZipInfo, data: bytes) -> bytes:
    info.compress_type = zipfile.ZIP_DEFLATED if "/data/" in info.filename else zipfile.ZIP_STORED
    return data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda info, data: data[:-4] if info.filename.endswith("data/7") else data,
            ("checkpoint-archive-damaged", "too short"),
        ),
        (
            lambda info, data: None if info.filename.endswith("data/7") else data,
            ("checkpoint-archive-damaged", "no item named"),
        ),
        (_compress, ("checkpoint-archive-damaged", "compressed")),
        (
            lambda info, data: None if info.filename.endswith("data.pkl") else data,
            ("checkpoint-archive-damaged", "no weights"),
        ),
    ],
)
def test_a_damaged_archive_is_said(change: Any, said: str, tmp_path: Path) -> None:
    torch.save({str(number): torch.ones(number) for number in range(1, 10)}, tmp_path / "whole.bin")
    rewritten(tmp_path / "whole.bin", tmp_path / "model.bin", lambda info, data: data)
    read_all(tmp_path / "model.bin")
    rewritten(tmp_path / "whole.bin", tmp_path / "model.bin", change)
    with raises(said[0], has=said[1:]):
        read_all(tmp_path / "model.bin")


def test_a_file_cut_off_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"one": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with raises("checkpoint-archive-damaged", has="model.bin is damaged"):
        read_all(path)


NO_MODEL = (
    "checkpoint-archive-damaged",
    "file-empty",
    "file-is-web-page",
    "safetensors-invalid",
    "safetensors-truncated",
)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pt"])
@pytest.mark.parametrize("content", [b"", b"no model", b"<html>", b"PK\x03\x04" + bytes(200), bytes(5000)])
def test_what_is_no_model_is_said(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with raises(NO_MODEL, has=name):
        read_all(tmp_path / name)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    for name in ("none.bin", "none.safetensors"):
        with raises("file-missing"):
            read_all(tmp_path / name)
