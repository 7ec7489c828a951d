"""Opening photos safely and taking them in."""

import numpy as np
import pytest
from PIL import Image

from lib_lora.character import photos
from lib_lora.character.photos import import_photos, list_photos, open_photo
from lib_lora.errors import UserError


def test_exif_rotation_is_applied_and_not_carried(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    exif = image.getexif()
    exif[274] = 6  # turn right
    exif[0x8825] = {1: "N"}
    image.save(tmp_path / "a.jpg", exif=exif)
    opened = open_photo(tmp_path / "a.jpg")
    assert opened.size == (20, 40)
    assert not opened.info
    assert not opened.getexif()


def test_modes_become_rgb(tmp_path):
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    assert open_photo(tmp_path / "deep.png").getpixel((0, 0)) == (156, 156, 156)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_photo(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    assert open_photo(tmp_path / "print.jpg").mode == "RGB"
    Image.new("P", (4, 4)).save(tmp_path / "palette.png")
    assert open_photo(tmp_path / "palette.png").mode == "RGB"


def test_unreadable_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg is not a picture"):
        open_photo(tmp_path / "text.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg is damaged"):
        open_photo(tmp_path / "cut.jpg")
    with pytest.raises(UserError, match=r"gone\.jpg: it is not there"):
        open_photo(tmp_path / "gone.jpg")
    Image.new("RGB", (20, 20)).save(tmp_path / "big.png")
    monkeypatch.setattr(photos, "MAX_PIXELS", 100)
    with pytest.raises(UserError, match=r"big\.png has 20 x 20 pixels"):
        open_photo(tmp_path / "big.png")


def test_import_copies_bytes_captions_and_skips_with_a_sentence(tmp_path):
    source, target = tmp_path / "fotos ü 名前", tmp_path / "there"
    source.mkdir()
    Image.new("RGB", (8, 8), "red").save(source / "A.JPG")
    Image.new("RGB", (8, 8), "blue").save(source / "a.png")
    (source / "again.jpg").write_bytes((source / "A.JPG").read_bytes())
    (source / "bad.jpg").write_bytes(b"x")
    (source / "A.txt").write_text("a caption")
    result = import_photos(list_photos(source), target)
    assert [path.name for path in result.added] == ["A.jpg", "a-2.png"]
    assert (result.known, len(result.skipped)) == (1, 1)
    assert "bad.jpg" in result.skipped[0]
    assert (target / "A.jpg").read_bytes() == (source / "A.JPG").read_bytes()
    assert (target / "A.txt").read_text() == "a caption"
    assert import_photos(list_photos(source), target).added == []


def test_a_caption_is_there_before_its_photo(tmp_path, monkeypatch):
    """Killed between the two, the next import brings both."""
    source, target = tmp_path / "source", tmp_path / "there"
    source.mkdir()
    Image.new("RGB", (8, 8), "red").save(source / "a.png")
    (source / "a.txt").write_text("mine")
    real, order = photos._copy, []
    monkeypatch.setattr(photos, "_copy", lambda old, new: (order.append(new.suffix), real(old, new)))
    import_photos(list_photos(source), target)
    assert order == [".txt", ".png"]


def test_what_is_left_out_is_said(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("a.HEIC", "b.png", "note.txt", "inner/c.jpg"):
        (tmp_path / name).write_bytes(b"")
    first, second = photos.unsupported(tmp_path)
    assert first == "a.HEIC is a HEIC file, which is not read; save it as JPEG or PNG."
    assert second.startswith("The folder inner inside it has photos too")


def test_listing(tmp_path):
    for name in ("b.png", "A.jpg", ".hidden.png", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_photos(tmp_path)] == ["A.jpg", "b.png"]
    with pytest.raises(UserError, match="not a folder"):
        list_photos(tmp_path / "A.jpg")
