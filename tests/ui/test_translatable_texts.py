"""The list that a translator gets: all that the tab says, in forms that the tab can fill."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path

from lib_lora.environment import bundled
from lib_lora.ui.views import translatable_texts

ROOT = Path(__file__).parents[2]
LITERAL = r"'((?:[^'\\\n]|\\.)*)'"


def test_what_the_scripts_translate_is_listed() -> None:
    """Texts that reach `t` through a widget cannot be told from the code alone; the examples below are such."""
    listed = translatable_texts.of_scripts()
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(bundled("javascript/tab").rglob("*.js")))
    direct = re.findall(rf"\b(?:t|notice|toast)\((?:'\w+', )?{LITERAL}[,)]", code)
    one_and_many = re.findall(rf"plural\([^']*{LITERAL}, {LITERAL}\)", code)
    asked = {*direct, *(one for both in one_and_many for one in both)}
    assert len(asked) > 150
    assert {text.replace("\\'", "'") for text in asked} - {*listed} <= {"good", "warn", "bad", "none"}  # tones
    through = {"Put into txt2img", "Captions", "Try again", "The GPU is free.", "Give the character a name."}
    assert through <= {*listed}
    assert len(listed) == len({*listed}) > 500


def test_the_tab_can_fill_every_template_of_the_server() -> None:
    known = re.compile(r"\+?,?(\.\d+)?[f%g]?")  # the formats that `say` in texts.js knows
    templates = [*translatable_texts.of_server()]
    assert len({*templates}) > 150
    for template in templates:
        for text, name, format_as, conversion in string.Formatter().parse(template):
            assert not {"{", "}"} & {*text}, template
            assert conversion is None, template
            assert name is None or (re.fullmatch(r"[A-Za-z_]\w*", name) and known.fullmatch(format_as)), template


def test_the_list_is_a_file_of_a_webui() -> None:
    command = [sys.executable, "-m", "lib_lora.ui.views.translatable_texts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert json.loads(done.stdout) == dict.fromkeys(translatable_texts.texts(), "")
