"""The commands about a character and its photos: new, import, audit, consent, forget."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from lib_lora.character.store import data_root, folder_of, load
from lib_lora.cli.arguments import Commands, at_least, tell, who


def add(command: Commands) -> None:
    """Add these commands."""
    new = command("new", _new, "Make a character, from photos or for photos to come.")
    new.add_argument("name", metavar="NAME")
    new.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PATH", help="files, folders, zips")
    who(new, consent=False)
    new.add_argument(
        "--traits", default="", metavar="TEXT", help='what captions and prompts shall name, "brown eyes, sharp jawline"'
    )
    new.add_argument("--json", action="store_true", help="machine-readable")

    take = command("import", _import, "Take photos into a character's folder; the originals stay as they are.")
    take.add_argument("name", metavar="NAME")
    take.add_argument("sources", type=Path, nargs="+", metavar="PATH", help="files, folders, zips")
    take.add_argument("--json", action="store_true", help="machine-readable")

    audit = command("audit", _audit, "Say what is wrong with a character's photos, and decide which are used.")
    audit.add_argument("name", metavar="NAME")
    audit.add_argument("--keep", nargs="+", default=[], metavar="PHOTO", help="use these whatever is said of them")
    audit.add_argument("--drop", nargs="+", default=[], metavar="PHOTO", help="leave these out")
    audit.add_argument("--undecided", nargs="+", default=[], metavar="PHOTO", help="take back what was decided")
    audit.add_argument("--accept", action="store_true", help="leave out all that is proposed")
    audit.add_argument(
        "--resolution", type=at_least(64), default=512, metavar="N", help="of training, in pixels (default: 512)"
    )
    audit.add_argument("--json", action="store_true", help="machine-readable")

    consent = command("consent", _consent, "Declare why a character's face may be trained on.")
    consent.add_argument("name", metavar="NAME")
    consent.add_argument("kind", metavar="KIND", help="fictional, myself, or consented (an adult, documented)")

    forget = command("forget", _forget, "Delete what was computed of a character's face (biometric data); photos stay.")
    forget.add_argument("name", metavar="NAME")


def _new(options: argparse.Namespace) -> int:
    from lib_lora.jobs.intake import make

    told = make(
        data_root(options.data),
        options.name,
        options.trigger,
        options.class_word,
        options.consent,
        options.photos,
        options.traits.split(","),
    )
    return tell(told, options.json)


def _import(options: argparse.Namespace) -> int:
    from lib_lora.jobs.intake import import_into

    return tell(import_into(data_root(options.data), options.name, options.sources), options.json)


def _audit(options: argparse.Namespace) -> int:
    from lib_lora.jobs.audit import Choices
    from lib_lora.jobs.audit_told import tell_audit

    choices = Choices(options.keep, options.drop, options.undecided, options.accept)
    told = tell_audit(
        data_root(options.data), options.name, options.resolution, choices, progress=counted("photo measured")
    )
    return tell(told, options.json)


def _consent(options: argparse.Namespace) -> int:
    from lib_lora.jobs.prepare import declare

    character, before = declare(data_root(options.data), options.name, options.kind)
    instead = f" in place of {before.kind} ({before.date})" if before and before.kind != options.kind else ""
    print(f"{character.name}: {options.kind}, declared today{instead}. Every run and LoRA from now on says so.")
    return 0


def _forget(options: argparse.Namespace) -> int:
    from lib_lora.jobs.forgetting import forget_faces

    folder = folder_of(data_root(options.data), options.name)
    load(folder)
    gone = forget_faces(folder)
    if not gone:
        print(f"Nothing that was computed of the face of {options.name} is stored.")
        return 0
    files = f"{len(gone)} file{'' if len(gone) == 1 else 's'}"
    print(
        f"{files} with what was computed of the face of {options.name} deleted; photos, decisions, runs and reports "
        "stay. What is needed is made again when it is audited, scored or trained."
    )
    return 0


def counted(what: str) -> Callable[[int, int], None] | None:
    """A line on the terminal that counts up, and is gone at the end; None where nobody watches."""
    if not sys.stderr.isatty():
        return None

    def count(done: int, total: int) -> None:
        line = f"{what}: {done} of {total}"
        sys.stderr.write(f"\r{line}" if done < total else "\r" + " " * len(line) + "\r")
        sys.stderr.flush()

    return count
