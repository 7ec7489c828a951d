"""Torch's own files as data: equal to what torch reads, and whatever would run code does not run."""

from __future__ import annotations

import collections
import contextlib
import datetime
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.errors import UserError
from lib_lora.models.reading.archive import LARGEST_PICKLE, Archive
from lib_lora.models.reading.raw_numbers import _PIECE
from lib_lora.models.reading.weights import open_tensors

BOTH = pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])


def save(content, path, new=True, **more):
    torch.save(content, path, _use_new_zipfile_serialization=new, **more)
    return path


def same(read, expected):
    """Bit by bit, so that NaN and -0 count, too."""
    assert (read.dtype, read.shape) == (expected.dtype, expected.shape)
    raw = [one.detach().contiguous().reshape(-1).view(torch.uint8) for one in (read, expected)]
    assert torch.equal(*raw)


# What must not run


class Loud(torch.nn.Module):
    """A module whose script prints while it is opened."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self):
        return self.w, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        print("it runs")
        self.w = state[0]
        self.training = state[1]

    def forward(self, x):
        return x


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.ckpt"
    torch.jit.save(torch.jit.script(Loud()), path)
    return path


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_a_script_is_refused_and_not_run(script, suffix, capfd):
    path = script.rename(script.with_suffix(suffix))
    with raises("checkpoint-unsafe", has=path.name):
        open_tensors(path)
    assert "it runs" not in "".join(capfd.readouterr())
    torch.jit.load(path)
    assert "it runs" in "".join(capfd.readouterr())  # it is a live one


def test_a_table_with_a_script_beside_it_is_read_and_the_script_not_run(script, tmp_path, capfd):
    table = save({"state_dict": {"w": torch.arange(3.0)}}, tmp_path / "table.ckpt")
    with zipfile.ZipFile(script) as code, zipfile.ZipFile(table, "a") as archive:
        for name in code.namelist():
            if "/code/" in name or name.endswith("constants.pkl"):
                archive.writestr("table/" + name.partition("/")[2], code.read(name))
    assert Archive(table).script
    assert torch.equal(open_tensors(table).read("w"), torch.arange(3.0))
    assert "it runs" not in "".join(capfd.readouterr())


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, crater):
        self.crater = crater

    def __reduce__(self):
        return os.mkdir, (str(self.crater),)


@BOTH
@pytest.mark.parametrize(
    ("content", "read"),
    [
        (lambda bomb: bomb, None),
        (lambda bomb: {"w": bomb}, None),
        (lambda bomb: {"state_dict": bomb}, None),
        (lambda bomb: {"state_dict": {"w": bomb}}, None),
        (lambda bomb: {"state_dict": {"w": torch.ones(2)}, "callbacks": [bomb]}, ["w"]),
        (lambda bomb: {"w": torch.ones(2), "v": bomb}, ["w"]),
    ],
)
def test_a_bomb_does_not_go_off(content, read, new, tmp_path):
    crater = tmp_path / "crater"
    path = save(content(Bomb(crater)), tmp_path / "bomb.ckpt", new)
    if read is None:
        with raises("checkpoint-unsafe", has="bomb.ckpt"):
            open_tensors(path)
    else:
        file = open_tensors(path)
        assert sorted(file.keys()) == read
        assert file.read("w").tolist() == [1, 1]
    assert not crater.exists()
    torch.load(path, weights_only=False)
    assert crater.exists()  # it is a live one


def by_hand(path, pickled, new=True, **records):
    """A file with this pickle as its content."""
    if new:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            for name, data in records.items():
                archive.writestr(f"archive/data/{name}", data)
    else:
        first = b"".join(pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {}))
        path.write_bytes(first + pickled + pickle.dumps([], 2))
    return path


@BOTH
@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nmkdir\n(Vcrater\ntR.",  # GLOBAL, REDUCE
        b"(Vcrater\nios\nmkdir\n.",  # INST
        b"(cos\nmkdir\nVcrater\no.",  # OBJ
        b"\x80\x02cbuiltins\nbytes\ncbuiltins\nmap\ncos\nmkdir\n(Vcrater\nl\x86\x81\x85\x81.",  # NEWOBJ
        b"\x80\x04cbuiltins\nbytes\ncbuiltins\nmap\ncos\nmkdir\n(Vcrater\nl\x86}\x92\x85}\x92.",  # NEWOBJ_EX
        b"\x80\x04Vbuiltins\nVeval.__call__\n\x93V__import__('os').mkdir('crater')\n\x85R.",  # STACK_GLOBAL
    ],
)
def test_a_bomb_written_by_hand_does_not_go_off(pickled, new, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises("checkpoint-unsafe", has="x.ckpt"):
        open_tensors(by_hand(tmp_path / "x.ckpt", pickled, new))
    assert not (tmp_path / "crater").exists()
    with contextlib.suppress(TypeError):  # some call None after it
        pickle.loads(pickled)
    assert (tmp_path / "crater").exists()  # it is a live one


@pytest.mark.parametrize("state", [b"}V%s\ncos\nmkdir\ns", b"N}V%s\ncos\nmkdir\ns\x86"], ids=["dict", "slots"])
@pytest.mark.parametrize("name", [b"__setstate__", b"__class__", b"__new__", b"append", b"get", b"args", b"kind"])
def test_a_pickle_cannot_change_what_is_called(name, state, tmp_path, monkeypatch):
    """BUILD sets attributes, and what is called next could be one of them."""
    monkeypatch.chdir(tmp_path)
    pickled = b"\x80\x02cbuiltins\nobject\n)R" + state % name + b"bVcrater\nbVcrater\na."
    with raises("checkpoint-unsafe", has="x.ckpt"):
        open_tensors(by_hand(tmp_path / "x.ckpt", pickled))
    tree = Archive(tmp_path / "x.ckpt").tree
    assert (type(tree).kind, tree.kind, tree.args) == ("builtins.object", "builtins.object", ())
    assert not (tmp_path / "crater").exists()


def test_torch_s_tar_files_are_refused(tmp_path):
    """What torch before 0.1.10 wrote, by unpacking it; links in it would be followed."""
    path = tmp_path / "x.pt"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
        archive.addfile(link)
    with raises("checkpoint-archive-damaged", has="x.pt is damaged"):
        open_tensors(path)


# What must be read


def ordinary():
    """The kinds of tensors that are in checkpoints, and some more."""
    whole = torch.randn(64, 48)
    base = torch.arange(24.0).reshape(2, 3, 4)
    shared = torch.randn(10)
    tied = torch.nn.Parameter(torch.randn(3))
    return {
        "f32": whole,
        "f64": torch.randn(5, dtype=torch.float64),
        "f16": torch.randn(3, 3).half(),
        "bf16": torch.randn(3, 3).bfloat16(),
        "i64": torch.tensor([2**62, -5]),
        "i32": torch.tensor([7, -1], dtype=torch.int32),
        "i16": torch.tensor([300], dtype=torch.int16),
        "i8": torch.tensor([-3], dtype=torch.int8),
        "u8": torch.tensor([255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "complex": torch.randn(2, dtype=torch.complex64),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "number": torch.tensor(3.5),
        "nothing": torch.zeros(0, 7),
        "none": torch.tensor([]),
        "position_ids": torch.arange(77).expand((1, -1)),
        "turned": whole.T,
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "part": whole[2:30:3, 5:9],
        "column": base[:, 1],
        "windows": torch.arange(9.0).as_strided((3, 3), (2, 1), 1),
        "shared_a": shared[:6],
        "shared_b": shared[4:],
        "parameter": tied,
        "tied": tied,
        "long": torch.randn(_PIECE * 2 + 17),
    }


@BOTH
@pytest.mark.parametrize("wrap", [dict, collections.OrderedDict])
def test_equal_to_what_torch_reads(new, wrap, tmp_path):
    path = save({"state_dict": wrap(ordinary()), "epoch": 3, "global_step": 10**12}, tmp_path / "x.ckpt", new)
    expected = torch.load(path, weights_only=True)["state_dict"]
    file = open_tensors(path)
    assert file.keys() == set(expected)
    for key, tensor in expected.items():
        assert file.shape(key) == tuple(tensor.shape)
        read = file.read(key)
        same(read, tensor)
        assert read.is_contiguous()
        if not tensor.is_complex():
            same(file.read(key, torch.float16), tensor.to(torch.float16))


@BOTH
def test_a_network_s_own_table_is_read(new, tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    net[0].weight.extra = "attribute"
    path = save(net.state_dict(keep_vars=True), tmp_path / "x.pt", new)
    file = open_tensors(path)
    assert file.keys() == set(net.state_dict())
    for key, tensor in net.state_dict().items():
        same(file.read(key), tensor)


def tensor_call(function, storage, count, shape, stride, more=b""):
    """A pickle of {"w": a tensor}; count, shape and stride are of one dimension."""
    place = b"(Vstorage\nctorch\n%s\nVkey\nVcpu\nI%d\ntQ" % (storage, count)
    args = b"(%sI0\n(I%d\nt(I%d\nt%st" % (place, shape, stride, more)
    return b"\x80\x02}Vw\nctorch._utils\n%s\n%sRs." % (function, args)


@pytest.mark.parametrize("name", [b"float8_e4m3fn", b"float8_e5m2"])
def test_float8_is_read(name, tmp_path):
    """By hand, since torch could not save it before 2.2."""
    stored = torch.randn(9).to(getattr(torch, name.decode()))
    pickled = tensor_call(b"_rebuild_tensor_v3", b"storage\nUntypedStorage", 9, 3, 2, b"NNctorch\n%s\n" % name)
    pickled = pickled.replace(b"ctorch\nstorage\n", b"ctorch.storage\n")
    file = open_tensors(by_hand(tmp_path / "x.ckpt", pickled, key=stored.view(torch.uint8).numpy().tobytes()))
    assert file.read("w").dtype == stored.dtype
    assert torch.equal(file.read("w", torch.float32), stored.float()[:5:2])


def test_what_is_read_is_a_private_copy(tmp_path):
    tensor = torch.zeros(4)
    file = open_tensors(save({"a": tensor, "b": tensor[1:]}, tmp_path / "x.ckpt"))
    file.read("a").fill_(1)
    assert file.read("b").tolist() == [0, 0, 0]


@BOTH
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_with_lightning_s_classes_is_read(new, protocol, tmp_path, monkeypatch):
    module = types.ModuleType("pytorch_lightning_callbacks")

    class ModelCheckpoint:
        __module__, __qualname__ = module.__name__, "ModelCheckpoint"

        def __init__(self):
            self.best, self.path = torch.tensor(0.5), pathlib.PurePosixPath("logs/x")

    class Attributes(dict):
        __module__, __qualname__ = module.__name__, "Attributes"

    class History(list):
        __module__, __qualname__ = module.__name__, "History"

    module.ModelCheckpoint, module.Attributes, module.History = ModelCheckpoint, Attributes, History
    content = {
        "epoch": 3,
        "state_dict": {"w": torch.randn(3), "b": torch.randn(2).half()},
        "callbacks": {ModelCheckpoint: {"monitor": "loss", "best_model_score": np.float64(0.5)}},
        "objects": {ModelCheckpoint(): 1, datetime.date(2022, 8, 22): 2, torch.float16: 3},
        "hyper_parameters": Attributes(lr=1e-4, betas=(0.9, 0.999), betas_array=np.linspace(0, 1, 1000)),
        "more": [History([1, 2]), collections.deque([1]), {1, 2}, frozenset({3}), torch.device("cpu"), 1j, b"x"],
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1.0}]}],
        "loops": None,
    }
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = save(content, tmp_path / "x.ckpt", new, pickle_protocol=protocol)
    monkeypatch.delitem(sys.modules, module.__name__)
    file = open_tensors(path)
    assert file.keys() == {"w", "b"}
    for key, tensor in content["state_dict"].items():
        same(file.read(key), tensor)


def test_a_storage_s_part_in_files_of_the_first_versions_is_read(tmp_path):
    """These said of a storage that it is part of another; no torch that can be installed writes it any more."""
    path = save({"w": torch.arange(6.0)}, tmp_path / "x.pt", new=False)
    raw = path.read_bytes()
    pickled = pickle.dumps(6, 2)[2:-1] + b"N"  # the count, and that it is no part
    assert raw.count(pickled) == 1
    raw = raw.replace(pickled, pickled[:-1] + b"(V1\nI2\nI3\nt")
    shape = b"K\x06\x85"
    assert raw.count(shape) == 1
    path.write_bytes(raw.replace(shape, b"K\x03\x85"))
    same(torch.load(path, weights_only=False)["w"], torch.tensor([2.0, 3, 4]))
    same(open_tensors(path).read("w"), torch.tensor([2.0, 3, 4]))


# What is damaged


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], 5, None, "text"])
@BOTH
def test_what_is_no_table_is_said(content, new, tmp_path):
    with raises("checkpoint-without-tensors", has="x.pt"):
        open_tensors(save(content, tmp_path / "x.pt", new))


@BOTH
def test_a_memo_with_a_huge_number_takes_no_memory(new, tmp_path):
    file = by_hand(tmp_path / "x.pt", b"\x80\x02}r\xff\xff\xff\xff.", new)
    assert open_tensors(file).keys() == set()


def test_an_old_file_cut_off_is_said(tmp_path):
    whole = save({"a": torch.ones(100), "b": torch.ones(50)}, tmp_path / "x.pt", new=False).read_bytes()
    for length in (*range(1, len(whole), 7), len(whole) - 1):
        (tmp_path / "x.pt").write_bytes(whole[:length])
        with raises("checkpoint-archive-damaged", has="x.pt is damaged or cut off"):
            open_tensors(tmp_path / "x.pt")


def test_an_old_file_with_other_counts_is_said(tmp_path):
    path = save({"a": torch.ones(100)}, tmp_path / "x.pt", new=False)
    raw = path.read_bytes()
    path.write_bytes(raw[:-408] + struct.pack("<q", 99) + raw[-400:])
    with raises("checkpoint-archive-damaged", has="not where it should be"):
        open_tensors(path)


def test_an_old_file_whose_pickle_is_too_large_is_said(tmp_path):
    with raises("checkpoint-archive-damaged", has="x.pt is damaged"):
        open_tensors(save({"a": "x" * LARGEST_PICKLE, "w": torch.ones(1)}, tmp_path / "x.pt", new=False))


def test_big_endian_numbers_are_refused(tmp_path):
    path = save({"w": torch.ones(2)}, tmp_path / "x.pt")
    path.write_bytes(path.read_bytes().replace(b"little", b"bigger"))
    with raises("checkpoint-archive-damaged", has="x.pt is damaged"):
        open_tensors(path)


def test_a_record_larger_than_the_file_takes_no_memory(tmp_path):
    """The zip's list says it has so many bytes, and so does the pickle."""
    count = 1 << 28
    pickled = tensor_call(b"_rebuild_tensor_v2", b"FloatStorage", count, count, 1)
    path = by_hand(tmp_path / "x.pt", pickled, key=b"1234567")
    raw = path.read_bytes()
    sizes = struct.pack("<2L", 7, 7)
    assert raw.count(sizes) == 2
    path.write_bytes(raw.replace(sizes, struct.pack("<2L", 4 * count, 4 * count)))
    with raises("checkpoint-archive-damaged", has="too short"):
        open_tensors(path)


@BOTH
def test_a_file_that_becomes_shorter_is_said(new, tmp_path):
    path = save({"w": torch.ones(5000)}, tmp_path / "x.pt", new)
    file = open_tensors(path)
    os.truncate(path, 10_000)
    with raises("file-shortened", has="x.pt"):
        file.read("w")
    path.write_bytes(bytes(30_000))
    if new:
        with raises("checkpoint-archive-damaged", has="not where it should be"):
            file.read("w")
    path.unlink()
    with raises("file-missing", has="x.pt"):
        file.read("w")


@BOTH
@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), junk=st.binary(min_size=1, max_size=8))
def test_any_damage_gives_tensors_or_a_sentence(tmp_path_factory, new, place, junk):
    path = tmp_path_factory.mktemp("damaged") / "x.ckpt"
    save({"state_dict": {"w": torch.ones(4), "v": torch.zeros(3, 2).T}, "more": {1, 2}}, path, new)
    raw = bytearray(path.read_bytes())
    place %= min(len(raw), 1200)
    raw[place : place + len(junk)] = junk
    path.write_bytes(bytes(raw))
    with contextlib.suppress(UserError):  # any other exception fails the test
        file = open_tensors(path)
        for key in file.keys():
            file.read(key, torch.float32)
