"""Which words a LoRA of anybody's answers to: read from whatever its header holds, and nothing it holds can hurt."""

import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_lora.lora.file.trigger_notes import answers_to


@pytest.fixture
def lora(tmp_path):
    return tmp_path / "mära v1.2.safetensors"


def write(path, metadata, notes=None, length=None, extra=b""):
    """A file with this header; `length`: what it says of the header's length."""
    header = metadata if isinstance(metadata, bytes) else json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + extra)
    if notes is not None:
        raw = notes if isinstance(notes, bytes) else json.dumps(notes).encode()
        path.with_name(path.name[: -len(".safetensors")] + ".json").write_bytes(raw)
    return path


def tags(**folders):
    return {"ss_tag_frequency": json.dumps(folders)}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"modelspec.trigger_phrase": "mrxa woman"}, {"mrxa"}),
        ({"modelspec.trigger_phrase": "mrxa, zvq"}, {"mrxa", "zvq"}),
        ({"modelspec.trigger_phrase": " (mrxa:1.2) "}, {"mrxa"}),
        ({"modelspec.trigger_phrase": "<lora:mrxa>"}, {"lora"}),
        ({"modelspec.trigger_phrase": "a tall woman"}, set()),
        ({"modelspec.trigger_phrase": "a photo of somebody"}, set()),
        ({"modelspec.trigger_phrase": " , ,, "}, set()),
        ({"modelspec.trigger_phrase": "名前 woman"}, {"名前"}),
        ({"modelspec.trigger_phrase": ["mrxa"]}, set()),
        ({"sameface.trigger": "mrxa"}, {"mrxa"}),
        ({"sameface.trigger": "mrxa", "modelspec.trigger_phrase": "zvq"}, {"mrxa", "zvq"}),
        ({"modelspec.title": "mrxa", "ss_output_name": "zvq"}, set()),
        ({}, set()),
        ("mrxa", set()),
        (None, set()),
    ],
)
def test_words_in_the_header_are_read(lora, metadata, expected):
    assert answers_to(write(lora, metadata)) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (tags(**{"10_mrxa": {"mrxa": 20, "smiling": 4}}), {"mrxa"}),
        (tags(**{"10_mrxa": {"mrxa woman": 20, "smiling": 17}}), {"mrxa"}),
        (tags(**{"10_mrxa": {"mrxa woman": 20, "smiling": 18}}), {"mrxa", "smiling"}),
        (tags(a={"mrxa": 10, "x": 11}, b={"mrxa": 10}), {"mrxa"}),
        (tags(a={" mrxa": 10, "mrxa ": 10, "x": 15}), {"mrxa"}),
        (tags(a={f"w{number}": 20 for number in range(6)}), {"w0", "w1", "w2"}),
        (tags(a={"photo of mrxa woman": 20, "smiling": 3}), set()),
        (tags(a={"mrxa": "20"}, b=["mrxa"], c=None), set()),
        (tags(a={"mrxa": -1}), set()),
        (tags(a={}), set()),
        (tags(a={"": 5}), set()),
        ({"ss_tag_frequency": "{"}, set()),
        ({"ss_tag_frequency": "[1]"}, set()),
        ({"ss_tag_frequency": "[" * 100_000}, set()),
        ({"ss_tag_frequency": {"a": {"mrxa": 20}}}, set()),
    ],
)
def test_the_most_frequent_tags_of_kohyas_captions_are_read(lora, metadata, expected):
    assert answers_to(write(lora, metadata)) == expected


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({"activation text": "zvq man, blue"}, {"mrxa", "zvq", "blue"}),
        ({"activation text": ""}, {"mrxa"}),
        ({"activation text": 5, "description": "zvq"}, {"mrxa"}),
        (b"\xef\xbb\xbf" + b'{"activation text": "zvq"}', {"mrxa", "zvq"}),
        (["zvq"], {"mrxa"}),
        (b"{", {"mrxa"}),
        (b"\xff\xfe\xfd", {"mrxa"}),
        (b"", {"mrxa"}),
        (b"[" * 100_000, {"mrxa"}),
    ],
)
def test_the_webuis_notes_beside_it_are_read(lora, notes, expected):
    assert answers_to(write(lora, {"sameface.trigger": "mrxa"}, notes)) == expected


