"""The command about other machines, and ``--on``; tests/queue has what happens there."""

import json

import pytest
from ssh_server import MISSING, SshServer, available

from lib_lora.remote import places


def test_added_listed_and_removed(main, tmp_path):
    data = ("--data", tmp_path)
    assert "No places yet" in main("place", "list", *data).out
    added = main("place", "add", "workshop", "mara@gpu.example.org:2222", "--folder", "/data/sf", "--no-check", *data)
    assert (added.status, added.out) == (0, "workshop is added, and was not checked.\n")
    listed = main("place", "list", "--json", *data)
    [place] = json.loads(listed.out)
    assert (place["host"], place["user"], place["port"], place["folder"]) == (
        "gpu.example.org",
        "mara",
        2222,
        "/data/sf",
    )
    assert main("place", "list", *data).out == "workshop  mara@gpu.example.org:2222, not checked yet\n"
    assert main("place", "remove", "workshop", *data).status == 0
    assert places.load(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check",), "place-not-named"),
        (("add", "workshop"), "place-not-addressed"),
        (("check", "nowhere"), "place-not-found"),
        (("remove", "nowhere"), "place-not-found"),
        (("add", "Work Shop", "mara@host"), "setting-invalid"),
        (("add", "workshop", "mara@ho st"), "setting-invalid"),
        (("add", "workshop", "mara@host", "--key", "missing"), "file-missing"),
        (("add", "workshop", "mara@host", "--python", "python3; touch x"), "setting-invalid"),
    ],
)
def test_what_cannot_be_is_one_sentence(main, tmp_path, words, code):
    said = main("place", *words, "--data", tmp_path)
    assert (said.status, said.code) == (2, code)
    assert places.load(tmp_path) == []


@pytest.mark.parametrize(
    ("on", "code"), [("ssh:nowhere", "place-not-found"), ("the moon", "place-unknown"), ("ssh:", "place-not-found")]
)
def test_nothing_is_made_for_a_place_that_is_not_there(main, some_photos, tmp_path, on, code, toy):
    who = ("--name", "Mara", "--trigger", "mrxa", "--class", "woman", "--consent", "fictional", "--few")
    photos, data = some_photos("mara", 2), tmp_path / "data"
    said = main("run", photos, "--base", toy("sd1"), *who, "--on", on, "--data", data)
    assert (said.status, said.code) == (2, code)
    assert not (data / "characters").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--base-address", "https://host/x"), "base-address-without-place"),
        (("--base-address", "host/x", "--on", "ssh:attic"), "base-address-invalid"),
        (("--base-address", "https://host/x?token=1", "--on", "ssh:attic"), "base-address-with-secret"),
    ],
)
def test_an_address_that_cannot_be_is_one_sentence(main, tmp_path, words, code):
    said = main("train", "mara", "--base", "x.safetensors", *words, "--data", tmp_path)
    assert (said.status, said.code) == (2, code)


@pytest.mark.skipif(not available(), reason=MISSING)
def test_a_machine_is_looked_at_when_it_is_added(main, tmp_path):
    server = SshServer(tmp_path / "server")
    server.start()
    try:
        place = server.place()
        options = ("--key", place.key, "--folder", place.folder, "--python", place.python, "--data", tmp_path / "data")
        added = main("place", "add", "workshop", place.address(), *options)
        assert (added.status, added.code) == (0, "")
        assert " cores" in added.out or " core," in added.out
        [kept] = places.load(tmp_path / "data")
        assert kept.machine
        assert kept.machine.system == "linux"
    finally:
        server.stop()
    again = main("place", "check", "workshop", "--data", tmp_path / "data")
    assert (again.status, again.code) == (2, "host-unreachable")
