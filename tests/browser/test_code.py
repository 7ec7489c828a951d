"""A program named on the page alone, in a real browser: the page asks for the code that its terminal shows."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from started import START, Started, free
from visitor import Visitor

from lib_lora.workspace.preferences import load

QUIET = "from lib_lora.ui.views import caption_checks\ncaption_checks._load = lambda: None\n"


@pytest.mark.skipif(sys.platform == "win32", reason="reads the terminal of a process that is killed")
def test_a_python_is_named_with_the_code_of_the_terminal(tmp_path: Path, browser_windows: object) -> None:
    root = tmp_path / "data"
    started = Started(root, "--no-open", "--port", str(free()), start=QUIET + START)
    visitor = None
    try:
        started.until("SameFace: http://")
        file = Path(started.until("For another browser, open").split(" open ")[-1])
        started.until("Ctrl+C ends it.")
        visitor = Visitor(browser_windows, file.as_uri(), "alone")
        visitor.come()  # by the file, which leads on to the page
        assert visitor.page.url.startswith("http://127.0.0.1:")
        assert "once" not in visitor.page.url
        visitor.step("Doctor")
        panel = visitor.page.locator("#sf-panel-doctor")
        panel.locator(".sf-check").first.wait_for()  # all is loaded
        panel.get_by_label("Python that trains").fill(sys.executable)
        visitor.click("Save the settings")
        dialog = visitor.page.locator("dialog.sf-dialog")
        dialog.get_by_text("enter the one shown in the terminal where SameFace runs").wait_for()
        code = started.until(sys.executable).split()[-1]
        dialog.get_by_label("Code", exact=True).fill("AAAA-AAAA")
        dialog.get_by_role("button", name="Confirm").click()
        dialog.get_by_text("Wrong code").wait_for()
        visitor.photograph("code")
        dialog.get_by_role("button", name="Cancel").click()
        visitor.sees("No code was typed, so nothing was changed.")
        assert load(root).worker_python == ""
        visitor.click("Save the settings")
        dialog.get_by_label("Code", exact=True).fill(code.lower())
        dialog.get_by_label("Code", exact=True).press("Enter")
        visitor.sees("The settings are saved.")
        assert load(root).worker_python == sys.executable
        assert visitor.errors == []
    finally:
        if visitor:
            visitor.page.close()
        started.ends(signal.SIGINT)
