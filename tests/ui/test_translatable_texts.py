"""The list that a translator gets: all that the tab says, in forms that the tab can fill."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest

from lib_lora.setup.environment import bundled
from lib_lora.training.plan.form_fields import fields
from lib_lora.ui.views import translatable_texts

ROOT = Path(__file__).parents[2]
LITERAL = r"'((?:[^'\\\n]|\\.)*)'"


def test_what_the_scripts_say_is_listed() -> None:
    listed = translatable_texts.of_scripts()
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(bundled("javascript/tab").rglob("*.js")))
    asked = {text.replace("\\'", "'") for text in re.findall(rf"\bt\(\s*{LITERAL}[,)]", code)}
    assert len(asked) > 150
    assert {text for text in asked if translatable_texts.has_words(text)} - {"pasted.png"} <= {*listed}
    others = {"{n} minute ago", "{n} minutes ago"}  # one and many
    others |= {"Put into txt2img", "Captions", "Try again", "Give the character a name."}  # which a widget translates
    others |= {"A caption names what its photo shows besides the person, so that it is not learned with the face."}
    others |= {"No connection to the webui; is it still running?"}
    assert others <= {*listed}
    assert len(listed) == len({*listed}) > 500
    assert not [text for text in listed if re.search(r"sf-|^\w+-\w+$|^/|[a-z]:[a-z]", text)]  # names in the code


@pytest.mark.parametrize(
    "words",
    [
        {"undecided", "saving …", "+ New", "‹ Previous", "woman", "man", "person", "left", "ahead", "right"},
        {
            "{least} to {most} photos of this one face, alone in the picture",
            "{least} or more are enough to learn a face well.",
        },
        {"sharp, well lit, the face at least {n} pixels high"},
        {"close-ups, some of the upper body, a few of the whole body"},
        {"look", "leave out?", "new", "good", "kept by you", "waiting", "running", "stopped"},
        {"ok", "drift", "lost", "suspect", "no face", "like this person", "not judged"},
        {"close-up", "upper body", "full body", "Training", "Objective", "no close-up"},
        {"Judge each picture's face", "paint again", "{passed} of {counted} pass.", "below the line"},  # of the guard
    ],
)
def test_single_words_are_listed_too(words: set[str]) -> None:
    assert words <= {*translatable_texts.texts()}


def test_all_that_is_said_of_settings_is_listed() -> None:
    listed = {*translatable_texts.texts()}
    assert {field[key] for field in fields() for key in ("label", "text", "group")} <= listed


@pytest.mark.parametrize("name", ["bad", "warn", "Enter", "Escape", "pasted.png", "{counts}", "svg:line", "POST"])
def test_what_is_no_text_is_not_listed(name: str) -> None:
    assert name not in translatable_texts.texts()


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
    """A webui shows a translation even where it is empty, in its own tabs too; a text as its own changes nothing."""
    command = [sys.executable, "-m", "lib_lora", "texts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    printed = json.loads(done.stdout)
    assert all(printed.values())
    assert printed == {text: text for text in translatable_texts.texts()}
