"""Adds the command that makes a character from a description or one picture: invent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lora.cli.arguments import Answer, Commands, as_answer, at_least
from lib_lora.errors import UserError
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add this command."""
    text = "Make a character from a description, or from one picture: candidates, pick one, then more pictures of it."
    invent = command("invent", _invent, text)
    invent.add_argument("name", metavar="NAME")
    invent.add_argument(
        "--describe", metavar="TEXT", help='the person, such as "a woman with short red hair, 30 years old"'
    )
    invent.add_argument("--base", type=Path, metavar="CHECKPOINT", help="the checkpoint that paints")
    invent.add_argument(
        "--candidates", type=at_least(1), metavar="N", help="how many faces to choose from (default: 20)"
    )
    invent.add_argument("--seed", type=at_least(0), metavar="N", help="of the first candidate (default: 1)")
    step = invent.add_mutually_exclusive_group()
    step.add_argument("--pick", type=at_least(1), metavar="NUMBER", help="take this candidate")
    step.add_argument("--from", dest="picture", type=Path, metavar="PICTURE", help="take your own picture instead")
    step.add_argument("--more", action="store_true", help="paint further pictures of the face that was picked")
    invent.add_argument("--trigger", help="with --pick or --from: the invented word for this character")
    invent.add_argument("--class", dest="class_word", help="with --pick or --from: what it is, e.g. woman")
    invent.add_argument("--consent", help="with --pick or --from: fictional, myself, or consented")
    invent.add_argument("--count", type=at_least(1), metavar="N", help="with --more: how many to keep (default: 30)")
    invent.add_argument(
        "--budget",
        type=at_least(1),
        metavar="N",
        help="with --more: how many to paint at most, in addition to 20 strangers (default: 900); "
        "it ends sooner once enough are kept, with views from both sides",
    )
    invent.add_argument("--lora", metavar="FILE", help="with --more: paint with this LoRA; newest: the character's own")
    invent.add_argument(
        "--no-mirror",
        dest="mirror",
        action="store_const",
        const=False,
        help="with --more: add no mirror images, where too few views from one side were kept",
    )


def _invent(options: argparse.Namespace) -> Answer:
    picking = options.pick is not None or options.picture is not None
    steps = {
        "--trigger": (options.trigger, picking),
        "--class": (options.class_word, picking),
        "--consent": (options.consent, picking),
        "--count": (options.count, options.more),
        "--budget": (options.budget, options.more),
        "--lora": (options.lora, options.more),
        "--no-mirror": (options.mirror, options.more),
        "--candidates": (options.candidates, not (picking or options.more)),
        "--seed": (options.seed, not (picking or options.more)),
        "--base": (options.base, options.pick is None and not options.more),
        "--describe": (options.describe, options.pick is None and not options.more),
    }
    for flag, (value, fits) in steps.items():
        if value is not None and not fits:
            raise UserError(
                f"{flag} does not belong to this step of invent; leave it out (see invent --help).",
                code="option-of-another-step",
                option=flag,
            )
    if options.more:
        return _more(options)
    return _pick(options) if picking else _candidates(options)


def _candidates(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.invent.invent import CandidatesRequest, candidates

    if options.describe is None or options.base is None:
        raise UserError(
            "Describe the person with --describe and name the checkpoint that paints with --base (see invent --help).",
            code="invent-incomplete",
        )
    request = CandidatesRequest(options.describe, options.base, **_given(count=options.candidates, seed=options.seed))
    result = candidates(data_root(options.data), options.name, request, each=_watch(options), trying=_tries(options))
    return as_answer(result)


def _pick(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.invent.invent import OwnPicture, pick
    from lib_lora.workflows.photos.new_character import NewCharacter

    if options.trigger is None or options.class_word is None:
        raise UserError(
            "Give the words for this character with --trigger and --class, e.g. --trigger mrxa --class woman.",
            code="trigger-and-class-missing",
        )
    who = NewCharacter(options.name, options.trigger, options.class_word, options.consent)
    own = None if options.picture is None else OwnPicture(options.picture, options.base, options.describe)
    result = pick(data_root(options.data), who, options.pick, own)
    return as_answer(result)


def _more(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.invent.invent_more import MoreRequest, more

    given = _given(count=options.count, budget=options.budget, lora=options.lora, mirror=options.mirror)
    return as_answer(more(data_root(options.data), options.name, MoreRequest(**given), each=_watch(options)))


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _tries(options: argparse.Namespace) -> Callable[[Any], None] | None:
    """A line for every candidate that is painted from the side."""
    if options.json:
        return None
    return lambda one: print(f"Checking whether face {one.number} can be painted from the side", file=sys.stderr)


def _watch(options: argparse.Namespace) -> Callable[[Any], None] | None:
    """A line for every picture as it is painted."""
    if options.json:
        return None

    def watch(painted: Any) -> None:
        from lib_lora.workflows.invent.invent_words import line_of

        sys.stderr.write(f"{line_of(painted, further=options.more)}\n")

    return watch
