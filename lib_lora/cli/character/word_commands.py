"""Adds the commands about words: caption and trigger."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_lora.cli.arguments import Answer, Commands, as_answer
from lib_lora.errors import UserError
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add these commands."""
    caption = command("caption", _caption, "Show a character's captions, write them, or edit many at once.")
    caption.add_argument("name", metavar="NAME")
    edits = caption.add_mutually_exclusive_group()
    edits.add_argument("--fill", action="store_true", help="write the missing captions from what the photos show")
    edits.add_argument("--add", metavar="PHRASE", help="add it to every caption that lacks it")
    edits.add_argument("--remove", metavar="PHRASE", help="remove a whole phrase between commas; case does not matter")
    edits.add_argument("--replace", nargs=2, metavar=("PHRASE", "BY"), help="replace a whole phrase by another")
    edits.add_argument(
        "--move", nargs=2, metavar=("PHRASE", "PLACE"), help="move it to this place, counted from 0 (-1: last)"
    )
    edits.add_argument("--undo", action="store_true", help="undo the newest edit")
    caption.add_argument(
        "--captioner", metavar="WHICH", help="with --fill: blip:FOLDER, clip:FILE or clip, a model on this machine"
    )
    caption.add_argument("--rewrite", action="store_true", help="with --fill: also replace existing captions")
    caption.add_argument("--place", type=int, metavar="N", help="where --add puts it (default: at the end)")
    caption.add_argument("--only", nargs="+", default=[], metavar="PHOTO", help="file names (default: all photos)")

    trigger = command("trigger", _trigger, "Check a trigger word, or propose some.")
    wanted = trigger.add_mutually_exclusive_group(required=True)
    wanted.add_argument("word", nargs="?", metavar="WORD")
    wanted.add_argument("--for", dest="name", metavar="NAME", help="propose words for a character of this name")
    trigger.add_argument(
        "--taken", type=Path, nargs="+", default=[], metavar="DIR", help="the webui's folders of LoRAs and embeddings"
    )
    trigger.add_argument(
        "--base",
        type=Path,
        metavar="CHECKPOINT",
        help="also check whether this model already paints one particular face for the word",
    )
    trigger.add_argument("--class", dest="class_word", default="person", help="with --base (default: person)")


def _caption(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos import caption_commands

    _check(options)
    root, edit = data_root(options.data), None
    if options.fill:
        return _fill(options)
    if options.add is not None:
        edit = caption_commands.adding(options.add, options.place)
    elif options.remove is not None:
        edit = caption_commands.removing(options.remove)
    elif options.replace:
        edit = caption_commands.replacing(*options.replace)
    elif options.move:
        phrase, place = options.move
        if not place.lstrip("-").isdecimal():
            raise UserError(
                f"--move {phrase!r} {place!r}: the place is a whole number, 0 for the first phrase.",
                code="place-not-a-number",
                place=place,
            )
        edit = caption_commands.moving(phrase, int(place))
    return as_answer(caption_commands.caption(root, options.name, edit, options.only, options.undo))


def _check(options: argparse.Namespace) -> None:
    if options.undo and options.only:
        raise UserError("--undo reverts the whole newest edit; leave --only out.", code="undo-with-other-options")
    if options.place is not None and options.add is None:
        raise UserError(
            "--place says where --add puts a phrase; to move one, use --move PHRASE PLACE.", code="place-without-add"
        )
    if (options.captioner or options.rewrite) and not options.fill:
        raise UserError(
            "--captioner and --rewrite belong to --fill, which writes captions; add it.", code="captioner-without-fill"
        )


def _fill(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.fill_captions import fill
    from lib_lora.workflows.train.progress import counted

    root, captioner = data_root(options.data), None
    if options.captioner:
        from lib_lora.workflows.photos.captioners import captioner_of

        captioner = captioner_of(options.captioner, root)
    result = fill(root, options.name, captioner, options.rewrite, options.only, progress=counted("captioned"))
    return as_answer(result)


def _trigger(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos import caption_commands

    root = data_root(options.data)
    if options.name is not None:
        return as_answer(caption_commands.propose_triggers(options.name, options.taken, root=root))
    result = caption_commands.check_trigger(options.word, options.taken, root)
    if options.base:
        from lib_lora.workflows.train.known_trigger import PICTURES, face_in_base, with_face
        from lib_lora.workflows.train.progress import counted

        count = counted("painted")
        result = with_face(
            result,
            face_in_base(
                options.base,
                options.word,
                options.class_word,
                progress=lambda number: count(number + 1, 2 * PICTURES),
            ),
        )
    return as_answer(result)
