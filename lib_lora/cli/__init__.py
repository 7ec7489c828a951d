"""The command line: each command is a few lines that call a job."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lib_lora import private
from lib_lora.character.store import data_root
from lib_lora.cli import inventing, judging, photos, tab, training, words, working
from lib_lora.cli.arguments import DRIFTS, NO_VERDICT, NOT_GOOD, STOPPED
from lib_lora.errors import StoppedByUser

__all__ = ["DRIFTS", "NOT_GOOD", "NO_VERDICT", "STOPPED", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: done, and the face holds. 1: of trigger, the word will not do; of audit, there are too few photos; of
    import and new, nothing was taken in. 3: stopped early and resumable; of score, compare,
    choose and grid: the face drifts. 4: of the same: there can be no verdict, and the text says why.

    Raises:
        UserError: something the user can mend (`lib_lora.__main__` prints it).
        SystemExit: wrong arguments (2), or help was asked for (0).
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no library may fetch anything on its own
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run_command
    private.keep(data_root(options.data))
    try:
        return run(options)
    except StoppedByUser as stop:
        print(stop, file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sameface", description="Train a LoRA of one character and measure its face.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        listed: dict[str, Any] = {"help": text} if text else {}  # without a text it is none for people
        sub = commands.add_parser(name, description=text, **listed)
        sub.add_argument("--data", metavar="DIR", help="the data folder (default: SAMEFACE_DATA, or the user's)")
        sub.set_defaults(run_command=run)
        return sub

    for part in (training, photos, words, inventing, judging, tab, working):
        part.add(command)
    return parser
