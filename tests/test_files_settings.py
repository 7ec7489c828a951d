"""The floor: atomic files, names, settings."""

import errno
import os
import threading
from dataclasses import dataclass, field
from typing import Literal

import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st

from lib_lora import files, typed_settings
from lib_lora.errors import Misfit, UserError, command
from lib_lora.queue.job_types import TestArguments
from lib_lora.training.plan.train_settings import TrainSettings


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "名 ü.json"
    files.write_json(path, {"a": 1})

    def broken():
        with files.atomic_file(path) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, ("disk-full",)),
        (errno.EACCES, ("permission-denied",)),
        (errno.EIO, ("file-inaccessible", "Input/output")),
    ],
)
def test_disk_errors_are_sentences(tmp_path, monkeypatch, code, said):
    files.write_text(tmp_path / "a.txt", "old")

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with raises(said[0], has=said[1:]) as caught:
        files.write_text(tmp_path / "a.txt", "new")
    assert "a.txt" in str(caught.value)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


FINE, COARSE = 1_700_000_000_123_456_789, 1_700_000_000_000_000_000  # times of a file, as NTFS and as FAT give them


@pytest.mark.parametrize(
    ("changed", "age", "reads"), [(COARSE, 0.1, 2), (COARSE, 1.9, 2), (COARSE, 2.1, 1), (FINE, 0.01, 2), (FINE, 0.1, 1)]
)
def test_a_digest_is_kept_once_another_change_would_bear_another_time(tmp_path, monkeypatch, changed, age, reads):
    """FAT counts in steps of two seconds: a change of the same size within them shows in nothing."""
    path, read, digest = tmp_path / "a.bin", [], files.sha256
    path.write_bytes(b"one")
    monkeypatch.setattr(files, "_mark", lambda file: (3, 1, changed, changed))
    monkeypatch.setattr(files.time, "time_ns", lambda: changed + int(age * 1e9))
    monkeypatch.setattr(files, "sha256", lambda file: read.append(file) or digest(file))
    assert files.sha256_once(path) == files.sha256_once(path) == digest(path)
    assert len(read) == reads


@pytest.mark.parametrize(("changed", "known"), [(COARSE, False), (FINE, True)])
def test_what_was_just_written_need_not_be_read_where_times_are_fine(tmp_path, monkeypatch, changed, known):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    monkeypatch.setattr(files, "_mark", lambda file: (3, 1, changed, changed))
    files.note_sha256(path, "what was written")
    assert (files.sha256_once(path) == "what was written") == known


@given(st.text(max_size=200))
def test_slugs_are_one_safe_folder_name(name):
    try:
        made = files.slug(name)
    except UserError:
        return
    assert made
    assert len(made) <= 60
    assert not set(made) & set('/\\:*?"<>|. ')
    assert files.slug(made) == made


@pytest.mark.parametrize(
    ("name", "plain", "anywhere"),
    [
        ("CON", True, True),
        ("nul .tar.gz", True, True),
        ("lpt¹.txt", True, True),
        ("com0", False, True),
        ("ConIn$.txt", False, True),
        ("console", False, False),
        ("com10", False, False),
    ],
)
def test_names_of_devices_are_told_in_one_place(name, plain, anywhere):
    assert (files.is_device(name), files.is_device(name, anywhere=True)) == (plain, anywhere)


def test_slug_examples():
    assert files.slug("../../Mara Müller!") == "mara-müller"
    for bad in ("...", "CON", ""):
        with raises("name-unusable"):
            files.slug(bad)


@dataclass(frozen=True)
class Inner:
    rank: int = 4


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    limit: int | None = None
    items: list[Inner] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)


def test_settings_round_trip():
    value = Outer("x", 1.5, "b", True, 3, [Inner(1)], Inner(8))
    assert typed_settings.from_dict(Outer, typed_settings.to_dict(value)) == value


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "rat": 1}, ("setting-unknown", "unknown setting 'rat'; did you mean 'rate'")),
        (
            {"name": "x", "inner": {"rnak": 1}},
            ("setting-unknown", "inner: unknown setting 'rnak'; did you mean 'rank'"),
        ),
        ({"name": "x", "rate": "fast"}, ("setting-wrong-type",)),
        ({"name": "x", "limit": 1.5}, ("setting-wrong-type",)),
        ({"name": "x", "flag": 3}, ("setting-wrong-type",)),
        ({"name": "x", "kind": "c"}, ("setting-not-a-choice", "'c'")),
        ({"name": "x", "limit": float("inf")}, ("setting-wrong-type",)),
        ({"name": "x", "rate": float("nan")}, ("setting-wrong-type",)),
        ({"name": "x", "rate": 10**400}, ("setting-wrong-type",)),
        ({"name": 3}, ("setting-wrong-type",)),
        ({"name": "x", "items": 3}, ("setting-wrong-type",)),
        ({}, ("setting-missing", "'name'")),
        ([], ("settings-not-a-table",)),
    ],
)
def test_wrong_settings_are_named(values, said):
    with raises(said[0], has=said[1:]):
        typed_settings.from_dict(Outer, values)


