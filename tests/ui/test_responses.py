"""What every route has in common: who is let in, what a body may be, and that an error is one sentence."""

import base64
import dataclasses
import io
import json
import re
import zipfile
from itertools import product

import pytest
from addresses import filled
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_lora.errors import UserError
from lib_lora.ui.http import route_access
from lib_lora.ui.http.request_context import PREFIX, Call, RequestContext, get
from lib_lora.ui.http.responses import Refused, in_json
from lib_lora.ui.routes import route_table
from lib_lora.ui.routes.route_table import all_routes

ROUTES = [pytest.param(route, id=f"{route.method} {route.path}") for route in all_routes()]
# Where all of them must be refused, nothing changes, and one page serves them all.
NAMED = [route for route in all_routes() if "{" in route.path]
POSTS = [route for route in all_routes() if route.method == "POST"]
EVIL = ["..", "..%2f..%2f..", "..\\x", "a%00b", "001/../002", "%ff"]
RAW = ["..", ".", "", "../x", "..\\x", "/etc/passwd", "C:\\x", "a\0b", "\n", "*", "٠٠١", "\ud800"]


def test_nobody_is_let_in_without_a_token_where_the_host_says_no(page):
    page.host.lets_in = False
    for route in all_routes():
        path = filled(route.path, "001")
        answer = page.client.request(route.method, PREFIX + path, json={} if route.method == "POST" else None)
        assert answer.status_code == 401, route.path
        assert list(answer.json()) == ["error", "code"], route.path
        wrong = page.client.request(route.method, PREFIX + path, headers={"X-SameFace": "wrong"})
        assert wrong.status_code == 401, route.path


def test_the_token_lets_in_by_header_and_by_query(page):
    page.host.lets_in = False
    assert page.get("/jobs", headers={"X-SameFace": "a page's token"}).status_code == 200
    assert page.get("/jobs?token=a%20page%27s%20token").status_code == 200
    assert page.get("/jobs?token=%C3%A9").status_code == 401
    assert len(route_access.TOKEN) > 30


def test_no_identifier_leads_out_of_the_data_folder(page):
    page.character(photos=1)
    (page.root / "secret.png").write_bytes(b"secret")
    for route, evil, good in product(NAMED, EVIL, ("mara", None)):
        path = filled(route.path, evil, good)
        if path == filled(route.path, "other", good):
            continue
        answer = page.client.request(route.method, PREFIX + path, json={} if route.method == "POST" else None)
        assert answer.status_code in (400, 404), (path, answer.text)
        if answer.request.url.path.startswith(f"{PREFIX}/"):  # else it is none of ours
            assert answer.json().keys() - {"field"} == {"error", "code"}, path
        assert "Traceback" not in answer.text, path
        assert b"secret" not in answer.content, path


def test_no_handler_trusts_an_identifier(page):
    page.character()
    (page.root / "character.yaml").write_text("name: x")  # what '..' as a slug would find
    context = RequestContext(page.host, page.queue, page.supervisor, "t")
    good = {"slug": "mara", "run": "001", "grid": "001", "number": "1", "sha256": "0" * 64, "name": "a.png"}
    good |= {"folder": "candidates", "production": "001"}
    answers = {}
    for route in NAMED:
        for evil, name in product(RAW, re.findall(r"\{(\w+)\}", route.path)):
            case = f"{route.method} {route.path}", name, evil
            try:
                answers[case] = route.answer(context, Call({**good, name: evil}))
            except Refused as refused:
                answers[case] = refused.status
    assert {case: answer for case, answer in answers.items() if answer != 404} == {}
    assert len(answers) >= len(NAMED) * len(RAW)


def test_a_body_must_be_json_and_whole(page):
    page.character()
    for route in POSTS:
        path = PREFIX + filled(route.path, "001", "mara")
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            assert page.client.post(path, content=b"{}", headers=headers).status_code == 415, path
        for content in (b"{", b"[]", b'"x"', b"[" * 100_000, b"\xff\xfe", b'{"nonsense": 1}'):
            answer = page.client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, (path, answer.text)
            assert answer.json().keys() - {"field"} == {"error", "code"}, path


def test_a_body_has_its_limit(page):
    page.character()
    for route in POSTS:
        path = PREFIX + filled(route.path, "001", "mara")
        headers = {"Content-Type": "application/json", "Content-Length": str(route.limit + 1)}
        answer = page.client.post(path, content=b"{}", headers=headers)
        assert answer.status_code == 413, path
        assert "MB" in answer.json()["error"], path


