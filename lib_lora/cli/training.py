"""The commands that train: run, train, resume, try, and info about what came of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lib_lora.character.store import data_root
from lib_lora.cli.arguments import Commands, at_least, overrides, painting, training, who


def add(command: Commands) -> None:
    """Add these commands."""
    whole = command("run", _run, "The main job: photos and a checkpoint in, a LoRA, a test grid and a likeness out.")
    whole.add_argument("photos", type=Path, nargs="+", metavar="PHOTOS", help="photos: files, folders, zips")
    whole.add_argument("--name", required=True)
    who(whole)
    training(whole)
    painting(whole, least=0)

    train = command("train", _train, "Train a character that was made with 'new'.")
    train.add_argument("name", metavar="NAME")
    training(train)

    resume = command("resume", _resume, "Go on with a run that was stopped or killed, or train a finished one longer.")
    resume.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="as it was printed, or inside --data")
    resume.add_argument("--steps", type=at_least(1), metavar="N", help="how many steps the run shall have in all")
    resume.add_argument("--base", type=Path, metavar="CHECKPOINT", help="where the base model is now, if it was moved")
    resume.add_argument("--out", type=Path, metavar="DIR", help="where the finished LoRA goes (default: as before)")

    demo = command("try", _try, "The main job on bundled photos and a small bundled base model, to see what it does.")
    demo.add_argument("--steps", type=at_least(1), metavar="N", help="of training (default: the preset's)")
    demo.add_argument("--no-open", action="store_true", help="end there; do not show the result in a browser")

    info = command("info", _info, "Say what a LoRA file holds.")
    info.add_argument("file", type=Path, metavar="LORA.safetensors")
    info.add_argument("--json", action="store_true", help="machine-readable")


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
        few=options.few,
    )
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
            few=options.few,
            fit=True,
        )
    )
    return 0


def _resume(options: argparse.Namespace) -> int:
    from lib_lora.jobs.main_job import finish_run
    from lib_lora.jobs.reopen import reopen

    finish_run(lambda: reopen(options.folder, data_root(options.data), options.base, options.out, options.steps))
    return 0


def _info(options: argparse.Namespace) -> int:
    from lib_lora.lora.describe import describe

    facts = describe(options.file)
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(len(key) for key in facts)
        for key, value in facts.items():
            print(f"{key.ljust(width)}  {value}")
    return 0


def _try(options: argparse.Namespace) -> int:
    from lib_lora.jobs.demo import home_of, try_it
    from lib_lora.jobs.screen import at_a_screen

    home = home_of(data_root(options.data) if options.data else None)
    try_it(home, options.steps)
    if at_a_screen() and not options.no_open:
        from lib_lora.ui.alone import serve

        serve(home)
    return 0
