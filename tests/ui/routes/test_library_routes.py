"""The panel Library: consent, look-ups, searches and downloads as tasks, lights of one model and of several."""

import io
import time

import fake_civitai
import pytest
from fake_civitai import TOKEN, file_row, model_row, safetensors, version_row
from PIL import Image

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.errors import UserError
from lib_lora.hosts.host_protocol import Checkpoint, Roots
from lib_lora.remote import api_key_store
from lib_lora.ui.routes.library import library_tasks

CONTENT = safetensors(b"\x05" * 64)


@pytest.fixture(scope="module")
def _servers():
    with fake_civitai.running() as fake:
        yield fake


@pytest.fixture
def civitai(_servers, monkeypatch, page):
    _servers.clear()
    monkeypatch.setenv("SAMEFACE_CIVITAI", _servers.site)
    monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
    monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)
    folders = {name: page.root.parent / name for name in ("loras", "bases")}
    for folder in folders.values():
        folder.mkdir()
    page.host.loras = [folders["loras"]]
    monkeypatch.setattr(page.host, "roots", lambda: Roots(page.root, [folders["loras"]], [folders["bases"]]))
    return _servers


def ended(page, kind):
    """The task of a kind, once it has ended."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for task in page.got("/library/tasks"):
            if task["kind"] == kind and task["state"] != "running":
                return task
        time.sleep(0.02)
    raise AssertionError("it never ended")


def offered(civitai, content=CONTENT, **flags):
    """A model with one version and one file."""
    row = file_row(content, name="ink.safetensors")
    civitai.versions[501] = version_row(files=[row], images=[])
    civitai.models[401] = model_row(modelVersions=[{**civitai.versions[501]}], **flags)
    civitai.bodies[501] = content


def lora(page, name="ink", content=CONTENT):
    path = page.host.loras[0] / f"{name}.safetensors"
    path.write_bytes(content)
    return path


def test_nothing_is_asked_before_the_user_agrees(page, civitai):
    offered(civitai)
    path = lora(page)
    found = page.got("/library")
    assert found["civitai"]["state"] == ""
    assert "SHA-256" in found["civitai"]["sent"]
    assert [(one["file"], one["kind"], one["civitai"]["known"]) for one in found["models"]] == [
        (str(path), "lora", False)
    ]
    assert page.code_of("/library/look", {}, 400) == "civitai-not-agreed"
    for what in ("A" * 64, "401"):
        assert page.code_of("/library/find", {"what": what}, 400) == "civitai-not-agreed"
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["error"]["code"] == "civitai-not-agreed"
    assert civitai.asked == []


def test_models_are_looked_up_and_shown_from_the_cache(page, civitai):
    offered(civitai, allowCommercialUse=["Image"])
    path, other = lora(page), lora(page, "own", safetensors(b"\x09" * 64))
    base = page.root.parent / "bases" / "base.safetensors"
    base.write_bytes(safetensors(b"\x07" * 64))
    page.host.models = [Checkpoint("base", base)]
    page.done("/library/consent", {"state": "agreed"})
    page.done("/library/look", {})
    task = ended(page, "look")
    assert (task["state"], task["done"], task["result"]["looked"], task["error"]) == ("finished", 3, 3, None)
    asked = len(civitai.asked)
    rows = {one["file"]: one for one in page.got("/library")["models"]}
    assert len(civitai.asked) == asked  # a page asks nobody
    known = rows[str(path)]["civitai"]
    assert (known["known"], known["title"]) == (True, "Ink style v1")
    assert known["assessment"]["lights"]["pictures"]["light"] == "green"
    assert known["assessment"]["lights"]["sell"]["light"] == "red"
    assert (rows[str(other)]["civitai"]["known"], rows[str(base)]["kind"]) == (False, "base")
    both = page.done("/library/together", {"files": [str(path), str(base)]})
    assert both["lights"]["pictures"]["light"] == "unknown"  # nothing is known of the base model
    assert page.code_of("/library/together", {"files": ["/etc/passwd"]}, 404) == "not-found"


def test_a_model_that_cannot_be_read_counts_as_unknown_among_others(page, civitai, monkeypatch):
    offered(civitai)
    path, other = lora(page), lora(page, "own", safetensors(b"\x09" * 64))
    page.done("/library/consent", {"state": "agreed"})
    page.done("/library/look", {})
    ended(page, "look")
    assert page.done("/library/together", {"files": [str(path)]})["lights"]["credit"]["light"] == "green"
    of_file = ModelLookup.of_file

    def unreadable(lookup, file):
        if file == other:
            raise UserError("It cannot be read.", code="file-inaccessible")
        return of_file(lookup, file)

    monkeypatch.setattr(ModelLookup, "of_file", unreadable)
    both = page.done("/library/together", {"files": [str(path), str(other)]})
    assert {shown["light"] for shown in both["lights"].values()} == {"unknown"}
    assert both["adult"] is None


def test_a_search_shows_versions_and_files_and_what_it_finds_is_fetched_once(page, civitai):
    page.done("/library/consent", {"state": "agreed"})
    offered(civitai)
    found = page.done("/library/find", {"what": f"{civitai.site}/models/401"})
    assert found["kind"] == "find"
    task = ended(page, "find")
    result = task["result"]
    assert (result["title"], result["refusal"], result["goes_to"]) == ("Ink style v1", None, "lora")
    assert result["versions"] == [{"value": "501", "text": "v1 (SD 1.5)"}]
    assert [one["text"] for one in result["files"]] == ["ink.safetensors"]
    page.done("/library/fetch", {"what": result["what"], "version": result["version"], "file": result["file"]})
    task = ended(page, "fetch")
    assert (task["state"], task["error"]) == ("finished", None)
    assert (page.host.loras[0] / "ink.safetensors").read_bytes() == CONTENT
    assert page.host.refreshed == ["ink"]
    assert [one["name"] for one in page.got("/library")["models"]] == ["ink"]


def test_a_fetched_base_model_is_known_to_the_webui_at_once(page, civitai):
    page.done("/library/consent", {"state": "agreed"})
    offered(civitai, type="Checkpoint")
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["state"] == "finished"
    assert (page.root.parent / "bases" / "ink.safetensors").read_bytes() == CONTENT
    assert page.host.refreshed == ["checkpoints"]


def test_what_shows_a_child_is_found_and_not_fetched(page, civitai):
    page.done("/library/consent", {"state": "agreed"})
    offered(civitai, minor=True)
    page.done("/library/find", {"what": "401"})
    assert ended(page, "find")["result"]["refusal"]["code"] == "civitai-shows-child"
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["error"]["code"] == "civitai-shows-child"
    assert [*page.host.loras[0].iterdir()] == []


def test_what_is_neither_lora_nor_base_model_is_left_to_the_command(page, civitai):
    page.done("/library/consent", {"state": "agreed"})
    offered(civitai, type="VAE")
    page.done("/library/find", {"what": "401"})
    assert ended(page, "find")["result"]["refusal"]["code"] == "library-other-kind"
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["error"]["code"] == "library-other-kind"


@pytest.mark.parametrize("what", ["https://example.org/models/4", "../../etc", "x" * 3000, ""])
def test_what_is_no_address_is_refused_at_once(page, civitai, what):
    assert page.code_of("/library/find", {"what": what}, 400) == "civitai-pointer-unreadable"
    assert library_tasks.tasks_of(page.root) == []


def test_switched_off_nothing_is_asked(page, civitai):
    page.done("/library/consent", {"state": "off"})
    assert page.code_of("/library/find", {"what": "401"}, 400) == "civitai-off"
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["error"]["code"] == "civitai-off"
    assert civitai.asked == []


def test_a_download_is_stopped_and_goes_on_where_it_was(page, civitai, monkeypatch):
    page.done("/library/consent", {"state": "agreed"})
    content = safetensors(b"\x05" * (3 << 20))
    offered(civitai, content)
    own = library_tasks.LibraryTask.report

    def stopping(task, done, total, about=""):
        if done > 1 << 20:
            task.stop()
        own(task, done, total, about)

    monkeypatch.setattr(library_tasks.LibraryTask, "report", stopping)
    page.done("/library/fetch", {"what": "401"})
    assert ended(page, "fetch")["state"] == "stopped"
    left = [one.stat().st_size for one in page.host.loras[0].iterdir()]
    assert len(left) == 1
    assert 1 << 20 < left[0] < len(content)
    monkeypatch.setattr(library_tasks.LibraryTask, "report", own)
    page.done("/library/fetch", {"what": "401"})
    until = time.monotonic() + 30
    while (task := ended(page, "fetch"))["number"] < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert task["state"] == "finished"
    assert (page.host.loras[0] / "ink.safetensors").read_bytes() == content
    ranges = [one.headers.get("range") for one in civitai.asked_files]
    assert any(one and one != "bytes=0-" for one in ranges)


def test_one_of_a_kind_runs_at_a_time(page, civitai):
    page.done("/library/consent", {"state": "agreed"})
    release = library_tasks.Event()
    library_tasks.start(page.root, "find", "401", lambda _: release.wait(30))
    assert page.code_of("/library/find", {"what": "401"}, 400) == "library-task-running"
    release.set()
    assert ended(page, "find")["state"] == "finished"


def test_a_fault_of_ours_ends_the_task(page, caplog):
    library_tasks.start(page.root, "look", "", lambda _: 1 / 0)
    assert ended(page, "look")["error"]["code"] == "library-task-failed"
    assert "ZeroDivisionError" in caplog.text


def test_a_site_that_is_away_is_said_once(page, civitai, monkeypatch):
    for number in range(5):
        lora(page, f"l{number}", safetensors(bytes([number]) * 64))
    monkeypatch.setattr("lib_lora.civitai.api.civitai_api.time.sleep", lambda _: None)
    monkeypatch.setenv("SAMEFACE_CIVITAI", "http://127.0.0.1:1")
    page.done("/library/consent", {"state": "agreed"})
    page.done("/library/look", {})
    assert ended(page, "look")["error"]["code"] == "library-nobody-answers"


def test_the_key_goes_in_and_never_out(page, civitai):
    assert page.done("/library/token", {"key": TOKEN})["kept_in"] == "file"
    assert api_key_store.load(page.root, civitai_consent.key_name(civitai.site)) == TOKEN
    assert api_key_store.load(page.root, api_key_store.CIVITAI) is None  # it was given to the stand-in
    assert TOKEN not in page.get("/library").text + page.get("/library/tasks").text
    assert page.done("/library/token/forget")["kept_in"] == ""


def test_another_site_is_asked(page, civitai, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI")
    assert page.done("/library/site", {"address": "civitai.red"})["host"] == "civitai.red"
    assert civitai_consent.site(page.root) == "https://civitai.red"
    assert page.code_of("/library/site", {"address": "http://example.org"}, 400) == "civitai-address-invalid"
    assert page.done("/library/site", {"address": ""})["host"] == "civitai.com"


def test_a_starter_needs_a_yes_to_its_licence(page, civitai):
    starters = page.got("/library")["starters"]
    assert starters
    assert not any(one["there"] for one in starters)
    name = starters[0]["key"]
    assert page.code_of("/library/starter", {"name": name}, 400) == "library-licence-not-agreed"
    assert page.code_of("/library/starter", {"name": "none", "agreed": True}, 400) == "starter-model-unknown"
    path = page.root.parent / "bases" / starters[0]["file"]
    path.write_bytes(b"another file of that name")
    assert page.got("/library")["starters"][0]["there"] is False
    with path.open("wb") as file:
        file.truncate(starters[0]["bytes"])
    assert page.got("/library")["starters"][0]["there"] is True


def test_the_picture_beside_a_model_and_no_other_file(page, civitai):
    path, secret = lora(page), page.root.parent / "secret.png"
    assert page.get(f"/library/preview?file={path}").status_code == 404
    for one in (path.with_suffix(".preview.png"), secret):
        Image.new("RGB", (900, 600), "red").save(one)
    answer = page.get(f"/library/preview?file={path}")
    assert (answer.status_code, Image.open(io.BytesIO(answer.content)).size) == (200, (320, 213))
    assert page.got("/library")["models"][0]["preview"] is True
    assert page.get(f"/library/preview?file={secret}").status_code == 404


def test_a_webui_that_is_open_to_others_only_shows(page, civitai):
    lora(page)
    page.host.is_remote = True
    found = page.got("/library")
    assert (found["remote"], found["civitai"]["kept_in"], len(found["models"])) == (True, "", 1)
    for path, body in (
        ("/library/consent", {"state": "agreed"}),
        ("/library/site", {"address": "civitai.red"}),
        ("/library/token", {"key": TOKEN}),
        ("/library/token/forget", {}),
        ("/library/look", {}),
        ("/library/find", {"what": "401"}),
        ("/library/fetch", {"what": "401"}),
        ("/library/starter", {"name": "sd15", "agreed": True}),
        ("/library/stop", {"kind": "look"}),
    ):
        assert page.code_of(path, body, 403) == "forbidden"
    assert civitai.asked == []
