"""Where an API key is kept: a keyring that works, else a file for its owner alone; and that nobody waits for ever."""

from __future__ import annotations

import os
import sys
import threading
import time
import types

import pytest
from faults import raises

from lib_lora import file_permissions
from lib_lora.remote import api_key_store as store
from lib_lora.workspace.workspace import Workspace

KEY, OTHER = "rpa_0123456789ABCDEF", "rpa_FEDCBA9876543210"


def keyring(**functions):
    """A library of that name, with some functions replaced."""
    kept = {}
    module = types.ModuleType("keyring")
    module.set_password = lambda service, name, key: kept.__setitem__((service, name), key)
    module.get_password = lambda service, name: kept.get((service, name))
    module.delete_password = lambda service, name: kept.pop((service, name))
    module.kept = kept
    for name, function in functions.items():
        setattr(module, name, function)
    return module


def broken(*_):
    raise RuntimeError("no backend")


@pytest.fixture(autouse=True)
def _none_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)


def test_without_a_keyring_it_is_a_file_of_the_owners_alone(tmp_path):
    before = os.umask(0) if os.name != "nt" else None
    try:
        assert store.save(tmp_path / "data", f" {KEY}\n") == "file"
    finally:
        if before is not None:
            os.umask(before)
    path = Workspace(tmp_path / "data").api_keys
    if os.name != "nt":
        assert path.stat().st_mode & 0o777 == 0o600
    assert (store.load(tmp_path / "data"), store.kept_in(tmp_path / "data")) == (KEY, "file")
    assert file_permissions.is_ours(path.name)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    store.save(tmp_path / "data", OTHER)
    assert store.load(tmp_path / "data") == OTHER
    store.forget(tmp_path / "data")
    assert (store.load(tmp_path / "data"), path.exists()) == (None, False)


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing there")
def test_a_file_that_others_can_read_is_closed(tmp_path):
    store.save(tmp_path, KEY)
    path = Workspace(tmp_path).api_keys
    path.chmod(0o644)
    assert store.load(tmp_path) == KEY
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_keyring_that_works_is_used_and_the_file_emptied(tmp_path, monkeypatch):
    store.save(tmp_path, OTHER)
    library = keyring()
    monkeypatch.setitem(sys.modules, "keyring", library)
    assert store.save(tmp_path, KEY) == "keyring"
    assert (library.kept, Workspace(tmp_path).api_keys.exists()) == ({("SameFace", "runpod"): KEY}, False)
    assert (store.load(tmp_path), store.kept_in(tmp_path)) == (KEY, "keyring")
    assert store.kept_here(tmp_path) == "keyring"
    assert store.kept_here(tmp_path / "other") == ""  # a page that is opened there asks no keyring
    store.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert (library.kept, store.load(tmp_path)) == ({}, None)
    store.forget(tmp_path)


def test_each_service_has_a_key_of_its_own(tmp_path, monkeypatch):
    store.save(tmp_path, KEY)
    store.save(tmp_path, OTHER, store.CIVITAI)
    assert (store.load(tmp_path), store.load(tmp_path, store.CIVITAI)) == (KEY, OTHER)
    store.forget(tmp_path)
    assert (store.load(tmp_path), store.load(tmp_path, store.CIVITAI)) == (None, OTHER)
    store.forget(tmp_path, store.CIVITAI)
    monkeypatch.setitem(sys.modules, "keyring", keyring())
    store.save(tmp_path, OTHER, store.CIVITAI)
    assert store.kept_here(tmp_path) == ""  # the keyring is not asked for RunPod's
    store.save(tmp_path, KEY)
    store.forget(tmp_path, store.CIVITAI)
    assert (store.kept_here(tmp_path), store.kept_here(tmp_path, store.CIVITAI)) == ("keyring", "")
    monkeypatch.setenv("CIVITAI_API_TOKEN", OTHER)
    assert store.kept_here(tmp_path, store.CIVITAI) == "environment"


def test_the_mark_of_an_older_version_stands_for_runpod(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", keyring())
    store.save(tmp_path, KEY)
    (tmp_path / "api-keys.keyring").write_text("")  # as it was written before there was a second service
    assert (store.kept_here(tmp_path), store.kept_here(tmp_path, store.CIVITAI)) == ("keyring", "")


@pytest.mark.parametrize(
    "functions",
    [
        {"set_password": broken},
        {"get_password": broken, "set_password": broken},
        {"get_password": lambda *_: None},  # one that keeps nothing
        {"get_password": lambda *_: "another key"},
        {"get_password": broken},
    ],
)
def test_a_keyring_that_does_not_work_is_not_relied_on(tmp_path, monkeypatch, functions):
    monkeypatch.setitem(sys.modules, "keyring", keyring(**functions))
    assert store.save(tmp_path, KEY) == "file"
    assert store.load(tmp_path) == KEY


def test_a_keyring_that_waits_for_somebody_is_left_alone(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setitem(sys.modules, "keyring", keyring(set_password=lambda *_: release.wait(20)))
    monkeypatch.setattr(store, "_PATIENCE", 0.05)
    assert store.save(tmp_path, KEY) == "file"
    began = time.monotonic()
    monkeypatch.setattr(store, "_PATIENCE", 60)
    assert store.load(tmp_path) == KEY  # nobody waits for it again
    assert time.monotonic() - began < 20
    release.set()
    store._asking.join(5)
    assert store.save(tmp_path, OTHER) == "file"


def test_what_the_environment_says_comes_first_and_is_not_written(tmp_path, monkeypatch):
    store.save(tmp_path, KEY)
    monkeypatch.setenv("RUNPOD_API_KEY", OTHER)
    assert (store.load(tmp_path), store.kept_in(tmp_path)) == (OTHER, "environment")
    assert OTHER not in Workspace(tmp_path).api_keys.read_text()
    monkeypatch.setenv("RUNPOD_API_KEY", "not a key")
    assert store.load(tmp_path) == KEY


@pytest.mark.parametrize("key", ["", "  ", "two words 123456", "ä" * 20, "x" * 1000, "short"])
def test_what_is_no_key_is_not_kept(tmp_path, key):
    with raises("api-key-malformed") as caught:
        store.save(tmp_path, key)
    assert caught.value.field == "key"
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", '{"runpod": 5}', '{"runpod": "a\\nb"}', "{", '"x"'])
def test_a_damaged_file_is_said(tmp_path, content):
    Workspace(tmp_path).api_keys.write_text(content)
    with raises(("api-keys-damaged", "json-invalid"), has="api-keys.json"):
        store.load(tmp_path)
