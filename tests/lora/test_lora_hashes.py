"""Hashes, each against hashlib over bytes that were put together by hand."""

import hashlib
import json
import struct

import torch
from faults import misfit, raises
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from lib_lora.lora.hashes import FileBytes, legacy_file_hash, legacy_hash, sshs_model_hash

NOTHING = "e3b0c442"


def _file(header, body):
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def test_the_model_hash_is_of_the_tensors_alone():
    body = bytes(range(16))
    table = {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    expected = "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991"  # sha256sum of bytes 0 to 15
    assert sshs_model_hash([_file(table, body)]) == expected
    assert sshs_model_hash([_file({"__metadata__": {"ss_steps": "9"}, **table}, body)]) == expected
    assert sshs_model_hash([_file(table, body[:15] + b"\x00")]) != expected


def test_the_legacy_hash_is_of_64_kib_at_1_mib():
    start = bytes(0x100000)
    inside = hashlib.sha256(b"a" * 0x10000).hexdigest()[:8]
    assert legacy_hash([start + b"a" * 0x10000 + b"rest"]) == inside
    assert legacy_hash([start + b"a" * 0x10000]) == inside
    assert legacy_hash([b"b" + start + b"a" * 0x10000]) == hashlib.sha256(b"\x00" + b"a" * 0xFFFF).hexdigest()[:8]
    assert legacy_hash([start + b"abc"]) == "ba7816bf"  # the published SHA-256 of "abc"
    assert legacy_hash([b"short"]) == legacy_hash([]) == NOTHING


def test_hashes_of_files(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"x": torch.arange(600_000, dtype=torch.float32)}, metadata={"format": "pt"}))
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert sshs_model_hash(FileBytes(path)) == hashlib.sha256(raw[8 + length :]).hexdigest()
    assert legacy_hash(FileBytes(path)) == legacy_file_hash(path)
    assert legacy_file_hash(path) == hashlib.sha256(raw[0x100000:0x110000]).hexdigest()[:8] != NOTHING


def test_what_cannot_be_hashed(tmp_path):
    with misfit("chunks"):
        sshs_model_hash([b"1234567"])
    with raises("file-missing"):
        legacy_file_hash(tmp_path / "absent")
    with raises("file-missing"):
        list(FileBytes(tmp_path / "absent"))


@given(st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=40))
def test_where_the_pieces_are_cut_does_not_matter(header, body, cuts):
    whole = struct.pack("<Q", len(header)) + header + body
    pieces, rest = [], whole
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert sshs_model_hash([*pieces, rest]) == hashlib.sha256(body).hexdigest()


@given(st.lists(st.integers(1, 0x120000), min_size=1, max_size=4), st.integers(0, 0x130000))
def test_the_legacy_window_over_any_cuts(cuts, size):
    whole = (b"sameface" * (size // 8 + 1))[:size]
    pieces, rest = [], whole
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert legacy_hash([*pieces, rest]) == hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8]
