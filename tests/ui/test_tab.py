"""The tab in gradio, and being attached to a host again and again."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_lora.hosts.webuis import webui_page
from lib_lora.queue.running.supervisor import Supervisor
from lib_lora.ui.http import route_access
from lib_lora.ui.page import attach as attaching
from lib_lora.ui.page import page_modules
from lib_lora.ui.page.attach import attach
from lib_lora.ui.routes.route_table import all_routes
from lib_lora.ui.routes.schema import as_markdown, as_types, described
from lib_lora.ui.views import caption_checks

ROUTES = Path(__file__).resolve().parents[2] / "docs" / "routes.md"


def by_id(blocks):
    return {one.elem_id: one for one in blocks.blocks.values() if getattr(one, "elem_id", None)}


def test_the_tab_is_a_place_and_two_hidden_things(page):
    import gradio as gr  # in the tests, as the module that imports it, since each worker collects this file

    from lib_lora.ui.page.tab import mount, tab

    blocks = tab(page.host, 'to"ken<')
    assert isinstance(blocks, gr.Blocks)
    found = by_id(blocks)
    assert set(found) == {"sameface_mount", "sameface_infotext", "sameface_send"}
    assert 'data-token="to&quot;ken&lt;"' in found["sameface_mount"].value
    assert 'id="sameface"' in found["sameface_mount"].value
    hidden = "hidden" if int(gr.__version__.partition(".")[0]) >= 6 else False  # with gradio 6, False is left out
    assert [found[one].visible for one in ("sameface_infotext", "sameface_send")] == [hidden, hidden]
    assert all(one.do_not_save_to_config for one in found.values())
    assert "<script" not in mount("x")


def test_a_webui_s_paste_button_sends_the_prompt(page, monkeypatch):
    from lib_lora.ui.page.tab import tab

    given = []
    monkeypatch.setattr("lib_lora.ui.page.tab.paste_button", lambda button, box: given.append((button, box)))
    page.host.name = "a1111"
    found = by_id(tab(page.host, "x"))
    assert given == [(found["sameface_send"], found["sameface_infotext"])]


@pytest.fixture
def host(page, monkeypatch):
    monkeypatch.setattr(attaching, "_kept", {})
    monkeypatch.setattr(Supervisor, "start", lambda self: setattr(self, "begun", True))
    monkeypatch.setattr(caption_checks, "begin", lambda: None)
    return page.host


def _paths(router):
    """Of all routes; a recent fastapi keeps an included router as one route, which has no path itself."""
    routes = [(route, getattr(route, "original_router", None)) for route in router.routes]
    return [path for route, inner in routes for path in (_paths(inner) if inner else [route.path])]


def test_it_is_attached_again_after_a_reload(host):
    first, second = attach(host), attach(host)
    assert first.queue is second.queue
    assert first.supervisor is second.supervisor
    for attached in (first, second):
        app = FastAPI()
        attached.started(None, app)
        attached.started(None, app)
        assert _paths(app.router).count("/sameface/v1/state") == 1
        assert TestClient(app, "http://127.0.0.1").get("/sameface/v1/state").json()["host"]["name"] == "alone"
    assert first.supervisor.begun
    assert route_access.TOKEN in by_id(first.tab())["sameface_mount"].value


def test_the_routes_come_into_a_running_app(host):
    app = FastAPI()
    with TestClient(app, "http://127.0.0.1") as client:
        assert client.get("/sameface/v1/state").status_code == 404
        attach(host).started(None, app)
        assert client.get("/sameface/v1/state").status_code == 200
        for path in ("state", "jobs", "nothing"):
            assert client.head(f"/sameface/v1/{path}").status_code == 405
        assert client.head("/sameface/v1/state").headers["Allow"] == "GET"


def test_a_webui_s_start_waits_for_no_route_and_no_queue(host):
    """They come with a thread, or with the first request."""
    app = FastAPI()
    attached = attach(host, later=True)
    attached.started(None, app)
    attached.started(None, app)
    assert [path for path in _paths(app.router) if "sameface" in path] == [
        "/sameface/v1/static/{version}/{path:path}",
        "/sameface/v1/{rest:path}",
    ]
    client = TestClient(app, "http://127.0.0.1")
    assert client.get("/sameface/v1/state").json()["host"]["name"] == "alone"
    assert client.get("/sameface/v1/characters/nobody/runs").json() == {
        "error": "There is no such character; choose another one.",
        "code": "not-found",
    }
    answer = client.get("/sameface/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no such address.", "code": "not-found"})
    assert client.post("/sameface/v1/jobs", content="x").status_code == 415
    assert client.get("/sameface/v1/jobs/none/stop").status_code == 404  # only POST knows it
    assert client.put("/sameface/v1/state").status_code == 405
    assert client.get("/sameface/v1/state", headers={"Origin": "http://elsewhere"}).status_code == 403
    eventually = time.monotonic() + 10
    while not getattr(attached.supervisor, "begun", False):
        assert time.monotonic() < eventually
        time.sleep(0.01)


def test_what_cannot_be_loaded_is_said_to_whoever_asks(host, monkeypatch):
    def broken(*_):
        raise ModuleNotFoundError("No module named 'yaml'", name="yaml")

    monkeypatch.setattr("lib_lora.ui.routes.route_table.router", broken)
    app = FastAPI()
    host.lets_in = False
    attach(host, later=True).started(None, app)
    client = TestClient(app, "http://127.0.0.1")
    assert client.get(page_modules.address() + "main.js").status_code == 200  # so that the page can say it
    answer = client.get("/sameface/v1/state")
    assert answer.status_code == 500
    assert "yaml" in answer.json()["error"]
    monkeypatch.undo()


@pytest.mark.once("which of our own modules are imported; test_nothing_heavy_is_loaded looks at those of libraries")
def test_the_script_of_the_webui_loads_little():
    """Counted in modules, since seconds are the machine's: they are a webui's start."""
    code = (
        "import sys, gradio, fastapi, yaml, PIL.Image; before = set(sys.modules);"
        "from lib_lora.ui.page import broken; from lib_lora.hosts.webuis import detect, webui_page;"
        "from lib_lora.ui.page.attach import attach; import lib_lora.ui.page.tab;"
        "new = set(sys.modules) - before; ours = [name for name in new if name.startswith('lib_lora')];"
        "print(len(ours), sorted(name for name in ('sqlite3', 'numpy', 'lib_lora.ui.routes.route_table',"
        " 'lib_lora.training', 'lib_lora.photos', 'lib_lora.workflows', 'lib_lora.queue') if name in new))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, heavy = said.stdout.split(maxsplit=1)
    assert heavy.strip() == "[]"
    assert int(count) < 72


def test_what_a_webui_is_given(host, monkeypatch):
    said = {}

    def registrar(name, *_):
        return lambda what: said.__setitem__(name.partition(":")[2], what)

    monkeypatch.setattr(webui_page, "ask", registrar)
    monkeypatch.setattr(webui_page, "ask_or", registrar)
    attached = attach(host)
    webui_page.register(host, attached.tab, attached.started)
    [(blocks, title, element)] = said["on_ui_tabs"]()
    assert (title, element) == ("Train LoRA", "sameface")
    said["on_app_started"](None, FastAPI())
    assert isinstance(blocks, sys.modules["gradio"].Blocks)


def test_nothing_heavy_is_loaded():
    code = (
        "import sys, gradio, fastapi; before = set(sys.modules); import lib_lora.ui.page.attach, lib_lora.ui.page.tab;"
        "print([name for name in ('torch', 'cv2', 'transformers', 'diffusers') if name in set(sys.modules) - before])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_list_of_routes_is_made_from_them(page):
    found = {(one["method"], one["path"]): one for one in page.got("/schema")}
    assert len(found) == len(described(all_routes()))
    assert all(one["text"].endswith(".") for one in found.values())
    new = found["POST", "/sameface/v1/characters"]["body"]
    assert new[0] == {"name": "name", "type": "str", "required": True, "default": None}
    assert found["GET", "/sameface/v1/plan"]["query"] == ["base", "preset", "character"]


def test_the_page_of_routes_is_up_to_date():
    written = ROUTES.read_text(encoding="utf-8")
    made = as_markdown(all_routes())
    assert written == made, "run: python -m lib_lora.ui.routes.route_table > docs/routes.md"


def test_the_types_of_the_page_s_scripts_are_up_to_date():
    written = (ROUTES.parents[1] / "javascript" / "types" / "routes.d.ts").read_text(encoding="utf-8")
    made = as_types(all_routes())
    assert written == made, "run: python -m lib_lora.ui.routes.route_table --types > javascript/types/routes.d.ts"
