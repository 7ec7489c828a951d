"""``try``: the whole job on what comes with the source."""

import json
import sys
import webbrowser

import pytest
from faults import raises

from lib_lora.cli import train_commands
from lib_lora.setup import environment
from lib_lora.training.plan.run_file import load_run
from lib_lora.ui.page import page_app
from lib_lora.workflows.train import demo
from lib_lora.workflows.train.screen import at_a_screen, in_browser

pytestmark = pytest.mark.once("the whole job is repeated by test_main_job.py, the page by test_page_app.py")


class Browser:
    """Remembers what it was to open."""

    def __init__(self, opened):
        self.open = opened.append


def test_try_does_the_whole_job(main, fake_painter, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "get", lambda: Browser(opened))
    root = tmp_path / "Versuch ü"
    said = main("try", "--data", root, "--steps", "1")
    assert said.status == 0, said.err
    assert "24 photos added" in said.out
    names = [f"mara{end}" for end in (".json", ".png", ".safetensors")]
    assert sorted(path.name for path in (root / "out").iterdir()) == names
    run = load_run(root / "characters" / "mara" / "runs" / "001")
    assert (run.file.settings.preset, run.file.settings.resolution, run.file.base.guidance) == ("mini-face", 128, 3)
    plan = json.loads((run.folder / "grids" / "001" / "plan.json").read_text(encoding="utf-8"))
    assert {(cell["width"], cell["height"], cell["cfg"]) for cell in plan["lora"]} == {(128, 128, 3)}
    report = run.folder / "grids" / "001" / "report.html"
    assert report.is_file()
    assert str(report) in said.out
    assert opened == []  # nobody sits at a pipe
    assert said.out.splitlines()[-1].startswith("All of this as a page in the browser: sameface ui --data ")
    assert str(root) in said.out.splitlines()[-1]


@pytest.mark.once("what comes after the job; the job itself is repeated above")
@pytest.mark.parametrize(("screen", "arguments", "count"), [(True, [], 1), (True, ["--no-open"], 0), (False, [], 0)])
def test_try_ends_in_the_tab_at_a_screen_only(main, tmp_path, monkeypatch, screen, arguments, count):
    served = []
    monkeypatch.setattr(demo, "run_main_job", lambda *_: None)
    monkeypatch.setattr(train_commands, "_trained", lambda *_: train_commands.Answer("", None))
    monkeypatch.setattr(page_app, "serve", served.append)
    monkeypatch.setattr("lib_lora.workflows.train.screen.at_a_screen", lambda: screen)
    said = main("try", "--data", tmp_path / "a b", "--steps", "1", *arguments)
    assert said.status == 0, said.err
    assert served == [tmp_path / "a b"] * count


@pytest.mark.parametrize("missing", ["mini-face", "mara"])
def test_what_does_not_lie_beside_the_code_is_named(tmp_path, monkeypatch, missing):
    there = environment.bundled
    monkeypatch.setattr(environment, "bundled", lambda name: tmp_path / "none" if missing in name else there(name))
    with raises("demo-file-missing"):
        demo.try_it(tmp_path / "data", 1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("steps", ["0", "-1", "many"])
def test_steps_are_checked(main, steps, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main("try", "--data", tmp_path, f"--steps={steps}")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("system", "tty", "variables", "screen"),
    [
        ("linux", True, {"DISPLAY": ":0"}, True),
        ("linux", True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", True, {}, False),
        ("linux", False, {"DISPLAY": ":0"}, False),
        ("win32", True, {}, True),
        ("darwin", True, {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, False),
    ],
)
def test_a_screen_is_a_terminal_with_windows_around_it(monkeypatch, system, tty, variables, screen):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty, raising=False)
    assert at_a_screen() == screen


def test_a_browser_in_the_terminal_is_not_started(monkeypatch, tmp_path):
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("no-such-program-lynx"))
    monkeypatch.setattr(webbrowser.GenericBrowser, "open", lambda *_: pytest.fail("it took the terminal"))
    in_browser("http://127.0.0.1:7869/")

    def none():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    in_browser("http://127.0.0.1:7869/")
