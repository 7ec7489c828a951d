"""Writing and reading the file: what is in it, what is never written, and files that are not what they seem."""

import errno
import hashlib
import json
import os
import struct

import pytest
import torch
from faults import misfit, raises
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_makers import flat_tensors, metadata
from make_golden import golden
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from lib_lora.errors import UserError
from lib_lora.lora.file.container import serialised
from lib_lora.lora.file.describe import describe
from lib_lora.lora.file.open_file import MAX_HEADER
from lib_lora.lora.file.reading import LoraFile, read
from lib_lora.lora.file.tensors import check
from lib_lora.lora.file.writing import write
from lib_lora.lora.hashes import FileBytes, legacy_hash, sshs_model_hash


def _names(*kinds):
    return [key.removesuffix(".alpha") for kind in kinds for key in golden(kind) if key.endswith(".alpha")]


SD1 = _names("sd1-unet", "sd1-te1")


@pytest.fixture(scope="module")
def sd1():
    """The tensors of a whole SD1 LoRA; not to be changed."""
    return flat_tensors(SD1)


@pytest.fixture
def written(sd1, tmp_path):
    path = tmp_path / "mara.safetensors"
    write(path, sd1, metadata("sd1", trigger="mrxa", steps=12, sd_model_name="base.safetensors", consent="myself"))
    return path


# --- writing


def test_what_is_in_the_file(sd1, written):
    with safe_open(str(written), framework="pt") as file:
        texts = file.metadata()
        assert sorted(file.keys()) == sorted(golden("sd1-unet") + golden("sd1-te1"))
        for key in file.keys():
            tensor = file.get_tensor(key)
            assert tensor.dtype == torch.float16
            assert torch.equal(tensor, sd1[key].half())
            assert tensor.ndim == (0 if key.endswith(".alpha") else 2)
    assert texts["ss_output_name"] == texts["modelspec.title"] == "mara"
    assert texts["ss_v2"] == "False"
    assert texts["modelspec.trigger_phrase"] == "mrxa"
    raw = written.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert raw[8:10] == b'{"'  # A1111 looks for these two
    assert texts["sshs_model_hash"] == hashlib.sha256(raw[8 + length :]).hexdigest()
    assert texts["modelspec.hash_sha256"] == "0x" + texts["sshs_model_hash"]
    assert os.listdir(written.parent) == ["mara.safetensors"]  # noqa: PTH208 (nothing temporary is left)


def test_the_tensor_bytes_are_those_of_the_safetensors_package(sd1, tmp_path):
    """So that every other program computes the same hash, and every tensor is aligned."""
    mixed = {**{key: item.half() for key, item in sd1.items()}, "one.dora_scale": torch.tensor([[1 / 3]])}
    theirs = save(mixed, metadata={"ss_steps": "1"})
    ours = b"".join(serialised(mixed, {"ss_steps": "1"}))
    assert sshs_model_hash([ours]) == sshs_model_hash([theirs])
    path = tmp_path / "x.safetensors"
    path.write_bytes(ours)
    assert all(torch.equal(item, mixed[key]) for key, item in load_file(str(path)).items())


def test_the_legacy_hash_is_of_the_file_with_ss_keys_alone(tmp_path):
    names = _names("sd1-unet", "sd1-te1")
    tensors = flat_tensors(names, rank=8, width=150)  # more than 1 MiB
    path = tmp_path / "mara.safetensors"
    write(path, tensors, metadata("sd1", trigger="mrxa", consent="myself"))
    lora = read(path)
    only_ss = {key: text for key, text in lora.metadata.items() if key.startswith("ss_")}
    again = b"".join(serialised(lora.tensors, only_ss))
    assert len(again) > 0x110000
    assert lora.metadata["sshs_legacy_hash"] == hashlib.sha256(again[0x100000:0x110000]).hexdigest()[:8]
    assert legacy_hash([again]) != legacy_hash(FileBytes(path))  # the whole file has a longer header


