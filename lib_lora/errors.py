"""Defines the exceptions whose messages are for people, and helpers that word them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path


class CodedError(Exception):
    """What ends something, with a sentence for people and a code for tests and programs.

    Attributes:
        code: what kind of end it is, such as ``photo-too-large``; stays the same when the sentence is reworded.
        parameters: what the sentence names, by name, e.g. ``photo``.
    """

    def __init__(self, sentence: str, *, code: str, **parameters: object) -> None:
        super().__init__(sentence)
        self.code, self.parameters = code, parameters

    def __reduce__(self) -> tuple[object, ...]:
        """Makes copies and pickles, which know only of `args`, keep the code."""
        return partial(type(self), code=self.code), self.args, self.__dict__


class UserError(CodedError):
    """An error that the user can cause and mend.

    The message is one sentence (or two short ones) that says what is wrong, with which file,
    and what to do. The command line prints it without a stack trace.

    Attributes:
        field: of a form, a request or a file of settings, that is wrong (dotted); empty = none in particular.
    """

    def __init__(self, sentence: str, field: str = "", *, code: str, **parameters: object) -> None:
        super().__init__(sentence, code=code, **parameters)
        self.field = field


class Misfit(ValueError):
    """A value that a dataclass or a function refuses; `typed_settings.from_dict` makes a `UserError` of a dataclass's.

    Attributes:
        field: or argument, whose value it is.
    """

    def __init__(self, sentence: str, field: str) -> None:
        super().__init__(sentence)
        self.field = field


class StoppedByUser(CodedError):
    """Something ended early because the user asked for it; what was done is kept."""


_MOST = 200  # letters of one input that a sentence may repeat
_LONGEST = 2000  # letters of a sentence, whatever is in it


def brief(sentence: str, given: Iterable[str]) -> str:
    """A sentence, cut in its middle where it might repeat more than 200 letters of what was given.

    Args:
        sentence: for the person who gave it, or the log.
        given: every text that the sentence may repeat.
    """
    most = _MOST if any(len(one) > _MOST for one in given) else _LONGEST
    if len(sentence) <= most:
        return sentence
    return f"{sentence[: most // 2]} ... {sentence[-(most // 2) :]}"


def command() -> str:
    """What the user types to start this program, for sentences that say what to type next."""
    return "sameface" if Path(sys.argv[0]).stem == "sameface" else "python -m lib_lora"


def typed(*words: str) -> str:
    """A whole command with its arguments, as this system's shell reads it."""
    line = [*command().split(), *words]
    return subprocess.list2cmdline(line) if sys.platform == "win32" else shlex.join(line)


def plural(count: int, noun: str) -> str:
    """ "1 photo", "2 photos"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
