"""What the audit keeps: whole or refused in a sentence, and held by a photo's bytes, not its name."""

import json
import os
import sys
from dataclasses import replace

import pytest
from audit_toys import FACTS, photo
from faults import raises
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit_store import FILE, AuditStore, HashedFile
from lib_lora.workspace.workspace import CharacterFolder


@pytest.fixture
def folder(tmp_path):
    made = CharacterFolder(tmp_path / "名前 ü")
    made.photos.mkdir(parents=True)
    for name, colour in (("a.jpg", "red"), ("b.png", "green"), ("ç.jpg", "blue")):
        Image.new("RGB", (8, 8), colour).save(made.photos / name)
    return made


def photos_of(folder):
    return sorted(folder.photos.iterdir())


def used(folder):
    return [path.name for path in audit_store.photos_to_use(folder)]


def drop(folder, *names):
    audit_store.save(
        folder,
        audit_store.decided(audit_store.load(folder), {one: sha256(folder.photos / one) for one in names}, "drop"),
    )


DIGEST = st.text("0123456789abcdef", min_size=4, max_size=4)
NAME = st.text(st.characters(codec="utf-8"), max_size=8)
MEMORIES = st.builds(
    AuditStore,
    measured_by=NAME,
    decisions=st.dictionaries(DIGEST, st.sampled_from(["keep", "drop"]), max_size=4),
    facts=st.dictionaries(DIGEST, FACTS, max_size=3),
    files=st.dictionaries(NAME, st.builds(HashedFile, *[st.integers(0, 2**62)] * 3, DIGEST), max_size=4),
)
of_one_folder = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(kept=MEMORIES)
@of_one_folder
def test_what_is_saved_is_loaded_again(folder, kept):
    audit_store.save(folder, kept)
    assert audit_store.load(folder) == kept
    assert [path.name for path in folder.path.iterdir()].count(FILE) == 1


def test_before_the_first_audit_nothing_is_kept_and_nothing_written(folder):
    assert audit_store.load(folder) == AuditStore()
    assert used(folder) == ["a.jpg", "b.png", "ç.jpg"]
    assert not (folder.path / FILE).exists()


WHOLE = {"version": 1, "measured_by": "x", "decisions": {}, "facts": {}, "files": {}}
FACT = {"width": 8, "height": 8}
FACE = {"box": [0, 0, 1, 1], "px": 1, "score": 1, "sure": 1, "blur": 1, "yaw": 0}


def with_face(**changes):
    return {"facts": {"00": {**FACT, "faces": [{**FACE, **changes}]}}}


