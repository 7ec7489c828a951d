"""Adds the commands about a character and its photos: new, import, audit, consent, forget."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from lib_lora.character.store import consent_of, load
from lib_lora.cli.arguments import STOPPED, Answer, Commands, as_answer, at_least, who
from lib_lora.errors import UserError
from lib_lora.files import printable
from lib_lora.models.families.registry import usual_family
from lib_lora.workspace.workspace import Workspace, data_root


def add(command: Commands) -> None:
    """Add these commands."""
    new = command("new", _new, "Create a character, with photos or without.")
    new.add_argument("name", metavar="NAME")
    new.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PATH", help="files, folders, zips")
    who(new, consent=False)
    new.add_argument(
        "--traits",
        default="",
        metavar="TEXT",
        help='features for captions to mention: "brown eyes, sharp jawline"',
    )

    take = command("import", _import, "Import photos into a character's folder; the originals stay unchanged.")
    take.add_argument("name", metavar="NAME")
    take.add_argument("sources", type=Path, nargs="+", metavar="PATH", help="files, folders, zips")

    audit = command("audit", _audit, "Say what is wrong with a character's photos, and decide which are used.")
    audit.add_argument("name", metavar="NAME")
    audit.add_argument("--keep", nargs="+", default=[], metavar="PHOTO", help="use these despite any problems found")
    audit.add_argument("--drop", nargs="+", default=[], metavar="PHOTO", help="leave these out")
    audit.add_argument("--undecided", nargs="+", default=[], metavar="PHOTO", help="withdraw the decisions on these")
    audit.add_argument("--undo", action="store_true", help="undo the newest decision on photos, or their removal")
    audit.add_argument("--accept", action="store_true", help="leave out all proposed photos")
    side = usual_family().largest_side
    text = f"of training, in pixels (default: {side})"
    audit.add_argument("--resolution", type=at_least(64), default=side, metavar="N", help=text)

    consent = command("consent", _consent, "Declare why a character's face may be trained on.")
    consent.add_argument("name", metavar="NAME")
    consent.add_argument("kind", metavar="KIND", help="fictional, myself, or consented (adult, with documentation)")

    forget = command(
        "forget", _forget, "Delete what was computed from a character's face (biometric data); photos stay."
    )
    forget.add_argument("name", metavar="NAME")


def _new(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.import_command import make
    from lib_lora.workflows.photos.new_character import NewCharacter

    with taking_in() as progress:
        who = NewCharacter(
            options.name, options.trigger, options.class_word, options.consent, options.traits.split(",")
        )
        result = make(data_root(options.data), who, options.photos, progress)
    return as_answer(result)


def _import(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.import_command import import_into

    with taking_in() as progress:
        result = import_into(data_root(options.data), options.name, options.sources, progress)
    answer = as_answer(result)
    return replace(answer, status=STOPPED) if result.values["stopped"] else answer


def _audit(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.audit_command import run_audit
    from lib_lora.workflows.photos.audit_photos import Choices
    from lib_lora.workflows.train.progress import counted

    if options.undo:
        _take_back(options)
    choices = Choices(options.keep, options.drop, options.undecided, options.accept)
    result = run_audit(
        data_root(options.data), options.name, options.resolution, choices, progress=counted("photo measured")
    )
    return as_answer(result)


def _take_back(options: argparse.Namespace) -> None:
    from lib_lora.runs.run_lock import only_process
    from lib_lora.workflows.photos import changes

    if options.keep or options.drop or options.undecided or options.accept:
        raise UserError(
            "--undo reverts the newest decision; leave --keep, --drop, --undecided and --accept out.",
            code="undo-with-other-options",
        )
    folder = Workspace(data_root(options.data)).character(options.name)
    load(folder)
    with only_process(folder.path, "wait a moment and try again"):
        change = changes.undo(folder, changes.PHOTOS)
    print(f"Undone: {change.what}")


def _consent(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.new_character import declare

    character, before = declare(data_root(options.data), options.name, options.kind)
    instead = f" in place of {before.kind} ({before.date})" if before and before.kind != options.kind else ""
    text = f"{character.name}: {options.kind}, declared today{instead}. Every run and LoRA from now on says so."
    values = {
        "character": character.name,
        "consent": asdict(consent_of(character)),
        "before": asdict(before) if before else None,
    }
    return Answer(text, values)


def _forget(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.forget_faces import forget_faces

    folder = Workspace(data_root(options.data)).character(options.name)
    load(folder)
    gone = forget_faces(folder)
    values = {"character": options.name, "deleted": [str(path) for path in gone]}
    if not gone:
        return Answer(f"Nothing that was computed from the face of {options.name} is stored.", values)
    files = f"{len(gone)} file{'' if len(gone) == 1 else 's'}"
    text = (
        f"{files} with what was computed from the face of {options.name} deleted; photos, decisions, runs and reports "
        "stay. What is needed is made again when it is audited, scored or trained."
    )
    return Answer(text, values)


@contextmanager
def taking_in() -> Iterator[Callable[[int, int, str], None]]:
    """Shows which picture of how many is looked at: on a line that is gone at the end, or now and then in a log."""
    from lib_lora.workflows.train.progress import ThrottledLines

    line, paced = "", None if sys.stderr.isatty() else ThrottledLines(at_once=False)

    def show(done: int, total: int, name: str) -> None:
        nonlocal line
        before, line = len(line), f"photo {done + 1} of {total}: {printable(name)[:50]}"
        if paced:
            paced(done, total, line)
            return
        sys.stderr.write(f"\r{line:<{before}}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if line and not paced:
            sys.stderr.write("\r" + " " * len(line) + "\r")
