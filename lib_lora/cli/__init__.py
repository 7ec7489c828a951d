"""Runs the command line: each module reads the arguments of some commands and calls the workflow that does the work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

import lib_lora
from lib_lora import file_permissions
from lib_lora.cli import (
    civitai_command,
    judge_commands,
    list_commands,
    produce_commands,
    suggest,
    tab_command,
    train_commands,
    use_command,
    worker_command,
)
from lib_lora.cli.arguments import DRIFTS, NO_VERDICT, NOT_GOOD, STOPPED, Answer, as_json
from lib_lora.cli.character import invent_commands, photo_commands, word_commands
from lib_lora.cli.machines import fleet_command, place_command, pod_commands
from lib_lora.errors import StoppedByUser
from lib_lora.workspace.workspace import data_root

__all__ = ["DRIFTS", "NOT_GOOD", "NO_VERDICT", "STOPPED", "main"]

HIDDEN = ("worker", "paint-plans", "rehearse")  # commands for programs, not for people
ELSEWHERE = ("test",)  # run by `lib_lora.__main__`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: done, and the face holds. 1: of trigger, the word will not do; of audit, there are too few photos or several
    people in them; of import and new, nothing was taken in; of doctor, something does not work; of civitai, a model is
    refused, or nobody has agreed. 3: of score, compare,
    choose and grid: the face drifts. 4: of the same: there can be no verdict, and the text says why. 130: stopped by
    the user, and resumable.

    With ``--json`` standard output holds the answer alone; what is said on the way goes to standard error.

    Raises:
        UserError: something the user can mend (`lib_lora.__main__` prints it).
        SystemExit: wrong arguments (2), or help was asked for (0).
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no library may fetch anything on its own
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _read(given)
    run: Callable[[argparse.Namespace], Answer | int] = options.run_command
    file_permissions.keep(data_root(options.data))
    wants_json = getattr(options, "json", False)
    try:
        with redirect_stdout(sys.stderr) if wants_json else nullcontext():
            answer = run(options)
    except StoppedByUser as stop:
        print(stop, file=sys.stderr)
        return STOPPED
    if isinstance(answer, int):  # it has said all there is to say
        return answer
    if wants_json and answer.values is not None:  # of several processes one answers
        print(as_json(answer.values))
    elif answer.text and not wants_json:
        print(answer.text)
    return answer.status


def _read(given: Sequence[str]) -> argparse.Namespace:
    parser, commands = parsers()
    if not given:  # a first look, not a mistake: all commands help more than a usage line
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    complaint = suggest.about_command(given, [name for name in (*commands, *ELSEWHERE) if name not in HIDDEN])
    if complaint and given[0] not in HIDDEN:
        parser.error(complaint)
    if given and given[0] in commands:
        sub = commands[given[0]]
        if complaint := suggest.about_options(given[1:], suggest.options_in(sub.format_usage())):
            sub.error(complaint)
    return parser.parse_args(given)


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and that of each command."""
    parser = argparse.ArgumentParser(prog="sameface", description="Train a LoRA of one character and measure its face.")
    parser.add_argument("--version", action="version", version=f"SameFace {lib_lora.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made: dict[str, argparse.ArgumentParser] = {}

    def command(
        name: str, run: Callable[[argparse.Namespace], Answer | int], text: str, answers: bool = True
    ) -> argparse.ArgumentParser:
        listed: dict[str, Any] = {} if name in HIDDEN else {"help": text}
        sub = commands.add_parser(name, description=text, **listed)
        sub.add_argument("--data", metavar="DIR", help="the data folder (default: SAMEFACE_DATA, or the user's)")
        if answers:
            sub.add_argument("--json", action="store_true", help="machine-readable: one JSON value, and nothing else")
        sub.set_defaults(run_command=run)
        made[name] = sub
        return sub

    for part in (
        train_commands,
        photo_commands,
        word_commands,
        invent_commands,
        judge_commands,
        list_commands,
        fleet_command,
        place_command,
        pod_commands,
        produce_commands,
        use_command,
        civitai_command,
        tab_command,
        worker_command,
    ):
        part.add(command)
    return parser, made