def test_the_same_content_gives_the_same_bytes(sd1, tmp_path):
    shuffled = dict(sorted(sd1.items(), key=lambda item: hashlib.sha256(item[0].encode()).digest()))
    for folder, tensors in (("a", sd1), ("b", shuffled)):
        write(tmp_path / folder / "x.safetensors", tensors, metadata("sd1"))
    assert (tmp_path / "a/x.safetensors").read_bytes() == (tmp_path / "b/x.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types(sd1, tmp_path, dtype):
    path = tmp_path / "x.safetensors"
    returned = write(path, sd1, metadata("sd1"), dtype)
    lora = read(path)
    assert {item.dtype for key, item in lora.tensors.items() if "lora_" in key} == {dtype}
    assert all(torch.equal(item, sd1[key].to(dtype)) for key, item in lora.tensors.items() if "lora_" in key)
    assert returned == lora.metadata["sshs_model_hash"] == sshs_model_hash(FileBytes(path))


def test_alpha_and_dora_scale_stay_exact(tmp_path):
    tensors = flat_tensors(SD1, alpha=2 * 5**0.5, dora=True)
    path = tmp_path / "x.safetensors"
    write(path, tensors, metadata("sd1"))
    stored = load_file(str(path))
    for key, item in stored.items():
        if key.endswith((".alpha", ".dora_scale")):
            assert item.dtype == torch.float32
            assert torch.equal(item, tensors[key])
        else:
            assert item.dtype == torch.float16


def test_names_of_any_script_and_with_dots(sd1, tmp_path):
    path = tmp_path / "größe 名前" / "mara v1.2.safetensors"
    write(path, sd1, metadata("sd1", trigger="größe 名前"))
    with safe_open(str(path), framework="pt") as file:
        assert file.metadata()["ss_output_name"] == "mara v1.2"
        assert file.metadata()["modelspec.trigger_phrase"] == "größe 名前"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_number_that_is_none_is_never_written(sd1, written, value, dtype):
    before = written.read_bytes()
    key = f"{SD1[5]}.lora_up.weight"
    broken = sd1[key].clone()
    broken[1, 1] = value
    with raises("tensors-not-finite", has=key):
        write(written, {**sd1, key: broken}, metadata("sd1"), dtype)
    assert written.read_bytes() == before
    assert len(list(written.parent.iterdir())) == 1


def test_what_half_precision_cannot_hold_is_never_written(sd1, tmp_path):
    path = tmp_path / "x.safetensors"
    key = f"{SD1[0]}.lora_up.weight"
    write(path, {**sd1, key: torch.full((4, 2), 65504.0)}, metadata("sd1"))
    with raises("weights-beyond-half-precision", has=("6.6e+04", "65504")):
        write(path, {**sd1, key: torch.full((4, 2), 66000.0)}, metadata("sd1"))
    write(path, {**sd1, key: torch.full((4, 2), 66000.0)}, metadata("sd1"), torch.bfloat16)


@pytest.mark.parametrize("half", ["lora_up.weight", "lora_down.weight"])
@pytest.mark.parametrize("number", [0.0, 1e-9])  # half precision rounds the second to zero
@pytest.mark.parametrize("prefix", ["lora_unet_", "lora_te_"])
def test_a_part_that_does_nothing_is_never_written(sd1, tmp_path, half, number, prefix):
    zero = {
        key: torch.full_like(item, number) if key.startswith(prefix) and key.endswith(half) else item
        for key, item in sd1.items()
    }
    part = {"lora_unet_": "unet", "lora_te_": "te1"}[prefix]
    with raises("nothing-learned", has=part):
        write(tmp_path / "x.safetensors", zero, metadata("sd1"))
    assert not list(tmp_path.iterdir())


def test_single_layers_may_do_nothing(sd1):
    """SDXL's first encoder is read before its last layer, so that gets no gradient."""
    quiet = {
        key: torch.zeros_like(item) if key.startswith("lora_te_text_model_encoder_layers_11_") and "up" in key else item
        for key, item in sd1.items()
    }
    assert check(quiet, "sd1") == {"unet": 192, "te1": 72}


@pytest.mark.parametrize("leaf", ["q", "k", "v", "out"])
@pytest.mark.parametrize(("kind", "family", "part"), [("sd2-te1", "sd2", "te1"), ("sdxl-te2", "sdxl", "te2")])
def test_a_partial_attention_is_never_written(kind, family, part, leaf):
    lost = f"encoder_layers_7_self_attn_{leaf}_proj"
    tensors = flat_tensors([name for name in _names(kind) if not name.endswith(lost)])
    with raises("attention-incomplete", has=(part, "layers.7.self_attn", leaf)):
        check(tensors, family)


@pytest.mark.parametrize(
    ("family", "kinds", "counts"),
    [
        ("sd1", ["sd1-unet"], {"unet": 192}),
        ("sd1", ["sd1-unet", "sd1-unet-conv", "sd1-te1"], {"unet": 278, "te1": 72}),
        ("sd1", ["sd1-te1"], {"te1": 72}),
        ("sd2", ["sd2-unet", "sd2-te1"], {"unet": 192, "te1": 138}),
        ("sdxl", ["sdxl-unet"], {"unet": 722}),
        ("sdxl", ["sdxl-unet", "sdxl-unet-conv", "sdxl-te1", "sdxl-te2"], {"unet": 788, "te1": 72, "te2": 192}),
    ],
)
def test_whole_files_pass(family, kinds, counts):
    assert check(flat_tensors(_names(*kinds), rank=1, width=1), family) == counts


def test_counts_that_are_not_whole():
    unet, convolutions = _names("sd1-unet"), _names("sd1-unet-conv")
    with raises("layers-missing", has=("191", "192", "mid_block.attentions.0.proj_in")):
        check(flat_tensors([name for name in unet if name != "lora_unet_mid_block_attentions_0_proj_in"]), "sd1")
    with raises("layers-missing", has=("277", "278")):
        check(flat_tensors(unet + convolutions[1:]), "sd1")
    with raises("tensors-empty"):
        check({}, "sd1")


def test_names_of_another_family_are_never_written(sd1):
    with raises("tensor-of-no-layer", has="lora_unet_down_blocks_0_attentions_0_proj_in"):
        check(sd1, "sdxl")
    with raises("tensor-of-no-layer", has=("lora_te_", "_0_mlp_fc1")):
        check(flat_tensors(_names("sd1-te1")), "sdxl")
    spelled = flat_tensors([name.replace("lora_te_", "lora_te1_") for name in _names("sd1-te1")])
    with raises("tensor-of-no-layer", has="sd1"):
        check(spelled, "sd1")


def test_programming_errors_are_no_user_errors(sd1, tmp_path):
    for path, texts, dtype, wrong in (
        (tmp_path / "x.pt", metadata("sd1"), torch.float16, "path"),
        (tmp_path / "x.safetensors", {}, torch.float16, "metadata"),
        (tmp_path / "x.safetensors", metadata("sd1"), torch.float64, "dtype"),
    ):
        with misfit(wrong):
            write(path, sd1, texts, dtype)


def test_a_full_disk_leaves_the_old_file(sd1, written, monkeypatch):
    before = written.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with raises("disk-full", has="mara.safetensors"):
        write(written, sd1, metadata("sd1", steps=13))
    assert written.read_bytes() == before
    assert len(list(written.parent.iterdir())) == 1


# --- reading


def _plain(path, tensors, texts=None):
    save_file({key: item.contiguous() for key, item in tensors.items()}, str(path), metadata=texts)
    return path


def test_what_was_written_is_read(sd1, written):
    lora = read(written)
    assert isinstance(lora, LoraFile)
    assert lora.tensors.keys() == sd1.keys()
    assert lora.layers.keys() == set(SD1)
    layer = lora.layers[SD1[0]]
    assert (layer.rank, layer.scale, layer.mid, layer.dora_scale) == (2, 0.5, None, None)
    assert lora.metadata["ss_steps"] == "12"


PEFT = "lora-with-peft-names"


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"], PEFT),
        (["unet.down_blocks.0.attentions.0.proj_in.lora.down.weight"], PEFT),
        (["base_model.model.q_proj.lora_B.weight"], PEFT),
        (["down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight"], PEFT),
        (["text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight"], PEFT),
        (["lora_unet_x.lora_A.weight", "lora_unet_x.lora_down.weight"], "lora-tensor-unknown"),
        (["model.diffusion_model.input_blocks.0.0.weight"], ("not-a-lora", "is a checkpoint")),
        (["lora_unet_x.hada_w1_a"], ("not-a-lora", "LoHa")),
        (["lora_unet_x.lokr_w1"], ("not-a-lora", "LoKr")),
        (
            ["lora_unet_x.lora_down.weight", "lora_unet_y.diff"],
            ("not-a-lora", "LyCORIS file of a kind that this program cannot read"),
        ),
        (["lora_unet_x.oft_blocks"], ("not-a-lora", "LyCORIS")),
        (["bundle_emb.mara.clip_l"], ("not-a-lora", "bundle_emb.mara.clip_l")),
        (["clip_l", "clip_g"], ("not-a-lora", "a textual inversion embedding")),
        (["lora_transformer_blocks_0.lora_down.weight"], ("not-a-lora", "lora_transformer_blocks_0")),
        (["transformer.blocks.0.lora_up.weight"], ("not-a-lora", "is a LoRA for another kind of model")),
        (["encoder.conv_in.weight"], ("not-a-lora", "'encoder.conv_in.weight'")),
        (["lora_unet_x.lora_down.weight"], ("lora-half-missing", "lora_unet_x")),
        (["lora_unet_x.lora_down.weight", "lora_unet_x.lora_up.weight", "lora_unet_x.bias_x"], "lora-tensor-unknown"),
    ],
)
def test_other_kinds_are_called_by_their_name(tmp_path, keys, fault):
    path = _plain(tmp_path / "x.safetensors", {key: torch.ones(2, 2) for key in keys})
    code, *words = [fault] if isinstance(fault, str) else fault
    with raises(code, has=("x.safetensors", *words)):
        read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_up.weight": torch.ones(4, 3)},
        {"lora_down.weight": torch.ones(2)},
        {"lora_down.weight": torch.ones(0, 4)},
        {"lora_up.weight": torch.ones(4, 2, 3, 3)},
        {"alpha": torch.ones(2)},
        {"dora_scale": torch.ones(4)},
        {"lora_mid.weight": torch.ones(2, 3, 3, 3)},
        {"lora_mid.weight": torch.ones(2, 2)},
    ],
)
def test_impossible_shapes(tmp_path, changes):
    tensors = {**flat_tensors(["lora_unet_x"]), **{f"lora_unet_x.{what}": item for what, item in changes.items()}}
    with raises("lora-shapes-mismatch", has="'lora_unet_x'"):
        read(_plain(tmp_path / "x.safetensors", tensors))


