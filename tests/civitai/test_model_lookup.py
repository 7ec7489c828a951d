"""What a file is on Civitai: by which hash, from the cache or by asking, after the user agreed; ages and troubles."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_civitai import TOKEN, file_row, model_row, safetensors
from faults import misfit, raises

from lib_lora import file_permissions
from lib_lora.civitai import model_lookup
from lib_lora.civitai.api import answer_cache, civitai_consent
from lib_lora.civitai.api.answer_cache import AnswerCache
from lib_lora.civitai.api.site_address import Pointer, host_of
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.lora.hashes import sshs_model_hash
from lib_lora.remote import api_key_store
from lib_lora.workspace import preferences
from lib_lora.workspace.file_lock import held
from lib_lora.workspace.workspace import Workspace


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def agreed(root, civitai):
    """The user has agreed with the stand-in, which is none of Civitai's own sites."""
    civitai_consent.set_state(root, "agreed")
    return root


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "ink.safetensors"
    path.write_bytes(safetensors())
    return path


def paths(civitai):
    return [one.path.removeprefix("/api/v1") for one in civitai.asked]


def test_nothing_is_asked_before_the_user_agrees(civitai, root, lora):
    civitai.add(lora.read_bytes())
    with raises("civitai-not-agreed", has="civitai agree"):
        ModelLookup(root).of_file(lora)
    with raises("civitai-not-agreed"):
        ModelLookup(root).of_hash("0" * 64)
    with raises("civitai-not-agreed"):
        ModelLookup(root).of_pointer(Pointer(hash="0" * 64), "x")
    assert civitai.asked == []
    civitai_consent.set_state(root, "off")
    for ask in (lambda one: one.of_file(lora), lambda one: one.of_pointer(Pointer(401), "401")):
        with raises("civitai-off"):
            ask(ModelLookup(root))
    assert civitai.asked == []
    assert ModelLookup(root, ask=False).of_file(lora).asked == 0
    assert not Workspace(root).civitai.exists()


def test_an_address_is_asked_for_only_once_the_user_agrees(civitai, root):
    civitai.add(b"abc")
    with raises("civitai-not-agreed"):
        ModelLookup(root).of_pointer(Pointer(401), "401")
    assert civitai.asked == []
    civitai_consent.set_state(root, "agreed")
    assert ModelLookup(root).of_pointer(Pointer(401), "401").title == "Ink style v1"


def test_having_been_asked_once_is_no_agreement_to_the_next_question(civitai, agreed, lora):
    civitai.add(b"abc")
    lookup = ModelLookup(agreed)
    lookup.of_pointer(Pointer(401), "401")
    civitai_consent.set_state(agreed, "")
    asked = len(civitai.asked)
    with raises("civitai-not-agreed"):
        lookup.of_file(lora)
    with raises("civitai-not-agreed"):
        lookup.of_hash("0" * 64)
    assert len(civitai.asked) == asked


def test_a_look_up_ends_when_civitai_is_switched_off(civitai, agreed, lora, tmp_path, monkeypatch):
    lookup = ModelLookup(agreed)
    lookup.of_file(lora)
    civitai_consent.set_state(agreed, "off")
    asked = len(civitai.asked)
    for ask in (lambda: lookup.of_file(lora), lambda: lookup.of_pointer(Pointer(9), "9"), lambda: lookup.api):
        with raises("civitai-off"):
            ask()
    with raises("civitai-off"):
        lookup.row_of_version(7)
    assert len(civitai.asked) == asked
    # also between two questions about one file
    civitai_consent.set_state(agreed, "agreed")
    other = tmp_path / "other.safetensors"
    other.write_bytes(safetensors(b"\x07" * 64))
    hashed = model_lookup._hash_of_tensors

    def switched_off(path):
        civitai_consent.set_state(agreed, "off")
        return hashed(path)

    monkeypatch.setattr(model_lookup, "_hash_of_tensors", switched_off)
    with raises("civitai-off"):
        lookup.of_file(other)
    assert len(civitai.asked) == asked + 1


def test_a_file_is_found_by_its_sha256_with_what_its_page_permits(civitai, agreed, lora):
    civitai.add(lora.read_bytes(), page={"allowCommercialUse": "Image", "allowNoCredit": False})
    found = ModelLookup(agreed).of_file(lora)
    digest = hashlib.sha256(lora.read_bytes()).hexdigest().upper()
    assert (found.how, found.title, found.kind, found.base) == ("sha256", "Ink style v1", "LORA", "SD 1.5")
    assert (found.sha256, found.page) == (digest, f"{civitai.site}/models/401?modelVersionId=501")
    assert found.assessment.lights["pictures"].light == "yellow"
    assert found.assessment.lights["sell"].light == "red"
    assert paths(civitai) == [f"/model-versions/by-hash/{digest}", "/models/401"]
    sent = json.dumps([(one.path, one.headers) for one in civitai.asked])
    assert lora.name not in sent
    assert "ink" not in sent.lower()


