"""Keeps a sentence as a template and the values that fill it, so that each outlet can say it in its own language.

A terminal and the HTML pages say it in English; the tab translates the template and fills it itself (`say` in
javascript/tab/base/texts.js); the guard does the same with `Message.translated`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Message:
    """A sentence, or a part of one.

    Attributes:
        template: English, with values in braces: "{value:.0%} of the photos". Of Python's format specifications the tab
            knows ``.2f``, ``.0%``, ``g``, ``,`` and these with ``+``.
        values: by name: a number, a text that is not translated (a file's name, the words of a prompt, the sentence of
            an error), or messages: one that is a part of the sentence, or a list of them, which is said with commas.
            What the template does not name is left aside.
        code: what is said, for programs; stays the same when the sentence is reworded. Empty for a part.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""

    def __str__(self) -> str:
        return self.template.format_map({name: _english(self.values[name]) for name in self.names()})

    def translated(self, words: Mapping[str, str]) -> str:
        """The message in the user's language, for what the tab's scripts do not say.

        Args:
            words: by English text; a template that it lacks, or has with other values in braces, stays English.
        """
        template = words.get(self.template) or self.template
        if _fields(template) != _fields(self.template):
            template = self.template
        return template.format_map({name: _said(self.values[name], words) for name in self.names()})

    def names(self) -> list[str]:
        """The names of the values that the template contains."""
        return [name for _, name, _, _ in string.Formatter().parse(self.template) if name]

    def capitalised(self) -> Message:
        """The message with a capital letter, to begin a sentence."""
        if not self.template.startswith("{"):
            return replace(self, template=_capital(self.template))
        first = self.names()[0]
        value = self.values[first]
        value = value.capitalised() if isinstance(value, Message) else _capital(value)
        return replace(self, values={**self.values, first: value})

    def for_programs(self) -> dict[str, Any]:
        """As plain values: `code`, `template` and `values`, in which a part is again a table with a `template`."""
        return {
            "code": self.code,
            "template": self.template,
            "values": {name: _plain(self.values[name]) for name in self.names()},
        }


def recognised(text: str, templates: Iterable[str]) -> Message | str:
    """A sentence that is kept as text, as a message again: the first template that it can be made of; the text itself
    where there is none.

    Args:
        text: as `str.format` has made it.
        templates: their values are texts, without format specifications.
    """
    for template in templates:
        parts = string.Formatter().parse(template)
        pattern = "".join(re.escape(words) + (f"(?P<{name}>.+?)" if name else "") for words, name, _, _ in parts)
        if match := re.fullmatch(pattern, text, re.DOTALL):
            return Message(template, match.groupdict())
    return text


def _english(value: Any) -> Any:
    if isinstance(value, Message):
        return str(value)
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _said(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, Message):
        return value.translated(words)
    return ", ".join(str(_said(one, words)) for one in value) if isinstance(value, (list, tuple)) else value


def _fields(template: str) -> set[tuple[str, str, str | None]] | None:
    """The values that a template names, each with its format; None where it is none."""
    try:
        parts = [*string.Formatter().parse(template)]
    except ValueError:  # of a brace that stands alone
        return None
    return {(name, how or "", conversion) for _, name, how, conversion in parts if name is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.for_programs()
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _capital(value: Any) -> Any:
    return f"{value[:1].upper()}{value[1:]}" if isinstance(value, str) else value
