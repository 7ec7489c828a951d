"""Lists the texts of the tab for a translator: those in its scripts, and those that the server has it show; and those
of the guard in txt2img.

``python -m lib_lora texts`` prints them as a webui wants a file of ``localizations``. Each text is its own translation
at first: a webui shows an empty one as it is, and so would blank the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from lib_lora.setup.environment import bundled

_LITERAL = r"'((?:[^'\\\n]|\\.)*)'"
_TEXT = re.compile(rf"{_LITERAL}(?:\s*\+\s*{_LITERAL})*")  # long ones are written in pieces
_COMMENT = re.compile(r"/\*\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)  # "image/*" is none
_BEFORE = 200  # characters before a text in which it stands what becomes of it
_ASKED = re.compile(  # what stands before a text: a function or a property that translates
    r"\b(?:t|plural)\((?:[^;'()]*,)?(?:\s*'[^']*',)?\s*$|\b(?:text|label|title|help|name|yLabel|xLabel): \s*$"
)
_TABLE = re.compile(r"^(?:export )?const ([A-Z_]+) = ([\[{].*?[\]}]);", re.DOTALL | re.MULTILINE)  # name and contents
_EACH = re.compile(r"(\[[^\[\];\n]*\]|Object\.entries\([A-Z_]+\)|\b[A-Z_]+)\.map\([^;]*\bt\(")  # each of a list
_FILE = re.compile(r"\S+\.\w{3}$")
_COMPARED = re.compile(r"[!=]==\s*$")  # before a text
_NAMED = re.compile(r":|\s*[!=]==")  # after one: it is a key, or compared
# Words and not a name in the code: they begin with a capital or a value, or there is a space between two words.
_WORDS = re.compile(r"[A-Z“][a-z].*|[A-Z“]+ .*|.*\{\w+\}.*|[^#.\[]*[\w,+‹-] …?[\w–…].*", re.DOTALL)
_CODE = re.compile(
    r".*\bsf-|[A-Za-z]+-[A-Za-z-]+$|use strict|[a-z#]+(?:[\[#>]|:\S)|[A-Z][a-z]+[A-Z]\w*$|[A-Z]+$|/"
    r"|(?:Array|Backspace|End|Enter|Escape|Home|Page|Tab)\w*$|input, textarea"
)


def of_scripts() -> list[str]:
    """The texts in the modules of the tab, in their order."""
    codes = [
        _COMMENT.sub("", path.read_text(encoding="utf-8")) for path in sorted(bundled("javascript/tab").rglob("*.js"))
    ]
    tables = {name for code in codes for name in _tables_asked_for(code)}
    found: dict[str, None] = {}
    for code in codes:
        asked = [*_asked_for(code), *(table.span(2) for table in _TABLE.finditer(code) if table[1] in tables)]
        for match in _TEXT.finditer(code):
            text = "".join(re.findall(_LITERAL, match.group())).replace("\\'", "'")
            before = code[max(0, match.start() - _BEFORE) : match.start()]
            if _FILE.match(text) or _COMPARED.search(before) or _NAMED.match(code, match.end()):
                continue
            inside = any(start <= match.start() < end for start, end in asked)
            if inside or _ASKED.search(before) or (_WORDS.fullmatch(text) and not _CODE.match(text)):
                found.setdefault(text)
    return [text for text in found if has_words(text)]


def of_server() -> Iterator[str]:
    """The templates of all messages that the routes send (`messages.message.Message`), the words that the tab
    translates beside them, and what the guard in txt2img says."""
    from lib_lora.captions import caption_words, captioner
    from lib_lora.captions.slots import Framing
    from lib_lora.civitai import licence_lights, starter_models
    from lib_lora.civitai.api import licence_flags
    from lib_lora.guard import guard_settings, guard_words
    from lib_lora.hosts import webui_attributes
    from lib_lora.hosts.webuis import webui_captioners
    from lib_lora.likeness.comparing import weight_verdict
    from lib_lora.likeness.report import four_numbers
    from lib_lora.likeness.report.report import SHARES
    from lib_lora.likeness.verdict import prompt_adherence, verdict, verdict_tone
    from lib_lora.photos.audit import audit_words, finding_words
    from lib_lora.queue import job_progress
    from lib_lora.queue.queue_rows import State
    from lib_lora.remote import places
    from lib_lora.remote.renting.gpu_offers import STOCK_WORDS
    from lib_lora.training.plan import device_choice
    from lib_lora.training.plan.form_fields import fields, preset_entries
    from lib_lora.ui.views import advice_buttons, caption_checks, invention, page_words, report_messages, step_words
    from lib_lora.ui.views.doctor import check_texts
    from lib_lora.workflows.produce.production import Reason

    for part in (finding_words, audit_words, caption_words, verdict, prompt_adherence, step_words, weight_verdict):
        yield from part.templates()
    for part in (four_numbers, page_words, report_messages, invention):
        yield from part.templates()
    for part in (check_texts, device_choice, places, webui_attributes):  # of the Doctor
        yield from part.templates()
    yield from (*guard_words.templates(), *guard_settings.choices())
    yield from (*job_progress.names(), *STOCK_WORDS.values())
    yield caption_checks.UNCHECKED
    yield from advice_buttons.LABELS
    yield from (*audit_words.words(), *verdict_tone.picture_words(), *get_args(State), *get_args(Framing))
    yield from (reason for reason in get_args(Reason) if reason)
    yield from (*captioner.OWN.values(), *webui_captioners.NAMES.values())
    yield from (f"{name[:1].upper()}{name[1:]}" for name in SHARES)
    yield from (*licence_lights.templates(), *licence_flags.statement_words())
    yield from (one.text for one in starter_models.starter_models())
    for field in fields():
        yield from (field["group"], field["label"], field["text"], field["example"])
    yield from (one["text"] for one in preset_entries())


def texts() -> list[str]:
    """All of them once that have words; those of the scripts come first."""
    return [*dict.fromkeys(text for text in (*of_scripts(), *of_server()) if has_words(text))]


def has_words(text: str) -> bool:
    """Whether there is anything to translate beside values in braces."""
    return re.search(r"[^\W\d_]", re.sub(r"\{[^{}]*\}", "", text)) is not None


def _asked_for(code: str) -> Iterator[tuple[int, int]]:
    """From where to where what is given to each `t` and `plural` reaches, and the lists of which each one is."""
    for each in _EACH.finditer(code):
        yield each.span(1)
    for call in re.finditer(r"\b(?:t|plural)\(", code):
        yield call.end(), _end_of(code, call.end())


def _end_of(code: str, start: int) -> int:
    """Where the brackets end in which `start` is; brackets in texts do not count."""
    depth, place = 0, start
    while place < len(code):
        if literal := re.compile(_LITERAL).match(code, place):
            place = literal.end()
            continue
        letter = code[place]
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            break
        place += 1
    return place


def _tables_asked_for(code: str) -> Iterator[str]:
    """Names of constants whose texts `t` is given."""
    for start, end in _asked_for(code):
        yield from re.findall(r"\b[A-Z][A-Z_]+\b", code[start:end])
