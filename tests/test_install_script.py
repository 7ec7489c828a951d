"""The file that the webui runs: it registers all there is, and whatever fails, a tab opens that says what and why."""

from __future__ import annotations

import ast
import runpy
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.standin.stage import stand_in
from lib_lora.errors import UserError
from lib_lora.hosts.webuis import detect, webui_page
from lib_lora.setup import environment
from lib_lora.ui.page import attach, broken
from lib_lora.ui.views import caption_checks

if TYPE_CHECKING:  # each worker collects this file
    import gradio

SCRIPT = environment.ROOT / "scripts" / "train_lora.py"


@pytest.fixture
def webui(tmp_path):
    with stand_in("a1111", tmp_path / "stable diffusion ü") as found:
        yield found


@pytest.fixture
def attached(monkeypatch):
    """What was attached is ended with the test; nothing of it starts."""
    monkeypatch.setattr(caption_checks, "begin", lambda: None)
    monkeypatch.setattr(attach, "_kept", {})


def run() -> None:
    runpy.run_path(str(SCRIPT))


def texts(blocks: gradio.Blocks) -> str:
    import gradio

    return " ".join(str(block.value) for block in blocks.blocks.values() if isinstance(block, gradio.HTML))


def tabs(webui) -> list[tuple[gradio.Blocks, str, str]]:
    return webui.script_callbacks.ui_tabs_callback()


def test_it_is_a_few_lines_without_logic():
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < 20
    kinds = {type(node) for node in ast.walk(tree)}
    assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.Lambda, ast.Try}


@pytest.mark.parametrize("name", ["scripts/train_lora.py", "lib_lora/ui/page/broken.py", "lib_lora/setup/packages.py"])
def test_an_older_python_reads_what_tells_it_so(name):
    ast.parse((environment.ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_webui_gets_tab_settings_and_routes(webui, attached):
    run()
    ((blocks, title, element),) = tabs(webui)
    assert (title, element) == ("Train LoRA", "sameface")
    assert 'id="sameface"' in texts(blocks)
    webui.script_callbacks.ui_settings_callback()
    assert any(key.startswith("sameface_") for key in webui.shared.opts.data_labels)


def test_again_after_reload_ui(webui, attached):
    run()
    kept = attach.attach(detect.host()).supervisor
    webui.script_callbacks.clear_callbacks()
    run()
    assert len(tabs(webui)) == 1
    assert attach.attach(detect.host()).supervisor is kept
    assert len(attach._kept) == 1


@pytest.mark.parametrize(
    ("error", "wrong", "mend"),
    [
        (
            UserError("Cannot write /x <y>: the disk is full.", code="some-fault"),
            "/x &lt;y&gt;: the disk is full.",
            "Reload UI",
        ),
        (ModuleNotFoundError("x", name="scipy.stats"), "package scipy is missing", "scipy&gt;=1.10"),
        (
            ModuleNotFoundError("no lib_lora.x", name="lib_lora.x"),
            "was updated while the webui was running",
            "Restart the webui",
        ),
        (ImportError("cannot import name 'y'"), "ImportError: cannot import name", "Update SameFace"),
        (AttributeError("module has no attribute"), "AttributeError: module has", "A1111 1.9"),
        (RuntimeError("first\n second"), "could not start: RuntimeError: first second.", "console"),
        (SyntaxError(""), "could not start: SyntaxError", "console"),
    ],
)
@pytest.mark.parametrize("where", ["attach", "tab", "register"])
def test_whatever_fails_a_tab_opens_and_says_it(webui, attached, monkeypatch, capsys, where, error, wrong, mend):
    def fails(*_: object, **__: object) -> None:
        raise error

    if where == "tab":
        made = types.SimpleNamespace(tab=fails, started=lambda *_: None)
        monkeypatch.setattr(attach, "attach", lambda *_, **__: made)
    else:
        monkeypatch.setattr(*((attach, "attach", fails) if where == "attach" else (webui_page, "register", fails)))
    run()
    ((blocks, title, element),) = tabs(webui)
    assert (title, element) == ("Train LoRA", "sameface")
    said = texts(blocks)
    assert wrong in said
    assert mend in said.partition("What to do:")[2]
    assert 'id="sameface"' not in said  # our scripts must not draw over it
    assert "Traceback" not in said
    assert "Traceback" in capsys.readouterr().err


def test_a_module_of_its_own_that_is_lost_is_said(webui, attached, monkeypatch):
    """As after an update and Reload UI: the script is new, and the modules of before are still loaded."""
    monkeypatch.setitem(sys.modules, "lib_lora.ui.page.attach", None)
    run()
    assert "SameFace was updated while the webui was running" in texts(tabs(webui)[0][0])


def test_an_old_python_is_said_before_anything_else(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    wrong, mend = broken.said(SyntaxError("invalid syntax"))
    assert "needs Python 3.10 or newer, and this webui runs Python 3.8" in wrong
    assert "venv" in mend


@pytest.mark.parametrize(
    ("word", "quoted"), [("plain", "plain"), ("a b", '"a b"'), ("x>=1,<2", '"x>=1,<2"'), (r"C:\a (b)", r'"C:\a (b)"')]
)
def test_a_command_can_be_typed_in_any_shell(word, quoted):
    assert broken._quoted(word) == quoted


def test_the_data_folder_that_cannot_be_made_is_said(webui, attached):
    (Path(webui.data) / "sameface").write_text("in the way", encoding="utf-8")
    run()
    assert "Cannot write" in texts(tabs(webui)[0][0])
