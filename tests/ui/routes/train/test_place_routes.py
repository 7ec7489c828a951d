"""Machines that are added on the page, and the list of what a training sends to one."""

import sys
from dataclasses import replace

import pytest
from ssh_server import MISSING, SshServer, available

from lib_lora.errors import UserError
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.queue.job_types import TrainArguments
from lib_lora.remote import places
from lib_lora.ui.routes.train import place_routes
from lib_lora.workspace.workspace import Workspace

FOUND = places.Machine(1.0, "3.12.1", "linux", 8, None, 1 << 30, [])
HERE = {"name": "workshop", "address": "mara@gpu.example.org:2222"}


@pytest.fixture
def looked(monkeypatch):
    """The places that were connected to; nothing is."""
    seen = []

    def look(_root, place, **_):
        seen.append(place)
        return replace(place, machine=FOUND)

    monkeypatch.setattr(place_routes, "inspect", look)
    return seen


def test_one_is_added_with_the_code_and_checked_and_removed(page, looked):
    assert page.post("/places", HERE).status_code == 428
    assert (looked, places.load(page.root)) == ([], [])
    assert "log in to mara@gpu.example.org:2222, and run the program python3 there" in page.shown[-1]
    made = page.done("/places", {**HERE, "code": page.shown[-1].split()[-1]})
    assert (made["on"], made["checked"], len(looked)) == ("ssh:workshop", True, 1)
    assert [one["name"] for one in page.got("/places")] == ["workshop"]
    assert page.done("/places/workshop/check")["name"] == "workshop"
    assert page.done("/places/workshop/remove") == {"removed": "workshop"}
    assert page.got("/places") == []
    for what in ("check", "remove"):
        assert page.code_of(f"/places/workshop/{what}", {}, 404) == "not-found"


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"name": "Work Shop"}, "name", "setting-invalid"),
        ({"address": ""}, "address", "place-not-addressed"),
        ({"address": "mara@ho st"}, "host", "setting-invalid"),
        ({"address": "-oProxyCommand=touch x"}, "host", "setting-invalid"),
        ({"key": "/no/such/key"}, "key", "file-missing"),
        ({"key": "key"}, "key", "path-not-absolute"),
        ({"python": "python3; touch x"}, "python", "setting-invalid"),
        ({"folder": "a\nb"}, "folder", "setting-invalid"),
        ({"storage": "/srv/sameface"}, "storage", "setting-invalid"),
        ({"address": "http://head:8265"}, "storage", "storage-not-named"),
        ({"address": "http://head:8265", "storage": "a folder"}, "storage", "path-not-absolute"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_is_connected_to(page, looked, wrong, field, code):
    assert page.faulted("/places", {**HERE, **wrong}) == field
    assert page.code_of("/places", {**HERE, **wrong}) == code
    assert (looked, page.shown) == ([], [])


def test_a_ray_cluster_is_added_by_its_dashboard_s_address(page, looked, tmp_path):
    made = page.confirmed("/places", {"name": "farm", "address": "http://head:8265", "storage": str(tmp_path)})
    assert made["on"] == "ray:farm"
    assert looked[0].ray.storage == str(tmp_path)


def test_a_cluster_without_room_is_added_unchecked_and_one_that_is_there_stays_as_it_is(page, tmp_path, monkeypatch):
    def look(_root, _place, patience, **_):
        assert patience <= 60  # somebody waits for the page
        raise UserError("No node of farm had room.", code="ray-no-room")

    monkeypatch.setattr(place_routes, "inspect", look)
    made = page.confirmed("/places", {"name": "farm", "address": "http://head:8265", "storage": str(tmp_path)})
    assert made["checked"] is False
    assert made["said"] == "No node of farm had room. farm was added unchecked; check it later."
    [kept] = places.load(page.root)
    places.save(page.root, replace(kept, machine=FOUND))
    assert page.code_of("/places/farm/check") == "ray-no-room"
    assert places.load(page.root) == [replace(kept, machine=FOUND)]


def test_a_place_that_is_removed_while_it_is_checked_does_not_come_back(page, monkeypatch):
    places.save(page.root, places.Place("workshop", "gpu.example.org"))

    def look(root, place, **_):
        places.remove(root, place.name)
        return replace(place, machine=FOUND)

    monkeypatch.setattr(place_routes, "inspect", look)
    page.done("/places/workshop/check")
    assert places.load(page.root) == []


def test_others_than_this_machine_s_user_name_no_machine(page, looked):
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    page.host.is_remote = True
    paths = ("/places", "/places/workshop/check", "/places/workshop/remove")
    assert [page.code_of(path, HERE if path == "/places" else {}, 403) for path in paths] == ["forbidden"] * 3
    assert page.got("/places") == []


def test_one_that_a_job_is_on_is_not_changed(page, looked):
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    page.character(photos=8)
    job = page.queue.add("Mara", TrainArguments(base="/b", on="ssh:workshop"))
    remote = Workspace(page.root).job(job.id).remote
    remote.parent.mkdir(parents=True, exist_ok=True)
    remote.write_text("{}")
    assert page.code_of("/places/workshop/remove") == "place-in-use"
    assert page.code_of("/places", HERE) == "place-in-use"


@pytest.mark.skipif(not available(), reason=MISSING)
def test_a_real_machine_is_looked_at(page, tmp_path, toy):
    page.character(photos=8)
    server = SshServer(tmp_path / "server")
    server.start()
    try:
        place = server.place()
        asked = {"name": "here", "address": place.address(), "key": place.key, "python": sys.executable}
        asked["folder"] = str(tmp_path / "there")
        assert "Python 3." in page.confirmed("/places", asked)["text"]
        assert page.done("/places/here/check")["checked"] is True
        wanted = {"base": str(toy("sd1")), "on": "ssh:here"}
        assert page.done("/characters/mara/sent", wanted)["base_there"] is None  # its hash is not known yet
        cached_sha256(toy("sd1"), Workspace(page.root).hashes)
        assert page.done("/characters/mara/sent", wanted)["base_there"] is False
        server.stop()
        assert page.done("/characters/mara/sent", wanted)["base_there"] is None  # nobody knows
        assert page.code_of("/places/here/check") == "host-unreachable"
    finally:
        server.stop()


def test_the_list_of_what_is_sent(page, toy):
    folder = page.character(photos=8)
    (folder.photos / "00.txt").write_text("photo of mrxa woman, smiling")
    found = page.done("/characters/mara/sent", {"base": str(toy("sd1")), "settings": {"face_weight": 1.0}})
    assert [one["name"] for one in found["photos"]] == [f"000{n}.jpg" for n in range(1, 9)]
    assert found["photos"][0]["caption"] == "photo of mrxa woman, smiling"
    assert found["photo_bytes"] == sum(one["bytes"] for one in found["photos"]) > 0
    assert (found["base"], found["base_bytes"]) == (toy("sd1").name, toy("sd1").stat().st_size)
    assert found["settings"]["face_weight"] == 1.0
    assert sorted(name.rpartition("/")[2] for name in found["files"]) == ["character.yaml", "events.jsonl", "run.yaml"]
    assert page.code_of("/characters/mara/sent", {"base": "/no/such"}) == "base-model-missing"
    rented = {"base": str(toy("sd1")), "on": "runpod", "base_address": "https://example.org/base.safetensors"}
    told = page.done("/characters/mara/sent", rented)
    assert (told["base_there"], told["base_address"]) == (False, rented["base_address"])
    assert page.faulted("/characters/mara/sent", {**rented, "base_address": "C:/base"}) == "base_address"
    page.host.is_remote = True
    assert page.code_of("/characters/mara/sent", {"base": str(toy("sd1"))}, 403) == "forbidden"
