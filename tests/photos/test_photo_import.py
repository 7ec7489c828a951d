"""Photos taken into a character's folder: each once, untouched, with its caption; sheets are split."""

import errno
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from faults import raises
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import Character, create, declare_consent
from lib_lora.photos.importing import photo_import, safe_names
from lib_lora.photos.importing.photo_import import take_in
from lib_lora.workflows.photos.import_command import import_into

PERSONAS = Path(__file__).resolve().parents[1] / "data" / "personas"


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "data", Character("Märá", "mrxa", "woman", declare_consent("fictional")))


@pytest.fixture
def source(tmp_path):
    made = tmp_path / "名前 ü"
    made.mkdir()
    return made


def picture(path, colour, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, kind)
    return path


def sheet(path, who="clara"):
    made = Image.new("RGB", (1280, 1280))
    for number in range(4):
        with Image.open(PERSONAS / who / f"{number:02}.jpg") as one:
            made.paste(one, (number % 2 * 640, number // 2 * 640))
    exif = Image.Exif()
    exif[0x8825] = {1: "N"}
    made.save(path, quality=90, exif=exif)
    return path


def there(folder):
    return sorted(path.name for path in folder.photos.iterdir())


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_and_captions_are_copied_and_the_rest_is_said(source, folder):
    picture(source / "A.JPG", "red")
    picture(source / "a.png", "blue")
    (source / "again.jpg").write_bytes((source / "A.JPG").read_bytes())
    (source / "bad.jpg").write_bytes(b"x")
    (source / "raw.cr2").write_bytes(b"x")
    (source / "note.md").write_bytes(b"x")
    (source / "A.txt").write_bytes("Größe".encode("cp1252"))
    picture(source / "c.png", "green")
    (source / "c.caption").write_bytes("\ufeffhöhe".encode("utf-16-le"))
    result = take_in([source], folder)
    assert [path.name for path in result.added][:1] == ["A.jpg"]
    assert [path.name for path in result.added][-1] == "c.png"
    assert (len(result.added), result.known, len(result.twice), result.split) == (3, 0, 1, [])
    assert [one.code for one in result.twice] == ["photo-twice"]
    assert sorted(one.parameters["photo"] for one in result.skipped) == ["bad.jpg", "raw.cr2"]
    assert digest(folder.photos / "A.jpg") == digest(source / "A.JPG")
    assert (folder.photos / "A.txt").read_bytes() == (source / "A.txt").read_bytes()
    assert (folder.photos / "c.txt").read_bytes() == (source / "c.caption").read_bytes()
    again = take_in([source, source / "A.JPG"], folder)
    assert (again.added, again.known) == ([], 5)


def test_folders_in_folders_are_taken_in_and_named_by_them(source, folder):
    for name, colour in (("a.png", "red"), ("sea/a.png", "blue"), ("sea/deep/a.png", "green"), (".no/x.png", "grey")):
        picture(source / name, colour)
    picture(source / "sea/b.png", "red")  # known by its bytes
    result = take_in([source], folder)
    assert there(folder) == ["a.png", "deep-a.png", "sea-a.png"]
    assert (len(result.added), result.known, len(result.twice)) == (3, 0, 1)


def test_zips_are_taken_in_with_their_captions(source, folder, tmp_path):
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        picture(source / name, colour)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(source / "a.png", "../one/a.png")
        archive.write(source / "b.png", "two/a.png")
        archive.writestr("two/a.txt", "from two")
        archive.writestr("two/bad.png", "x")
    result = take_in([tmp_path / "all.zip"], folder)
    assert there(folder) == ["a.png", "two-a.png", "two-a.txt"]
    assert (folder.photos / "two-a.txt").read_text() == "from two"
    assert digest(folder.photos / "two-a.png") == digest(source / "b.png")
    assert len(result.skipped) == 1
    assert take_in([source, tmp_path / "all.zip"], folder).known == 4


def test_a_zip_inside_a_folder_and_what_is_missing_are_said(source, folder):
    (source / "more.zip").write_bytes(b"")
    (source / "note.txt").write_bytes(b"")
    result = take_in([source, source / "gone.jpg", source / "note.txt"], folder)
    assert [one.code for one in result.skipped] == ["archive-in-folder", "source-missing", "source-not-a-photo"]
    assert "more.zip in" in str(result.skipped[0])


def test_a_sheet_is_split_and_known_again(source, folder):
    original = sheet(source / "grid.jpg")
    original.with_suffix(".txt").write_text("photo of mrxa woman")
    result = take_in([source], folder)
    pieces = [f"grid-{number}.png" for number in range(1, 5)]
    assert ([path.name for path in result.added], result.split) == (pieces, ["grid.jpg"])
    assert digest(folder.sheets / "grid.jpg") == digest(original)
    for name in pieces:
        with Image.open(folder.photos / name) as piece:
            assert (piece.size, piece.info) == ((640, 640), {})
        assert (folder.photos / name).with_suffix(".txt").read_text() == "photo of mrxa woman"
    (folder.photos / "grid-2.png").unlink()  # the user does not want this one
    (folder.photos / "grid-2.txt").unlink()
    (folder.photos / "grid-3.txt").unlink()
    again = take_in([source], folder)
    assert (again.added, again.known) == ([], 1)
    assert "grid-2.png" not in there(folder)
    assert "grid-2.txt" not in there(folder)
    assert "grid-3.txt" in there(folder)  # a caption that is missing comes with its source again


def test_a_sheet_of_a_known_name_leaves_the_other_alone(source, folder):
    picture(folder.photos / "grid-3.png", "red")
    sheet(source / "grid.jpg")
    take_in([source], folder)
    assert [path.name for path in folder.sheets.iterdir()] == ["grid-2.jpg"]
    assert there(folder) == sorted(["grid-3.png", *(f"grid-2-{number}.png" for number in range(1, 5))])


@pytest.mark.once("the order in which files are written; the libraries read and write them in the tests before")
@pytest.mark.parametrize("after", range(1, 9))
def test_an_import_that_was_killed_is_mended_by_the_next(source, folder, monkeypatch, after):
    picture(source / "a.png", "red").with_suffix(".txt").write_text("mine")
    sheet(source / "grid.jpg").with_suffix(".txt").write_text("ours")
    real, written = photo_import._write, []

    def killed(target, stream):
        written.append(target)
        if len(written) > after:
            raise KeyboardInterrupt
        real(target, stream)

    monkeypatch.setattr(photo_import, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        take_in([source], folder)
    monkeypatch.setattr(photo_import, "_write", real)
    take_in([source], folder)
    expected = ["a.png", "a.txt", *(f"grid-{n}.{kind}" for n in range(1, 5) for kind in ("png", "txt"))]
    assert there(folder) == sorted(expected)
    assert [path.name for path in folder.sheets.iterdir()] == ["grid.jpg"]


def test_captions_of_known_photos_are_kept_unless_missing(source, folder):
    caption = picture(source / "a.png", "red").with_suffix(".txt")
    caption.write_text("first")
    take_in([source], folder)
    caption.write_text("second")
    take_in([source], folder)
    assert (folder.photos / "a.txt").read_text() == "first"
    (folder.photos / "a.txt").unlink()
    take_in([source], folder)
    assert (folder.photos / "a.txt").read_text() == "second"


def test_a_text_that_is_no_caption_is_said_and_the_photo_comes(source, folder):
    picture(source / "a.png", "red").with_suffix(".txt").write_bytes(b"\0" * 10)
    picture(source / "b.png", "blue").with_suffix(".txt").write_bytes(b"x" * 200_000)
    result = take_in([source], folder)
    assert there(folder) == ["a.png", "b.png"]
    assert [str(one)[:22] for one in result.skipped] == ["The text beside a.png ", "The text beside b.png "]


@pytest.mark.skipif(os.name == "nt", reason="Windows makes no such names")
def test_odd_names_become_names_that_every_system_takes(source, folder):
    odd = [
        "con.png",
        "a?b.png",
        "end .png",
        "名" * 80 + ".png",
        "x" * 200 + ".png",
        "x" * 201 + ".png",
        "É.png",
        "e\u0301.png",
    ]
    for number, name in enumerate(odd):
        picture(source / name, (number, 0, 0), "PNG")
        (source / name).with_suffix(".txt").write_text(str(number))
    result = take_in([source], folder)
    assert (len(result.added), result.skipped) == (8, [])
    made = [path.stem for path in list_photos(folder.photos)]
    assert len({safe_names.key(stem) for stem in made}) == 8
    assert {"con_", "a_b", "end", "x" * 100, "x" * 100 + "-2"} < set(made)
    for path in list_photos(folder.photos):
        with Image.open(path) as image:
            assert str(image.getpixel((0, 0))[0]) == path.with_suffix(".txt").read_text()


def test_what_the_program_made_is_not_taken_in_again(source, folder):
    picture(source / "a.png", "red")
    take_in([source], folder)
    picture(folder.runs / "001" / "grid.png", "blue")
    assert take_in([folder.path.parent], folder).added == []


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_a_folder_inside_that_cannot_be_read_is_said_and_the_rest_comes(source, folder, monkeypatch):
    picture(source / "a.png", "red")
    picture(source / "closed" / "b.png", "blue")
    picture(source / "listed" / "c.png", "green")
    picture(source / "listed" / "d.png", "green")
    picture(source / "z" / "e.png", "yellow")
    scandir, is_file = os.scandir, Path.is_file

    def closed(path):
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    def listed(path):
        if path.parent.name == "listed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    with monkeypatch.context() as rights:  # root may read everything
        rights.setattr(os, "scandir", closed)
        rights.setattr(Path, "is_file", listed)
        result = take_in([source], folder)
    assert [path.name for path in result.added] == ["a.png", "e.png"]
    assert [one.code for one in result.skipped] == ["permission-denied"] * 2
    assert [one.parameters["file"].name for one in result.skipped] == ["closed", "c.png"]


def test_a_name_that_the_system_refuses_is_one_sentence(source, folder):
    picture(source / "a.png", "red")
    result = take_in([source / ("x" * 5000), source / "a.png"], folder)
    assert len(result.added) == 1
    (error,) = result.skipped
    assert error.code in ("file-inaccessible", "source-missing")


@pytest.mark.skipif(os.name == "nt", reason="Windows makes no such names")
def test_a_name_that_leaves_no_room_for_a_longer_suffix_has_no_caption(source, folder):
    picture(source / f"{'x' * 250}.png", "red")  # .caption would be 258 bytes
    result = take_in([source], folder)
    assert (len(result.added), result.skipped) == (1, [])


@pytest.mark.parametrize("inside", ["", "cache", "invented", "invented/more/0001.png", "photos", "runs"])
def test_the_characters_own_folder_is_no_source(source, folder, inside):
    picture(folder.cache / "thumbnails" / "a.jpg", "red")
    picture(folder.path / "invented" / "more" / "0001.png", "blue")
    picture(folder.runs / "001" / "grid.png", "blue")
    picture(source / "b.png", "green")
    result = take_in([folder.path / inside, source], folder)
    assert [path.name for path in result.added] == ["b.png"]
    assert [one.code for one in result.skipped] == ["source-in-own-folder"]


def test_progress_counts_the_pictures_in_zips_too(source, folder, tmp_path):
    picture(source / "a.png", "red")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(source / "a.png", "b.png")
        archive.writestr("c.png", "x")
    told = []
    take_in([source, tmp_path / "all.zip"], folder, lambda *step: told.append(step))
    assert told == [(0, 3, "a.png"), (1, 3, "b.png"), (2, 3, "c.png")]


def test_the_command_tells_what_came_of_it(source, folder, tmp_path):
    picture(source / "a.png", "red")
    (source / "bad.png").write_bytes(b"x")
    sheet(source / "grid.jpg")
    told = import_into(tmp_path / "data", "Märá", [source])
    assert told.text.splitlines()[:2] == [
        "5 photos added.",
        "grid.jpg is a sheet of four; its pictures are imported separately.",
    ]
    assert told.text.splitlines()[2].startswith("Left out: bad.png is not a readable picture")
    assert told.values["added"][0] == "a.png"
    assert (told.values["known"], told.values["split"], told.good) == (0, ["grid.jpg"], True)
    with raises("character-not-found"):
        import_into(tmp_path / "data", "nobody", [source])
    assert not import_into(tmp_path / "data", "Märá", [source / "bad.png"]).good


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1, max_size=240), min_size=1, max_size=6))
def test_every_photo_of_a_zip_arrives_with_its_own_caption(tmp_path_factory, stems):
    place = tmp_path_factory.mktemp("zips")
    folder = create(place, Character("m", "mrxa", "woman", declare_consent("fictional")))
    zip_file = place / "all.zip"
    with zipfile.ZipFile(zip_file, "w") as archive:
        for number, stem in enumerate(stems):
            stem = f"{number}/x{stem}".encode("utf-8", "replace").decode()
            photo = picture(place / "one.png", (number, 0, 0))
            archive.write(photo, f"{stem}.png")
            archive.writestr(f"{stem}.txt", str(number))
    result = take_in([zip_file], folder)
    hidden = sum(any(part.startswith(".") for part in safe_names.parts(f"0/x{stem}.png")) for stem in stems)
    assert len(result.added) >= len(stems) - hidden - sum("\0" in stem for stem in stems)
    for path in list_photos(folder.photos):
        with Image.open(path) as image:
            caption = path.with_suffix(".txt")
            assert not caption.is_file() or caption.read_text() == str(image.getpixel((0, 0))[0])
