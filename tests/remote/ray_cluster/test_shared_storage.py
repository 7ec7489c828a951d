"""Storage that two machines share: a file in it is whole or absent, and no name leads out of it.

The same checks run on a folder, on fsspec's own file system in memory, and, across processes, on S3 as moto serves it
on the loopback (with s3fs, in the environment of `ray_nodes`).
"""

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray_nodes
from s3_server import BUCKET, s3_served
from storage_contract import nothing, put_all, see_all

from lib_lora.remote.ray_cluster import shared_storage
from lib_lora.remote.ray_cluster.shared_storage import FolderStorage, UrlStorage, is_url, opened

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("where", ["a folder ü", "file", "memory"])
def test_what_one_writes_the_other_reads(tmp_path, where):
    name = {"file": f"file://{tmp_path}/storage", "memory": f"memory://{tmp_path.name}/storage"}.get(where)
    put_all(opened(name or str(tmp_path / where)))
    (tmp_path / "here").mkdir()
    see_all(opened(name or str(tmp_path / where)), tmp_path / "here")
    assert type(opened(name or where)) is (UrlStorage if where == "memory" else FolderStorage)


def test_s3_across_processes(tmp_path):
    if why := ray_nodes.missing():
        pytest.skip(why)
    script = str(ROOT / "tests" / "helpers" / "remote" / "storage_contract.py")
    with s3_served() as variables:
        for words in ([], [str(tmp_path)]):  # one process writes, the other one reads
            command = [str(ray_nodes.HOME / "bin" / "python"), script, f"s3://{BUCKET}/sameface", *words]
            environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\\b", "a b", "a\n", "ü", ".hidden", "a" * 300],
)
def test_no_name_leads_out(tmp_path, name):
    for storage in (FolderStorage(tmp_path / "storage"), opened("memory://names")):
        for does in (
            lambda one: one.read(name, 10),
            lambda one: one.write(name, b""),
            lambda one: one.size(name),
            lambda one: one.put(io.BytesIO(b"x"), name, nothing),
            lambda one: one.get(name, io.BytesIO(), nothing),
            lambda one: one.names(name),
            lambda one: one.delete(name),
            lambda one: one.delete_folder(name),
        ):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
                does(storage)
            assert caught.value.errno == errno.EINVAL
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_what_a_home_that_was_ended_has_left_of_a_file_goes_with_the_next(tmp_path, where, monkeypatch):
    storage = opened("memory://left" if where == "memory" else str(tmp_path))
    half, young, other = (f"files/{name}.tmp" for name in ("aa.0123456789ab", "aa.ba9876543210", "ab.0123456789ab"))
    for name in (half, other):
        storage.write(name, b"half")
    now = time.time()
    if where == "folder":
        for name in (half, other):
            os.utime(tmp_path / name, (now - 3700,) * 2)
        storage.write(young, b"half")
        storage.put(io.BytesIO(b"whole"), "files/aa", nothing)
        assert storage.names("files") == ["files/aa", young, other]
    else:
        monkeypatch.setattr(shared_storage.time, "time", lambda: now + 3700)
        storage.put(io.BytesIO(b"whole"), "files/aa", nothing)
        assert storage.names("files") == ["files/aa", other]


def test_a_reader_on_windows_is_waited_for(tmp_path, monkeypatch):
    replaced, tries = Path.replace, []

    def held(self, target):
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "it is open")
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(shared_storage, "sys", SimpleNamespace(platform="win32"))
    FolderStorage(tmp_path).write("a/b", b"x")
    assert len(tries) == 3
    assert FolderStorage(tmp_path).read("a/b", 10) == b"x"


def test_what_a_driver_raises_is_an_oserror(monkeypatch):
    storage = opened("memory://errors")
    monkeypatch.setattr(storage._system, "cat_file", lambda *_, **__: 1 / 0)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        storage.read("a", 1)
    assert caught.value.errno == errno.EIO


def test_a_url_without_its_driver():
    with pytest.raises(OSError, match="nosuch"):
        opened("nosuch://bucket/x")


def test_which_texts_are_urls():
    assert is_url("s3://bucket/x")
    assert not any(map(is_url, ("/mnt/share", "C:\\share", "share", r"\\server\share", "c:/x")))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_a_full_or_closed_folder_leaves_no_half_a_file(tmp_path, monkeypatch):
    storage = FolderStorage(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for does in (lambda: storage.write("a/b", b"x"), lambda: storage.put(io.BytesIO(b"x"), "a/b", nothing)):
        with pytest.raises(OSError, match="No space"):
            does()
    assert list((tmp_path / "a").iterdir()) == []
