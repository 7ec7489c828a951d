"""Holds what one check of the Doctor found, as messages with a code, for the tab, a terminal and bug reports."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lib_lora
from lib_lora.hosts.host_protocol import Host
from lib_lora.messages.message import Message
from lib_lora.messages.tone import Tone

_WORDS = {"good": "fine", "warn": "note", "bad": "does not work", "none": "not there"}  # by tone


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        title: what was looked at.
        tone: "none" = it is not there, and need not be.
        text: what was found; its code is that of the result.
        mend: what to do; None = nothing.
        typed: what to type in a terminal, instead of `mend`; empty = the same as in the tab.
    """

    title: Message
    tone: Tone
    text: Message
    mend: Message | None = None
    typed: str = ""

    @property
    def code(self) -> str:
        """What was found, for programs."""
        return self.text.code

    def mend_in_terminal(self) -> str:
        """What to do, in English; empty = nothing."""
        return f"Type: {self.typed}" if self.typed else str(self.mend or "")

    def for_programs(self) -> dict[str, Any]:
        """As plain values: in English for a terminal (`name`, `text` and `mend`), and as messages for the tab."""
        return {
            "code": self.code,
            "name": str(self.title),
            "tone": self.tone,
            "text": str(self.text),
            "mend": self.mend_in_terminal(),
            "title": self.title.for_programs(),
            "message": self.text.for_programs(),
            "remedy": self.mend.for_programs() if self.mend else None,
        }


def as_text(host: Host, found: Iterable[CheckResult]) -> str:
    """The results as English text with their codes and the system that they are about, for a terminal and for bug
    reports."""
    where = "without a webui" if host.name == "alone" else f"in {host.name} {host.version}".rstrip()
    lines = [
        f"SameFace {lib_lora.__version__}, {where}",
        f"{platform.platform()}, Python {platform.python_version()}",
        "",
    ]
    for one in found:
        lines.append(f"[{_WORDS[one.tone]}] {one.title}: {one.text} ({one.code})")
        if mend := one.mend_in_terminal():
            lines.append(f"    What to do: {mend}")
    return "\n".join(lines)
