"""The files beside a LoRA: A1111's keys, and nothing of the user's lost."""

import json

import pytest
from faults import raises
from PIL import Image

from lib_lora.lora.file import sidecars


@pytest.fixture
def lora(tmp_path):
    return tmp_path / "mara v1.2.safetensors"


def _notes(lora):
    return json.loads(lora.with_name("mara v1.2.json").read_text(encoding="utf-8"))


def _edit(lora, **changes):
    """As A1111 does: everything read, some fields changed, everything written."""
    text = json.dumps({**_notes(lora), **{key.replace("_", " "): value for key, value in changes.items()}}, indent=4)
    lora.with_name("mara v1.2.json").write_text(text, encoding="utf-8")


def _picture(path, colour="red"):
    image = Image.new("RGB", (8, 6), colour)
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    image.save(path, exif=exif)
    return path


def test_a_new_one(lora):
    sidecars.write(lora, "mrxa", 0.8, "sdxl", notes="24 photos, größer")
    notes = _notes(lora)
    own = notes.pop("sameface")
    assert notes == {
        "description": "",
        "sd version": "SDXL",
        "activation text": "mrxa",
        "preferred weight": 0.8,
        "negative text": "",
        "notes": "24 photos, größer",
    }
    assert own == notes
    assert {entry.name for entry in lora.parent.iterdir()} == {"mara v1.2.json"}


def test_what_we_wrote_is_renewed_and_what_the_user_wrote_is_kept(lora):
    sidecars.write(lora, "mrxa", 1.0, "sd1", notes="old")
    _edit(lora, activation_text="mrxa, smiling", description="Mara", my_field=[1])
    sidecars.write(lora, "zzxa", 0.7, "sd1", notes="new")
    notes = _notes(lora)
    assert notes["activation text"] == "mrxa, smiling"
    assert notes["my field"] == [1]
    assert (notes["preferred weight"], notes["notes"], notes["description"]) == (0.7, "new", "Mara")
    sidecars.write(lora, "third", 0.7, "sd1")
    assert _notes(lora)["activation text"] == "mrxa, smiling"


def test_a_field_that_the_user_emptied_stays_empty(lora):
    sidecars.write(lora, "mrxa", 1.0, "sd1", notes="ours")
    _edit(lora, notes="")
    sidecars.write(lora, "mrxa", 1.0, "sd1", notes="ours again")
    assert _notes(lora)["notes"] == ""


def test_one_that_the_webui_made_is_filled_only_where_it_is_empty(lora):
    _edit_first = {"description": "mine", "sd version": "Unknown", "activation text": "", "preferred weight": 0}
    lora.with_suffix(".json").write_text("\ufeff" + json.dumps(_edit_first), encoding="utf-8")
    sidecars.write(lora, "mrxa", 0.9, "sd2")
    notes = _notes(lora)
    assert notes["description"] == "mine"
    assert (notes["sd version"], notes["activation text"], notes["preferred weight"]) == ("SD2", "mrxa", 0.9)


@pytest.mark.parametrize("content", [b"{not json", b"[1, 2]", b"\xff\xfe\x00", b"[" * 100_000])
def test_one_that_cannot_be_read_is_left_alone(lora, content):
    lora.with_suffix(".json").write_bytes(content)
    with raises(("notes-invalid-json", "notes-not-a-table"), has="mara v1.2.json"):
        sidecars.write(lora, "mrxa", 1.0, "sd1")
    assert lora.with_suffix(".json").read_bytes() == content


def test_a_strange_memory_of_ours_is_no_matter(lora):
    lora.with_suffix(".json").write_text('{"sameface": "x", "notes": "mine"}', encoding="utf-8")
    sidecars.write(lora, "mrxa", 1.0, "sd1", notes="ours")
    assert (_notes(lora)["notes"], _notes(lora)["activation text"]) == ("mine", "mrxa")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_preview_has_the_pixels_and_nothing_else(lora, tmp_path, suffix):
    source = _picture(tmp_path / f"source.{suffix}")
    sidecars.write(lora, "mrxa", 1.0, "sd1", preview=source)
    with Image.open(lora.with_name("mara v1.2.png")) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (8, 6), "RGB")
        assert max(abs(a - b) for a, b in zip(image.getpixel((3, 3)), (255, 0, 0), strict=True)) < 6
        assert not image.info
        assert not dict(image.getexif())
    assert b"secret" not in lora.with_name("mara v1.2.png").read_bytes()


def test_our_preview_is_renewed_and_the_users_is_kept(lora, tmp_path):
    red, blue = _picture(tmp_path / "red.png"), _picture(tmp_path / "blue.png", "blue")
    target = lora.with_name("mara v1.2.png")
    sidecars.write(lora, "mrxa", 1.0, "sd1", preview=red)
    first = target.read_bytes()
    sidecars.write(lora, "mrxa", 1.0, "sd1")
    assert target.read_bytes() == first
    sidecars.write(lora, "mrxa", 1.0, "sd1", preview=blue)
    assert target.read_bytes() != first
    target.write_bytes(b"the user's own")
    sidecars.write(lora, "mrxa", 1.0, "sd1", preview=red)
    assert target.read_bytes() == b"the user's own"


@pytest.mark.parametrize("name", ["mara v1.2.jpg", "mara v1.2.preview.png", "mara v1.2.webp"])
def test_a_preview_of_another_kind_is_the_users(lora, tmp_path, name):
    lora.with_name(name).write_bytes(b"the user's own")
    sidecars.write(lora, "mrxa", 1.0, "sd1", preview=_picture(tmp_path / "red.png"))
    assert not lora.with_name("mara v1.2.png").exists()


def test_a_preview_that_is_none(lora, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    for path in (broken, tmp_path / "absent.png"):
        with raises(("file-inaccessible", "file-missing"), has=path.name):
            sidecars.write(lora, "mrxa", 1.0, "sd1", preview=path)
    assert not lora.with_suffix(".json").exists()


def test_what_a_lora_is_marked_as_is_read_from_its_notes(lora):
    assert sidecars.marked_as(lora) == ""
    sidecars.write(lora, "mrxa", 1.0, "sd1")
    assert sidecars.marked_as(lora) == "SD1"
    _edit(lora, sd_version="xl")
    assert sidecars.marked_as(lora) == "xl"
