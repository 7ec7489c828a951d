"""Puts the problems of captions into sentences; in a terminal, with the command that fixes each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from lib_lora.captions.caption_check import Code, Problem
from lib_lora.errors import typed
from lib_lora.messages.message import Message

_SENTENCES: Mapping[Code, str] = {
    "caption-unreadable": "{reason}",
    "caption-missing": "{photo} has no caption.",
    "trigger-missing": "The caption of {photo} lacks the trigger '{trigger}'.",
    "too-many-tokens": "The caption of {photo} has {tokens} tokens; those beyond {limit} are encoded separately.",
    "captions-identical": "All {captions} captions are the same, so training cannot tell any of their words from "
    "the trigger: add photos that show something else.",
    "constant-phrases": "Nearly all of the {captions} captions have {phrases}, which training can hardly tell from the "
    "trigger: add photos that show something else.",
    "constant-expression": "Nearly all of the {captions} captions have '{phrase}', so that is learned as part of the "
    "face: add photos with other expressions if that is not wanted.",
}
_COMMANDS: Mapping[Code, str] = {
    "trigger-missing": "To add it to every caption that lacks it",
    "captions-identical": "To describe what differs",
}


def message(problem: Problem) -> Message:
    """A problem without a command, for the page."""
    return Message(_SENTENCES[problem.code], {"photo": problem.photo, **problem.details}, problem.code)


def sentence(problem: Problem) -> str:
    """`message` in English."""
    return str(message(problem))


def templates() -> Iterator[str]:
    """The templates of `message`."""
    yield from _SENTENCES.values()


def command(problem: Problem) -> str:
    """What to type against a problem, with what it does; empty where no command helps."""
    return f"{_COMMANDS[problem.code]}: {typed(*problem.command)}" if problem.command else ""


def values(problem: Problem) -> dict[str, Any]:
    """A problem for programs."""
    return {**asdict(problem), "text": " ".join(filter(None, (sentence(problem), command(problem))))}
