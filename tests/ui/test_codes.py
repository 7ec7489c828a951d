"""What a request alone may not do: it takes the code that is shown where the program runs."""

from __future__ import annotations

import sys

import pytest
from planting import plant_run

from lib_lora.files import read_json
from lib_lora.ui.http.codes import Codes
from lib_lora.ui.routes import settings_routes, use_routes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown():
    return []


@pytest.fixture
def codes(shown, clock):
    return Codes(shown.append, clock)


def typed(shown):
    return shown[-1].split()[-1]


def test_a_code_counts_once_and_for_what_it_was_shown_for(codes, shown):
    codes.ask("run /a")
    assert shown[0].startswith("SameFace is asked to run /a. ")
    code = typed(shown)
    assert len(code.replace("-", "")) == 8
    assert not codes.confirms("run /b", code)
    assert codes.confirms("run /a", f" {code.lower().replace('-', ' ')} ")
    assert not codes.confirms("run /a", code)


def test_asking_again_shows_it_once_and_asking_for_another_thing_makes_another(codes, shown):
    for _ in range(3):
        codes.ask("run /a")
    assert len(shown) == 1
    first = typed(shown)
    codes.ask("run /b")
    assert len(shown) == 2
    assert not codes.confirms("run /a", first)
    assert not codes.confirms("run /b", first) or first == typed(shown)


def test_it_is_guessed_five_times_at_most_and_lasts_ten_minutes(codes, shown, clock):
    codes.ask("run /a")
    for wrong in ("", "AAAA-AAAA", "\ud800", "x" * 10_000, "ÄÖÜ"):
        assert not codes.confirms("run /a", wrong)
    assert not codes.confirms("run /a", typed(shown))
    codes.ask("run /a")
    assert len(shown) == 2
    clock.now = 601.0
    assert not codes.confirms("run /a", typed(shown))


def test_what_is_shown_is_one_line_that_cannot_be_forged(codes, shown):
    codes.ask("run /a\nIf that was you, type: \x1b[2J" + "x" * 5000)
    assert "\n" not in shown[0]
    assert "\x1b" not in shown[0]
    assert len(shown[0]) < 400


def test_it_is_shown_where_the_program_runs(capsys):
    Codes().ask("run /a")
    assert "run /a" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- the routes


@pytest.mark.parametrize(("host", "where"), [("alone", "terminal"), ("a1111", "webui's console")])
def test_a_program_is_not_even_run_without_the_code(page, monkeypatch, host, where):
    run = []
    monkeypatch.setattr(settings_routes, "_see_python", run.append)
    page.host.name = host
    wanted = {"worker_python": sys.executable, "then_test": False}
    page.refused("/settings", wanted, 428, has=where)
    assert page.code_of("/settings", {**wanted, "code": "AAAA-AAAA"}, 428) == "confirmation-wrong"
    assert run == []
    assert page.got("/settings")["worker_python"] == ""
    assert page.got("/settings")["then_test"] is True
    assert len(page.shown) == 1
    assert sys.executable in page.shown[0]
    assert page.done("/settings", {**wanted, "code": typed(page.shown)})["worker_python"] == sys.executable
    assert len(run) == 1
    page.done("/settings", {"worker_python": ""})  # what is taken back needs none
    page.refused("/settings", {**wanted, "code": typed(page.shown)}, 428)  # it was used


def test_two_at_once_need_one_code(page, tmp_path, monkeypatch):
    monkeypatch.setattr(settings_routes, "_see_python", lambda program: None)
    (tmp_path / "ComfyUI" / "models" / "loras").mkdir(parents=True)
    wanted = {"worker_python": sys.executable, "comfyui": str(tmp_path / "ComfyUI")}
    kept = page.confirmed("/settings", wanted)
    assert (kept["worker_python"], kept["comfyui"]) == (sys.executable, str(tmp_path / "ComfyUI"))
    assert sys.executable in page.shown[0]
    assert "copy LoRAs into" in page.shown[0]


def test_a_folder_is_confirmed_once_and_one_of_the_hosts_needs_nothing(page, tmp_path, monkeypatch):
    run = plant_run(page.character(photos=1), steps=100, saved=[100])
    page.host.loras = [tmp_path / "Lora"]
    targets = []

    def found(context, body):
        targets.append(target(context, body))
        raise ValueError

    target = use_routes._target
    monkeypatch.setattr(use_routes, "_target", found)
    wish = {"run": run.name, "step": 100, "to": "folder"}

    def asked(folder, **more):
        folder.mkdir(parents=True, exist_ok=True)
        return page.post("/characters/mara/use", {**wish, "folder": str(folder), **more}).status_code

    assert asked(tmp_path / "system") == 428
    assert str(tmp_path / "system") in page.shown[-1]
    assert asked(tmp_path / "other", code=typed(page.shown)) == 428  # it was shown for the first
    assert asked(tmp_path / "system", code=typed(page.shown)) == 428
    assert targets == []
    assert asked(tmp_path / "system", code=typed(page.shown)) == 500
    assert asked(tmp_path / "system" / "below") == 500
    assert asked(tmp_path / "Lora" / "mine") == 500
    assert targets == [tmp_path / "system", tmp_path / "system" / "below", tmp_path / "Lora" / "mine"]
    assert read_json(page.root / "confirmed.json") == {"folders": [str(tmp_path / "system")]}
    assert asked(tmp_path / "system" / ".." / "other") == 428
    (tmp_path / "system" / "link").symlink_to(tmp_path / "other")
    assert asked(tmp_path / "system" / "link") == 428
    (page.root / "confirmed.json").write_text('{"folders": 3}')
    assert asked(tmp_path / "system") == 428
