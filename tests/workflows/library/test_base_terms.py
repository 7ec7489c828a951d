"""What a base model's page permits goes into the run, the LoRA's metadata and what is delivered; nothing is asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from fake_civitai import model_row, safetensors, version_row

from lib_lora.civitai.api.answer_cache import AnswerCache
from lib_lora.lora.file.usage_terms import licence_in, terms_note, terms_text
from lib_lora.workflows.library.base_terms import base_terms, with_terms

SITE = "https://civitai.com"
BODY = safetensors()
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _usual_site(monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def looked_up(tmp_path, base):
    """A data folder that knows the base model's page."""
    cache = AnswerCache(tmp_path / "data", SITE)
    files = [{"hashes": {"SHA256": SHA.upper()}}]
    cache.put("hash", SHA.upper(), version_row(files=files))
    cache.put("model", 401, model_row(allowCommercialUse=["Image"], allowNoCredit=False))
    return tmp_path / "data"


def test_what_was_looked_up_is_known_by_the_files_hash(looked_up, base):
    terms = json.loads(base_terms(looked_up, base, SHA))
    assert (terms["model"], terms["version"], terms["sha256"]) == (401, 501, SHA.upper())
    assert (terms["allowCommercialUse"], terms["allowNoCredit"]) == (["Image"], False)
    assert (terms["lights"]["pictures"], terms["lights"]["sell"]) == ("yellow", "red")
    assert base_terms(looked_up, base.with_name("gone.safetensors"), SHA) != ""
    assert base_terms(looked_up, base, "0" * 64) == ""
    assert base_terms(looked_up.with_name("other"), base, SHA) == ""


def test_what_was_kept_when_it_was_fetched_is_known_too(tmp_path, base):
    beside = {"sameface": {"civitai": {"model": 5, "sha256": SHA.upper()}}}
    base.with_suffix(".json").write_text(json.dumps(beside))
    assert json.loads(base_terms(tmp_path / "data", base, SHA))["model"] == 5
    assert base_terms(tmp_path / "data", base, "0" * 64) == ""  # the file was replaced


def test_the_licence_and_a_note_in_words(looked_up, base):
    terms = base_terms(looked_up, base, SHA)
    page = f"{SITE}/models/401?modelVersionId=501"
    assert licence_in(terms) == (
        "CreativeML Open RAIL-M (https://huggingface.co/spaces/CompVis/stable-diffusion-license); "
        f"and what {page} permits"
    )
    assert terms_note(terms).startswith(f"{page} said on 20")
    assert "pictures yellow" in terms_note(terms)


def test_who_is_shown_and_what_became_of_the_page_go_along(tmp_path, base):
    cache = AnswerCache(tmp_path / "data", SITE)
    cache.put("hash", SHA.upper(), version_row(files=[{"hashes": {"SHA256": SHA.upper()}}]))
    cache.put("model", 401, model_row(poi=True, sfwOnly=True, mode="TakenDown"))
    text = base_terms(tmp_path / "data", base, SHA)
    terms = json.loads(text)
    assert {name: terms[name] for name in ("poi", "minor", "sfwOnly", "mode")} == {
        "poi": True,
        "minor": False,
        "sfwOnly": True,
        "mode": "TakenDown",
    }
    note = terms_note(text)
    for said in ("it shows a REAL PERSON", "Civitai has taken it down", "not for pictures for adults only"):
        assert said in note
    assert "CHILD" not in note


@pytest.mark.parametrize("terms", ["", "{", "[]", "5", '{"base_licence": 5, "lights": [], "page": 7}', "[" * 100_000])
def test_terms_that_are_none(terms):
    assert licence_in(terms) == terms_note(terms) == ""


def test_nothing_known_is_no_text():
    assert terms_text({}) == ""


def test_what_the_run_knew_already_stays(looked_up, base):
    pytest.importorskip("torch")
    from lib_lora.character.store import Character
    from lib_lora.deploy.folder import LoraOrigin

    origin = LoraOrigin("001", Character("Mara", "mrxa", "woman"), 3, base, "sd1")
    assert with_terms(looked_up, origin, SHA).terms == base_terms(looked_up, base, SHA)
    known = replace(origin, terms='{"model": 7}')
    assert with_terms(looked_up, known, SHA) is known
