"""Downloads: resuming, hosts that lie or break off, other bytes, pickles, full disks; nothing else is written."""

from __future__ import annotations

import errno
import hashlib
import os
from functools import partial

import pytest
from fake_civitai import TOKEN, safetensors, send_part
from faults import raises

from lib_lora.civitai.api import checked_download
from lib_lora.civitai.api.checked_download import Patience, WantedFile, fetch
from lib_lora.errors import StoppedByUser, UserError

BODY = safetensors(bytes(range(256)) * 1024)
NAME = "ink.safetensors"


@pytest.fixture
def patience(pauses):
    return Patience(timeout=2, attempts=3, pause=pauses.append)


@pytest.fixture
def wanted(civitai):
    def made(body=BODY, size=None, **changes):
        civitai.bodies[501] = body
        civitai.add(body)
        digest = changes.pop("sha256", hashlib.sha256(body).hexdigest())
        url = f"{civitai.site}/api/download/models/501?fileId=7001"
        return WantedFile(url, NAME, digest, len(body) if size is None else size, civitai.site, TOKEN)

    return made


def part_of(folder, wanted):
    return folder / f".{NAME}.{wanted.sha256[:12]}.part"


def test_a_file_is_fetched_and_no_token_goes_to_its_host(civitai, wanted, patience, tmp_path):
    told = []
    path = fetch(wanted(), tmp_path / "new", lambda *count: told.append(count), patience)
    assert path.read_bytes() == BODY
    assert [one.name for one in path.parent.iterdir()] == [NAME]
    assert told[-1] == (len(BODY), len(BODY))
    assert civitai.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert [set(one.headers) & {"authorization", "cookie"} for one in civitai.asked_files] == [set()]
    assert TOKEN not in str(civitai.asked_files)
    assert TOKEN not in repr(wanted())


def test_what_is_there_is_not_fetched_again(civitai, wanted, patience, tmp_path):
    (tmp_path / NAME).write_bytes(BODY)
    assert fetch(wanted(), tmp_path, patience=patience) == tmp_path / NAME
    assert civitai.asked == []


