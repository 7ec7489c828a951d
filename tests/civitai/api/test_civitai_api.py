"""The client against a stand-in: what it asks, what it makes of refusals, redirects, damage; where the token goes."""

from __future__ import annotations

import json
import pickle

import pytest
from fake_civitai import HTML, TOKEN, model_row, version_row
from faults import raises

from lib_lora.civitai.api.civitai_api import CivitaiApi


def test_a_hash_a_version_and_a_model_are_asked_for(civitai, api):
    row = civitai.add(b"abc")
    digest = row["files"][0]["hashes"]["SHA256"]
    assert api.by_hash(digest.lower())["id"] == api.version(501)["id"] == 501
    assert api.model(401)["allowCommercialUse"] == ["Image", "RentCivit", "Rent", "Sell"]
    paths = [one.path for one in civitai.asked]
    assert paths == [f"/api/v1/model-versions/by-hash/{digest}", "/api/v1/model-versions/501", "/api/v1/models/401"]
    assert civitai.asked[0].headers["user-agent"].startswith("SameFace/")
    assert civitai.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent(civitai):
    civitai.add(b"abc")
    CivitaiApi(civitai.site).model(401)
    assert "authorization" not in civitai.asked[0].headers


def test_what_is_not_there_is_none(civitai, api):
    assert api.by_hash("0" * 64) is None
    assert api.version(1) is None
    assert api.model(1) is None


@pytest.mark.parametrize("digest", ["", "x", "../../models/5", "zz" * 32, "0" * 11])
def test_what_is_no_hash_is_not_asked(civitai, api, digest):
    with raises("civitai-hash-invalid"):
        api.by_hash(digest)
    assert civitai.asked == []


_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "has"),
    [
        (401, _JSON, b'{"error":"Unauthorized","message":"log in first."}', "civitai-login-needed", "log in first"),
        (
            403,
            _JSON,
            b'{"error":"Early Access","deadline":"2026-12-24T10:00:00Z"}',
            "civitai-early-access",
            "2026-12-24",
        ),
        (403, _JSON, b'{"error":"Early Access"}', "civitai-early-access", ()),
        (403, _JSON, b'{"error":"Forbidden"}', "civitai-not-allowed", "Forbidden"),
        (403, {}, HTML, "civitai-page-instead", ()),
        (410, _JSON, b'{"error":"archived"}', "civitai-archived", ()),
        (429, {"Retry-After": "7"}, b"{}", "civitai-asked-often", "7 seconds"),
        (429, {"Retry-After": "1"}, b"{}", "civitai-asked-often", "1 second,"),
        (451, {}, b"{}", "civitai-blocked", ()),
        (451, {}, HTML, "civitai-page-instead", ()),
        (400, _JSON, b'{"error":"Invalid id"}', "civitai-refused", "400"),
        (503, {"Retry-After": "2"}, b"{}", "civitai-unreachable", ()),
        (503, {}, HTML, "civitai-page-instead", ()),
        (500, {}, b"", "civitai-unreachable", ()),
        (200, {}, HTML, "civitai-page-instead", ()),
        (404, {}, HTML, "civitai-page-instead", ()),
        (200, {}, b"", "civitai-answer-unreadable", ()),
        (200, {}, b'{"id": 401', "civitai-answer-unreadable", ()),
        (200, {}, b"[]", "civitai-answer-unreadable", ()),
        (200, {}, b"[" * 100_000, "civitai-answer-unreadable", ()),
        (200, {}, json.dumps(model_row(402)).encode(), "civitai-answer-unreadable", ()),  # another model
        (200, {}, b"\xff\xfe{}", "civitai-answer-unreadable", ()),
        (200, {"Content-Length": "50000000"}, b'{"id": 401}', "civitai-unreachable", ()),  # a lie
        (302, {}, b"", "civitai-redirect-unsafe", ()),
        (302, {"Location": "file:///etc/passwd"}, b"", "civitai-redirect-unsafe", ()),
        (302, {"Location": "/api/v1/models/401"}, b"", "civitai-redirect-endless", ()),
    ],
)
def test_each_refusal_is_a_sentence(civitai, api, status, headers, body, code, has):
    civitai.plant["/api/v1/models/401"] = (status, headers, body)
    with raises(code, has=has) as caught:
        api.model(401)
    assert TOKEN not in str(caught.value)


def test_busy_hosts_are_waited_for_as_they_ask(civitai, api, pauses):
    civitai.plant["/api/v1/models/401"] = (503, {"Retry-After": "2"}, b"{}")
    with raises("civitai-unreachable"):
        api.model(401)
    assert (pauses, len(civitai.asked)) == ([2.0, 2.0], 3)
    civitai.plant["/api/v1/models/401"] = (429, {"Retry-After": "99999"}, b"{}")
    with raises("civitai-asked-often"):
        api.model(401)
    assert pauses[2:] == [60.0, 60.0]


def test_an_answer_without_end_is_cut_off(civitai, api, monkeypatch):
    monkeypatch.setattr("lib_lora.civitai.api.civitai_api._LONGEST", 1000)
    civitai.plant["/api/v1/models/401"] = (200, {}, b'{"id": 401, "name": "' + b"x" * 5000)
    with raises("civitai-unreachable", has="too long"):
        api.model(401)


def test_nobody_listens():
    api = CivitaiApi("http://127.0.0.1:9", timeout=1, attempts=1)
    with raises("civitai-unreachable", has="127.0.0.1"):
        api.model(1)


def test_a_redirect_to_another_host_takes_no_token_along(civitai, api):
    """The files' host stands for any other one."""
    civitai.plant["/api/v1/models/401"] = (302, {"Location": f"{civitai.files}/file/401"}, b"")
    civitai.bodies[401] = json.dumps(model_row()).encode()
    assert api.model(401)["id"] == 401
    assert [one.path for one in civitai.asked_files] == ["/file/401"]
    assert "authorization" not in civitai.asked_files[0].headers
    assert TOKEN not in str(civitai.asked_files)
    assert "authorization" in civitai.asked[0].headers


def test_a_redirect_within_the_site_keeps_it(civitai, api):
    civitai.add(b"abc")
    civitai.plant["/api/v1/models/401"] = (308, {"Location": "/api/v1/models/401/"}, b"")
    assert api.model(401)["id"] == 401
    assert civitai.asked[1].headers["authorization"] == f"Bearer {TOKEN}"


def test_pictures_are_asked_for_without_a_token(civitai, api):
    civitai.pictures["/p.png"] = b"picture"
    assert api.picture(f"{civitai.files}/p.png") == b"picture"
    assert "authorization" not in civitai.asked_files[0].headers
    for url in ("file:///etc/passwd", "", "ftp://x.example/a"):
        with raises("civitai-redirect-unsafe"):
            api.picture(url)


def test_the_token_is_in_no_text(api):
    assert TOKEN not in repr(api)
    with pytest.raises(TypeError):
        pickle.dumps(api)


def test_a_version_must_be_the_one_that_was_asked_for(civitai, api):
    civitai.plant["/api/v1/model-versions/5"] = (200, {}, json.dumps(version_row(6)).encode())
    with raises("civitai-answer-unreadable"):
        api.version(5)