def test_notes_of_a_file_that_cannot_be_read_are_still_read(lora):
    write(lora, b"", {"activation text": "zvq"})
    assert answers_to(lora) == {"zvq"}
    lora.unlink()
    assert answers_to(lora) == {"zvq"}


def test_notes_that_are_a_folder_are_no_obstacle(lora):
    lora.with_name("mära v1.2.json").mkdir()
    assert answers_to(write(lora, {"sameface.trigger": "mrxa"})) == {"mrxa"}


def test_only_safetensors_headers_are_read(tmp_path):
    metadata = {"sameface.trigger": "mrxa"}
    assert answers_to(write(tmp_path / "a.SAFETENSORS", metadata)) == {"mrxa"}
    assert answers_to(write(tmp_path / "a.pt", metadata)) == set()
    assert answers_to(tmp_path / "missing.safetensors") == set()
    (tmp_path / "folder.safetensors").mkdir()
    assert answers_to(tmp_path / "folder.safetensors") == set()


def test_tensors_after_the_header_are_no_obstacle(lora):
    assert answers_to(write(lora, {"sameface.trigger": "mrxa"}, extra=b"\xff" * 1000)) == {"mrxa"}


@pytest.mark.parametrize("length", [0, 1, 5, (16 << 20) + 1, 1 << 40, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length_says_nothing(lora, length):
    assert answers_to(write(lora, {"sameface.trigger": "mrxa"}, length=length)) == set()


def test_a_header_of_a_sensible_length_that_is_cut_short_says_nothing(lora):
    write(lora, {"sameface.trigger": "mrxa"}, extra=b"\0" * 64)
    whole = lora.read_bytes()
    for end in range(len(whole) - 64):
        lora.write_bytes(whole[:end])
        assert answers_to(lora) == set()
    lora.write_bytes(whole[:-64])
    assert answers_to(lora) == {"mrxa"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
COUNTS = st.dictionaries(st.text(max_size=8), st.integers() | st.floats() | JSON, max_size=5)
FREQUENCY = st.dictionaries(st.text(max_size=5), COUNTS | JSON, max_size=3).map(json.dumps)
METADATA = JSON | st.fixed_dictionaries(
    {},
    optional={
        "modelspec.trigger_phrase": st.text(max_size=30) | JSON,
        "sameface.trigger": st.text(max_size=30) | JSON,
        "ss_tag_frequency": FREQUENCY | st.text('{}[]":,0123e\\u', max_size=20) | JSON,
    },
)
of_one_file = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(found):
    assert isinstance(found, set)
    for word in found:
        assert word
        assert not set("()[]{}<>:,") & set(word)
        assert len(word.split()) == 1


@given(metadata=METADATA, notes=st.none() | JSON | st.fixed_dictionaries({"activation text": JSON}))
@of_one_file
def test_hostile_values_never_raise(lora, metadata, notes):
    check(answers_to(write(lora, metadata, b"null" if notes is None else notes)))


@given(
    header=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()),
    length=st.none() | st.integers(0, 100) | st.integers(0, 2**64 - 1),
    notes=st.binary(max_size=40),
)
@of_one_file
def test_hostile_bytes_never_raise(lora, header, length, notes):
    check(answers_to(write(lora, header, notes, length)))


@given(raw=st.binary(max_size=24))
@of_one_file
def test_any_bytes_never_raise(lora, raw):
    lora.write_bytes(raw)
    assert answers_to(lora) == set()


def test_a_count_beyond_all_captions_is_no_count(tmp_path):
    path = tmp_path / "a.safetensors"
    tags = json.dumps({"a": {"mrxa": 10**400, "true": True}})
    header = json.dumps({"__metadata__": {"ss_tag_frequency": tags}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert answers_to(path) == set()
