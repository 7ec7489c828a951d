"""Zips from anywhere: what is a photo comes out under a plain name, all else is a sentence."""

import io
import struct
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_lora.photos.importing import archives, safe_names
from lib_lora.photos.importing.offers import ImportItem


def packed(path, entries, compression=zipfile.ZIP_DEFLATED):
    """A zip at `path`; entries are (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def read(path):
    """What a zip offers: (name, inner, bytes, caption) of each photo, and the errors."""
    offers, said = [], []
    for one in archives.members(path):
        if isinstance(one, ImportItem):
            offers.append((one.name, one.inner, one.stream.read(), one.caption))
        else:
            said.append(one)
    return offers, said


@pytest.fixture
def at(tmp_path):
    (tmp_path / "名前 ü").mkdir()
    return tmp_path / "名前 ü" / "all.zip"


def test_photos_come_with_their_captions_and_the_rest_is_passed_over(at):
    packed(
        at,
        [
            ("sea/a.jpg", b"1"),
            ("hill/a.JPG", b"2"),
            ("sea/A.txt", b"at sea"),
            ("hill/a.caption", b"on a hill"),
            ("__MACOSX/sea/._a.jpg", b"x"),
            (".hidden/b.jpg", b"x"),
            ("sea/.b.jpg", b"x"),
            ("notes.md", b"x"),
            ("empty.jpg/", b""),
        ],
    )
    assert read(at) == ([("a.jpg", "sea", b"1", b"at sea"), ("a.JPG", "hill", b"2", b"on a hill")], [])
    assert archives.count(at) == 2


def test_no_name_reaches_a_folder(at):
    evil = ["../../up.jpg", "/root.jpg", "C:\\win.jpg", "\\\\host\\share\\net.jpg", "a/../../b/in.jpg", "..\\back.jpg"]
    packed(at, [(name, b"1") for name in evil])
    offers, said = read(at)
    assert [name for name, *_ in offers] == ["up.jpg", "root.jpg", "win.jpg", "net.jpg", "in.jpg", "back.jpg"]
    assert not said


def test_names_of_old_zips_are_read(at):
    for raw, name in (
        ("Größe.jpg".encode("cp437"), "Größe.jpg"),
        ("Größe ü.jpg".encode(), "Größe ü.jpg"),
        ("名前の写真.jpg".encode("cp932"), "名前の写真.jpg"),
    ):
        info = zipfile.ZipInfo("x" * len(raw))
        packed(at, [(info, b"1")])
        at.write_bytes(at.read_bytes().replace(b"x" * len(raw), raw))
        ((found, *_),), _ = read(at)
        assert found == name


def test_links_and_nested_zips_are_named_not_followed(at):
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    packed(at, [(link, b"/etc/passwd"), ("more.zip", b"PK"), ("a.cr2", b"x"), ("ok.png", b"1")])
    offers, said = read(at)
    assert [name for name, *_ in offers] == ["ok.png"]
    assert [(one.code, one.parameters.get("member", one.parameters.get("photo"))) for one in said] == [
        ("zip-member-is-link", "link.jpg"),
        ("zip-member-is-archive", "more.zip"),
        ("photo-format-unsupported", "a.cr2"),
    ]


def test_what_cannot_be_unpacked_is_one_sentence_and_the_rest_comes(at):
    packed(at, [("a.jpg", b"abc" * 50), ("b.jpg", b"1"), ("c.jpg", b"2"), ("d.jpg", b"3")], zipfile.ZIP_STORED)
    content = bytearray(at.read_bytes())
    content[content.index(b"abcabc") + 3] ^= 1  # the checksum no longer fits
    table = [n for n in range(len(content)) if content[n : n + 4] == b"PK\1\2"]
    struct.pack_into("<H", content, table[1] + 8, 1)  # encrypted
    struct.pack_into("<H", content, table[2] + 10, 99)  # packed by something unknown
    at.write_bytes(content)
    offers, said = read(at)
    assert [name for name, *_ in offers] == ["d.jpg"]
    assert [(one.parameters["member"], one.code) for one in said] == [
        ("a.jpg", "zip-member-damaged"),
        ("b.jpg", "zip-member-encrypted"),
        ("c.jpg", "zip-member-unreadable"),
    ]
    assert "Bad CRC-32" in str(said[0])


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_whose_memory_cannot_be_bounded_are_refused(at, kind):
    _, (said,) = read(packed(at, [("a.jpg", b"0" * 100)], kind))
    assert said.code == "zip-member-unreadable"


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\5\6" + b"\0" * 18, b"PK\5\6" + b"\xff" * 18, b"PK\5\6"])
def test_what_is_no_zip_is_one_sentence(at, content):
    at.write_bytes(content)
    offers, said = read(at)
    assert not offers
    assert len(said) <= 1  # an empty zip has nothing to say
    assert archives.count(at) == 0
    assert read(at.with_name("gone.zip"))[1][0].code == "file-missing"


def test_bombs_are_counted_while_they_are_read(at, monkeypatch):
    monkeypatch.setattr(archives, "RATIO_FROM", 1 << 20)
    packed(at, [("bomb.bmp", b"\0" * (4 << 20)), ("ok.jpg", b"1")])
    offers, said = read(at)
    assert [name for name, *_ in offers] == ["ok.jpg"]
    assert [(one.code, one.parameters["member"]) for one in said] == [("zip-bomb", "bomb.bmp")]
    monkeypatch.setattr(archives, "RATIO_FROM", 1 << 30)
    monkeypatch.setattr(archives, "MAX_MEMBER", 2 << 20)
    (error,) = read(at)[1]
    assert (error.code, "2 MB" in str(error)) == ("zip-member-too-large", True)
    monkeypatch.setattr(archives, "MAX_TOTAL", 1 << 20)
    offers, said = read(at)
    assert not offers
    assert [(one.code, one.parameters["member"]) for one in said] == [("zip-too-large", "bomb.bmp")]


def test_a_false_size_in_the_table_is_not_believed(at, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER", 1 << 20)
    packed(at, [("a.bmp", b"\0" * (2 << 20))])
    content = bytearray(at.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 100)
    at.write_bytes(content)
    offers, said = read(at)
    assert not offers
    assert [(one.code, one.parameters["member"]) for one in said] == [("zip-member-damaged", "a.bmp")]


def test_too_many_entries_are_refused_before_they_are_read(at, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    packed(at, [(f"{number}.jpg", b"1") for number in range(4)])
    offers, (error,) = read(at)
    assert (offers, error.code, " 3 " in str(error)) == ([], "zip-too-many-files", True)
    monkeypatch.setattr(archives, "_MAX_TABLE", 100)
    monkeypatch.setattr(archives, "MAX_ENTRIES", 9)
    (error,) = read(at)[1]
    assert (error.code, " 9 " in str(error)) == ("zip-too-many-files", True)


def test_a_caption_that_cannot_be_read_costs_no_photo(at):
    packed(at, [("a.jpg", b"1"), ("a.txt", b"caption text")], zipfile.ZIP_STORED)
    at.write_bytes(at.read_bytes().replace(b"caption text", b"caption_text"))
    ((_, _, content, caption),), (said,) = read(at)
    assert (content, caption) == (b"1", None)
    assert (said.code, said.parameters["member"]) == ("zip-member-damaged", "a.txt")


@given(st.text(max_size=300))
@example("名" * 200)
@example("con.jpg")
@example("COM¹ .x")
@example("a" * 99 + " . b")
@example("nul")
def test_a_safe_name_is_one_that_every_system_takes(name):
    for piece in [*safe_names.parts(name), name]:
        assert piece.strip(" .") or piece == name
        stem = safe_names.safe_stem(piece)
        assert 0 < len(stem) <= safe_names.LONGEST + 1
        assert len(stem.encode()) <= safe_names.LONGEST_BYTES + 1
        assert not set(stem) & set('<>:"/\\|?*\0\n')
        assert stem == stem.strip(" ").rstrip(".")
        assert not stem.startswith(".")
        assert stem.split(".")[0].rstrip().casefold() not in ("con", "nul", "com1", "com¹", "aux")
        assert safe_names.safe_stem(stem) == stem
    assert all("/" not in piece and "\\" not in piece and piece not in (".", "..") for piece in safe_names.parts(name))


def test_names_that_meet_on_some_system_are_the_same():
    assert safe_names.key("Straße É") == safe_names.key("STRASSE E\u0301")


SOME = [("a.jpg", b"1" * 50), ("b/ü.png", b"2"), ("b/ü.txt", b"text"), ("c.zip", b"3")]


def some_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SOME:
            archive.writestr(name, content)
    return stream.getvalue()


CHANGES = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=8)


@given(CHANGES)
def test_a_damaged_zip_is_photos_and_sentences(tmp_path_factory, changes):
    content = bytearray(some_zip())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("zips") / "damaged.zip"
    path.write_bytes(content)
    offers, said = read(path)
    assert all("\n" not in str(one) and "\0" not in str(one) for one in said)
    assert all(isinstance(name, str) and "/" not in name for name, *_ in offers)
