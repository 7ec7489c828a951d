"""Lists the texts of the tab for a translator: those in its scripts, and the templates of what the server says.

``python -m lib_lora.ui.views.translatable_texts`` prints them as a webui wants a file of ``localizations``: each text
with its translation, which is empty at first. An empty translation leaves the text in English.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

from lib_lora.environment import bundled

_LITERAL = r"'((?:[^'\\\n]|\\.)*)'"
_TEXT = re.compile(rf"{_LITERAL}(?:\s*\+\s*{_LITERAL})*")  # long ones are written in pieces
_BEFORE = 200  # characters before a text in which the function stands that it is given to
_COMMENT = re.compile(r"/\*\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)  # "image/*" is none
_ASKED = re.compile(r"\b(?:t|plural|notice|toast)\((?:[^;'()]*,)?(?:\s*'[^']*',)?\s*$")  # what stands before a text
# Words and not a name in the code: they begin with a capital or a value, or there is a space between two words.
_WORDS = re.compile(r"[A-Z“][a-z].*|[A-Z“]+ .*|.*\{\w+\}.*|[a-z]+ …?[a-z].*", re.DOTALL)
_CODE = re.compile(r"sf-|[A-Za-z]+-[A-Za-z-]+$|use strict|[a-z#.]+[\[:#>]|[A-Z][a-z]+[A-Z]\w*$|/")


def of_scripts() -> list[str]:
    """The texts in the modules of the tab, in their order; few are names of keys and the like, and do no harm."""
    found: dict[str, None] = {}
    for path in sorted(bundled("javascript/tab").rglob("*.js")):
        code = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        for match in _TEXT.finditer(code):
            text = "".join(re.findall(_LITERAL, match.group())).replace("\\'", "'")
            asked = _ASKED.search(code, max(0, match.start() - _BEFORE), match.start())
            if asked or (_WORDS.fullmatch(text) and not _CODE.match(text)):
                found.setdefault(text)
    return [*found]


def of_server() -> Iterator[str]:
    """The templates of all messages that the routes send (`messages.message.Message`)."""
    from lib_lora.captions import caption_words
    from lib_lora.likeness.verdict import prompt_adherence, verdict
    from lib_lora.photos.audit import audit_words, finding_words
    from lib_lora.ui.views import advice_buttons, caption_checks, step_words

    for part in (finding_words, audit_words, caption_words, verdict, prompt_adherence, step_words):
        yield from part.templates()
    yield caption_checks.UNCHECKED
    yield from advice_buttons.LABELS


def texts() -> list[str]:
    """All of them once; those of the scripts come first."""
    return [*dict.fromkeys((*of_scripts(), *of_server()))]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(json.dumps(dict.fromkeys(texts(), ""), indent=2, ensure_ascii=False) + "\n")
