"""Adds the commands that train (run, train, resume, try), and info, which says what a LoRA file holds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lib_lora.cli.arguments import Answer, Commands, at_least, on, painting, rental_of, request_of, training, who
from lib_lora.remote.places import LOCAL
from lib_lora.remote.places import named as place_named
from lib_lora.runs.run_names import HOW, run_named
from lib_lora.training.plan.run_file import Run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add these commands."""
    whole = command("run", _run, "The main job: photos and a checkpoint in, a LoRA, a test grid and a likeness out.")
    whole.add_argument("photos", type=Path, nargs="+", metavar="PHOTOS", help="photos: files, folders, zips")
    whole.add_argument("--name", required=True)
    who(whole)
    training(whole)
    painting(whole, least=0)
    on(whole, rents=True)

    train = command("train", _train, "Train a character that was created with 'new'.")
    train.add_argument("name", metavar="NAME")
    training(train)
    on(train, rents=True)

    resume = command("resume", _resume, "Continue a run that was stopped or killed, or train a finished one longer.")
    resume.add_argument("run", metavar="RUN", help=HOW)
    resume.add_argument(
        "--steps", type=at_least(1), metavar="N", help="total steps of the run, including those already done"
    )
    resume.add_argument("--base", type=Path, metavar="CHECKPOINT", help="where the base model is now, if it was moved")
    resume.add_argument("--out", type=Path, metavar="DIR", help="where the finished LoRA goes (default: as before)")

    on(resume, rents=True)

    demo = command("try", _try, "Try the main job on bundled photos with a small bundled base model.")
    demo.add_argument("--steps", type=at_least(1), metavar="N", help="of training (default: the preset's)")
    demo.add_argument("--no-open", action="store_true", help="do not show the result in a browser")

    info = command("info", _info, "Show what a LoRA file contains.")
    info.add_argument("file", type=Path, metavar="LORA.safetensors")


def _run(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.photos.new_character import NewCharacter
    from lib_lora.workflows.train.main_job import run_main_job

    rental_of(options)
    root, request = data_root(options.data), request_of(options)
    request = replace(request, out=request.out or Path.cwd(), grid_steps=options.grid_steps)
    who = NewCharacter(options.name, options.trigger, options.class_word, options.consent)
    if options.on != LOCAL:
        from lib_lora.workflows.train.main_job import take_in

        place_named(root, options.on)
        take_in(root, who, options.photos, request)
        return _elsewhere(options, root, options.name, request)
    delivered = run_main_job(root, who, options.photos, request)
    return _trained(lambda: run_named(root, options.name), delivered)


def _train(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.train.main_job import finish_run
    from lib_lora.workflows.train.prepare import start_run

    rental_of(options)
    request, made = request_of(options), list[Run]()
    if options.on != LOCAL:
        return _elsewhere(options, data_root(options.data), options.name, request)

    def make() -> Run:
        run = start_run(data_root(options.data), options.name, request)
        made.append(run)
        return run

    delivered = finish_run(make)
    return _trained(lambda: made[0], delivered)


def _resume(options: argparse.Namespace) -> Answer:
    from lib_lora.runs.reopen import reopen
    from lib_lora.workflows.train.main_job import finish_run

    root = data_root(options.data)
    rental = rental_of(options)
    run = run_named(root, options.run)
    if options.on != LOCAL:
        from lib_lora.hosts.standalone import Alone
        from lib_lora.workflows.train.elsewhere.train_elsewhere import Elsewhere, go_on_elsewhere

        where = Elsewhere(options.on, rental, options.base_address)
        delivered = go_on_elsewhere(Alone(root), root, where, run, options.base, options.steps, options.out)
        return _trained(lambda: run, delivered)
    delivered = finish_run(lambda: reopen(run.folder, root, options.base, options.out, options.steps))
    return _trained(lambda: run, delivered)


def _elsewhere(options: argparse.Namespace, root: Path, name: str, request: TrainingRequest) -> Answer:
    from lib_lora.hosts.standalone import Alone
    from lib_lora.workflows.train.elsewhere.train_elsewhere import Elsewhere, train_elsewhere

    where = Elsewhere(options.on, rental_of(options), options.base_address)
    run, delivered = train_elsewhere(Alone(root), root, where, name, request)
    return _trained(lambda: run, delivered)


def _trained(run: Callable[[], Run], delivered: Path | None) -> Answer:
    """The answer of a training, all of which was said on the way; of several processes the main one gives it."""
    from lib_lora.training import distributed
    from lib_lora.workflows.train.main_job import result_values

    return Answer("", result_values(run(), delivered) if distributed.is_main() else None)


def _info(options: argparse.Namespace) -> Answer:
    from lib_lora.lora.file.describe import describe

    facts = describe(options.file)
    width = max(len(key) for key in facts)
    return Answer("\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items()), facts)


def _try(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.train.demo import home_of, try_it
    from lib_lora.workflows.train.screen import at_a_screen

    home = home_of(data_root(options.data) if options.data else None)
    delivered = try_it(home, options.steps)
    if at_a_screen() and not (options.no_open or options.json):
        from lib_lora.ui.page.page_app import serve

        serve(home)
    return _trained(lambda: run_named(home, "mara"), delivered)