DAMAGED = {
    "empty": b"",
    "cut short": b'{"version": 1, "decisions": {"00": "dr',
    "no text": b"\xff\xfe\x00\xd8",
    "a list": b"[]",
    "a number": b"17",
    "null": b"null",
    "no version": {"decisions": {}},
    "another version": {**WHOLE, "version": 2},
    "a version that is no number": {**WHOLE, "version": [1]},
    "an unknown key": {**WHOLE, "decision": {}},
    "an unknown decision": {**WHOLE, "decisions": {"00": "maybe"}},
    "decisions in a list": {**WHOLE, "decisions": []},
    "facts without a size": {**WHOLE, "facts": {"00": {}}},
    "a photo without pixels": {**WHOLE, "facts": {"00": {"width": 0, "height": 8}}},
    "a size that is no number": {**WHOLE, "facts": {"00": {**FACT, "width": "wide"}}},
    "a hash that is none": {**WHOLE, "facts": {"00": {**FACT, "hash": "xyz"}}},
    "a box of three numbers": {**WHOLE, **with_face(box=[0, 0, 1])},
    "a number that is none": {**WHOLE, **with_face(yaw=float("nan"))},
    "a number without end": {**WHOLE, **with_face(blur=float("inf"))},
    "a face with a new fact": {**WHOLE, **with_face(age=30)},
    "a file without a digest": {**WHOLE, "files": {"a.jpg": {"size": 1, "changed": 1}}},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_a_sentence_and_stays_as_it_is(folder, damage):
    path = folder.path / FILE
    raw = damage if isinstance(damage, bytes) else json.dumps(damage).encode()
    path.write_bytes(raw)
    for ask in (audit_store.load, audit_store.photos_to_use):
        with raises(("audit-damaged", "audit-of-other-version", "json-invalid"), has=FILE) as caught:
            ask(folder)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
    assert path.read_bytes() == raw
    assert sorted(one.name for one in folder.path.iterdir()) == [FILE, "photos"]


def test_a_whole_file_by_hand_is_read(folder):
    (folder.path / FILE).write_text(json.dumps({**WHOLE, **with_face()}), encoding="utf-8")
    assert audit_store.load(folder).facts["00"].face.box == (0.0, 0.0, 1.0, 1.0)


def test_what_an_earlier_version_measured_of_a_smile_does_not_close_the_file(folder):
    values = {**WHOLE, "decisions": {"00": "drop"}, **with_face(teeth=51.2)}
    (folder.path / FILE).write_text(json.dumps(values), encoding="utf-8")
    assert audit_store.load(folder).dropped == {"00"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["drop", "keep", "1", "00"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["version", "measured_by", "decisions", "facts", "files"]
FACE_KEYS = [*FACE, "roll", "teeth", "light", "x"]
HOSTILE = st.fixed_dictionaries(
    {"version": st.just(1) | JSON},
    optional={
        "measured_by": JSON,
        "decisions": JSON | st.dictionaries(st.text(max_size=4), st.sampled_from(["drop", "keep"]) | JSON, max_size=3),
        "facts": JSON
        | st.dictionaries(
            st.text(max_size=4),
            JSON
            | st.fixed_dictionaries(
                {"width": st.integers(1, 9) | JSON, "height": st.integers(1, 9) | JSON},
                optional={
                    "hash": JSON | st.text("0123456789abcdefx", max_size=5),
                    "faces": JSON | st.lists(st.dictionaries(st.sampled_from(FACE_KEYS), JSON), max_size=2),
                    "backdrop": JSON,
                },
            ),
            max_size=2,
        ),
        "files": JSON | st.dictionaries(st.text(max_size=4), JSON, max_size=2),
    },
)


@given(values=JSON | HOSTILE | st.dictionaries(st.sampled_from(KEYS), JSON))
@example(values={**WHOLE, "version": True})
@example(values={**WHOLE, **with_face(px=10**400)})
@settings(of_one_folder, max_examples=150)
def test_hostile_values_are_read_whole_or_refused_in_a_sentence(folder, values):
    raw = json.dumps(values).encode()
    (folder.path / FILE).write_bytes(raw)
    try:
        kept, said = audit_store.load(folder), ""
    except UserError as error:
        kept, said = AuditStore(), str(error)
    assert not said or FILE in said
    assert set(kept.decisions.values()) <= {"keep", "drop"}
    assert all(isinstance(one.width, int) for one in kept.facts.values())
    assert (folder.path / FILE).read_bytes() == raw


@given(raw=st.binary(max_size=60) | st.text('{}[]":,0123eE.-truefalsn\\u', max_size=40).map(str.encode))
@of_one_folder
def test_hostile_bytes_are_refused_in_a_sentence(folder, raw):
    (folder.path / FILE).write_bytes(raw)
    with raises(("audit-damaged", "audit-of-other-version", "json-invalid"), has=FILE):
        audit_store.load(folder)


@pytest.fixture
def reads(monkeypatch):
    """The names of the files whose bytes were read, in order."""
    names = []
    monkeypatch.setattr(audit_store, "sha256_once", lambda path: names.append(path.name) or sha256(path))
    return names


def test_only_what_has_changed_is_read_again(folder, reads):
    photos = photos_of(folder)
    first = audit_store.digests(photos, AuditStore())
    assert reads == ["a.jpg", "b.png", "ç.jpg"]
    assert {name: one.sha256 for name, one in first.items()} == {path.name: sha256(path) for path in photos}
    kept = AuditStore(files=first)
    assert audit_store.digests(photos, kept) == first
    assert len(reads) == 3

    about = photos[0].stat()
    os.utime(photos[0], ns=(about.st_atime_ns, about.st_mtime_ns + 2_000_000_000))
    Image.new("RGB", (9, 9), "blue").save(photos[2])
    again = audit_store.digests(photos, kept)
    assert reads[3:] == ["a.jpg", "ç.jpg"]
    assert again["a.jpg"].sha256 == first["a.jpg"].sha256
    assert again["b.png"] == first["b.png"]
    assert again["ç.jpg"].sha256 == sha256(photos[2]) != first["ç.jpg"].sha256


def test_a_file_of_another_size_is_read_even_if_its_time_is_the_same(folder, reads):
    photos = photos_of(folder)[:1]
    kept = AuditStore(files=audit_store.digests(photos, AuditStore()))
    about = photos[0].stat()
    photos[0].write_bytes(photos[0].read_bytes() + b"x")
    os.utime(photos[0], ns=(about.st_atime_ns, about.st_mtime_ns))
    assert audit_store.digests(photos, kept)["a.jpg"].sha256 == sha256(photos[0])
    assert reads == ["a.jpg", "a.jpg"]


def test_digests_are_only_of_photos_that_are_there(folder):
    known = audit_store.digests(photos_of(folder), AuditStore(files={"gone.jpg": HashedFile(1, 1, 1, "00")}))
    assert sorted(known) == ["a.jpg", "b.png", "ç.jpg"]


def test_what_the_user_left_out_is_not_used(folder):
    drop(folder, "a.jpg", "ç.jpg")
    assert used(folder) == ["b.png"]
    assert (folder.photos / "a.jpg").exists()


def test_a_decision_survives_renaming(folder):
    drop(folder, "a.jpg")
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    assert used(folder) == ["b.png", "ç.jpg"]
    (folder.photos / "b.png").rename(folder.photos / "a.jpg")  # another picture under the name that was left out
    assert used(folder) == ["a.jpg", "ç.jpg"]


def test_a_photo_that_is_replaced_under_its_name_is_used_again(folder):
    drop(folder, "a.jpg")
    audit_store.save(
        folder, replace(audit_store.load(folder), files=audit_store.digests(photos_of(folder), AuditStore()))
    )
    assert used(folder) == ["b.png", "ç.jpg"]
    Image.new("RGB", (30, 30), "black").save(folder.photos / "a.jpg")
    assert used(folder) == ["a.jpg", "b.png", "ç.jpg"]


def test_what_is_kept_of_files_spares_reading_them(folder, reads):
    drop(folder, "a.jpg")
    audit_store.save(
        folder, replace(audit_store.load(folder), files=audit_store.digests(photos_of(folder), AuditStore()))
    )
    reads.clear()
    assert used(folder) == ["b.png", "ç.jpg"]
    assert reads == []


def test_decisions_are_taken_replaced_and_taken_back():
    first = audit_store.decided(AuditStore(), {"a.jpg": "aa", "b.jpg": "bb"}, "drop")
    assert first.dropped == {"aa", "bb"}
    second = audit_store.decided(first, {"b.jpg": "bb", "c.jpg": "cc"}, "keep")
    assert second.decisions == {"aa": "drop", "bb": "keep", "cc": "keep"}
    assert second.dropped == {"aa"}
    third = audit_store.decided(second, {"x.jpg": "aa", "c.jpg": "cc"}, None)
    assert third.decisions == {"bb": "keep"}
    assert first.dropped == {"aa", "bb"}  # what is given is not changed


def test_a_decision_changes_nothing_else():
    kept = AuditStore("engine", facts={"aa": photo().facts}, files={"a.jpg": HashedFile(1, 2, 3, "aa")})
    assert replace(audit_store.decided(kept, {"a.jpg": "aa"}, "drop"), decisions={}) == kept


def test_a_character_without_photos_is_a_sentence(tmp_path):
    with raises("photo-folder-missing"):
        audit_store.photos_to_use(CharacterFolder(tmp_path / "nobody"))


def test_brackets_in_thousands_of_brackets_are_one_sentence(folder):
    (folder.path / audit_store.FILE).write_text("[" * 100_000, encoding="utf-8")
    with raises("json-invalid", has="audit.json"):
        audit_store.load(folder)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_name_that_is_no_text_is_kept_by_its_content(folder):
    name = os.fsdecode(b"a\xff.jpg")
    (folder.photos / name).write_bytes(b"x")
    known = audit_store.digests([folder.photos / name], audit_store.AuditStore())
    kept = audit_store.AuditStore(decisions={known[name].sha256: "drop"}, files=known)
    audit_store.save(folder, kept)
    assert audit_store.load(folder) == kept
    assert folder.photos / name not in audit_store.photos_to_use(folder)