def test_a_file_with_edited_metadata_is_found_by_autov3(civitai, agreed, lora, tmp_path):
    short = sshs_model_hash([lora.read_bytes()])[:12].upper()
    civitai.add(safetensors(ss_tag="as published"), file={"hashes": {"SHA256": "A" * 64, "AutoV3": short}})
    found = ModelLookup(agreed).of_file(lora)
    assert (found.how, found.version.id) == ("autov3", 501)
    asked = len(civitai.asked)
    again = ModelLookup(agreed).of_file(lora)
    assert (again.how, len(civitai.asked)) == ("autov3", asked)


def test_what_civitai_does_not_know_is_remembered(civitai, agreed, lora):
    found = ModelLookup(agreed).of_file(lora)
    assert (found.known, found.unknown_there, found.how) == (False, True, "")
    assert len(civitai.asked) == 2  # SHA-256, AutoV3
    assert ModelLookup(agreed).of_file(lora).unknown_there
    assert len(civitai.asked) == 2
    assert {shown.light for shown in found.assessment.lights.values()} == {"unknown"}


def test_what_one_site_does_not_know_says_nothing_of_another(civitai, agreed, lora, other_site):
    ModelLookup(agreed).of_file(lora)
    other_site()
    civitai_consent.set_state(agreed, "agreed")
    civitai.add(lora.read_bytes())
    assert ModelLookup(agreed).of_file(lora).how == "sha256"


@pytest.fixture
def other_site(civitai, monkeypatch):
    """From now on another site is asked: the same stand-in under another name."""

    def asked():
        other = civitai.site.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("SAMEFACE_CIVITAI", other)
        return other

    return asked


def test_consent_and_key_belong_to_the_site_for_which_they_were_given(civitai, agreed, lora, other_site):
    api_key_store.save(agreed, TOKEN, civitai_consent.key_name(civitai.site))
    assert (civitai_consent.state_of(agreed), ModelLookup(agreed).api.token) == ("agreed", TOKEN)
    begun = ModelLookup(agreed)
    other = other_site()
    assert civitai_consent.state_of(agreed) == ""
    with raises("civitai-not-agreed", has=host_of(other)):
        _ = ModelLookup(agreed).api
    with raises("civitai-not-agreed", has=host_of(other)):
        ModelLookup(agreed).of_file(lora)
    assert civitai.asked == []
    civitai_consent.set_state(agreed, "agreed")
    assert ModelLookup(agreed).api.token == ""
    ModelLookup(agreed).of_file(lora)
    assert not any("authorization" in one.headers for one in civitai.asked)
    asked = len(civitai.asked)
    with raises("civitai-not-agreed"):  # the consent is another one's by now
        begun.of_file(lora)
    assert len(civitai.asked) == asked


def test_a_key_in_the_environment_is_for_civitais_own_sites(root, monkeypatch):
    monkeypatch.setenv("CIVITAI_API_TOKEN", TOKEN)
    monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)
    for address, token in (("", TOKEN), ("civitai.red", TOKEN), ("https://example.org", ""), ("civitai.com:8443", "")):
        monkeypatch.setenv("SAMEFACE_CIVITAI", address)
        civitai_consent.set_state(root, "agreed")
        assert ModelLookup(root).api.token == token