def test_a_broken_training_is_reported(tmp_path):
    tensors = flat_tensors(["lora_unet_x", "lora_unet_y"])
    tensors["lora_unet_y.lora_up.weight"][0, 0] = float("nan")
    with raises("lora-not-finite", has=("1", "2")):
        read(_plain(tmp_path / "x.safetensors", tensors))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("file-empty",)),
        (b"<!DOCTYPE html><html>", ("file-is-web-page",)),
        (b"version https://git-lfs.github.com/spec/v1\n", ("file-is-lfs-pointer", "LFS")),
        (b"PK\x03\x04" + bytes(60), ("lora-is-zip",)),
        (b"short", ("safetensors-invalid", "not a safetensors file")),
        (struct.pack("<Q", 50) + b"{}", ("safetensors-truncated",)),
        (struct.pack("<Q", 2) + b"{}", ("lora-empty",)),
        (struct.pack("<Q", 2) + b"[]", ("safetensors-invalid", "not a safetensors file")),
        (struct.pack("<Q", 2) + b"{!", ("safetensors-invalid", "not a safetensors file")),
        (struct.pack("<Q", 1 << 63) + b"{}", ("safetensors-invalid", "not a safetensors file")),
    ],
)
def test_files_that_are_none(tmp_path, content, words):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with raises(words[0], has=(*words[1:], "x.safetensors")):
        read(path)


