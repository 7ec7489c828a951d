"""Productions on the page: begun, followed, decided on, taken away as an archive."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import replace

import pytest
from planting import MINI, plant_production, plant_run, tried

from lib_lora.content_credentials import certificates, signing
from lib_lora.queue.job_types import ProduceArguments
from lib_lora.remote import places
from lib_lora.workflows.produce import production_request, production_store
from lib_lora.workspace.workspace import Workspace

pytestmark = pytest.mark.once("what is answered is ours; other routes repeat how it is answered")

PATH = "/characters/mara/productions"


@pytest.fixture
def trained(page, monkeypatch):
    """A character with a trained run, whose files are not looked at."""
    folder = page.character()
    plant_run(folder, saved=[100], base=str(MINI))
    monkeypatch.setattr(production_request, "check_base", lambda run: None)
    monkeypatch.setattr(production_request, "check_whole", lambda path: None)
    return folder


def test_there_is_none(page):
    page.character()
    assert page.got(PATH) == []
    [entry] = page.got("/state")["characters"]
    assert (entry["produce"]["text"], entry["produce"]["tone"]) == ("No production yet", "none")
    assert page.get(f"{PATH}/001").status_code == 404


def test_a_production_is_begun_queued_and_begun_only_once(page, trained):
    values = {"prompts": "in a café\nat the sea", "count": 3, "weight": 0.8}
    begun = page.done(PATH, values)
    assert (begun["production"], begun["job"]["kind"], begun["job"]["step"]) == ("001", "produce", "produce")
    [job] = page.queue.open()
    wildcards = [str(page.root / "wildcards")]
    assert job.arguments == ProduceArguments("001", wildcards=wildcards)
    plan = production_store.named(trained, "001").plan()
    assert (plan.count, plan.weight, plan.run, plan.by) == (3, 0.8, "001", "")
    assert [row.prompt for row in plan.prompts] == ["in a café", "at the sea"]
    assert page.code_of(PATH, values, 409) == "production-in-queue"
    page.queue.take("heavy", "a test")
    page.queue.end(job.id, "stopped")
    assert page.done(PATH, values)["production"] == "001"
    assert page.got(PATH)[0]["job"] == page.queue.open()[0].id


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"prompts": ""}, "prompts-empty", "prompts"),
        ({"prompts": "a\0b"}, "prompts-unreadable", "prompts"),
        ({"prompts": "prompt;size\na;9"}, "prompts-line-wrong", "prompts"),
        ({"prompts": "at __nowhere__"}, "wildcard-unknown", ""),
        ({"prompts": "a", "count": 20000}, "value-out-of-range", "count"),
        ({"prompts": "a", "tries": 0}, "value-out-of-range", "tries"),
        ({"prompts": "a", "weight": 5}, "value-out-of-range", "weight"),
        ({"prompts": "a", "side": 100}, "side-invalid", "side"),
        ({"prompts": "a", "line": "any"}, "setting-not-a-choice", "line"),
        ({"prompts": "a", "painter": "nobody"}, "painter-unknown", "painter"),
        ({"prompts": "a", "step": 7}, "checkpoint-not-found", ""),
        ({"prompts": "a", "on": "ssh:nowhere"}, "place-not-found", "on"),
        ({"prompts": "a", "painter": "comfyui", "comfyui": "http://[x"}, "comfyui-address-invalid", "comfyui"),
        ({"prompts": "{2$$red|blue} coat"}, "wildcard-notation-unknown", ""),
        ({"prompts": "at __pla*__"}, "wildcard-notation-unknown", ""),
        ({"prompts": "a", "colour": 7}, "setting-unknown", "colour"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_makes_nothing(page, trained, values, code, field):
    answer = page.post(PATH, values)
    assert (answer.status_code, answer.json()["code"], answer.json().get("field", "")) == (400, code, field)
    assert not production_store.productions(trained)
    assert not page.queue.open()


def test_wildcards_and_loras_are_found_in_the_data_folder_and_in_the_webui(page, trained, tmp_path):
    for folder, name in ((page.root / "wildcards", "places"), (tmp_path / "extension", "colours")):
        folder.mkdir()
        (folder / f"{name}.txt").write_text("one\n", encoding="utf-8")
    own = page.host.roots
    page.host.roots = lambda: replace(own(), wildcards=[tmp_path / "extension"], loras=[tmp_path / "loras"])
    assert page.code_of(PATH, {"prompts": "at __places__ <lora:ink:0.5>"}) == "lora-unknown"
    (tmp_path / "loras" / "styles").mkdir(parents=True)
    (tmp_path / "loras" / "styles" / "ink.safetensors").touch()
    page.done(PATH, {"prompts": "at __places__ in __colours__ <lora:ink:0.5>"})
    arguments = page.queue.open()[0].arguments
    assert arguments.wildcards == [str(page.root / "wildcards"), str(tmp_path / "extension")]
    assert arguments.loras == [str(tmp_path / "loras")]


def test_who_asks_from_elsewhere_names_no_folder(page, trained):
    plant_production(trained)
    page.host.is_remote = True
    arguments = {"production": "001", "wildcards": ["/etc"]}
    body = {"kind": "produce", "character": "mara", "arguments": arguments}
    assert page.post("/jobs", body).status_code == 403
    assert page.post("/jobs", {**body, "arguments": {"production": "001"}}).status_code == 200


def test_the_webui_keeps_its_gpu_for_a_production_that_it_paints(page, trained, monkeypatch):
    monkeypatch.setattr(page.host, "paints", lambda: True)
    page.done(PATH, {"prompts": "a", "painter": "webui"})
    page.done(PATH, {"prompts": "b", "painter": "worker"})
    assert [job.arguments.painter for job in sorted(page.queue.open(), key=lambda job: job.id)] == ["webui", "worker"]


def test_a_production_with_vectors_that_the_webui_does_not_read_is_the_workers(page, trained, monkeypatch):
    monkeypatch.setattr(page.host, "paints", lambda: True)
    plant_run(trained, 2, saved=[100], base=str(MINI), vectors=2)
    for number, reads in enumerate((True, False)):
        monkeypatch.setattr(page.host, "reads_vectors", lambda reads=reads: reads)
        page.done(PATH, {"prompts": "ab"[number], "painter": "webui", "run": "002"})
    assert [job.arguments.painter for job in sorted(page.queue.open(), key=lambda job: job.id)] == ["webui", "worker"]


def test_a_comfyui_paints_where_its_address_can_be_one(page, trained):
    values = {"prompts": "a", "painter": "comfyui", "comfyui": "192.168.1.20"}
    assert page.code_of(PATH, {**values, "comfyui": "http://[x"}) == "comfyui-address-invalid"
    assert page.done(PATH, values)["production"] == "001"
    assert page.queue.open()[0].arguments.comfyui == "192.168.1.20"
    assert production_store.named(trained, "001").plan().by == "comfyui"
    page.queue.wish(page.queue.open()[0].id, "stop")
    page.host.is_remote = True
    assert page.post(f"{PATH}/001/continue", {"comfyui": "192.168.1.20"}).status_code == 403


def test_pictures_are_listed_with_what_was_measured_and_decided(page, trained):
    made = plant_production(trained, tried(1, 1), tried(2, 1, "lost", 0.2), tried(2, 2, "no face", None))
    found = page.got(f"{PATH}/001")
    assert (found["wanted"], found["kept"], found["painted"], found["given_up"]) == (3, 1, 3, 1)
    assert found["reasons"] == [{"reason": "lost", "count": 1}, {"reason": "no face", "count": 1}]
    rows = [(one["file"], one["passed"], one["decision"], one["row"]) for one in found["pictures"]]
    assert rows == [("00001-01.png", True, None, 0), ("00002-01.png", False, None, 1), ("00002-02.png", False, None, 1)]
    assert page.got(f"{PATH}/001?since={found['mark']}") == {"id": "001", "mark": found["mark"], "job": None}

    decided = page.done(f"{PATH}/001/decisions", {"decisions": {"00001-01.png": "drop", "00002-01.png": "keep"}})
    assert decided["kept"] == 1
    assert decided["mark"] != found["mark"]
    progress = made.progress()
    assert [one.file for one in progress.kept] == ["00002-01.png"]
    assert (progress.next_attempt(1), progress.next_attempt(2)) == (2, 0)  # what was dropped is painted anew
    page.done(f"{PATH}/001/decisions", {"decisions": {"00001-01.png": None}})
    assert made.decisions() == {"00002-01.png": "keep"}
    assert page.got(f"{PATH}/001")["by_hand"] == [1, 0]
    missing = {"decisions": {"../../character.yaml": "drop"}}
    assert page.code_of(f"{PATH}/001/decisions", missing) == "production-picture-missing"
    assert page.code_of(f"{PATH}/001/decisions", {"decisions": {"00001-01.png": "burn"}}) == "setting-not-a-choice"


def test_of_a_production_that_grows_only_what_is_new_is_sent(page, trained):
    made = plant_production(trained, tried(1, 1, "lost", 0.2), tried(2, 1))
    first = page.got(f"{PATH}/001")
    assert (first["whole"], first["decisions"], len(first["pictures"])) == (True, {}, 2)
    for one in (tried(3, 1), replace(tried(1, 1), likeness=0.9)):  # the second was painted anew
        (made.pictures / one.file).touch()
        made.note(one)
    page.done(f"{PATH}/001/decisions", {"decisions": {"00002-01.png": "drop"}})
    then = page.got(f"{PATH}/001?since={first['mark']}")
    told = [(one["file"], one["likeness"]) for one in then["pictures"]]
    assert told == [("00001-01.png", 0.9), ("00003-01.png", 0.7)]
    assert (then["whole"], then["painted"], then["decisions"]) == (False, 3, {"00002-01.png": "drop"})
    (made.pictures / "00003-01.png").unlink()
    made.note(tried(3, 1))  # of a picture that is gone
    assert page.got(f"{PATH}/001?since={then['mark']}")["painted"] == 2
    for since in ("", "x", f"{first['mark'].partition('-')[0]}-x-0", f"another-{first['mark'].partition('-')[2]}"):
        assert page.got(f"{PATH}/001?since={since}")["whole"]


def test_what_the_webui_has_for_small_faces_is_used_and_said(page, trained, monkeypatch):
    monkeypatch.setattr(page.host, "paints", lambda: True)
    monkeypatch.setattr(page.host, "detailer", lambda: "ADetailer")
    assert page.got("/state")["host"]["detailer"] == "ADetailer"
    small = {"second_pass": 0.4}
    for prompts, values in (("a", {"painter": "webui", **small}), ("b", small), ("c", {"painter": "webui"})):
        page.done(PATH, {"prompts": prompts, **values})
    found = [(one["by"], one["second_pass"], one["detailer"]) for one in reversed(page.got(PATH))]
    assert found == [("webui", 0.4, "ADetailer"), ("", 0.4, ""), ("webui", 0.0, "")]


def test_a_lora_that_the_webui_does_not_know_is_one_sentence(page, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(page.host, "paints", lambda: True)
    monkeypatch.setattr(page.host, "lora_names", lambda: frozenset({"ink"}))
    own = page.host.roots
    page.host.roots = lambda: replace(own(), loras=[tmp_path / "loras"])
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "new.safetensors").touch()  # the webui will see it once it looks
    values = {"painter": "webui", "prompts": "a <lora:sketch:0.5>"}
    assert page.code_of(PATH, values) == "lora-unknown"
    assert not production_store.productions(trained)
    for prompts in ("a <lora:ink:0.5>", "a <lora:new:0.5:1>", "a __style__ <lora:{ink|sketch}:1>"):
        (page.root / "wildcards").mkdir(exist_ok=True)
        (page.root / "wildcards" / "style.txt").write_text("oil\n", encoding="utf-8")
        page.done(PATH, {**values, "prompts": prompts})


def test_a_production_is_continued_on_a_machine_that_is_known(page, trained):
    plant_production(trained, tried(1, 1))
    assert page.code_of(f"{PATH}/001/continue", {"on": "ssh:nowhere"}) == "place-not-found"
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    job = page.done(f"{PATH}/001/continue", {"on": "ssh:workshop"})["job"]
    assert (job["lane"], job["text"]) == ("remote", "Produce pictures of Mara on workshop")
    assert page.code_of(f"{PATH}/001/continue", {}, 409) == "production-in-queue"
    page.queue.wish(job["id"], "stop")
    assert page.queue.get(job["id"]).state == "stopped"
    again = page.done(f"{PATH}/001/continue", {})["job"]
    assert again["arguments"]["on"] == "ssh:workshop"  # as the last time


def test_pictures_small_and_large_the_page_and_the_archive(page, trained):
    plant_production(trained, tried(1, 1), tried(2, 1, "lost"), tried(3, 1))
    page.done(f"{PATH}/001/decisions", {"decisions": {"00003-01.png": "drop"}})
    [row, *_] = page.got(f"{PATH}/001")["pictures"]
    whole, small = page.get(row["url"]), page.get(f"{row['url']}?small=1")
    assert (whole.headers["content-type"], small.headers["content-type"]) == ("image/png", "image/jpeg")
    assert page.get(f"{PATH}/001/pictures/..%2Fproduction.json").status_code == 404
    html = page.get(f"{PATH}/001/production.html")
    assert "Why pictures failed" in html.text
    assert "script-src" not in html.headers["content-security-policy"]
    assert html.headers["content-security-policy"].startswith("default-src 'none'")
    answer = page.get(f"{PATH}/001/pictures.zip")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''mara-001.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "mara-001-00001.png", "mara-001-00001.txt", "pictures-001.json", "pictures-001.csv", "sheet-001.jpg",
        ]  # fmt: skip
        assert archive.read("mara-001-00001.png") == whole.content
        assert [one["file"] for one in json.loads(archive.read("pictures-001.json"))] == ["mara-001-00001.png"]


def test_the_archive_can_be_signed(page, trained):
    c2pa = pytest.importorskip("c2pa", reason="the package c2pa-python is not installed")
    plant_production(trained, tried(1, 1), tried(2, 1))
    assert page.got(f"{PATH}/001")["signing"] == "home-made"

    def signer(answer):
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            name = "mara-001-00002.png"
            with c2pa.Reader("image/png", io.BytesIO(archive.read(name))) as reader:
                found = json.loads(reader.json())
        assert found["validation_state"] == "Valid"
        return found["manifests"][found["active_manifest"]]["signature_info"]["cert_serial_number"]

    home_made = signer(page.get(f"{PATH}/001/pictures.zip?signed=1"))
    assert signer(page.get(f"{PATH}/001/pictures.zip?signed=1")) == home_made
    workspace = Workspace(page.root)
    workspace.own_certificate.write_bytes(certificates.home_made(page.root / "another.pem").chain)
    assert page.got(f"{PATH}/001")["signing"] == "own"
    answer = page.get(f"{PATH}/001/pictures.zip?signed=1")  # its key is missing
    assert (answer.status_code, answer.json()["code"]) == (400, "c2pa-certificate-unreadable")
    workspace.own_certificate.write_bytes((page.root / "another.pem").read_bytes())
    assert signer(page.get(f"{PATH}/001/pictures.zip?signed=1")) != home_made


def test_without_the_package_the_page_says_what_signing_needs(page, trained, monkeypatch):
    plant_production(trained, tried(1, 1))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    monkeypatch.delitem(sys.modules, "c2pa")
    monkeypatch.setattr(signing, "find_spec", lambda name: None)
    assert page.got(f"{PATH}/001")["signing"] == "missing"
    monkeypatch.setitem(sys.modules, "c2pa", None)  # which cannot be imported
    answer = page.get(f"{PATH}/001/pictures.zip?signed=1")
    assert (answer.status_code, answer.json()["code"]) == (400, "c2pa-missing")


def test_an_empty_archive_is_a_sentence(page, trained):
    plant_production(trained, tried(1, 1, "lost"))
    answer = page.get(f"{PATH}/001/pictures.zip")
    assert (answer.status_code, answer.json()["code"]) == (400, "production-empty")


def test_a_damaged_production_says_so_and_leaves_the_others(page, trained):
    first, _ = plant_production(trained), plant_production(trained, tried(1, 1))
    (first.path / production_store.PLAN_FILE).write_text("{", encoding="utf-8")
    newest, damaged = page.got(PATH)
    assert (newest["id"], newest["kept"], newest["error"]) == ("002", 1, "")
    assert damaged["id"] == "001"
    assert "production.json" in damaged["error"]
    assert page.get(f"{PATH}/001").json()["code"] == "json-invalid"
    first.path.joinpath(production_store.PLAN_FILE).unlink()
    (production_store.named(trained, "002").path / production_store.DECISIONS_FILE).write_text("[]", encoding="utf-8")
    assert page.got(PATH)[0]["error"]
