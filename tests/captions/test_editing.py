"""Captions of many photos edited at once, and taken back."""

import json

import pytest
from faults import raises
from PIL import Image

from lib_lora.captions import editing, phrases
from lib_lora.character.store import Character, create, declare_consent


@pytest.fixture
def folder(tmp_path):
    made = create(tmp_path / "名前 ü", Character("Märá", "mrxa", "woman", declare_consent("fictional")))
    for name, text in (("a.jpg", "photo of mrxa woman, smiling"), ("b.png", "photo of mrxa woman"), ("c.jpg", None)):
        Image.new("RGB", (8, 8)).save(made.photos / name)
        if text:
            (made.photos / name).with_suffix(".txt").write_text(text, encoding="utf-16" if name == "b.png" else "utf-8")
    return made


def add(folder, phrase, only=None):
    return editing.edit(folder, f"add {phrase!r}", lambda text: phrases.add(text, phrase), only)


def test_an_edit_changes_the_files_it_must_and_can_be_taken_back(folder):
    before, files = editing.captions_of(folder).texts, contents(folder)
    assert before == {"a.jpg": "photo of mrxa woman, smiling", "b.png": "photo of mrxa woman", "c.jpg": ""}
    assert add(folder, "smiling, kött").files == ["a.jpg", "b.png", "c.jpg"]
    assert (folder.photos / "c.txt").read_bytes() == "smiling, kött\n".encode()
    assert add(folder, "red coat", {"b.png"}).files == ["b.png"]
    assert editing.captions_of(folder).texts["b.png"] == "photo of mrxa woman, smiling, kött, red coat"
    assert editing.undo(folder) == editing.Changed("add 'red coat'", ["b.png"], [])
    assert editing.undo(folder).files == ["a.jpg", "b.png", "c.jpg"]
    assert contents(folder) == files
    with raises("nothing-to-undo"):
        editing.undo(folder)


def test_what_changes_nothing_leaves_no_trace(folder):
    assert editing.edit(folder, "remove 'hat'", lambda text: phrases.remove(text, "hat")).files == []
    assert not (folder.path / editing.HISTORY).exists()


def test_what_the_user_wrote_meanwhile_is_not_taken_back(folder):
    add(folder, "indoors")
    (folder.photos / "a.txt").write_text("mine", encoding="utf-8")
    (folder.photos / "c.jpg").unlink()
    assert editing.undo(folder) == editing.Changed("add 'indoors'", ["b.png"], ["a.jpg"])
    assert editing.captions_of(folder).texts == {"a.jpg": "mine", "b.png": "photo of mrxa woman"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.photos.glob("*.txt")}


@pytest.mark.parametrize(
    "raw",
    [b"two,\nlines,  and  blanks", b"\xef\xbb\xbfmark \xc3\xbc", b"a\x93quoted\x94 word\r\n", b"\x8e\xca"],
)
def test_what_is_taken_back_is_there_byte_for_byte(folder, raw):
    (folder.photos / "a.txt").write_bytes(raw)
    files = contents(folder)
    add(folder, "indoors")
    assert contents(folder)["a.txt"] != raw
    editing.undo(folder)
    assert contents(folder) == files


def test_odd_marks_in_a_files_name_do_not_cut_the_history(folder):
    name = "odd\u2028\x85mark.jpg"
    Image.new("RGB", (8, 8)).save(folder.photos / name)
    add(folder, "indoors", {name})
    assert editing.undo(folder).files == [name]


def test_a_history_that_names_a_file_elsewhere_reaches_nothing(folder):
    line = {"what": "x", "before": {"../../outside.jpg": "aGVsbG8="}, "after": {"../../outside.jpg": None}}
    (folder.path / editing.HISTORY).write_text(json.dumps(line), encoding="utf-8")
    assert editing.undo(folder).files == []
    assert not list(folder.path.parent.glob("outside*"))


@pytest.mark.parametrize("raw", [b"mrxa \x81\x8d\x90", b"\x00\x01", b"a" * 200_000])
def test_what_is_no_text_is_reported_and_left_alone(folder, raw):
    (folder.photos / "a.txt").write_bytes(raw)
    found = editing.captions_of(folder)
    assert sorted(found.texts) == ["b.png", "c.jpg"]
    assert "a.txt" in found.unreadable["a.jpg"]
    assert add(folder, "indoors").files == ["b.png", "c.jpg"]
    assert (folder.photos / "a.txt").read_bytes() == raw
    with raises("photo-not-found", has="a.txt"):
        add(folder, "indoors", {"a.jpg"})


def test_a_crash_between_history_and_files_is_taken_back_too(folder, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(editing, "_write", crash)
        with pytest.raises(KeyboardInterrupt):
            add(folder, "indoors")
    before = contents(folder)
    assert editing.undo(folder) == editing.Changed("add 'indoors'", [], [])
    assert contents(folder) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"before": 1}', '{"before": {}, "after": {}, "what": 3}', "\x00\xff"])
def test_a_damaged_history_keeps_what_is_whole(folder, text):
    add(folder, "indoors")
    with open(folder.path / editing.HISTORY, "a", encoding="utf-8") as stream:
        stream.write(text)
    add(folder, "red coat")
    assert editing.undo(folder).what == "add 'red coat'"
    assert editing.undo(folder).files == ["a.jpg", "b.png", "c.jpg"]


def test_the_history_is_one_json_line_a_change(folder):
    add(folder, "kött", {"b.png"})
    (line,) = (folder.path / editing.HISTORY).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["after"] == {"b.png": "photo of mrxa woman, kött"}


def test_a_photo_that_is_not_there_is_named(folder):
    with raises("photo-not-found", has="d.jpg"):
        add(folder, "indoors", {"d.jpg"})