def test_a_body_that_does_not_say_how_long_it_is_has_its_limit_too(page):
    def endless():
        for _ in range(40):
            yield b" " * (1 << 16)

    answer = page.client.post(f"{PREFIX}/queue", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_an_unknown_field_names_the_nearest(page):
    page.refused("/queue", {"pauzed": True}, has="'paused'")
    assert page.code_of("/queue", {"pauzed": True}) == "setting-unknown"


def test_what_is_not_there_is_said_in_our_words(page):
    for answer in (page.get("/nothing"), page.post("/state"), page.get("/queue"), page.post("/a/b/c/d")):
        assert answer.status_code == 404
        assert answer.json() == {"error": "There is no such address.", "code": "not-found"}


@pytest.fixture
def failing(page):
    """A client of one route that raises what it is told."""
    said = {}

    def answer(context, call):
        raise said["error"]

    app = FastAPI()
    endpoint = route_table._endpoint(RequestContext(page.host, page.queue, page.supervisor, "t"), get("/fails", answer))
    app.add_api_route("/fails", endpoint, response_model=None)
    client = TestClient(app, "http://127.0.0.1")

    def ask(error):
        said["error"] = error
        return client.get("/fails")

    return ask


@pytest.mark.parametrize(
    ("error", "status", "sentence", "code"),
    [
        (UserError("Do this.", code="some-fault"), 400, "Do this.", "some-fault"),
        (ZeroDivisionError("secret"), 500, "This failed inside SameFace; the webui's log", "internal-error"),
        (
            ImportError("libcuda.so.1: cannot open"),
            500,
            "A package cannot be loaded (libcuda.so.1: cannot open); the",
            "package-unusable",
        ),
        (OSError(28, "No space left"), 500, "A file cannot be used", "file-inaccessible"),
    ],
)
def test_what_fails_is_one_sentence_and_the_log_has_the_rest(failing, caplog, error, status, sentence, code):
    answer = failing(error)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(sentence)
    assert answer.json()["code"] == code
    assert ("Traceback" in caplog.text) == (status == 500)


def test_numbers_that_are_not_finite_become_null():
    value = {"a": [float("nan"), 1.0, {"b": float("inf")}], "name": "\ud800名"}
    assert json.loads(in_json(value).body) == {"a": [None, 1.0, {"b": None}], "name": "\ud800名"}


def test_no_answer_is_sniffed_or_kept(page):
    answer = page.get("/state")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_the_host_s_own_documentation_is_left_alone(page):
    assert not re.search("sameface", page.client.get("/openapi.json").text)


LONG = "q" * 5000


def _long_bodies(route):
    """Bodies that are right but for something long in one place."""
    fields = [field.name for field in dataclasses.fields(route.body)]
    usual = {
        "name": "Mara",
        "trigger": "mrxa",
        "class_word": "woman",
        "kind": "audit",
        "character": "mara",
        "run": "001",
    }
    usual |= {"path": "/nowhere", "data": "QUJD", "file": "00.jpg", "text": "x", "do": "add", "phrase": "x", "step": 1}
    usual |= {"base": "/nowhere", "paused": False, "run": "001"}
    good = {name: usual[name] for name in fields if name in usual}
    yield {**good, LONG: 1}
    yield LONG
    yield dict.fromkeys(fields, LONG)
    for name in fields:
        for value in (
            LONG,
            f"/{LONG}",
            [LONG],
            {LONG: LONG},
            int("1" * 4000),
            f"insightface:/{LONG}",
            f"{LONG}, {LONG}",
        ):
            yield {**good, name: value}
    if "arguments" in fields:
        for key in ("run", "base", "captioner", "drop", LONG):
            yield {**good, "arguments": {key: LONG}}
            yield {**good, "arguments": {key: [LONG]}}
    if "settings" in fields:
        yield {**good, "settings": {"lora": {LONG: 1}}}
        yield {**good, "settings": {"lora.rank": LONG}}


@pytest.mark.parametrize("route", ROUTES)
def test_no_message_repeats_much_of_what_was_sent(page, caplog, route):
    page.character(photos=1)
    plain = filled(route.path, "001", "mara")
    asks = [(filled(route.path, text, slug), None) for text in (LONG, f"{LONG}.png") for slug in ("mara", None)]
    asks += [(f"{plain}?{name}={LONG}", None) for name in route.query]
    asks += [(plain, body) for body in (_long_bodies(route) if route.body else ())]
    for path, body in asks:
        answer = page.client.request(route.method, PREFIX + path, json=body if route.method == "POST" else None)
        if answer.status_code >= 400:
            told = answer.text + caplog.text
            assert not re.search("q{201}|1{201}", told), (path[:80], str(body)[:80], told[:300])
        caplog.clear()


def test_what_an_exception_says_is_not_logged_whole_either(page, caplog):
    def answer(context, call):
        try:
            raise KeyError(call.query["x"])
        except KeyError as error:
            raise ValueError(f"{call.query['x']} is odd") from error

    route = get("/fails", answer, "x")
    app = FastAPI()
    endpoint = route_table._endpoint(RequestContext(page.host, page.queue, page.supervisor, "t"), route)
    app.add_api_route("/fails", endpoint, response_model=None)
    assert TestClient(app, "http://127.0.0.1").get(f"/fails?x={LONG}").status_code == 500
    assert caplog.text.count("Traceback") == 2
    assert "is odd" in caplog.text
    assert "q" * 90 in caplog.text
    assert "q" * 201 not in caplog.text


def test_a_name_in_a_zip_is_not_repeated_whole(page):
    page.character()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for ending in (".jpg", ".txt", ".zip", ""):
            archive.writestr(f"{'q' * 5000}{ending}", b"no picture")
            archive.writestr(f"../{'q' * 5000}/x{ending}", b"no picture")
    body = {"name": "a.zip", "data": base64.b64encode(packed.getvalue()).decode()}
    told = page.post("/characters/mara/photos", body)
    assert told.status_code == 200
    assert told.json()["skipped"]
    assert not re.search("q{201}", told.text), told.text[:1000]
