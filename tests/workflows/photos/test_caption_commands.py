"""``caption`` and ``trigger`` on the command line."""

import json

import pytest
from PIL import Image

from lib_lora.character.store import Character, create
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.photos import caption_commands

NAME = "Mara Müller 名前"


def test_captions_are_shown_edited_and_taken_back(main, copied):
    root = ("--data", copied.root)
    shown = main("caption", NAME, *root)
    assert shown.status == 0, shown.err
    assert "4 photos in use, 4 with a caption." in shown.out
    added = main("caption", NAME, "--add", "smiling", "--place", "1", "--only", "Bild ü 00.jpg", *root)
    assert added.out.startswith("Add 'smiling' at 1: 1 caption changed.")
    assert main("caption", NAME, "--replace", "smiling", "serious", *root).out.startswith("Replace 'smiling' by")
    values = json.loads(main("caption", NAME, "--move", "serious", "0", "--json", *root).out)
    assert values["captions"]["Bild ü 00.jpg"].startswith("serious, ")
    assert values["changed"] == {"what": "move 'serious' to 0", "files": ["Bild ü 00.jpg"], "left": []}
    assert {"phrase": "serious", "captions": 1} in values["phrases"]
    assert main("caption", NAME, "--remove", "serious", *root).status == 0
    for what in ("remove 'serious'", "move 'serious' to 0", "replace 'smiling' by 'serious'", "add 'smiling' at 1"):
        assert main("caption", NAME, "--undo", *root).out.startswith(f"Undone: {what}: 1 caption changed.")
    assert main("caption", NAME, *root).out == shown.out
    assert main("caption", NAME, "--undo", *root).status == 2


def test_what_is_wrong_with_captions_is_said(main, copied):
    (copied.character / "photos" / "Bild ü 01.txt").write_text("a woman", encoding="utf-8")
    said = main("caption", NAME, "--data", copied.root)
    assert "The caption of Bild ü 01.jpg lacks the trigger 'mrxa'.\n" in said.out
    assert said.out.splitlines()[-1].endswith("--add 'mrxa woman' --place 0")
    values = json.loads(main("caption", NAME, "--json", "--data", copied.root).out)
    assert [(item["photo"], item["code"]) for item in values["problems"]] == [("Bild ü 01.jpg", "trigger-missing")]


def test_captions_that_cannot_be_read_for_different_reasons_stay_apart(tmp_path):
    folder = create(tmp_path, Character("Mara", "mrxa", "woman"))
    for number in range(5):
        Image.new("RGB", (8, 8)).save(folder.photos / f"{number}.png")
        (folder.photos / f"{number}.txt").write_bytes(b"\0" if number < 4 else "\ufffd".encode())
    lines = caption_commands.caption(tmp_path, "Mara").text.splitlines()
    [many] = [line for line in lines if "The same applies to 3 more: 1.png, 2.png, 3.png." in line]
    assert "0.txt is not a caption" in many
    assert f"{folder.photos / '4.txt'} is not readable text; save it as UTF-8." in lines


@pytest.mark.parametrize(
    "arguments",
    [
        ["--add", "a", "--remove", "b"],
        ["--move", "a", "first"],
        ["--undo", "--add", "x"],
        ["--place", "1"],
        ["--undo", "--only", "Bild ü 00.jpg"],
        ["--add", " , "],
        ["--replace", "smiling", ""],
    ],
)
def test_one_edit_at_a_time(main, copied, arguments):
    try:
        status = main("caption", NAME, *arguments, "--data", copied.root).status
    except SystemExit as error:
        status = error.code
    assert status == 2


def test_two_edits_at_once_do_not_lose_each_other(main, copied):
    with only_process(copied.character):
        said = main("caption", NAME, "--add", "indoors", "--data", copied.root)
    assert (said.status, said.code) == (2, "folder-locked")
    assert main("caption", NAME, "--add", "indoors", "--data", copied.root).status == 0


def test_a_trigger_is_checked_and_proposed(main, tmp_path):
    assert main("trigger", "mrxa").status == 0
    said = main("trigger", "Mara")
    assert said.status == 1
    assert "is a first name" in said.out
    assert "These will do: " in said.out
    assert main("trigger", "mära").out.startswith("'mära' has letters outside a to z")  # its tokens are single bytes
    (tmp_path / "Lora ü").mkdir()
    (tmp_path / "Lora ü" / "MRXA.safetensors").touch()
    values = json.loads(main("trigger", "mrxa", "--taken", tmp_path, "--json").out)
    assert values["problems"] == ["'mrxa' is the name of MRXA.safetensors; both would be painted."]
    proposed = json.loads(main("trigger", "--for", "Mara", "--taken", tmp_path, "--json").out)["triggers"]
    assert len(proposed) == 5
    assert all(one["problems"] == [] and one["trigger"] != "mrxa" for one in proposed)
    assert main("trigger", "mrxa", "--taken", tmp_path / "none").status == 2


@pytest.mark.parametrize("arguments", [[], ["mrxa", "--for", "Mara"]])
def test_a_word_or_a_name_is_needed(main, arguments):
    with pytest.raises(SystemExit) as caught:
        main("trigger", *arguments)
    assert caught.value.code == 2
