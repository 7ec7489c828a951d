"""The command about other machines, and ``--on``; tests/queue has what happens there."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_ray import FakeRay
from faults import raises
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
        (("clean",), "place-not-named"),
        (("clean", "nowhere"), "place-not-found"),
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
        there, data = Path(place.folder), ("--data", tmp_path / "data")
        assert "lie" not in main("place", "check", "workshop", *data).out
        old = there / "versions" / ("a" * 16)
        old.mkdir(parents=True)
        (old / "ready.json").write_bytes(b"0" * 3_000_000)
        model = there / "named" / ("b" * 64) / "base.safetensors"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"1" * 2_000_000)
        for path in (old / "ready.json", old, model, model.parent):
            os.utime(path, (time.time() - 40 * 86400,) * 2)
        checked = main("place", "check", "workshop", *data)
        assert "5 MB are stored" in checked.out
        assert "place clean workshop" in checked.out
        assert "  base.safetensors, 2 MB, not used for 40 days\n" in checked.out
        [version] = json.loads(main("place", "check", "workshop", "--json", *data).out)["stored"]["versions"]
        assert (version["name"], version["needed"]) == ("a" * 16, False)
        cleaned = main("place", "clean", "workshop", *data)
        assert (cleaned.status, "Deleted on workshop, 5 MB" in cleaned.out) == (0, True), cleaned
        assert (old.exists(), model.exists()) == (False, False)
        assert "nothing to delete" in main("place", "clean", "workshop", *data).out
        model.parent.mkdir(parents=True)
        model.write_bytes(b"1" * 2_000_000)
        known = tmp_path / "again"
        assert main("place", "add", "workshop", place.address(), *options[:-1], known).status == 0
        assert "are kept (2 MB)." in main("place", "remove", "workshop", "--data", known).out
    finally:
        server.stop()
    again = main("place", "check", "workshop", "--data", tmp_path / "data")
    assert (again.status, again.code) == (2, "host-unreachable")


def test_a_ray_cluster_is_added_and_named_by_its_address(main, tmp_path):
    data, storage = ("--data", tmp_path), str(tmp_path / "share")
    words = ("--storage", storage, "--storage-there", "/mnt/share", "--gpus", "2", "--cpus", "8", "--memory", "64")
    added = main(
        "place", "add", "studio", "HTTP://Head", *words, "--python", "/opt/py/bin/python3", "--no-check", *data
    )
    assert (added.status, added.out) == (0, "studio is added, and was not checked.\n")
    [place] = places.load(tmp_path)
    assert (place.address(), place.on(), place.python) == ("http://Head:8265", "ray:studio", "/opt/py/bin/python3")
    assert (place.ray.storage, place.ray.storage_there) == (storage, "/mnt/share")
    assert (place.ray.gpus, place.ray.cpus, place.ray.memory, place.ray.retries) == (2, 8, 64, 3)
    listed = main("place", "list", *data).out
    assert listed == f"studio  Ray cluster http://Head:8265, storage {storage}, not checked yet\n"
    looked = replace(place, machine=places.Machine(1.0, "3.11.7", "linux", 2, None, 1 << 40))
    assert "--gpus" not in places.described(looked)
    assert "add the place with --gpus 1" in places.described(replace(looked, ray=replace(looked.ray, gpus=-1)))
    for on in ("ray:studio", "ray:http://Head:8265", "ray:http://Head/"):
        assert places.named(tmp_path, on) == place
    main("place", "add", "lab", "https://lab.example.org", "--storage", "s3://bucket/x", "--no-check", *data)
    assert places.named(tmp_path, "ray:lab").address() == "https://lab.example.org:443"
    assert places.named(tmp_path, "ray:lab").ray.storage == "s3://bucket/x"
    main("place", "add", "nas", "http://head:1", "--storage", "sftp://mara@nas/x", "--no-check", *data)
    assert places.named(tmp_path, "ray:nas").ray.storage == "sftp://mara@nas/x"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("http://head",), "storage-not-named"),
        (("http://head", "--storage", "x", "--port", "22"), "setting-invalid"),
        (("http://head:99999", "--storage", "x"), "setting-invalid"),
        (("http://head/path", "--storage", "x"), "setting-invalid"),
        (("http://user:pw@head", "--storage", "x"), "setting-invalid"),
        (("http://-x", "--storage", "x"), "setting-invalid"),
        (("http://head", "--storage", "s3://a b"), "setting-invalid"),
        (("http://head", "--storage", "x", "--storage-there", "a\nb"), "setting-invalid"),
        (("http://head", "--storage", "x", "--python", "python3;id"), "setting-invalid"),
        (("http://head", "--storage", "x", "--gpus", "1000000"), "setting-invalid"),
        (("mara@host", "--storage", "x"), "setting-invalid"),
        (("http://head", "--storage", "sftp://mara:secret@nas/x"), "storage-with-secret"),
        (("http://head", "--storage", "x", "--storage-there", "s3://bucket/x?secret_key=1"), "storage-with-secret"),
    ],
)
def test_a_ray_cluster_that_cannot_be_is_one_sentence(main, tmp_path, words, code):
    said = main("place", "add", "studio", *words, "--data", tmp_path)
    assert (said.status, said.code) == (2, code)
    assert places.load(tmp_path) == []


def test_a_cluster_that_is_not_known_says_how_it_is_added(main, tmp_path):
    with raises("cluster-not-found", has="place add NAME http://head:8265 --storage"):
        places.named(tmp_path, "ray:http://head:8265")
    places.save(tmp_path, places.parsed("attic", "mara@host"))
    with raises("place-kind-wrong", has="ssh:attic"):
        places.named(tmp_path, "ray:attic")


@pytest.mark.skipif(os.name == "nt", reason="what runs on a node needs Linux")
def test_a_ray_cluster_is_looked_at_by_a_job_on_a_node(main, tmp_path):
    ray = FakeRay(tmp_path / "cluster")
    ray.start()
    try:
        data, address = ("--data", tmp_path), f"http://127.0.0.1:{ray.port}"
        words = ("place", "add", "studio", address, "--python", sys.executable, "--storage")
        added = main(*words, ray.storage, *data)
        assert added.status == 0, added
        assert added.out.startswith(f"Added:\nstudio  Ray cluster {address}, storage {ray.storage}; a node has ")
        assert main("place", "check", "studio", *data).status == 0
        assert ray.jobs == {}  # nothing of a look stays
        assert [path.name for path in ray.storage.rglob("*") if path.is_file()] == ["sameface-storage.json"]
        (ray.storage / "sameface-storage.json").unlink()  # as an empty mount point is
        said = main("place", "check", "studio", *data)
        assert (said.status, said.code) == (2, "storage-not-mounted")
        assert main(*words, ray.storage, "--no-check", *data).status == 0
        said = main("place", "check", "studio", *data)
        assert (said.status, said.code) == (2, "storage-not-mounted")
        assert list(ray.storage.rglob("*.json")) == []
        (tmp_path / "another").mkdir()
        said = main(*words, ray.storage, "--storage-there", tmp_path / "another", *data)
        assert (said.status, said.code) == (2, "ray-node-unusable")
        assert "may not be mounted on the node" in said.err
        assert [*ray.storage.rglob("*.json"), *(tmp_path / "another").iterdir()] == []
        assert main(*words, ray.storage, *data).status == 0  # it really is another one
        assert (ray.storage / "sameface-storage.json").is_file()
        (tmp_path / "another" / "sameface-storage.json").write_text("{}")
        said = main(*words, ray.storage, "--storage-there", tmp_path / "another", *data)
        assert (said.status, said.code) == (2, "ray-node-unusable")
        said = main(*words[:4], "--python", "/no/python", "--storage", ray.storage, *data)
        assert (said.status, said.code) == (2, "ray-node-unusable")
        assert "/no/python" in said.err
    finally:
        ray.stop()
    said = main("place", "check", "studio", *data)
    assert (said.status, said.code) == (2, "ray-unreachable")
