"""The command line: each command is a few lines that call a job."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lib_lora.character.store import data_root
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.settings import to_dict

if TYPE_CHECKING:
    from lib_lora.jobs.scoring import Scored
    from lib_lora.jobs.words import Told
    from lib_lora.likeness.faces import FaceEngine

NOT_GOOD = 1  # exit status of trigger where something speaks against the word
STOPPED = 3  # exit status of a run that was stopped and can be resumed
DRIFTS, NO_VERDICT = 3, 4  # exit statuses of score, compare, choose and grid


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: done, and the face holds. 1: of trigger, the word will not do. 3: stopped early and resumable; of score, compare,
    choose and grid: the face drifts. 4: of the same: there can be no verdict, and the text says why.

    Raises:
        UserError: something the user can mend (`lib_lora.__main__` prints it).
        SystemExit: wrong arguments (2), or help was asked for (0).
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no library may fetch anything on its own
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run_command
    try:
        return run(options)
    except StoppedByUser as stop:
        print(stop, file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sameface", description="Train a LoRA of one character and measure its face.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--data", metavar="DIR", help="the data folder (default: SAMEFACE_DATA, or the user's)")
        sub.set_defaults(run_command=run)
        return sub

    whole = command("run", _run, "The main job: photos and a checkpoint in, a LoRA, a test grid and a likeness out.")
    whole.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos")
    whole.add_argument("--name", required=True)
    _who(whole)
    _training(whole)
    _painting(whole, least=0)

    new = command("new", _new, "Make a character from a folder of photos.")
    new.add_argument("name", metavar="NAME")
    new.add_argument("--photos", type=Path, required=True, metavar="DIR")
    _who(new)

    train = command("train", _train, "Train a character that was made with 'new'.")
    train.add_argument("name", metavar="NAME")
    _training(train)

    grid = command("grid", _grid, "Paint the test grid of a trained run, with and without the LoRA, and score it.")
    grid.add_argument("name", metavar="NAME")
    grid.add_argument("--run", metavar="ID", help="which run (default: the newest)")
    grid.add_argument("--step", type=int, help="which checkpoint (default: the last)")
    grid.add_argument("--weight", type=_finite, default=1.0, help="of the LoRA (default: 1)")
    _painting(grid, least=1)
    grid.add_argument("--quick", action="store_true", help="8 prompts instead of 20")
    grid.add_argument("--first-seed", type=_at_least(0), default=1000, metavar="N", help="of the first picture")
    _measuring(grid)

    score = command("score", _score, "Judge pictures against a character's photos.")
    score.add_argument("name", metavar="NAME")
    score.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="pictures, or folders of them")
    score.add_argument(
        "--impostors", type=Path, nargs="+", default=[], metavar="IMAGES", help="pictures of other people, to compare"
    )
    _measuring(score)

    compare = command("compare", _compare, "Say which of two grids, or folders of pictures, keeps more of the face.")
    compare.add_argument("a", type=Path, metavar="A", help="folder of a grid, or of pictures")
    compare.add_argument("b", type=Path, metavar="B")
    compare.add_argument("--character", metavar="NAME", help="whose pictures these are, for folders of pictures")
    _measuring(compare)

    choose = command("choose", _choose, "Find the step and the weight of a run to keep.")
    choose.add_argument("run", metavar="RUN", help="the run's folder, or the character's name for its newest run")
    choose.add_argument("--steps", type=_at_least(1), nargs="+", metavar="N", help="checkpoints (default: six of them)")
    choose.add_argument(
        "--weights", type=_finite, nargs="+", default=[0.6, 0.8, 1.0], metavar="W", help="(default: 0.6 0.8 1)"
    )
    choose.add_argument(
        "--cells", type=_at_least(5), default=8, metavar="N", help="prompts of the screening (default: 8)"
    )
    _painting(choose, least=1)
    _measuring(choose)

    scorer = command("scorer", _scorer, "Stay, and answer a JSON line on standard input with one on standard output.")
    scorer.add_argument("name", metavar="NAME")
    _engine(scorer)

    caption = command("caption", _caption, "Show the captions of a character's photos, or edit many at once.")
    caption.add_argument("name", metavar="NAME")
    edits = caption.add_mutually_exclusive_group()
    edits.add_argument("--add", metavar="PHRASE", help="to every caption that lacks it")
    edits.add_argument("--remove", metavar="PHRASE", help="a whole phrase between commas; capitals do not matter")
    edits.add_argument("--replace", nargs=2, metavar=("PHRASE", "BY"), help="a whole phrase by another")
    edits.add_argument("--move", nargs=2, metavar=("PHRASE", "PLACE"), help="to the PLACE-th phrase from 0 (-1: last)")
    edits.add_argument("--undo", action="store_true", help="take the newest edit back")
    caption.add_argument("--place", type=int, metavar="N", help="where --add puts it (default: at the end)")
    caption.add_argument("--only", nargs="+", default=[], metavar="PHOTO", help="file names (default: all photos)")
    caption.add_argument("--json", action="store_true", help="machine-readable")

    trigger = command("trigger", _trigger, "Check a trigger word, or propose some.")
    wanted = trigger.add_mutually_exclusive_group(required=True)
    wanted.add_argument("word", nargs="?", metavar="WORD")
    wanted.add_argument("--for", dest="name", metavar="NAME", help="propose words for a character of this name")
    trigger.add_argument(
        "--taken", type=Path, nargs="+", default=[], metavar="DIR", help="the webui's folders of LoRAs and embeddings"
    )
    trigger.add_argument("--json", action="store_true", help="machine-readable")

    forget = command("forget", _forget, "Delete a character's face embeddings (biometric data); photos stay.")
    forget.add_argument("name", metavar="NAME")

    info = command("info", _info, "Say what a LoRA file holds.")
    info.add_argument("file", type=Path, metavar="LORA.safetensors")
    info.add_argument("--json", action="store_true", help="machine-readable")

    resume = command("resume", _resume, "Go on with a run that was stopped or killed, or train a finished one longer.")
    resume.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="as it was printed, or inside --data")
    resume.add_argument("--steps", type=_at_least(1), metavar="N", help="how many steps the run shall have in all")
    resume.add_argument("--base", type=Path, metavar="CHECKPOINT", help="where the base model is now, if it was moved")
    resume.add_argument("--out", type=Path, metavar="DIR", help="where the finished LoRA goes (default: as before)")

    demo = command("try", _try, "The main job on bundled photos and a small bundled base model, to see what it does.")
    demo.add_argument("--steps", type=_at_least(1), metavar="N", help="of training (default: the preset's)")
    demo.add_argument("--no-open", action="store_true", help="do not open the report in a browser")
    return parser


def _who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trigger", required=True, help="the invented word for this character, e.g. mrxa")
    parser.add_argument("--class", dest="class_word", required=True, help="what it is, e.g. woman")
    parser.add_argument("--consent", required=True, help="fictional, myself, or consented (an adult, documented)")


def _training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", type=Path, required=True, metavar="CHECKPOINT", help="the .safetensors or .ckpt file")
    parser.add_argument(
        "--preset", metavar="NAME", help="sd15-face, sd2-face, sdxl-face or mini-face (default: by the base)"
    )
    parser.add_argument(
        "--steps", type=_at_least(1), metavar="N", help="optimizer steps (default: 100 views of each photo)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the finished LoRA goes (default of run: the current folder)"
    )
    parser.add_argument("--prediction", choices=("epsilon", "v"), help="overrides what the checkpoint says of itself")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting of the preset, e.g. --set lora.rank=16 --set resolution=768",
    )


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")
    _engine(parser)


def _engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", default="sface", metavar="NAME", help="sface (default), or insightface:FOLDER of a model pack"
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="agree to the licence of the engine's models (non-commercial)"
    )


def _painting(parser: argparse.ArgumentParser, least: int) -> None:
    none = "" if least else "; 0: no grid"
    parser.add_argument(
        "--grid-steps", type=_at_least(least), default=20, metavar="N", help=f"sampling steps (default: 20{none})"
    )


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return number


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return number


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """``--set a.b=c`` and ``--steps`` as nested settings; of one key the last word counts.

    Raises:
        UserError: an item without "=" or without a key, a key inside one that has a plain value, or a list or
            table that is no YAML.
    """
    values: dict[str, Any] = {}
    for item in options.set:
        key, equals, text = item.partition("=")
        path = [word.strip() for word in key.split(".")]
        if not equals or not all(path):
            raise UserError(f"--set {item}: write KEY=VALUE, e.g. --set lora.rank=16")
        table = values
        for word in path[:-1]:
            table = table.setdefault(word, {})
            if not isinstance(table, dict):
                raise UserError(f"--set {item}: {word} was given a value of its own before.")
        table[path[-1]] = _value(text.strip(), item)
    if options.steps is not None:
        values["steps"] = options.steps
    return values


def _value(text: str, item: str) -> Any:
    """A number, true/false, null, "quoted text", [list] or {table} as YAML has it; anything else is text as it is.

    YAML itself would read a caption "a woman: smiling" as a table, and cut a folder's name at " #".
    """
    structured = text.startswith(("[", "{", '"', "'"))
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # beside its own errors, PyYAML lets through those of values that only look right: 2024-02-30, !!bool x
        if structured:
            raise UserError(f"--set {item[:80]}: the value cannot be read.") from error
        return text
    return value if structured or value is None or isinstance(value, (bool, int, float)) else text


def _run(options: argparse.Namespace) -> int:
    from lib_lora.jobs.main_job import run_main_job

    run_main_job(
        data_root(options.data),
        photos=options.photos,
        name=options.name,
        trigger=options.trigger,
        class_word=options.class_word,
        consent=options.consent,
        base=options.base,
        preset=options.preset,
        overrides=overrides(options),
        prediction=options.prediction,
        out=options.out or Path.cwd(),
        grid_steps=options.grid_steps,
    )
    return 0


def _new(options: argparse.Namespace) -> int:
    from lib_lora.jobs.prepare import new_character

    folder, imported = new_character(
        data_root(options.data), options.name, options.trigger, options.class_word, options.consent, options.photos
    )
    for sentence in imported.skipped:
        print(f"Left out: {sentence}")
    print(f"{folder.path}: {len(imported.added)} photos added, {imported.known} were there.")
    return 0


def _train(options: argparse.Namespace) -> int:
    from lib_lora.jobs.main_job import finish_run
    from lib_lora.jobs.prepare import start_run

    finish_run(
        lambda: start_run(
            data_root(options.data),
            options.name,
            options.base,
            options.preset,
            overrides(options),
            options.prediction,
            out=options.out,
        )
    )
    return 0


def _resume(options: argparse.Namespace) -> int:
    from lib_lora.jobs.main_job import finish_run
    from lib_lora.jobs.reopen import reopen

    finish_run(lambda: reopen(options.folder, data_root(options.data), options.base, options.out, options.steps))
    return 0


def _grid(options: argparse.Namespace) -> int:
    from lib_lora.grid.prompts import PROMPTS, QUICK
    from lib_lora.jobs.finish import find_run, paint_and_score
    from lib_lora.jobs.main_job import sink

    root = data_root(options.data)
    run, step = find_run(root, options.name, options.run, options.step)
    done = paint_and_score(
        run,
        step,
        options.weight,
        options.grid_steps,
        sink(run, sys.stderr if options.json else None),
        count=QUICK if options.quick else len(PROMPTS),
        first_seed=options.first_seed,
        engine=_engine_of(options),
    )
    if options.json:
        print(json.dumps({"folder": str(done.folder), **to_dict(done.report)}, indent=2))
    else:
        print(done.text)
    return _status(done.report.verdict.drift, done.report.verdict.judged)


def _engine_of(options: argparse.Namespace) -> FaceEngine:
    from lib_lora.likeness.engines import engine_of

    return engine_of(options.engine, data_root(options.data), options.accept_licence)


def _status(drift: bool, judged: bool) -> int:
    return DRIFTS if drift else 0 if judged else NO_VERDICT


def _show(result: Scored, as_json: bool) -> int:
    print(json.dumps(result.values, indent=2) if as_json else result.text)
    return _status(result.drift, result.judged)


def _score(options: argparse.Namespace) -> int:
    from lib_lora.jobs.scoring import score_pictures

    root, engine = data_root(options.data), _engine_of(options)
    return _show(score_pictures(root, options.name, options.images, engine, options.impostors), options.json)


def _compare(options: argparse.Namespace) -> int:
    from lib_lora.jobs.compare import compare_sets

    root, engine = data_root(options.data), _engine_of(options)
    return _show(compare_sets(root, options.a, options.b, options.character, engine), options.json)


def _choose(options: argparse.Namespace) -> int:
    from lib_lora.jobs.choose import choose_cell, run_of
    from lib_lora.jobs.main_job import sink

    run = run_of(data_root(options.data), options.run)
    emit = sink(run, sys.stderr if options.json else None)
    result = choose_cell(
        run, emit, options.steps, options.weights, options.grid_steps, options.cells, _engine_of(options)
    )
    return _show(result, options.json)


def _scorer(options: argparse.Namespace) -> int:
    from lib_lora.jobs.scorer import Scorer, serve

    # Windows would read and write its own code page; a byte that is no UTF-8 costs its line only
    for stream, encoding in ((sys.stdin, "utf-8-sig"), (sys.stdout, "utf-8")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="surrogateescape")
    serve(Scorer(data_root(options.data), options.name, _engine_of(options)), sys.stdin, sys.stdout)
    return 0


def _caption(options: argparse.Namespace) -> int:
    from lib_lora.jobs import words

    edit = None
    if options.add is not None:
        edit = words.adding(options.add, options.place)
    elif options.remove is not None:
        edit = words.removing(options.remove)
    elif options.replace:
        edit = words.replacing(*options.replace)
    elif options.move:
        phrase, place = options.move
        if not place.lstrip("-").isdecimal():
            raise UserError(f"--move {phrase!r} {place!r}: the place is a whole number, 0 for the first phrase.")
        edit = words.moving(phrase, int(place))
    if options.undo and options.only:
        raise UserError("--undo takes the whole newest edit back; leave --only out.")
    if options.place is not None and options.add is None:
        raise UserError("--place says where --add puts a phrase; to move one, use --move PHRASE PLACE.")
    return _tell(words.caption(data_root(options.data), options.name, edit, options.only, options.undo), options.json)


def _trigger(options: argparse.Namespace) -> int:
    from lib_lora.jobs import words

    if options.name is not None:
        return _tell(words.propose_triggers(options.name, options.taken), options.json)
    return _tell(words.check_trigger(options.word, options.taken), options.json)


def _tell(told: Told, as_json: bool) -> int:
    print(json.dumps(told.values, indent=2, ensure_ascii=False) if as_json else told.text)
    return 0 if told.good else NOT_GOOD


def _forget(options: argparse.Namespace) -> int:
    from lib_lora.jobs.scoring import forget

    gone = forget(data_root(options.data), options.name)
    print(f"{len(gone)} files with face embeddings of {options.name} deleted; they are made again when it is scored.")
    return 0


def _info(options: argparse.Namespace) -> int:
    from lib_lora.lora.file import describe

    facts = describe(options.file)
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(len(key) for key in facts)
        for key, value in facts.items():
            print(f"{key.ljust(width)}  {value}")
    return 0


def _try(options: argparse.Namespace) -> int:
    from lib_lora.jobs.demo import try_it

    try_it(data_root(options.data) if options.data else None, options.steps, show=not options.no_open)
    return 0
