"""The command civitai, from what is typed to what is said; what it does in detail is tested beside this file."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from fake_civitai import HTML, TOKEN, safetensors

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.model_fetch import unusual_folder
from lib_lora.workflows.library import library_table
from lib_lora.workspace.workspace import Workspace

INK = safetensors()


@pytest.fixture
def run(main, civitai, tmp_path):
    def run(*words):
        return main("civitai", *words, "--data", tmp_path / "data")

    return run


@pytest.fixture
def lora(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / "ink.safetensors"
    path.write_bytes(INK)
    return path


def test_agreeing_and_switching_off(run, civitai, lora, tmp_path):
    root = tmp_path / "data"
    first = run("agree")  # nobody can be asked here
    assert (first.status, "SHA-256" in first.out, "--yes" in first.out) == (2, True, True)
    assert (run("info", lora).status, civitai.asked) == (2, [])
    assert run("agree", "--yes").status == 0
    assert civitai_consent.state_of(root) == "agreed"
    civitai.add(INK)
    assert run("info", lora).status == 0
    assert run("off").status == 0
    asked = len(civitai.asked)
    assert "Ink style v1" in run("info", lora).out  # as it was answered before
    for words in (("info", "401"), ("fetch", "401", "--to", tmp_path / "x")):
        assert run(*words).code == "civitai-off"
    assert len(civitai.asked) == asked


def test_info_says_what_a_file_is_and_may_be_used_for(run, civitai, lora):
    run("agree", "--yes")
    civitai.add(INK, page={"allowCommercialUse": ["Image"], "allowNoCredit": False})
    said = run("info", lora).out
    for text in (
        "Ink style v1 (LORA) by inka",
        "Found by its SHA-256",
        "CreativeML Open RAIL-M",
        "yellow   Sell the pictures",
        "credit inka",
        "no        Use the model without crediting the creator",
        "not legal advice",
    ):
        assert text in said
    (values,) = json.loads(run("info", lora, "--json").out)
    assert (values["known"], values["how"], values["title"]) == (True, "sha256", "Ink style v1")
    assert values["assessment"]["lights"]["sell"]["light"] == "red"
    assert values["summary"]["allowCommercialUse"] == ["Image"]
    assert {"text": "Sell images they generate", "allowed": True} in values["permits"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((451, {}, b"{}"), "civitai-blocked"),
        ((403, {"Content-Type": "text/html"}, HTML), "civitai-page-instead"),
        (None, "civitai-not-agreed"),
    ],
)
def test_info_names_the_sha256_of_a_file_when_nobody_answers(run, civitai, lora, monkeypatch, answer, code):
    if answer:
        run("agree", "--yes")
        monkeypatch.setattr(civitai, "answer", lambda *_: answer)
    said = run("info", lora, "--json")
    (values,) = json.loads(said.out)
    assert (said.status, values["known"], values["trouble"]["code"]) == (2, False, code)
    assert values["sha256"] == hashlib.sha256(INK).hexdigest().upper()
    shown = run("info", lora)
    assert (shown.status, values["sha256"] in shown.out, values["trouble"]["message"] in shown.out) == (2, True, True)


def test_info_answers_what_it_can(run, civitai, lora):
    run("agree", "--yes")
    civitai.add(INK)
    said = run("info", lora, "missing.safetensors", "--json")
    good, bad = json.loads(said.out)
    assert (said.status, good["known"], bad["trouble"]["code"]) == (2, True, "civitai-file-not-found")
    together = run("info", lora, "missing.safetensors").out.partition("Together")[2]
    assert "without what could not be looked up" in together
    assert "missing" not in together


@pytest.mark.parametrize("does", ["info", "library"])
def test_what_may_not_be_read_is_said(run, tmp_path, monkeypatch, does):
    stat = Path.stat

    def refuse(path, **options):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    said = run(does, tmp_path / "closed")
    assert (said.status, said.code) == (2, "permission-denied")


def test_a_folder_that_may_not_be_listed_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr(library_table.os, "scandir", Mock(side_effect=PermissionError(13, "Permission denied")))
    assert run("library", tmp_path).code == "permission-denied"


def test_info_of_several_says_what_holds_together(run, civitai, lora):
    run("agree", "--yes")
    civitai.add(INK)
    civitai.add(b"x", 502, 402, page={"name": "Person", "poi": True}, model={"name": "Person"})
    said = run("info", lora, "402")
    assert "REAL PERSON" in said.out
    together = said.out.partition("Together")[2]
    assert "red      Sell the pictures" in together
    assert said.status == 0


def test_what_shows_a_child_is_refused(run, civitai, lora, tmp_path):
    run("agree", "--yes")
    civitai.add(INK, page={"minor": True})
    shown = run("info", lora)
    assert (shown.status, "CHILD" in shown.out) == (1, True)
    assert run("fetch", "401", "--to", tmp_path / "out").code == "civitai-shows-child"
    assert not (tmp_path / "out").exists()
    assert "Trigger words" not in shown.out
    assert "Sell images" not in shown.out
    assert run("library", lora.parent).status == 1


def test_a_real_person_is_fetched_only_when_somebody_says_so(run, civitai, tmp_path):
    run("agree", "--yes")
    civitai.add(INK, page={"poi": True})
    assert run("fetch", "401", "--to", tmp_path / "out").code == "civitai-person-not-agreed"
    done = run("fetch", "401", "--to", tmp_path / "out", "--yes")
    assert (done.status, (tmp_path / "out" / "style.safetensors").exists()) == (0, True)
    assert done.out.index("Do not rely on") < done.out.index("Sell images")


def test_what_was_taken_down_is_not_relied_on(run, civitai, lora):
    run("agree", "--yes")
    civitai.add(INK, page={"mode": "TakenDown"})
    said = run("info", lora).out
    assert said.index("Do not rely on") < said.index("Sell images")


def test_fetch(run, civitai, tmp_path):
    civitai.add(INK)
    assert run("fetch", "401", "--to", tmp_path / "out").code == "civitai-not-agreed"
    assert civitai.asked == []
    run("agree", "--yes")
    done = run("fetch", f"{civitai.site}/models/401", "--to", tmp_path / "out", "--json")
    values = json.loads(done.out)
    assert (done.status, values["title"]) == (0, "Ink style v1")
    assert (tmp_path / "out" / "style.safetensors").read_bytes() == INK
    assert "Ink style v1" in done.err
    assert "To be fetched: style.safetensors, 1 MB" in done.err


@pytest.mark.parametrize(
    ("kind", "folder", "warned"),
    [
        ("LORA", "Stable-diffusion", True),
        ("LORA", "Lora", False),
        ("Checkpoint", "Lora", True),
        ("Checkpoint", "Stable-diffusion", False),
    ],
)
def test_a_folder_for_other_models_is_warned_of(kind, folder, warned):
    assert bool(unusual_folder(kind, Path("models", folder))) == warned


def test_the_last_line_names_the_whole_path(run, civitai, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("agree", "--yes")
    civitai.add(INK)
    assert f"is in {tmp_path / 'out'}." in run("fetch", "401", "--to", "out").out


def test_a_file_where_a_folder_is_to_be_is_refused(run, tmp_path):
    (tmp_path / "README.md").touch()
    assert run("fetch", "401", "--to", tmp_path / "README.md").code == "civitai-folder-is-file"


def test_library(run, civitai, lora):
    (lora.parent / "below").mkdir()
    (lora.parent / "below" / "other.safetensors").write_bytes(safetensors(b"2" * 64))
    (lora.parent / "notes.txt").write_text("x")
    before = run("library", lora.parent)
    assert (before.status, civitai.asked, "not asked" in before.out) == (0, [], True)
    run("agree", "--yes")
    civitai.add(INK, page={"allowNoCredit": False})
    lines = run("library", lora.parent).out.splitlines()
    assert lines[0].split() == ["file", "on", "Civitai", "size", "pictures", "credit", "sell", "asked"]
    assert "other.safetensors  unknown there" in lines[1]
    assert lines[2].split()[-4:] == ["yellow", "red", "yellow", "today"]
    asked = len(civitai.asked)
    models = json.loads(run("library", lora.parent, "--json").out)["models"]
    assert [one["civitai"]["known"] for one in models] == [False, True]
    assert len(civitai.asked) == asked
    run("library", lora.parent, "--refresh")
    assert len(civitai.asked) > asked


def test_a_library_whose_site_is_gone_asks_once(run, civitai, lora, monkeypatch):
    for number in range(5):
        (lora.parent / f"{number}.safetensors").write_bytes(safetensors(bytes([number]) * 64))
    run("agree", "--yes")
    monkeypatch.setattr(civitai, "answer", lambda *_: (451, {}, b"{}"))
    said = run("library", lora.parent)
    assert (said.status, len(civitai.asked)) == (0, 1)
    assert "blocked where you are" in said.out


def test_starter_models_are_listed_and_not_fetched_without_consent(run, tmp_path):
    assert "CreativeML Open RAIL-M" in run("starter").out
    assert {one["key"] for one in json.loads(run("starter", "--json").out)} >= {"sd15", "sdxl"}
    assert run("starter", "sd15", "--to", tmp_path / "out").code == "starter-not-agreed"
    assert not (tmp_path / "out").exists()


def test_token(run, civitai, tmp_path, monkeypatch):
    run("agree", "--yes")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOKEN}\n"))
    said = run("token", "set")
    assert (said.status, "a file of the data folder" in said.out, TOKEN in said.out + said.err) == (0, True, False)
    civitai.token = TOKEN
    civitai.add(INK)
    assert run("fetch", "401", "--to", tmp_path / "out").status == 0
    assert run("token", "remove").status == 0
    assert run("fetch", "401", "--to", tmp_path / "other").code == "civitai-login-needed"
    assert not Workspace(tmp_path / "data").api_keys.exists()
    assert "There was no key" in run("token", "remove").out


def test_site(run, civitai, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI")
    assert "https://civitai.com" in run("site").out
    assert "https://civitai.red" in run("site", "civitai.red").out
    assert run("site", "http://civitai.com").code == "civitai-address-invalid"
    assert "https://civitai.com" in run("site", "default").out
    monkeypatch.setenv("SAMEFACE_CIVITAI", civitai.site)
    values = json.loads(run("site", "civitai.red", "--json").out)
    assert values == {"site": civitai.site, "kept": "https://civitai.red"}
    assert "comes first" in run("site").out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("info",), "civitai-what-not-named"),
        (("info", "missing.safetensors"), "civitai-file-not-found"),
        (("info", "rubbish"), "civitai-pointer-unreadable"),
        (("info", "x" * 5000), "civitai-pointer-unreadable"),
        (("info", "/nope"), "civitai-file-not-found"),
        (("info", "."), "civitai-file-is-folder"),
        (("library", "x" * 300), "library-folder-missing"),
        (("fetch",), "civitai-what-not-named"),
        (("fetch", "1", "2"), "civitai-what-not-named"),
        (("fetch", "401"), "civitai-folder-not-named"),
        (("fetch", "404", "--to", "x"), "civitai-unknown"),
        (("fetch", "401", "--to", ""), "civitai-folder-empty"),
        (("fetch", "401", "--to", "nowhere/x"), "civitai-folder-parent-missing"),
        (("site", "foo"), "civitai-address-invalid"),
        (("library",), "civitai-what-not-named"),
        (("library", "missing"), "library-folder-missing"),
        (("starter", "sd9", "--to", "x"), "starter-model-unknown"),
        (("starter", "sd15"), "civitai-folder-not-named"),
        (("token",), "civitai-token-what"),
        (("token", "steal"), "civitai-token-what"),
        (("agree", "x"), "civitai-what-not-named"),
        (("off", "x"), "civitai-what-not-named"),
        (("site", "a", "b"), "civitai-what-not-named"),
    ],
)
def test_wrong_input(run, words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("agree", "--yes")
    assert run(*words).code == code
    assert not (tmp_path / "x").exists()


def test_a_folder_with_too_many_files_is_not_looked_through(run, lora, monkeypatch):
    monkeypatch.setattr(library_table, "_MOST", 0)
    assert run("library", lora.parent).code == "library-too-large"
