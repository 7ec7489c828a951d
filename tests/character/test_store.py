"""A character's folder, its captions, and settings that are read back."""

from dataclasses import replace

import pytest
from faults import misfit, raises

from lib_lora.character import caption_files
from lib_lora.character.store import Character, Consent, create, declare_consent, load, read_yaml
from lib_lora.workspace.workspace import Workspace, data_root

MARA = Character("Mara Ü", "mrxa", "woman", Consent("fictional", "2026-11-25"), traits=["brown eyes"])


def test_written_and_read_back(tmp_path):
    folder = create(tmp_path, MARA)
    assert folder.path == tmp_path / "characters" / "mara-ü"
    assert load(folder) == MARA
    assert create(tmp_path, replace(MARA, notes="new")) == folder
    assert load(folder).notes == ""  # what is there is never overwritten
    with raises("character-exists", has="'mrxa'"):
        create(tmp_path, replace(MARA, trigger="other"))


def test_a_typo_in_the_file_is_named(tmp_path):
    folder = create(tmp_path, MARA)
    folder.file.write_text(folder.file.read_text(encoding="utf-8").replace("trigger:", "triger:"), encoding="utf-8")
    with raises("setting-unknown", has="character.yaml: unknown setting 'triger'; did you mean 'trigger'?"):
        load(folder)


@pytest.mark.parametrize("trigger", ["", "a,b", "<lora:x:1>", "a\nb"])
def test_triggers_that_break_prompts(trigger):
    with misfit("trigger"):
        replace(MARA, trigger=trigger)


@pytest.mark.parametrize("name", ["mara/001", "../mara", "C:\\mara"])
def test_a_new_name_has_no_slash(tmp_path, name):
    with raises("character-name-has-slash"):
        create(tmp_path, Character(name, "mrxa", "woman"))
    assert not (tmp_path / "characters").exists()


def test_consent_and_missing_characters(tmp_path):
    assert declare_consent("myself").kind == "myself"
    with raises("consent-unknown"):
        declare_consent("yes")
    with raises("character-not-found"):
        load(Workspace(tmp_path).character("nobody"))


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMEFACE_DATA", str(tmp_path / "a"))
    assert data_root() == tmp_path / "a"
    assert data_root(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("SAMEFACE_DATA")
    assert data_root().name == "sameface"


def test_template_captions():
    assert caption_files.template(MARA) == "photo of mrxa woman, brown eyes"
    assert caption_files.without_character("photo of mrxa woman, smiling", MARA) == "photo of woman, smiling"
    assert caption_files.without_character("mrxa at the sea", MARA) == "woman at the sea"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_captions_in_any_encoding(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("photo of Zoë,\r\n smiling ".encode(encoding))
    assert caption_files.read(tmp_path / "a.jpg") == "photo of Zoë, smiling"


def test_captions_that_are_none(tmp_path):
    assert caption_files.read(tmp_path / "a.jpg") is None
    (tmp_path / "a.txt").write_bytes(b"  \n")
    assert caption_files.read(tmp_path / "a.jpg") is None
    (tmp_path / "a.txt").write_bytes(b"\0\1\2")
    with raises("caption-unreadable", has="a.txt"):
        caption_files.read(tmp_path / "a.jpg")


def test_only_missing_captions_are_written(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    photos = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert caption_files.write_missing(photos, "photo of mrxa woman") == 1
    assert [caption_files.read(photo) for photo in photos] == ["mine", "photo of mrxa woman"]


@pytest.mark.parametrize("text", ["a: 2024-99-99", "a: [" * 100_000, "\tx: 1", "a: b: c"])
def test_broken_yaml_is_one_sentence(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with raises("yaml-invalid", has="x.yaml"):
        read_yaml(tmp_path / "x.yaml")
