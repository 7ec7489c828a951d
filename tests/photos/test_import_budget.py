"""What an import may cost: the real zips of black pictures end in seconds, photos pay for themselves."""

import io
import time
import zipfile
import zlib

import planted
import pytest
from faults import raises
from PIL import Image

from lib_lora.character.photo_files import read_photo
from lib_lora.character.store import Character, create
from lib_lora.photos.importing import photo_import
from lib_lora.photos.importing.import_budget import Budget, OverBudget
from lib_lora.photos.importing.photo_import import see_that_one_opens, take_in
from lib_lora.workflows.photos.import_command import import_text


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "data", Character("Mara", "mrxa", "woman"))


@pytest.fixture(scope="module")
def black():
    """A PNG of 100 megapixels in 12 kB."""
    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG", compress_level=9)
    return stream.getvalue()


def zip_of(path, black, count):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number in range(count):
            archive.writestr(f"{number:04d}.png", black + number.to_bytes(2, "little"))
    return path


@pytest.mark.parametrize(("count", "size"), [(40, 20_000), (2000, 600_000)])
def test_a_zip_of_black_pictures_ends_in_seconds(tmp_path, folder, black, count, size):
    source = zip_of(tmp_path / "black.zip", black, count)
    assert source.stat().st_size < size
    began = time.monotonic()
    result = take_in([source], folder)
    assert time.monotonic() - began < 20  # less than 2 s; without a budget 40 s, and an hour for 2,000
    assert result.added == []
    assert len(result.skipped) == 1
    assert result.skipped[0].code == "photos-over-budget"
    assert str(result.skipped[0]).startswith(f"{count:,} pictures were left out: 0000.png, 0001.png, 0002.png and ")
    assert str(result.skipped[0]) in import_text(result)


def test_looking_for_one_that_opens_has_a_budget_too(tmp_path, black, monkeypatch):
    source = zip_of(tmp_path / "black.zip", black[:-60], 60)  # cut off: each would be decoded, and none opens
    decoded = []
    monkeypatch.setattr(photo_import, "read_photo", counting(decoded))
    with raises("no-photo-readable", has=("None of the 60 photos", "0000.png has far more pixels")):
        see_that_one_opens([source])
    assert decoded == []


def counting(decoded):
    def read(stream, name, pay):
        return read_photo(stream, name, lambda pixels: (pay(pixels), decoded.append(name)))

    return read


def test_photos_pay_for_themselves(tmp_path, folder):
    photo = planted.opened(planted.portraits("mara")[0])
    for number in range(5):
        photo.crop((number, 0, 600, 600)).save(tmp_path / f"{number}.webp", quality=20)
    result = take_in([*tmp_path.glob("*.webp")], folder, budget=Budget(free=0))
    assert len(result.added) == 5
    assert result.skipped == []


def test_a_picture_that_does_not_pay_leaves_the_others_alone(tmp_path, folder, black):
    (tmp_path / "a.png").write_bytes(black)
    planted.opened(planted.portraits("mara")[0]).save(tmp_path / "b.jpg")
    result = take_in([tmp_path / "a.png", tmp_path / "b.jpg"], folder, budget=Budget(free=0))
    assert [path.name for path in result.added] == ["b.jpg"]
    assert [*map(str, result.skipped)] == [
        "1 picture was left out: a.png has far more pixels than such small files hold of a photo; if you trust it, "
        "save it as JPEG and import it."
    ]


def test_entries_that_claim_the_whole_zip_earn_it_once(tmp_path, folder, black, monkeypatch):
    """Every entry may lie about what it takes; together they take no more than the zip."""
    source = zip_of(tmp_path / "black.zip", black, 8)
    real = zipfile.ZipFile.infolist

    def lying(archive):
        for info in (found := real(archive)):
            info.compress_size = 1 << 30
        return found

    brought = []
    monkeypatch.setattr(Budget, "spend", lambda _self, _pixels, size: brought.append(size) or 1 / 0)
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lying)
    take_in([source], folder)
    assert len(brought) == 8
    assert sum(brought) <= source.stat().st_size


def test_a_header_that_claims_few_pixels_decodes_no_more(tmp_path, folder, black):
    """The pixels are paid for by the header, and the decoder goes by the header too."""
    at = black.index(b"IHDR")
    head = black[at : at + 4] + (8).to_bytes(4, "big") * 2 + black[at + 12 : at + 17]
    liar = black[:at] + head + zlib.crc32(head).to_bytes(4, "big") + black[at + 21 :]
    (tmp_path / "a.png").write_bytes(liar)
    began = time.monotonic()
    take_in([tmp_path / "a.png"], folder, budget=Budget(free=64))
    assert time.monotonic() - began < 1


def test_the_time_is_up(tmp_path, folder):
    now = [0.0]

    def clock():
        now[0] += 10.0
        return now[0]

    photo = planted.opened(planted.portraits("mara")[0])
    for number in range(6):
        photo.crop((number, 0, 600, 600)).save(tmp_path / f"{number}.jpg")
    result = take_in([tmp_path], folder, lambda *_: None, budget=Budget(seconds=35.0, clock=clock))
    assert [path.name for path in result.added] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [*map(str, result.skipped)] == [
        "3 pictures were left out: the import took longer than 35 seconds; import the same again to continue."
    ]
    assert not result.stopped
    assert take_in([tmp_path], folder).known == 3


def test_the_budget():
    one = Budget(free=100, for_a_byte=10, seconds=60.0, clock=iter([0.0, 59.0, 61.0]).__next__)
    one.spend(90, 0)
    with pytest.raises(OverBudget):
        one.spend(31, 2)
    one.spend(30, 2)
    with pytest.raises(OverBudget):
        one.spend(1, 0)
    assert not one.over()
    assert one.over()