def test_civitais_own_sites_are_one(root, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    civitai_consent.set_state(root, "agreed")
    for address, state in (
        ("civitai.red", "agreed"),
        ("civitai.green", "agreed"),
        ("civitai.example", ""),
        ("civitai.com.example.org", ""),
        ("", "agreed"),
    ):
        civitai_consent.set_site(root, address)
        assert civitai_consent.state_of(root) == state
    civitai_consent.set_state(root, "off")
    civitai_consent.set_site(root, "civitai.example")
    assert civitai_consent.state_of(root) == "off"


def test_settings_that_are_changed_at_once_are_all_kept(root, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    with ThreadPoolExecutor(4) as threads:
        done = [
            threads.submit(preferences.change, root, **one)
            for one in ({"engine": "x"}, {"comfyui": "y"}, {"then_test": False})
        ]
        done += [threads.submit(civitai_consent.set_site, root, "civitai.red")]
        done += [threads.submit(civitai_consent.set_state, root, "agreed")]
        for one in done:
            one.result()
    kept = preferences.load(root)
    assert (kept.engine, kept.comfyui, kept.then_test) == ("x", "y", False)
    assert (kept.civitai, kept.civitai_address) == ("agreed", "https://civitai.red")
    assert [one.name for one in root.iterdir()] == ["settings.json"]


def test_settings_that_another_program_holds_are_not_written(root, monkeypatch):
    monkeypatch.setattr(preferences, "_PATIENCE", 0)
    preferences.change(root, engine="x")
    with held(root / "settings.json.lock"), raises("settings-busy"):
        civitai_consent.set_state(root, "off")


def test_an_answer_about_another_file_does_not_count(civitai, agreed, lora):
    """Wrong hashes are common there, and the answer may be anything."""
    row = civitai.add(b"another file")
    digest = hashlib.sha256(lora.read_bytes()).hexdigest().upper()
    civitai.plant[f"/api/v1/model-versions/by-hash/{digest}"] = (200, {}, json.dumps(row).encode())
    assert not ModelLookup(agreed).of_file(lora).known


def test_an_archived_model_lists_no_files_and_is_found_all_the_same(civitai, agreed, lora):
    row = {**civitai.add(lora.read_bytes()), "files": []}
    digest = hashlib.sha256(lora.read_bytes()).hexdigest().upper()
    civitai.plant[f"/api/v1/model-versions/by-hash/{digest}"] = (200, {}, json.dumps(row).encode())
    assert ModelLookup(agreed).of_file(lora).how == "sha256"


def test_the_cache_is_asked_for_a_week_and_the_age_is_said(civitai, agreed, lora, monkeypatch):
    civitai.add(lora.read_bytes())
    first = ModelLookup(agreed).of_file(lora)
    assert abs(first.asked - time.time()) < 60
    now = time.time()
    monkeypatch.setattr(answer_cache.time, "time", lambda: now + 6 * 86400)
    assert ModelLookup(agreed).of_file(lora).asked == first.asked
    assert len(civitai.asked) == 2
    monkeypatch.setattr(answer_cache.time, "time", lambda: now + 8 * 86400)
    later = ModelLookup(agreed).of_file(lora)
    assert (len(civitai.asked), later.asked) == (4, now + 8 * 86400)
    ModelLookup(agreed, refresh=True).of_file(lora)
    assert len(civitai.asked) == 6


def test_an_old_answer_is_better_than_none(civitai, agreed, lora, monkeypatch):
    civitai.add(lora.read_bytes())
    first = ModelLookup(agreed).of_file(lora)
    civitai.plant = {one.path: (410, {}, b"{}") for one in civitai.asked}
    monkeypatch.setattr(answer_cache, "FRESH", 0)
    found = ModelLookup(agreed).of_file(lora)
    assert (found.title, found.asked, found.trouble.code) == ("Ink style v1", first.asked, "civitai-archived")


def test_a_version_whose_model_cannot_be_had_is_unknown_and_not_green(civitai, agreed, lora):
    civitai.add(lora.read_bytes())
    del civitai.models[401]
    found = ModelLookup(agreed).of_file(lora)
    assert (found.known, found.model) == (True, None)
    assert "green" not in {shown.light for shown in found.assessment.lights.values()}


def test_only_the_cache_is_read_where_nobody_is_to_be_asked(civitai, agreed, lora):
    civitai.add(lora.read_bytes())
    quiet = ModelLookup(agreed, ask=False)
    assert not quiet.of_file(lora).known
    ModelLookup(agreed).of_file(lora)
    asked = len(civitai.asked)
    civitai_consent.set_state(agreed, "off")
    assert quiet.of_file(lora).title == "Ink style v1"
    assert len(civitai.asked) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"asked": "x", "site": "y", "answer": {}}',
        '{"asked": 1e99, "site": "y", "answer": null}',
        '{"asked": true, "site": "y", "answer": null}',
        '{"asked": 5, "site": "y", "answer": []}',
        '{"asked": 5, "site": "y", "answer": null}',  # another site
        "[" * 100_000,
    ],
)
def test_a_damaged_cache_is_none(root, text):
    cache = AnswerCache(root, "https://civitai.com")
    Workspace(root).civitai.mkdir(parents=True)
    (Workspace(root).civitai / "model-5.json").write_text(text)
    assert cache.get("model", 5) is None


@pytest.mark.parametrize("other", ["https://evil.example", "https://civitai.com.evil.example", "http://civitai.com"])
def test_answers_of_another_site_are_not_shown_as_civitais(root, other):
    ours, theirs = AnswerCache(root, "https://civitai.com"), AnswerCache(root, other)
    theirs.put("model", 5, {"id": 5})
    assert ours.get("model", 5) is None
    assert theirs.get("model", 5).site == other
    ours.put("model", 5, {"id": 5, "minor": True})
    theirs.put("model", 5, {"id": 5, "minor": False})
    assert ours.get("model", 5).row["minor"] is True  # and not written over
    path = Workspace(root).civitai / "model-5.json"
    path.write_text(path.read_text().replace("https://civitai.com", other))
    assert ours.get("model", 5) is None


