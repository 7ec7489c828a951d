"""From a heap of pictures to a run, by the commands alone, in folders and files with the oddest names."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import planted
import pytest
from PIL import Image

from lib_lora.character.store import load
from lib_lora.training.plan.run_file import load_run
from lib_lora.workspace.workspace import Workspace

NAME = "Märá 名前"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def heap(tmp_path):
    """A folder with photos under names of 200 characters, captions in three encodings, a zip, a sheet, and a wreck."""
    folder = tmp_path / "名前 ü"
    folder.mkdir()
    for number, photo in enumerate(planted.portraits("mara")[:8]):
        name = f"{number} " + "ü名" * 8 + "x" * 178  # 200 characters, 226 bytes
        shutil.copy(photo, folder / f"{name}.jpg")
        if number < 3:
            text = "photo of mrxa woman, in a café"
            (folder / f"{name}.txt").write_bytes(text.encode(("utf-8-sig", "utf-16", "cp1252")[number]))
    planted.save(planted.opened(planted.portraits("mara")[9]), folder / "turned.jpg", turned=True)
    planted.sheet_of([planted.opened(path) for path in planted.portraits("mara")[12:16]]).save(folder / "grid.png")
    (folder / "wreck.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"no picture" * 20)
    packed = tmp_path / "mehr ü.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(planted.portraits("mara")[20], "../../außen.jpg")
        archive.writestr("notes.pdf", b"%PDF")
        archive.writestr("bad.png", b"nothing")
    return folder, packed


@pytest.mark.once("what goes into a run; test_main_job.py repeats a whole job")
def test_from_a_heap_to_a_run(main, quick, heap, tmp_path, toy):
    folder, packed = heap
    before = {path: path.read_bytes() for path in folder.iterdir()}
    root = tmp_path / "Daten 名前"

    def command(*words):
        return main(*words, "--data", root)

    said = command("new", NAME, "--trigger", "mrxa", "--class", "woman", "--traits", "brown eyes, sharp jawline")
    assert said.status == 0, said.err
    assert "Before training, declare why the face may be used: sameface consent" in said.out
    said = command("import", NAME, folder, packed, "--json")
    values = json.loads(said.out)
    assert len(values["added"]) == 8 + 1 + 4 + 1
    assert values["split"] == ["grid.png"]
    assert any("wreck.jpg" in sentence for sentence in values["skipped"])
    assert any("bad.png" in sentence for sentence in values["skipped"])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not list(tmp_path.rglob("außen.jpg"))[1:]  # nothing escapes from the zip
    said = command("import", NAME, folder, packed)
    assert said.out.startswith("0 photos added, 11 were there already.")

    said = command("audit", NAME)
    assert said.status == 0, said.err
    assert "14 photos are few" in said.out
    said = command("caption", NAME, "--fill", "--json")
    captions = json.loads(said.out)["captions"]
    assert len(captions) == 14
    assert sum(text == "photo of mrxa woman, in a café" for text in captions.values()) == 3
    assert all(
        text.startswith("photo of mrxa woman, brown eyes, sharp jawline")
        for text in captions.values()
        if "café" not in text
    )

    # with fourteen photos the likeness would be measured too, which tests/workflows/train sees
    training = ("train", NAME, "--base", toy("sd1"), "--steps", "1", *quick, "--set=likeness_curve=false")
    said = command(*training)
    assert (said.status, said.code) == (2, "consent-missing")
    assert "'Märá 名前'" in said.err
    assert command("consent", NAME, "perhaps").status == 2
    assert command("consent", NAME, "myself").status == 0
    assert load(Workspace(root).character(NAME)).consent.kind == "myself"
    said = command(*training)
    assert said.status == 0, said.err
    run = load_run(Workspace(root).character(NAME).runs / "001")
    assert run.file.character.consent.kind == "myself"
    assert sum("café" in photo.caption for photo in run.file.photos) == 3


@pytest.mark.once("what a command says; test_main_job.py repeats a whole job")
def test_fewer_than_eight_photos_are_not_trained_on_without_a_word(main, quick, some_photos, tmp_path, toy):
    root = tmp_path / "data"
    main("new", "A", "--trigger", "mrxa", "--class", "woman", "--consent", "fictional", "--photos",
         some_photos("mara", 3), "--data", root)  # fmt: skip
    words = [word for word in quick if word != "--few"]
    said = main("train", "A", "--base", toy("sd1"), "--steps", "1", *words, "--data", root)
    assert (said.status, said.code) == (2, "too-few-photos")
    assert main("train", "A", "--base", toy("sd1"), "--steps", "1", *words, "--few", "--data", root).status == 0


def test_photos_are_free_of_places_and_makers_in_all_that_is_derived(main, tmp_path):
    root, photo = tmp_path / "data", tmp_path / "gps.jpg"
    planted.save(planted.opened(planted.portraits("mara")[0]), photo, turned=True)
    main("new", "A", "--trigger", "mrxa", "--class", "woman", "--photos", photo, "--data", root)
    assert main("audit", "A", "--data", root).status == 1  # one photo is too few
    folder = Workspace(root).character("A")
    kept = next(folder.photos.glob("*.jpg"))
    assert kept.read_bytes() == photo.read_bytes()
    for path in [*folder.cache.rglob("*.jpg"), folder.path / "audit.png"]:
        with Image.open(path) as image:
            assert not image.getexif()
            assert "exif" not in image.info


def test_a_poor_trigger_is_said_and_better_ones_are_named(main, tmp_path):
    said = main("new", "Mara", "--trigger", "mara", "--class", "woman", "--data", tmp_path)
    assert said.status == 0
    assert "is a first name" in said.out
    assert "These will do: " in said.out
    said = main("trigger", "mara", "--data", tmp_path)
    assert "'mara' is the trigger of Mara; both would be painted." in said.out


@pytest.mark.once("what a command says; test_main_job.py repeats a whole job")
def test_a_reader_that_goes_away_ends_nothing(main, some_photos, tmp_path):
    root = tmp_path / "data"
    main("new", "A", "--trigger", "mrxa", "--class", "woman", "--photos", some_photos("mara", 2), "--data", root)
    command = [sys.executable, "-m", "lib_lora", "caption", "A", "--fill", "--json", "--data", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY)
    process.stdout.close()
    said = process.stderr.read().decode()
    assert (process.wait(), said) == (0, "")
    texts = [path.read_text(encoding="utf-8") for path in Workspace(root).character("A").photos.glob("*.txt")]
    assert all("close-up" in text for text in texts)