def test_headers_of_monstrous_size(tmp_path):
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", MAX_HEADER + 1) + b"{")
        stream.truncate(8 + MAX_HEADER + 1)  # sparse: no such disk space is used
    with raises("lora-header-too-large", has="33,554,433"):
        read(path)
    table = {f"lora_unet_{n}.alpha": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for n in range(50_001)}
    raw = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    with raises("lora-too-many-tensors", has="50,001"):
        read(path)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    with raises("file-missing"):
        read(tmp_path / "absent.safetensors")
    with raises("lora-wrong-suffix", has="x.pt"):
        read(tmp_path / "x.pt")
    (tmp_path / "folder.safetensors").mkdir()
    with raises("checkpoint-is-folder"):
        read(tmp_path / "folder.safetensors")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file with one layer, as bytes, and where to put changed copies of it."""
    folder = tmp_path_factory.mktemp("small")
    path = _plain(folder / "x.safetensors", flat_tensors(["lora_unet_x"], dora=True), {"ss_steps": "1"})
    return path.read_bytes(), path


def _survives(path):
    """Read, or refused with one sentence; nothing else."""
    try:
        describe(path)
    except UserError as error:
        said = str(error)
    else:
        return True
    assert path.name in said
    assert "\n" not in said
    return False


def test_cut_off_anywhere(small):
    raw, path = small
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        assert not _survives(path), length
    path.write_bytes(raw)
    assert _survives(path)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_changed(small, changes):
    raw, path = small
    content = bytearray(raw)
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    _survives(path)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all(small, content):
    path = small[1]
    path.write_bytes(content)
    assert not _survives(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "F8_E4M3", "X"]) | _JSON,
        "shape": st.lists(st.integers(-1, 5), max_size=5) | _JSON,
        "data_offsets": st.lists(st.integers(-1, 80), min_size=2, max_size=2) | _JSON,
    }
)
_KEY = st.sampled_from(
    ["lora_unet_x.lora_down.weight", "lora_unet_x.lora_up.weight", "lora_unet_x.alpha", "__metadata__"]
) | st.text(max_size=9)


@given(st.dictionaries(_KEY, _ENTRY | _JSON, max_size=5) | _JSON)
@settings(max_examples=300, deadline=None)
def test_any_header(small, header):
    raw = json.dumps(header).encode()
    path = small[1]
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(64))
    _survives(path)


def test_a_deep_header(small):
    path = small[1]
    raw = b'{"a":' + b"[" * 200_000
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    assert not _survives(path)


# --- describing


def test_a_description_of_our_own(written):
    found = describe(written)
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "file": "mara.safetensors",
        "size": written.stat().st_size,
        "kind": "LoRA",
        "family": "sd1",
        "webui_version": "SD1",
        "parts": {"unet": 192, "te1": 72},
        "modules": 264,
        "ranks": [2],
        "alphas": [1.0],
        "dtype": "float16",
        "words": {},
        "trigger": "mrxa",
        "base_model": "base.safetensors",
        "base_model_sha256": None,
        "steps": 12,
        "consent": "myself",
        "hash": sshs_model_hash(FileBytes(written)),
        "hashes": {"sshs_model_hash": True, "modelspec.hash_sha256": True},
    }


@pytest.mark.parametrize(
    ("kinds", "family", "kind"),
    [
        (["sdxl-unet", "sdxl-te1", "sdxl-te2"], "sdxl", "LoRA"),
        (["sdxl-unet", "sdxl-unet-conv"], "sdxl", "LoCon"),
        (["sd2-unet", "sd2-te1"], "sd2", "LoRA"),
        (["sd2-te1"], "sd2", "LoRA"),
        (["sd1-unet", "sd1-unet-conv"], "sd1", "LoCon"),
    ],
)
@pytest.mark.parametrize("dora", [False, True])
def test_families_and_kinds(tmp_path, kinds, family, kind, dora):
    path = tmp_path / "x.safetensors"
    write(path, flat_tensors(_names(*kinds), dora=dora), metadata(family))
    found = describe(path)
    assert (found["family"], found["webui_version"]) == (family, family.upper())
    expected = {("LoRA", False): "LoRA", ("LoRA", True): "DoRA", ("LoCon", True): "DoRA + LoCon"}
    assert found["kind"] == expected.get((kind, dora), kind)


@pytest.mark.parametrize(("width", "family"), [(768, "sd1"), (1024, "sd2")])
def test_without_metadata_the_width_of_the_text_tells(tmp_path, width, family):
    tensors = flat_tensors(_names("sd1-unet"), alpha=3.0)
    for key in tensors:
        if key.endswith("attn2_to_k.lora_down.weight"):
            tensors[key] = torch.ones(2, width)
    found = describe(_plain(tmp_path / "x.safetensors", tensors))
    assert (found["family"], found["webui_version"], found["dtype"]) == (family, "Unknown", "float32")
    assert (found["hashes"], found["trigger"], found["steps"]) == ({}, None, None)


@pytest.mark.parametrize(("convolution", "family"), [(True, "sd1"), (False, "sd2")])
def test_at_last_the_projections_tell(tmp_path, convolution, family):
    tensors = flat_tensors(_names("sd1-unet"))
    if convolution:
        tensors = {
            key: item[..., None, None] if "_proj_in.lora" in key or "_proj_out.lora" in key else item
            for key, item in tensors.items()
        }
    assert describe(_plain(tmp_path / "x.safetensors", tensors))["family"] == family


def test_a_file_for_another_model_and_a_wrong_hash(tmp_path):
    tensors = flat_tensors(["lora_unet_double_blocks_0_img_attn_qkv", "lora_te1_x"])
    del tensors["lora_te1_x.alpha"]
    path = _plain(tmp_path / "x.safetensors", tensors, {"sshs_model_hash": "ab" * 32, "ss_steps": "many"})
    found = describe(path)
    assert found["family"] is None
    assert found["parts"] == {"unet": 1, "te1": 1}
    assert found["alphas"] == [1.0, None]
    assert found["hashes"] == {"sshs_model_hash": False}
    assert (found["steps"], found["webui_version"]) == (None, "SD1")  # A1111 would say so too