@dataclass(frozen=True)
class Strict(Inner):
    """Refuses what is too large: one value as a `Misfit`, which names its field, the others without one."""

    def __post_init__(self) -> None:
        if self.rank > 9:
            raise ValueError(f"rank is {self.rank}; it must be below 10.")
        if self.rank == 9:
            raise Misfit("nine is an unlucky number.", "rank")


@dataclass(frozen=True)
class Around:
    inner: Strict


@pytest.mark.parametrize(
    ("kind", "values", "field_name"),
    [
        (Outer, {"name": "x", "rat": 1}, "rat"),
        (Outer, {"name": "x", "rate": "fast"}, "rate"),
        (Outer, {"name": "x", "inner": {"rank": "x"}}, "inner.rank"),
        (Outer, {"name": "x", "items": [{"rank": "x"}]}, "items.rank"),
        (Outer, {}, "name"),
        (Outer, [], ""),
        (Around, {"inner": {"rank": 10}}, "inner"),  # no sentence is read for its first word
        (Around, {"inner": {"rank": 9}}, "inner.rank"),
        (TrainSettings, {"lora": {"rank": 0}}, "lora.rank"),
        (TrainSettings, {"objective": {"huber_c": 2}}, "objective.huber_c"),
        (TestArguments, {"cfg": 0.5}, "cfg"),
        (TestArguments, {"side": 100}, "side"),
    ],
)
def test_the_field_that_is_wrong_is_named_for_a_form(kind, values, field_name):
    with pytest.raises(UserError) as refused:
        typed_settings.from_dict(kind, values)
    assert refused.value.field == field_name


@pytest.mark.parametrize(
    ("count", "thousand", "said"),
    [
        (0, 1024, "0 MB"),
        (1, 1024, "1 MB"),
        (20 << 20, 1024, "20 MB"),
        ((1 << 30) - 1, 1024, "1.0 GB"),
        (80 << 30, 1024, "80.0 GB"),
        (999_400_000, 1000, "999 MB"),
        (3_200_000_000, 1000, "3.2 GB"),
    ],
)
def test_a_size_is_never_rounded_to_nothing(count, thousand, said):
    assert files.size(count, thousand) == said


def test_numbers_written_as_words():
    assert typed_settings.from_dict(Outer, {"name": "x", "rate": "1e-4"}).rate == 1e-4  # YAML reads 1e-4 as text
    assert typed_settings.from_dict(Outer, {"name": "x", "flag": "yes"}).flag is True


@pytest.mark.parametrize(
    ("started", "said"),
    [("/bin/sameface", "sameface"), ("C:/x/sameface.exe", "sameface"), ("/x/__main__.py", "python -m lib_lora")],
)
def test_the_command_is_the_one_that_was_typed(monkeypatch, started, said):
    monkeypatch.setattr("sys.argv", [started, "run"])
    assert command() == said


def test_dotted_and_nested_ones_mix():
    assert typed_settings.nested({"steps": 3, "lora.rank": 4, "lora": {"alpha": 2.0}, "lora.te": False}) == {
        "steps": 3,
        "lora": {"rank": 4, "alpha": 2.0, "te": False},
    }


def test_tables_by_dotted_key_and_back():
    tables = {"lora": {"rank": 8, "targets": ["a", "b"], "te": None}, "steps": 100}
    dotted = {"lora.rank": 8, "lora.targets": ["a", "b"], "lora.te": None, "steps": 100}
    assert typed_settings.by_dotted_key(tables) == dotted
    assert typed_settings.nested(dotted) == tables
    assert typed_settings.by_dotted_key({"lora": {}}) == {"lora": {}}


def test_threads_that_write_one_file_at_once_do_not_meet(tmp_path):
    path, together, failed = tmp_path / "x.json", threading.Barrier(8), []

    def write(number):
        try:
            with files.atomic_file(path) as stream:
                together.wait(20)
                stream.write(bytes([number]) * 1000)
                together.wait(20)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert len(set(path.read_bytes())) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["x.json"]
