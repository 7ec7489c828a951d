"""Requests that a browser was led to send by another site's page, or under another name for this machine."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_lora.hosts.standalone import Alone
from lib_lora.ui.http import route_access
from lib_lora.ui.page import page_app
from lib_lora.ui.page.attach import attach
from lib_lora.ui.views import caption_checks

TOKEN = "a page's token"  # of the fixture
STATE, SETTINGS = "/sameface/v1/state", "/sameface/v1/settings"
ELSEWHERE = ["null", "https://evil.example", "http://127.0.0.1:8000", "http://localhost", "http://[", ""]


@pytest.mark.parametrize("origin", ELSEWHERE)
@pytest.mark.parametrize("token", [{}, {"x-sameface": "right"}])
def test_another_sites_page_is_refused_whatever_it_proves(page, origin, token):
    headers = {"origin": origin, **({"x-sameface": TOKEN} if token else {})}
    assert page.client.get(STATE, headers=headers).status_code == 403
    answer = page.client.post(SETTINGS, json={"then_test": False}, headers=headers)
    assert answer.status_code == 403
    assert answer.json() == {"error": "This was sent by another site's page.", "code": "forbidden"}
    assert page.client.get(SETTINGS).json()["then_test"] is True


@pytest.mark.parametrize("headers", [{"origin": "http://127.0.0.1"}, {"origin": "HTTP://127.0.0.1"}, {}])
def test_our_own_page_is_served(page, headers):
    assert page.client.post(SETTINGS, json={"then_test": False}, headers=headers).status_code == 200


def test_a_page_behind_a_proxy_that_says_its_name_is_ours(page):
    page.host.is_remote = True
    headers = {"host": "inner:7860", "origin": "https://faces.example", "x-forwarded-host": "faces.example"}
    assert page.client.get(STATE, headers=headers).status_code == 200
    assert page.client.get(STATE, headers={**headers, "x-forwarded-host": "other.example"}).status_code == 403


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "0.0.0.0"]
)
def test_a_name_that_points_here_is_refused_unless_others_may_come_in(page, name):
    answer = page.client.post(SETTINGS, json={"then_test": False}, headers={"host": name})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.json()["error"]
    page.host.is_remote = True
    assert page.client.get(STATE, headers={"host": name}).status_code == 200


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page alone, with gradio's own answers in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_checks, "begin", lambda: None)
        host = Alone(tmp_path_factory.mktemp("data"), token=route_access.TOKEN)
        attached = attach(host)
        cookies = {host.cookie: route_access.TOKEN}  # whatever the browser has
        yield TestClient(page_app.page(host, attached), "http://127.0.0.1:7869", cookies=cookies)
        attached.supervisor.close()


@pytest.mark.parametrize("path", ["/", "/config", STATE, SETTINGS, "/sameface/static/style.css"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
@pytest.mark.parametrize("origin", ELSEWHERE)
def test_of_the_page_alone_another_site_sees_nothing(whole, path, method, origin):
    """gradio 4 grants what a page without an origin asks for."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    answer = whole.request(method, path, headers={"origin": origin, **(asked if method == "OPTIONS" else {})})
    assert answer.status_code == 403
    assert route_access.TOKEN not in answer.text
    assert not {name for name in answer.headers if name.startswith("access-control")}


def test_the_page_alone_is_there_for_its_own(whole):
    assert whole.get("/", headers={"origin": "http://127.0.0.1:7869"}).status_code == 200


def test_an_app_that_lets_everybody_ask_changes_nothing(page):
    """As in Forge, whose gradio answers preflights for the routes too: the request itself is still refused."""
    from starlette.middleware.cors import CORSMiddleware

    from lib_lora.ui.routes import route_table

    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.include_router(route_table.router(page.host, page.queue, page.supervisor, TOKEN))
    with TestClient(app, "http://127.0.0.1") as client:
        headers = {"origin": "https://evil.example", "x-sameface": TOKEN}
        assert client.post(SETTINGS, json={"worker_python": "/bin/sh"}, headers=headers).status_code == 403
