"""Holds the values of the guard's controls, which say what the user asks of it, in an order that never changes.

Other programs keep these values by their places: the webui's API, queues of jobs that wait on the disk. So nothing is
ever put between them; what is new goes into the last one, a JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from lib_lora.errors import UserError
from lib_lora.workflows.produce.production import Line

Action = Literal["mark", "reject", "repaint"]
ACTIONS: tuple[tuple[str, Action], ...] = (
    ("keep and mark", "mark"),
    ("save in a folder named rejected", "reject"),
    ("paint again", "repaint"),
)
LINES: tuple[tuple[str, Line], ...] = (("keep: clearly this face", "keep"), ("same: this person", "same"))
MOST_TRIES = 20
# of earlier versions, which queues of jobs may still hold
_EARLIER = {"keep: surely this face": "keep", "put into a folder rejected": "reject"}
_WORDS: dict[str, str] = {**_EARLIER, **dict((*ACTIONS, *LINES))}
_LONGEST = 10_000  # characters of the JSON text


@dataclass(frozen=True)
class GuardSettings:
    """See the module; the attributes are in the order of the values.

    Attributes:
        enabled: whether pictures are judged.
        character: its name; empty = the only one that there is.
        line: see `ProductionPlan.line`.
        tries: pictures that are painted in place of one, itself counted, where what fails is painted again.
        action: what happens to a picture that fails.
        several: a picture may show other people beside this one (``{"several": true}`` in the JSON text).
    """

    enabled: bool = False
    character: str = ""
    line: Line = "keep"
    tries: int = 3
    action: Action = "mark"
    several: bool = False


def choices() -> list[str]:
    """The words of the controls that offer several, for translators: the webui itself translates them."""
    return [words for words, _ in (*LINES, *ACTIONS)]


def settings_of(values: Sequence[object]) -> GuardSettings:
    """The settings for the values of the controls, as many as are given.

    Raises:
        UserError: a value cannot be one of its control.
    """
    plain = GuardSettings()
    given = [*values, *(plain.enabled, plain.character, plain.line, plain.tries, plain.action, "")[len(values) :]]
    enabled, character, line, tries, action, more = given[:6]
    line, action = (_WORDS.get(str(one), one) for one in (line, action))
    if line not in get_args(Line):
        raise _wrong("line", line, get_args(Line))
    if action not in get_args(Action):
        raise _wrong("action", action, get_args(Action))
    if isinstance(tries, bool) or not isinstance(tries, (int, float)) or not 1 <= tries <= MOST_TRIES:
        raise _wrong("tries", tries, [f"a number from 1 to {MOST_TRIES}"])
    if not isinstance(character, (str, type(None))):
        raise _wrong("character", character, ["a name"])
    return GuardSettings(
        enabled is True,
        (character or "").strip(),
        cast(Line, line),
        int(tries),
        cast(Action, action),
        _more(more).get("several") is True,
    )


def _more(text: object) -> dict[str, object]:
    """The JSON text's values; any other text holds none."""
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(control: str, value: object, known: Sequence[str]) -> UserError:
    return UserError(
        f"The guard's {control} cannot be {str(value)[:80]!r}; it is {' or '.join(known)}.",
        control,
        code="guard-value",
        control=control,
    )