def test_another_file_of_that_name_is_not_touched(civitai, wanted, patience, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with raises("civitai-file-there", has=NAME):
        fetch(wanted(), tmp_path, patience=patience)
    assert (tmp_path / NAME).read_bytes() == b"mine"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_while_another_is_fetched_is_not_replaced(
    civitai, wanted, patience, tmp_path, monkeypatch, links
):
    if not links:
        monkeypatch.setattr(os, "link", _no_links)

    def comes(*_):
        (tmp_path / NAME).write_bytes(b"mine")

    with raises("civitai-file-there", has=NAME):
        fetch(wanted(), tmp_path, comes, patience)
    assert (tmp_path / NAME).read_bytes() == b"mine"
    (tmp_path / NAME).unlink()
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY  # what had come is not lost
    assert len(civitai.asked_files[-1].headers.get("range", "")) > 0
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def _no_links(*_, **__):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_the_same_file_that_comes_meanwhile_is_taken(civitai, wanted, patience, tmp_path):
    path = fetch(wanted(), tmp_path, lambda *_: (tmp_path / NAME).write_bytes(BODY), patience)
    assert path.read_bytes() == BODY
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_one_file_is_fetched_by_one_program_at_a_time(civitai, wanted, patience, tmp_path):
    refused = []

    def second(*_):
        if not refused:
            with raises("civitai-fetched-elsewhere", has="being fetched"):
                fetch(wanted(), tmp_path, patience=patience)
            refused.append(part_of(tmp_path, wanted()).stat().st_size)

    assert fetch(wanted(), tmp_path, second, patience).read_bytes() == BODY
    assert len(refused) == 1
    assert len(civitai.asked_files) == 1
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_a_download_that_was_stopped_goes_on(civitai, wanted, patience, tmp_path):
    def stop(there, _):
        if there > 100_000:
            raise StoppedByUser("enough", code="download-stopped")

    with raises("download-stopped"):
        fetch(wanted(), tmp_path, stop, patience)
    there = part_of(tmp_path, wanted()).stat().st_size
    assert 0 < there < len(BODY)
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY
    assert civitai.asked_files[-1].headers["range"] == f"bytes={there}-"


def test_a_host_that_ignores_range_sends_all_again(civitai, wanted, patience, tmp_path):
    part_of(tmp_path, wanted()).write_bytes(b"x" * 500)
    civitai.send = partial(send_part, ranges=False)
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY


def test_what_was_whole_already_is_only_checked(civitai, wanted, patience, tmp_path):
    part_of(tmp_path, wanted()).write_bytes(BODY)
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY


def test_a_part_that_is_longer_than_the_file_is_thrown_away(civitai, wanted, patience, tmp_path):
    part_of(tmp_path, wanted()).write_bytes(BODY + b"x" * 50)
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY


def _raw(handler, status=200, length=None, body=b"", **headers):
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def test_a_connection_that_breaks_again_and_again_is_gone_on_with(civitai, wanted, patience, tmp_path, pauses):
    def breaking(handler, body):
        asked = handler.headers.get("Range", "bytes=0-")
        start = int(asked[6:-1])
        piece = body[start : start + 70_000]
        status = 206 if start else 200
        extra = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        _raw(handler, status, len(body) - start, piece, **extra)

    civitai.send = breaking
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY
    assert len(civitai.asked_files) == -(-len(BODY) // 70_000)
    assert pauses == [1.0] * (len(civitai.asked_files) - 1)


LIES = {
    "nothing comes": (lambda handler, body: _raw(handler, 200, len(body)), "civitai-unreachable"),
    "terabytes": (lambda handler, body: _raw(handler, 200, 1 << 42, body), "civitai-size-wrong"),
    "far too short": (lambda handler, body: _raw(handler, 200, 10, body[:10]), "civitai-hash-wrong"),
    "longer than it is": (lambda handler, body: _raw(handler, 200, len(body) + 7, body), "civitai-unreachable"),
    "no number": (lambda handler, body: _raw(handler, 200, "x", body[:-1]), "civitai-hash-wrong"),
    "without a length and without end": (
        lambda handler, body: _raw(handler, 200, None, body + b"x" * (3 << 20)),
        "civitai-too-long",
    ),
    "without a length and cut off": (lambda handler, body: _raw(handler, 200, None, body[:-9]), "civitai-hash-wrong"),
    "other bytes": (lambda handler, body: _raw(handler, 200, len(body), body[:-1] + b"\x00"), "civitai-hash-wrong"),
    "a page": (
        lambda handler, body: _raw(handler, 200, 9, b"<html>hi<", Content_Type="text/html"),
        "civitai-page-instead",
    ),
    "an answer": (
        lambda handler, body: _raw(handler, 200, 2, b"{}", Content_Type="application/json"),
        "civitai-page-instead",
    ),
    "another part": (
        lambda handler, body: _raw(handler, 206, 5, body[:5], Content_Range="bytes 7-11/99"),
        "civitai-unreachable",
    ),
    "gone": (lambda handler, body: _raw(handler, 404, 2, b"{}"), "civitai-not-found"),
    "expired": (lambda handler, body: _raw(handler, 403, 7, b"<Error/>"), "civitai-page-instead"),
    "busy": (lambda handler, body: _raw(handler, 503, 0), "civitai-unreachable"),
    "too often": (lambda handler, body: _raw(handler, 429, 0, Retry_After="3"), "civitai-asked-often"),
    "on and on": (lambda handler, body: _raw(handler, 302, 0, Location=handler.path), "civitai-download-endless"),
    "to the disk": (
        lambda handler, body: _raw(handler, 302, 0, Location="file:///etc/passwd"),
        "civitai-redirect-unsafe",
    ),
    "no status": (lambda handler, body: handler.wfile.write(b"HTTP/1.1 x\r\n\r\n"), "civitai-unreachable"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_host_that_lies(civitai, wanted, patience, tmp_path, lie):
    """One sentence each; no file gets the name, and nothing else is left but what can be resumed."""
    civitai.send, code = LIES[lie]
    folder = tmp_path / "folder"
    with raises(code) as caught:
        fetch(wanted(), folder, patience=patience)
    assert TOKEN not in str(caught.value)
    assert [one for one in folder.iterdir() if one != part_of(folder, wanted())] == []
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
    if code in ("civitai-hash-wrong", "civitai-not-safetensors"):
        assert list(folder.iterdir()) == []


def test_a_lie_about_the_length_ends_although_there_is_nothing_more(civitai, wanted, patience, tmp_path):
    """Each try brings all of the file, and says that one byte is still to come."""

    def lying(handler, body):
        asked = handler.headers.get("Range", "")
        if asked:
            _raw(handler, 416, 0)
        else:
            _raw(handler, 200, len(body) + 1, body[:-1])

    civitai.send = lying
    with raises("civitai-unreachable"):
        fetch(wanted(), tmp_path, patience=patience)
    assert len(civitai.asked_files) < 10


def test_a_whole_file_is_taken_although_its_length_was_a_lie(civitai, wanted, patience, tmp_path):
    def lying(handler, body):
        if handler.headers.get("Range"):
            _raw(handler, 416, 0)
        else:
            _raw(handler, 200, len(body) + 1, body)

    civitai.send = lying
    assert fetch(wanted(), tmp_path, patience=patience).read_bytes() == BODY


@pytest.mark.parametrize(
    "body",
    [
        b"PK\x03\x04" + b"\x00" * 200,  # a zip, as torch.save makes one
        b"\x80\x02}q\x00." + b"\x00" * 200,
        b"\x80\x04\x95" + b"\x00" * 200,
        b"cos\nsystem\n(S'touch pwned'\ntR.",
        b"\xff" * 300,
        b"",
        BODY[:-1],  # shorter than its header says
        b"MZ" + b"\x00" * 300,
    ],
)
def test_a_pickle_called_safetensors_is_refused(civitai, wanted, patience, tmp_path, body, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    with raises(("civitai-not-safetensors", "civitai-unreachable"), has=NAME if body else ()):
        fetch(wanted(body), folder, patience=patience)
    assert list(folder.iterdir()) == []
    assert [one.name for one in tmp_path.iterdir()] == ["models"]


def test_a_disk_without_room(civitai, wanted, patience, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(checked_download.shutil, "disk_usage", lambda _: usage)
    with raises("civitai-disk-too-small", has=NAME):
        fetch(wanted(), tmp_path, patience=patience)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_in_the_place_of_the_part_is_not_followed(civitai, wanted, patience, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    part_of(folder, wanted()).symlink_to(outside)
    with pytest.raises(UserError):
        fetch(wanted(), folder, patience=patience)
    assert outside.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made(civitai, wanted, patience, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        fetch(wanted(), tmp_path / "file" / "below", patience=patience)
    assert "file" in str(caught.value)
    assert civitai.asked == []


def test_a_refusal_of_the_site_itself(civitai, wanted, patience, tmp_path):
    civitai.token = "another-token-0123"
    with raises("civitai-login-needed"):
        fetch(wanted(), tmp_path, patience=patience)
    assert civitai.asked_files == []
    assert list(tmp_path.iterdir()) == []
