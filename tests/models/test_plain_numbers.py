"""The numbers of a file without torch are those that torch reads."""

import warnings

import numpy as np
import pytest
import torch
from faults import raises
from safetensors.torch import save_file

from lib_lora.lora.file.describe import describe
from lib_lora.models.reading import plain_numbers
from lib_lora.models.reading.dtypes import SIZES, torch_dtype
from lib_lora.models.reading.header import read_header
from lib_lora.models.reading.plain_numbers import pieces

FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
OTHERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}


def _bits(name, count):
    """Numbers of this type out of all kinds of bits: also what is infinite, no number, or too small for the others."""
    raw = torch.from_numpy(np.random.default_rng(7).integers(0, 256, count * SIZES[name], dtype=np.uint8))
    if SIZES[name] == 1:
        raw = torch.arange(count, dtype=torch.int64).to(torch.uint8)  # every one there is
    if name == "bool":
        return raw % 2 == 1
    return raw.view(torch_dtype(name)) if name in FLOATS else raw.view(BITS[SIZES[name]]).to(torch_dtype(name))


def test_the_sizes_are_torchs():
    assert {name: torch_dtype(name).itemsize for name in SIZES} == SIZES


@pytest.mark.parametrize("name", [*FLOATS, *OTHERS])
def test_every_type_reads_as_torch_reads_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(plain_numbers, "_PIECE", 100)
    tensor = _bits(name, 1024)
    save_file({"before": torch.zeros(3), "x": tensor}, tmp_path / "x.safetensors")
    entry = read_header(tmp_path / "x.safetensors")[0]["x"]
    with open(tmp_path / "x.safetensors", "rb", buffering=0) as stream:
        parts = list(pieces(stream, "x", entry))
    assert [len(part) for part in parts] == [100] * 10 + [24]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = tensor.float().numpy()
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_a_file_that_became_shorter_is_said(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(100)}, path)
    entry = read_header(path)[0]["x"]
    path.write_bytes(path.read_bytes()[:-4])
    with open(path, "rb", buffering=0) as stream, raises("file-shortened"):
        list(pieces(stream, "x", entry))


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("wrong", [None, float("nan"), float("inf")])
def test_a_lora_is_described_as_it_is_or_refused(tmp_path, name, wrong):
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    down = torch.ones(4, 768, dtype=torch_dtype(name))
    if wrong is not None:
        down[3, 700] = wrong
    tensors = {
        f"{layer}.lora_down.weight": down,
        f"{layer}.lora_up.weight": torch.ones(320, 4, dtype=torch_dtype(name)),
    }
    tensors[f"{layer}.alpha"] = torch.tensor(2.5, dtype=torch_dtype(name))
    save_file(tensors, tmp_path / "x.safetensors")
    if wrong is not None:
        with raises("lora-not-finite", has="1"):
            describe(tmp_path / "x.safetensors")
        return
    said = describe(tmp_path / "x.safetensors")
    assert (said["dtype"], said["alphas"], said["ranks"], said["family"]) == (name, [2.5], [4], "sd1")