def test_answers_of_civitais_own_sites_are_shared_and_say_whose_they_are(root, monkeypatch):
    AnswerCache(root, "https://civitai.com").put("model", 401, model_row())
    for address in ("civitai.red", "https://example.org"):
        monkeypatch.setenv("SAMEFACE_CIVITAI", address)
        found = ModelLookup(root, ask=False).of_pointer(Pointer(401), "401")
        assert (found.title, found.page) == ("Ink style", "https://civitai.com/models/401")


@pytest.mark.parametrize("key", ["../x", "a/b", "", "x" * 65, "ü", "a.json"])
def test_a_key_of_the_cache_is_no_path(root, key):
    with misfit("key"):
        AnswerCache(root, "s").put("hash", key, None)


def test_a_cached_answer_is_read_as_one_of_the_network(civitai, agreed, lora):
    cache = AnswerCache(agreed, civitai.site)
    digest = hashlib.sha256(lora.read_bytes()).hexdigest().upper()
    cache.put("hash", digest, {"id": 5, "modelId": "../..", "model": {"name": "\x1b[31mred"}, "baseModel": ["x"]})
    found = ModelLookup(agreed).of_file(lora)
    assert (found.version.id, found.version.model, found.title, found.base) == (5, 0, "[31mred", "")


def test_the_cache_is_its_owners_alone():
    assert "civitai" in file_permissions.FOLDERS


def test_addresses_lead_to_a_model_or_a_version(civitai, agreed):
    civitai.add(b"old", 500)
    civitai.add(b"new", 501)
    lookup = ModelLookup(agreed)
    assert lookup.of_pointer(Pointer(401, 501), "x").version.id == 501
    assert lookup.of_pointer(Pointer(0, 501), "x").model.id == 401
    assert lookup.of_pointer(Pointer(401), "x").version.id == 500  # the first that the page lists
    assert not lookup.of_pointer(Pointer(9), "x").known
    assert lookup.of_pointer(Pointer(9), "x").how == ""
    digest = hashlib.sha256(b"new").hexdigest().upper()
    assert lookup.of_pointer(Pointer(hash=digest[:10]), "x").version.id == 501  # AutoV2


def test_the_token_is_taken_from_where_it_is_kept(civitai, agreed):
    api_key_store.save(agreed, TOKEN, civitai_consent.key_name(civitai.site))
    civitai.add(b"abc")
    ModelLookup(agreed).of_pointer(Pointer(401), "x")
    assert civitai.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in "".join(path.read_text() for path in Workspace(agreed).civitai.iterdir())


def test_a_hash_is_computed_once(civitai, agreed, lora, monkeypatch):
    said = []
    ModelLookup(agreed, said=said.append).of_file(lora)
    monkeypatch.setattr(model_lookup, "_hash_of_tensors", None)
    ModelLookup(agreed, said=said.append).of_file(lora)
    assert said == [f"computing the SHA-256 of {lora.name}"]


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("a.ckpt", b"PK\x03\x04", True),
        ("a.pt", b"\x80\x02\x8a", True),
        ("a.ckpt", b"", False),
        ("a.ckpt", b"once upon a time", False),
        ("a.safetensors", b"123", False),
        ("a.safetensors", b"once upon a time", False),
        ("a.safetensors", safetensors()[:50], False),
        ("README.md", safetensors(), False),
    ],
)
def test_no_hash_is_sent_of_what_is_no_model(civitai, agreed, tmp_path, monkeypatch, name, content, known):
    path = tmp_path / name
    path.write_bytes(content)
    civitai.add(content, file=file_row(content, name=name))
    if known:
        assert ModelLookup(agreed).of_file(path).how == "sha256"
        return
    monkeypatch.setattr(model_lookup, "cached_sha256", None)  # nor is it computed
    with raises("model-suffix-unknown" if name == "README.md" else "model-content-unknown"):
        ModelLookup(agreed).of_file(path)
    assert civitai.asked == []


def test_another_site_can_be_set(root, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    assert civitai_consent.site(root) == "https://civitai.com"
    assert civitai_consent.set_site(root, "civitai.red") == "https://civitai.red"
    assert "civitai.red" in civitai_consent.what_is_sent(root)
    assert civitai_consent.set_site(root, "") == "https://civitai.com"
    with raises("civitai-address-invalid"):
        civitai_consent.set_site(root, "http://civitai.com")
    civitai_consent.set_state(root, "agreed")
    assert civitai_consent.state_of(root) == "agreed"
