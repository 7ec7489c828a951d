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


def test_what_the_scripts_say_is_listed() -> None:
    listed = translatable_texts.of_scripts()
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(bundled("javascript/tab").rglob("*.js")))
    asked = {text.replace("\\'", "'") for text in re.findall(rf"\bt\(\s*{LITERAL}[,)]", code)}
    assert len(asked) > 150
    assert asked <= {*listed}
    others = {"{n} minute ago", "{n} minutes ago"}  # one and many
    others |= {"Put into txt2img", "Captions", "Try again", "Give the character a name."}  # which a widget translates
    others |= {"A caption names what changes from photo to photo, so that it is not learned with the face."}
    others |= {"No connection to the webui; is it still running?"}
    assert others <= {*listed}
    assert len(listed) == len({*listed}) > 500
    assert not [text for text in listed if re.search(r"sf-|^\w+-\w+$|^/|[a-z]:[a-z]", text)]  # names in the code


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
