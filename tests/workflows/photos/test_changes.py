"""What was changed of a character is taken back, exactly, the newest first, and nothing is ever lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from faults import raises

from lib_lora.captions import editing
from lib_lora.character import caption_files
from lib_lora.character.store import Character, create, load, save
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.workflows.photos import changes

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture
def folder(tmp_path):
    made = create(tmp_path, Character("Mara ü", "mrxa", "woman"))
    for number, caption in enumerate(("photo of mrxa woman", "MRXA woman, by the sea", "a dog")):
        (made.photos / f"{number}.jpg").write_bytes(b"photo %d" % number)
        caption_files.path_of(made.photos / f"{number}.jpg").write_bytes(caption.encode())  # no newline: kept as it is
    return made


def whole(folder):
    """All files but the histories, with their bytes."""
    kept = (changes.FILE, editing.HISTORY, "lock")
    there = [path for path in sorted(folder.path.rglob("*")) if path.is_file() and path.name not in kept]
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in there}


def decide(folder, **decisions):
    before = audit_store.load(folder)
    names = {"one": ONE, "two": TWO, "three": THREE}
    after = before
    for name, decision in decisions.items():
        after = audit_store.decided(after, {name: names[name]}, decision)
    changes.note_decisions(folder, before, after)
    audit_store.save(folder, after)


def change(folder, **fields):
    before = load(folder)
    after = replace(before, **fields)
    changes.note_character(folder, before, after)
    save(folder, after)
    changes.rename(folder, before, after)


def test_decisions_are_taken_back_one_after_the_other(folder):
    decide(folder, one="drop")
    decide(folder, one="keep", two="keep")
    decide(folder, one="keep")  # nothing is another
    decide(folder, one=None, three="drop")
    whats = [one.what for one in changes.changes(folder)]
    assert whats == ["1 photo left out", "2 photos kept", "decisions on 2 photos changed"]
    seen = []
    for _ in range(3):
        changes.undo(folder)
        seen.append(audit_store.load(folder).decisions)
    assert seen == [{ONE: "keep", TWO: "keep"}, {ONE: "drop"}, {}]
    with raises("nothing-to-undo"):
        changes.undo(folder)


def test_what_was_decided_anew_elsewhere_stays(folder):
    decide(folder, one="drop", two="drop")
    audit_store.save(
        folder, AuditStore(decisions={ONE: "keep", TWO: "drop"})
    )  # by an older SameFace, which notes nothing
    changes.undo(folder)
    assert audit_store.load(folder).decisions == {ONE: "keep"}


def test_a_character_and_its_captions_are_as_before_byte_for_byte(folder):
    before = whole(folder)
    change(folder, trigger="qzva", class_word="person", traits=["freckles"], notes="x")
    assert caption_files.read(folder.photos / "1.jpg") == "qzva person, by the sea"
    assert changes.changes(folder)[-1].what == "trigger word and class word and traits and notes changed"
    changes.undo(folder)
    assert whole(folder) == before


def test_captions_edited_since_keep_their_edit(folder):
    change(folder, trigger="qzva")
    editing.rewrite(folder, "write it", {"1.jpg": "qzva woman, in a boat"})
    changes.undo(folder)
    assert load(folder).trigger == "mrxa"
    texts = [caption_files.read(folder.photos / f"{number}.jpg") for number in range(3)]
    assert texts == ["photo of mrxa woman", "mrxa woman, in a boat", "a dog"]


def test_only_what_is_still_as_it_was_made_is_taken_back(folder):
    change(folder, trigger="qzva", notes="one")
    save(folder, replace(load(folder), notes="two"))
    changes.undo(folder)
    assert (load(folder).trigger, load(folder).notes) == ("mrxa", "two")


def test_removed_photos_come_back_and_write_over_nothing(folder):
    before = whole(folder)
    changes.remove(folder, ["0.jpg", "2.jpg"])
    assert {name for name in whole(folder) if name.startswith("photos/")} == {"photos/1.jpg", "photos/1.txt"}
    changes.undo(folder)
    assert whole(folder) == before
    changes.remove(folder, ["0.jpg"])
    changes.remove(folder, ["1.jpg"])  # in the same second
    (folder.photos / "1.jpg").write_bytes(b"another one")
    changes.undo(folder)
    assert (folder.photos / "1.jpg").read_bytes() == b"another one"
    assert b"photo 1" in whole(folder).values()  # still among the removed
    changes.undo(folder)
    assert (folder.photos / "0.jpg").read_bytes() == b"photo 0"


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_end_in_the_midst_of_it_loses_nothing(folder, after, monkeypatch):
    """After so many files that were moved the process is gone; the way back brings all home."""
    before, moved = whole(folder), []
    rename = type(folder.path).rename

    def broken(self, target):
        if len(moved) == after:
            raise KeyboardInterrupt
        moved.append(target)
        return rename(self, target)

    monkeypatch.setattr(type(folder.path), "rename", broken)
    with pytest.raises(KeyboardInterrupt):
        changes.remove(folder, ["0.jpg", "1.jpg"])
    monkeypatch.undo()
    changes.undo(folder)
    assert whole(folder) == before


def test_only_the_kinds_that_are_asked_for_and_the_one_that_is_meant(folder):
    decide(folder, one="drop")
    change(folder, trigger="qzva")
    first, second = changes.changes(folder)
    with raises("changed-meanwhile"):
        changes.undo(folder, at=first.t)
    assert changes.undo(folder, changes.PHOTOS) == first
    assert audit_store.load(folder).decisions == {}
    assert changes.undo(folder, at=second.t) == second


def test_a_damaged_line_is_passed_over_and_a_hundred_are_kept(folder):
    path = folder.path / changes.FILE
    decide(folder, one="drop")
    path.write_text(path.read_text() * 105, encoding="utf-8")
    decide(folder, one="keep")
    assert len(changes.changes(folder)) == 100
    path.write_text(path.read_text() + '{"t": 1\n{"t": "x"}\n[]\n' + "[" * 3000, encoding="utf-8")
    assert len(changes.changes(folder)) == 100
    changes.undo(folder)
    assert len(changes.changes(folder)) == 99


@pytest.mark.parametrize("place", ["../../x", "/etc/passwd", "runs/001/run.yaml", "photos/../character.yaml", ""])
def test_a_history_that_was_tampered_with_moves_no_other_file(folder, place):
    before = whole(folder)
    line = {"t": 1, "what": "x", "kind": "removed", "before": {"x": place}, "after": {"x": "photos/0.jpg"}}
    (folder.path / changes.FILE).write_text(json.dumps(line))
    with raises("history-damaged"):
        changes.undo(folder)
    assert whole(folder) == before


def test_the_command_takes_a_decision_back(main, tmp_path, some_photos):
    data = ("--data", tmp_path / "data")
    main("new", "mara", "--trigger", "mrxa", "--class", "woman", "--photos", some_photos("mara", 3), *data)
    photo = "Bild ü 01.jpg"
    assert "left out" in main("audit", "mara", "--drop", photo, *data).out
    said = main("audit", "mara", "--undo", *data)
    assert said.out.startswith("Undone: 1 photo left out\n")
    assert audit_store.load(changes.CharacterFolder(tmp_path / "data" / "characters" / "mara")).dropped == set()
    said = main("audit", "mara", "--undo", *data)
    assert (said.status, said.code) == (2, "nothing-to-undo")
    said = main("audit", "mara", "--undo", "--accept", *data)
    assert (said.status, said.code) == (2, "undo-with-other-options")
