"""Settings of a data folder, and how they reach those who run the jobs."""

import sys

import pytest
from faults import raises

from lib_lora.files import read_json, write_json
from lib_lora.hosts.standalone import Alone
from lib_lora.queue.runners.local_runner import worker_command, worker_environment
from lib_lora.ui.views.doctor.check_texts import result
from lib_lora.workspace import preferences


def test_settings_are_kept(page):
    first = page.got("/settings")
    empty = {"comfyui": "", "worker_python": "", "engine": "", "civitai": "", "civitai_address": ""}
    assert first == {"allow_painting": False, "then_test": True, **empty, "currency": "USD", "per_usd": 1.0}
    assert page.done("/settings", {"allow_painting": True}) == {**first, "allow_painting": True}
    assert page.done("/settings", {"then_test": False})["allow_painting"] is True
    assert page.got("/settings") == {**first, "allow_painting": True, "then_test": False}
    assert page.done("/settings", {"allow_painting": False, "then_test": True}) == first


def test_what_is_as_usual_is_not_written(page):
    page.done("/settings", {"allow_painting": True})
    assert read_json(page.root / "settings.json") == {"allow_painting": True}
    page.done("/settings", {"allow_painting": False})
    assert read_json(page.root / "settings.json") == {}


def test_the_currency_is_the_user_s(page):
    assert page.done("/settings", {"currency": "gbp", "per_usd": 0.79})["currency"] == "GBP"
    assert page.done("/settings", {"per_usd": 0.8})["per_usd"] == 0.8
    assert page.faulted("/settings", {"currency": "pounds"}) == "currency"
    assert page.faulted("/settings", {"per_usd": -1.0}) == "per_usd"
    assert page.faulted("/settings", {"currency": "USD"}) == "per_usd"
    assert page.done("/settings", {"currency": "USD", "per_usd": 1.0})["currency"] == "USD"


def test_a_path_must_be_there_and_may_only_be_named_here(page, tmp_path):
    assert page.code_of("/settings", {"comfyui": str(tmp_path)}) == "comfyui-folder-invalid"
    assert page.code_of("/settings", {"worker_python": str(tmp_path / "python")}) == "worker-python-missing"
    assert page.code_of("/settings", {"worker_python": "python"}) == "path-not-absolute"
    assert page.faulted("/settings", {"worker_python": "python"}) == "worker_python"
    assert page.faulted("/settings", {"comfyui": str(tmp_path)}) == "comfyui"
    page.confirmed("/settings", {"worker_python": sys.executable})
    page.host.is_remote = True
    assert page.code_of("/settings", {"worker_python": "/bin/sh"}, 403) == "forbidden"
    assert page.done("/settings", {"worker_python": sys.executable, "then_test": False})["then_test"] is False


def test_a_damaged_file_is_one_sentence(page):
    (page.root / "settings.json").write_text("{")
    assert "settings.json" in page.get("/settings").json()["error"]


def test_they_lie_over_the_host_s_own(page, tmp_path):
    assert worker_command(page.host, page.root) == ["python"]
    assert preferences.load(page.root).allow_painting is False
    page.done("/settings", {"allow_painting": True})
    assert preferences.load(page.root).allow_painting is True
    page.done("/settings", {"allow_painting": False})
    assert preferences.load(page.root).allow_painting is False
    python = tmp_path / "python"
    python.write_text("")
    page.post("/settings", {"worker_python": str(python)})
    answer = page.post("/settings", {"worker_python": str(python), "code": page.shown[-1].split()[-1]})
    assert answer.json()["code"] == "worker-python-not-python"
    page.confirmed("/settings", {"worker_python": sys.executable})
    assert worker_command(page.host, page.root) == [sys.executable]
    write_json(page.root / "settings.json", {"worker_python": str(tmp_path / "gone")})
    with raises("worker-python-missing"):
        worker_command(page.host, page.root)


def test_the_doctor_says_where_things_lie(page, monkeypatch):
    asked, found = [], [result("Queue", "queue-active")]
    monkeypatch.setattr("lib_lora.ui.routes.doctor_routes.checks", lambda *given: asked.append(given) or found)
    said = page.got("/doctor")
    assert said["checks"] == [one.for_programs() for one in found]
    assert said["text"].endswith("[fine] Queue: Jobs are run by this process. (queue-active)")
    assert said["folders"] == {"data": str(page.root), "loras": "", "log": str(page.root / "jobs")}
    assert asked == [(page.host, page.root, page.supervisor)]


@pytest.mark.parametrize("chosen", [False, True])
def test_another_python_gets_none_of_this_one_s_packages(tmp_path, monkeypatch, chosen):
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("PYTHONHOME", "/home of mine")
    python = tmp_path / "python ü"
    python.write_text("")
    write_json(tmp_path / "settings.json", {"worker_python": str(python) if chosen else ""})
    host = Alone(tmp_path)
    assert worker_command(host, tmp_path) == [str(python) if chosen else sys.executable]
    assert ("/mine" in worker_environment(host, tmp_path)["PYTHONPATH"]) == (not chosen)
    assert not (chosen and "PYTHONHOME" in worker_environment(host, tmp_path))


@pytest.mark.parametrize("text", ["[1", '{"worker_python": 3}', '{"worker_python": null}'])
def test_damaged_settings_start_no_worker(tmp_path, text):
    (tmp_path / "settings.json").write_text(text, encoding="utf-8")
    with raises(("json-invalid", "setting-wrong-type"), has="settings.json"):
        worker_command(Alone(tmp_path), tmp_path)
