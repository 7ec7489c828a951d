"""What is known to be marked as showing a child is refused wherever a model is used; nothing is asked or hashed."""

from __future__ import annotations

import hashlib
import json

import pytest
from fake_civitai import model_row, safetensors, version_row
from faults import raises

from lib_lora.civitai.api.answer_cache import AnswerCache
from lib_lora.models.reading import file_hashes
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.workflows.judge.further_loras import further_loras
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workflows.produce.prompts.lora_tags import LoraTags
from lib_lora.workspace.workspace import Workspace

BODY = safetensors()
SHA = hashlib.sha256(BODY).hexdigest().upper()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    return tmp_path / "data"


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "loras" / "ink.safetensors"
    path.parent.mkdir()
    path.write_bytes(BODY)
    return path


def answered(root, site="https://civitai.com", **page):
    cache = AnswerCache(root, site)
    cache.put("hash", SHA, version_row(files=[{"hashes": {"SHA256": SHA}}]))
    cache.put("model", 401, model_row(**page))


@pytest.fixture
def marked(root, lora):
    """A data folder that knows the file's hash and its page, by which it shows a child."""
    answered(root, minor=True)
    cached_sha256(lora, Workspace(root).hashes)
    return root


def test_what_is_marked_is_refused_by_path_and_by_hash(marked, lora, monkeypatch):
    monkeypatch.setattr(file_hashes, "sha256", None)  # nothing is hashed
    with raises("model-shows-child", has="ink.safetensors"):
        see_that_it_may_be_used(marked, lora)
    with raises("model-shows-child"):
        see_that_it_may_be_used(marked, lora.with_name("gone.safetensors"), SHA.lower())


@pytest.mark.parametrize("page", [{"minor": False}, {"minor": None}, {"poi": True}])
def test_what_is_not_known_to_be_marked_may_be_used(root, lora, page):
    answered(root, **page)
    cached_sha256(lora, Workspace(root).hashes)
    see_that_it_may_be_used(root, lora)
    see_that_it_may_be_used(root, lora, SHA)


def test_what_is_not_hashed_yet_or_gone_is_not_known(root, lora):
    answered(root, minor=True)
    see_that_it_may_be_used(root, lora)
    see_that_it_may_be_used(root, lora.with_name("gone.safetensors"))
    assert not Workspace(root).hashes.exists()


@pytest.mark.parametrize("address", ["https://example.org", "http://no address"])
def test_another_site_or_a_wrong_address_hides_nothing(marked, lora, monkeypatch, address):
    monkeypatch.setenv("SAMEFACE_CIVITAI", address)
    with raises("model-shows-child"):
        see_that_it_may_be_used(marked, lora)


def test_what_the_site_that_is_set_has_answered_counts(root, lora, monkeypatch):
    answered(root, "https://example.org", minor=True)
    see_that_it_may_be_used(root, lora, SHA)
    monkeypatch.setenv("SAMEFACE_CIVITAI", "https://example.org")
    with raises("model-shows-child"):
        see_that_it_may_be_used(root, lora, SHA)


def test_notes_beside_a_file_count_as_long_as_they_are_about_it(root, lora):
    notes = {"sameface": {"civitai": {"minor": True, "sha256": SHA}}}
    lora.with_suffix(".json").write_text(json.dumps(notes))
    with raises("model-shows-child"):
        see_that_it_may_be_used(root, lora)
    see_that_it_may_be_used(root, lora, "0" * 64)  # the file was replaced


def test_a_further_lora_that_is_marked_is_refused(marked, lora):
    with raises("model-shows-child"):
        further_loras(["ink:0.5"], [lora.parent], marked)
    with raises("model-shows-child"):
        further_loras([str(lora)], [], marked)


def test_a_lora_in_a_prompt_that_is_marked_is_refused_whoever_paints(marked, lora):
    tags = LoraTags([lora.parent], marked)
    with raises("model-shows-child"):
        tags.check(["a <lora:ink:0.5>"])
    with raises("model-shows-child"):
        tags.parted("<lora:ink>")
    with raises("model-shows-child"):
        tags.check_names(["<lora:ink>"], frozenset({"ink"}))
    tags.check_names(["<lora:other>"], frozenset({"other"}))
