"""The list of starter models is whole and honest, and one is fetched only with consent and with its own bytes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from fake_civitai import safetensors
from faults import raises

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.base_licences import bases, licence_of_base
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.civitai.starter_models import fetch_starter, starter_models, starter_named
from lib_lora.models.families.registry import family_names
from lib_lora.models.reading.file_hashes import known_sha256
from lib_lora.workspace.workspace import Workspace


def test_each_entry_is_whole():
    found = starter_models()
    assert len({one.key for one in found}) == len(found) >= 2
    for one in found:
        assert re.fullmatch(r"[0-9a-f]{64}", one.sha256), one.key
        assert 10**9 < one.bytes < 10**10
        assert one.url.startswith("https://")
        assert one.name.endswith(".safetensors")
        assert one.family in family_names()
        assert one.base_model in bases()
        assert one.licence == licence_of_base(one.base_model)
        assert one.licence.pictures == "allowed"
        assert len(one.sources) >= 2
        assert all(text.endswith(".") for text in (one.text, one.licence_from, *one.sources))
        assert one.values()["host"] == "huggingface.co"
    assert {one.family for one in found} == {"sd1", "sdxl"}


def test_one_is_named():
    assert starter_named("sd15").base_model == "SD 1.5"
    with raises("starter-model-unknown", has="sd15"):
        starter_named("sd9")


def test_it_is_fetched_only_where_the_user_agrees(civitai, tmp_path):
    body = safetensors()
    civitai.bodies[1] = body
    url, digest = f"{civitai.files}/file/1", hashlib.sha256(body).hexdigest()
    model = replace(starter_named("sd15"), url=url, sha256=digest, bytes=len(body))
    with raises("starter-not-agreed", has=(model.licence.name, model.licence.address)):
        fetch_starter(tmp_path / "data", model, tmp_path / "models", agreed=False)
    assert (civitai.asked_files, (tmp_path / "models").exists()) == ([], False)
    path = fetch_starter(tmp_path / "data", model, tmp_path / "models", agreed=True)
    assert path.read_bytes() == body
    assert known_sha256(path, Workspace(tmp_path / "data").hashes) == digest
    assert civitai.asked == []


def test_its_page_is_asked_about_where_the_user_has_agreed(civitai, tmp_path):
    body = safetensors()
    civitai.add(body, 1)
    url, digest = f"{civitai.files}/file/1", hashlib.sha256(body).hexdigest()
    model = replace(starter_named("sd15"), url=url, sha256=digest, bytes=len(body))
    civitai_consent.set_state(tmp_path / "data", "agreed")
    path = fetch_starter(tmp_path / "data", model, tmp_path / "models", agreed=True)
    assert ModelLookup(tmp_path / "data", ask=False).of_file(path).title == "Ink style v1"
    civitai.plant[f"/api/v1/model-versions/by-hash/{digest.upper()}"] = (410, {}, b"{}")
    assert fetch_starter(tmp_path / "data", model, tmp_path / "other", agreed=True).read_bytes() == body


@pytest.mark.parametrize("key", ["sd15", "sdxl"])
def test_other_bytes_are_refused(civitai, tmp_path, key):
    civitai.bodies[1] = safetensors()
    model = replace(starter_named(key), url=f"{civitai.files}/file/1", bytes=len(civitai.bodies[1]))
    with raises("civitai-hash-wrong"):
        fetch_starter(tmp_path / "data", model, tmp_path / "models", agreed=True)
    assert list((tmp_path / "models").iterdir()) == []
