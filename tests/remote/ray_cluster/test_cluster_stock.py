"""What a cluster keeps in its storage and on its nodes is seen, and what nobody needs is deleted."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from fake_ray import FakeRay
from faults import raises

from lib_lora import cli
from lib_lora.remote import installation, places, stored_there
from lib_lora.remote.ray_cluster import cluster_stock, ray_connection
from lib_lora.remote.ray_cluster.ray_connection import RayConnection

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what runs on a node needs Linux")

BASE, OLD = (hashlib.sha256(text).hexdigest() for text in (b"base", b"old wheel"))
LONG = 50 * 3600.0


def old(*paths):
    """Let files be two days old."""
    for path in paths:
        for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
            os.utime(one, (time.time() - LONG,) * 2, follow_symlinks=False)


class Kept:
    """A home, and a cluster with an old version of SameFace and a base model, in the storage and on its node."""

    def __init__(self, folder, ray):
        self.root, self.ray = folder / "home", ray
        places.save(self.root, ray.place())
        self.now = installation.built(self.root).sha256
        self.there = RayConnection(self.root, ray.place())
        self.files, node = ray.storage / "files", ray.there / "files"
        assert self.there.ask("jobs") == {"jobs": []}
        for where in (self.files, node):
            where.mkdir()
            for sha256, size in ((BASE, 5 << 20), (OLD, 100), (self.now, 200)):
                (where / sha256).write_bytes(b"x" * size)
        for sha256 in (OLD, self.now):
            version = ray.there / "versions" / sha256[:16]
            version.mkdir(parents=True)
            (version / "ready.json").write_text("{}")
        self.named = ray.there / "named" / BASE / "base.safetensors"
        self.named.parent.mkdir(parents=True)
        self.named.write_bytes(b"x" * (5 << 20))
        old(self.files, ray.there)

    def clean(self):
        return stored_there.clean(self.there, self.now)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_stock, "_POLL", 0.05)
    monkeypatch.setattr(ray_connection, "_POLL", 0.05)
    ray = FakeRay(tmp_path / "cluster")
    ray.start()
    yield Kept(tmp_path, ray)
    ray.stop()


def test_what_lies_in_the_storage_and_on_the_nodes(kept):
    found = stored_there.stored(kept.there)
    node = f"on {kept.ray.there.name}"
    assert sorted((item.name, item.where, item.needed) for item in found.versions) == sorted(
        (sha256[:16], node, False) for sha256 in (OLD, kept.now)
    )
    shown = {(item.name, item.where): item.size for item in found.models}
    assert shown[("base.safetensors", node)] == 5 << 20
    assert shown[("base.safetensors", "in the storage")] == 5 << 20  # its name is known from the node
    assert shown[(f"a version of SameFace ({OLD[:16]})", "in the storage")] == 100
    assert f"  base.safetensors, {node}, 5 MB, not used for 2 days" in found.lines()
    assert (found.silent, found.unheard(), kept.ray.jobs) == ((), "", {})
    assert not [path for path in (kept.ray.storage / "probes").rglob("*") if path.is_file()]


def test_what_nobody_needs_goes_and_the_newest_version_stays(kept):
    gone = kept.clean()
    node = f"on {kept.ray.there.name}"
    assert [(item.name, item.where) for item in gone.versions] == [(OLD[:16], node)]
    assert {(item.name, item.where) for item in gone.models} == {
        (f"a version of SameFace ({OLD[:16]})", "in the storage"),
        ("base.safetensors", node),
        ("base.safetensors", "in the storage"),
    }
    assert [path.name for path in kept.files.iterdir()] == [kept.now]
    assert [path.name for path in (kept.ray.there / "versions").iterdir()] == [kept.now[:16]]
    assert not kept.named.exists()
    assert (gone.left, kept.clean().lines()) == ((), [])


def test_what_a_job_needs_or_is_about_to_need_stays(kept):
    order = kept.ray.storage / "jobs" / "a-1" / "order.json"
    order.parent.mkdir(parents=True)
    order.write_text(json.dumps({"files": {}, "shared": {"base": BASE}, "version": OLD}))
    assert {item.where for item in kept.clean().models} == {
        f"on {kept.ray.there.name}"
    }  # of the node alone, which has no job
    assert len(list(kept.files.iterdir())) == 3
    order.write_text("{")  # which it is, nobody knows
    assert not any(item.where == "in the storage" for item in kept.clean().models)
    order.unlink()
    kept.there.ask("expect", files=[[BASE, 5 << 20]], job=None)  # a job that has not said yet that it needs it
    kept.clean()
    assert sorted(path.name for path in kept.files.iterdir()) == sorted([BASE, kept.now])
    old(kept.ray.storage / "used")
    kept.clean()
    assert [path.name for path in kept.files.iterdir()] == [kept.now]
    assert list((kept.ray.storage / "used").iterdir()) == []


def test_half_a_file_that_nobody_writes_any_more_goes(kept):
    half, young = (kept.files / f"{BASE}.{letter * 12}.tmp" for letter in "ab")
    for path in (half, young):
        path.write_bytes(b"half")
    old(half)
    (kept.files / "of somebody else").write_bytes(b"")
    old(kept.files / "of somebody else")
    assert any(item.name == "a file that has not come as a whole" for item in kept.clean().models)
    assert sorted(path.name for path in kept.files.iterdir()) == sorted([kept.now, young.name, "of somebody else"])


def test_a_node_that_does_not_answer_is_named(kept, monkeypatch):
    monkeypatch.setattr(cluster_stock, "_PATIENCE", 3.0)
    kept.ray.nodes.append({**kept.ray.nodes[0], "node_id": "c" * 56, "node_name": "node-2"})
    kept.ray.nodes.append({**kept.ray.nodes[0], "node_id": "../x", "node_name": "hostile"})
    found = stored_there.stored(kept.there)
    assert (found.silent, len(found.versions)) == (("node-2",), 2)
    assert found.unheard() == "These nodes have not answered: node-2."
    assert kept.ray.jobs == {}


@pytest.mark.parametrize("answer", [b"{", b"[]", b"5", b'{"data": 5}', b'{"data": {"result": {"result": [3]}}}'])
def test_an_api_that_does_not_list_its_nodes(kept, answer):
    kept.ray.answers["GET /api/v0/nodes?limit=10000"] = (200, answer)
    with raises("ray-answer-unreadable"):
        kept.clean()
    assert len(list(kept.files.iterdir())) == 3


def test_a_cluster_whose_ray_cannot_choose_a_node_is_checked_all_the_same(kept, capsys):
    kept.ray.answers["GET /api/v0/nodes?limit=10000"] = (404, b"")
    assert cli.main(["place", "check", "studio", "--data", str(kept.root)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("studio  Ray cluster ")
    assert "What its nodes store is unknown: The Ray cluster at" in said


def test_what_a_node_says_may_be_anything(kept, monkeypatch):
    said = {"node": "x", "folder": "y", "versions": [{"version": []}, 3], "shared": [{"sha256": [], "names": 5}]}
    node = cluster_stock.RayNode("a" * 56, "node-1")
    found = cluster_stock._together([(node, said), (node, said), (node, 7), (node, {"versions": 3})])
    assert found["silent"] == ["node-1"] * 3
    stock = cluster_stock.ClusterStock(kept.there._there, kept.there.api, lambda *_: None, lambda _: None)
    assert len(stock._files(found)) == 3


def test_a_storage_that_is_not_mounted_is_not_cleaned(kept):
    away = kept.ray.storage.with_name("away")
    kept.ray.storage.rename(away)
    kept.ray.storage.mkdir()
    with raises("storage-not-mounted"):
        kept.clean()
    assert list(kept.ray.storage.iterdir()) == []
    assert len(list((away / "files").iterdir())) == 3


def test_the_command(kept, capsys):
    data = ["--data", str(kept.root)]
    assert cli.main(["place", "check", "studio", *data]) == 0
    said = capsys.readouterr().out
    assert "In the storage and on the nodes of studio, 10 MB are stored; to delete what is not in use: " in said, said
    assert cli.main(["place", "clean", "studio", *data]) == 0
    said = capsys.readouterr().out
    assert "Deleted on studio, 10 MB:" in said, said
    assert "  base.safetensors, in the storage, 5 MB, not used for 2 days" in said
    assert cli.main(["place", "clean", "studio", *data]) == 0
    assert "There is nothing to delete on studio" in capsys.readouterr().out
    assert Path(kept.files / kept.now).is_file()
