"""What the page allows is what the server allows, and no script repeats it."""

import re
from pathlib import Path
from typing import get_args

import pytest

from lib_lora.civitai.licence_lights import LIGHTS
from lib_lora.errors import Misfit
from lib_lora.likeness.report.four_numbers import LABELS
from lib_lora.likeness.verdict.verdict_tone import STATUS_TONES
from lib_lora.photos.audit.coverage import SHORT
from lib_lora.queue.job_progress import PHASES
from lib_lora.queue.job_types import KINDS, RANGES, InventArguments, MoreArguments, TestArguments
from lib_lora.queue.queue_rows import State
from lib_lora.remote.api_key_store import ENVIRONMENT, FILE, KEYRING
from lib_lora.ui.routes.job_routes import _SHOWN
from lib_lora.ui.views.invention import WHY
from lib_lora.ui.views.page_limits import page_limits
from lib_lora.ui.views.report_messages import MEASURED

SCRIPTS = sorted((Path(__file__).parents[2] / "javascript" / "tab").rglob("*.js"))
LIST = re.compile(r"\[((?:\s*'\w+'\s*,?)+)\]")
OWN_LIMIT = re.compile(r"maxLength: ?\d|type: 'number'[^}]*\b(?:min|max|value): ?-?\d")
COUNT = re.compile(r"\b\d+ to \d+\b|\b\d+ (?:photos|pixels)\b|\d+ % of")  # in a sentence: it is a limit of the server's
KEY = re.compile(r"^ +'?([a-z][\w ]*?)'?: '", re.MULTILINE)  # of a table of texts
TABLE = re.compile(r"= \{\n((?: +'?[\w ]+'?: '(?:[^'\\\n]|\\.)*',\n)+)", re.MULTILINE)


def made(name, value):
    """A job's arguments with one of them set."""
    if name in ("grid_steps", "weight", "side", "first_seed", "cfg"):
        return TestArguments(**{name: value})
    if name in ("count", "budget"):
        return MoreArguments(**{name: value})
    return InventArguments("a woman", "base.safetensors", **{name: value})


@pytest.mark.parametrize("name", RANGES)
def test_what_the_page_allows_is_taken_and_what_is_beyond_is_refused(name):
    shown = page_limits().ranges[name]
    for value in (shown.least, shown.most, shown.usual):
        if value is not None:
            made(name, value)
    for value in (shown.least - 8, shown.most + 8):
        with pytest.raises((Misfit, ValueError)):
            made(name, value)


@pytest.mark.parametrize("name", ["name", "trigger", "class_word"])
def test_a_text_as_long_as_its_field_is_taken_and_a_longer_one_refused(page, name):
    most = getattr(page_limits(), f"{name}_letters")
    body = {"name": "Mara", "trigger": "mrxa", "class_word": "woman"}
    assert page.code_of("/characters", {**body, name: "x" * (most + 1)}) == "text-too-long"
    assert page.faulted("/characters", {**body, name: "x" * (most + 1)}) == name
    assert page.done("/characters", {**body, name: "x" * most})[name] == "x" * most


def test_the_page_can_show_every_type_of_job():
    assert set(_SHOWN) == set(KINDS)


CODES = {  # of which the server has the words
    "phases of a job": {*PHASES} - {"finished", "stopped", "paused", "interrupted"},
    "states of pictures": {*STATUS_TONES},
    "the four numbers": {*LABELS},
    "lights of licences": {*LIGHTS},
    "why a picture was not kept": {*WHY},
    "where a key is kept": {ENVIRONMENT, KEYRING, FILE},
    "angles of photos": {*SHORT},
    "facts of a report": {*MEASURED},
}


def own_copies(text):
    """What a script says by itself although the server knows it: limits of fields and in sentences, lists of types or
    states of jobs, and tables of words for codes."""
    lists = [set(re.findall(r"'(\w+)'", found)) for found in LIST.findall(text)]
    states = {*get_args(State)}
    listed = [one for one in lists if len(one) > 1 and (one <= states or one <= set(KINDS))]
    sentences = [one for one in re.findall(r"'((?:[^'\\\n]|\\.)*)'", text) if " " in one and COUNT.search(one)]
    tables = [set(KEY.findall(found)) for found in TABLE.findall(text)]
    words = [what for what, codes in CODES.items() for table in tables if len(table & codes) > 1]
    return OWN_LIMIT.findall(text) + listed + sentences + words


def test_no_script_repeats_a_limit_or_a_list_of_jobs():
    assert len(SCRIPTS) > 40
    assert {path.name: found for path in SCRIPTS if (found := own_copies(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "el('input', { type: 'text', maxLength: 80 })",
        "el('input', { class: 'x', type: 'number', min: least, max: 64, value })",
        "el('input', { class: 'x', type: 'number', min: 1, step: 10 })",
        "el('input', { class: 'x', type: 'number', step: 10, value: 100 })",
        "const KINDS = ['train', 'test'];",
        "['waiting', 'paused', 'running'].includes(job.state)",
        "['failed', 'interrupted'].includes(last.state)",
        "t('20 to 50 photos of this one face')",
        "t('the face at least 100 pixels high')",
        "const PHASES = {\n  preparing: 'Loading the photos',\n  training: 'Training',\n};",
        "const MEANINGS = {\n  ok: 'clearly this person',\n  'no face': 'none is found',\n};",
        "const WORDS = {\n  green: 'allowed',\n  red: 'not allowed',\n};",
    ],
)
def test_a_copy_is_found(line):
    assert own_copies(line)
