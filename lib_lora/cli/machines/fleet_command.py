"""Adds the command about many jobs at once: fleet train, study, choose, produce, list, show, follow, stop, resume."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora import typed_settings
from lib_lora.cli.arguments import Answer, Commands, at_least, finite, on, parsed_value, rental_of, settings_given
from lib_lora.errors import UserError, plural, typed
from lib_lora.files import slug
from lib_lora.queue.job_types import (
    WEIGHTS,
    ChooseArguments,
    ProduceArguments,
    Rental,
    TrainArguments,
    production_in,
)
from lib_lora.queue.queue import Queue
from lib_lora.remote import base_addresses, places
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.renting import money
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.runs.run_names import newest
from lib_lora.workspace.workspace import Workspace, data_root

if TYPE_CHECKING:
    from lib_lora.workflows.fleet.fleet_plan import Fleet, FleetRow, What
    from lib_lora.workflows.produce.production import ProductionPlan

_MAKES = ("train", "study", "choose", "produce")
_DOES = (*_MAKES, "list", "show", "follow", "stop", "resume")
NOT_ALL = 1  # exit status where something of a fleet has not finished


def add(command: Commands) -> None:
    """Add this command."""
    fleet = command(
        "fleet",
        _fleet,
        "Many jobs at once, on a cluster or rented GPUs: train many characters, study settings, search for the best "
        "steps and weights, produce pictures; list, show, follow, stop and resume such a fleet.",
    )
    fleet.add_argument("does", choices=_DOES, metavar="train|study|choose|produce|list|show|follow|stop|resume")
    fleet.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="with train, study, choose, produce: characters; else the fleet's number",
    )
    fleet.add_argument("--all", action="store_true", help="with these: every character")
    fleet.add_argument(
        "--no-wait", action="store_true", help="add it to the queue and exit; it is run by the webui, or 'follow'"
    )
    on(fleet, rents=True)
    trained = fleet.add_argument_group("with train and study")
    trained.add_argument("--base", type=Path, metavar="CHECKPOINT", help="the .safetensors or .ckpt file")
    trained.add_argument("--preset", metavar="NAME", help="as for the command train")
    trained.add_argument("--steps", type=at_least(1), metavar="N", help="optimizer steps")
    trained.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of the preset")
    trained.add_argument(
        "--seeds", type=at_least(0), nargs="+", default=[], metavar="N", help="train with each of them"
    )
    trained.add_argument("--no-test", action="store_true", help="paint and judge no test grids afterwards")
    trained.add_argument("--few", action="store_true", help="train even with fewer than 8 photos")
    study = fleet.add_argument_group("with study")
    study.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE",
        help="a setting and its values, e.g. --vary lora.rank=8,16; all combinations are trained",
    )
    searched = fleet.add_argument_group("with choose")
    searched.add_argument("--among", type=at_least(1), nargs="+", metavar="N", help="steps (default: six of each run)")
    searched.add_argument("--weights", type=finite, nargs="+", default=[*WEIGHTS], metavar="W", help="of the LoRA")
    searched.add_argument(
        "--grid-steps", type=at_least(1), default=20, metavar="N", help="sampling steps (default: 20); with produce too"
    )
    made = fleet.add_argument_group("with produce")
    made.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt per line, or a table, as for produce")
    made.add_argument(
        "--count", type=at_least(1), metavar="N", help="pictures of each character (default: one for each prompt)"
    )
    made.add_argument("--tries", type=at_least(1), default=4, metavar="N", help="tries per picture (default: 4)")


def _fleet(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.fleet import fleet_jobs, fleet_progress, fleet_store

    root = data_root(options.data)
    if options.does == "list":
        return _listed(root)
    if options.does in _MAKES:
        made = _made(root, options)
        fleet = fleet_jobs.put_in_line(root, made)
        print(f"Fleet {fleet.id}: {plural(len(fleet.rows), 'job')} on {fleet.on}.")
        return _stood(root, fleet) if options.no_wait else _followed(root, fleet)
    if len(options.names) != 1:
        raise UserError(
            f"Name the fleet by its number: {typed('fleet', options.does, '001')}", "names", code="fleet-not-named"
        )
    fleet = fleet_store.load(root, options.names[0])
    if options.does == "stop":
        count = fleet_jobs.stop(root, fleet)
        return Answer(f"{plural(count, 'job')} of fleet {fleet.id} will stop.", {"fleet": fleet.id, "stopping": count})
    if options.does == "resume" and is_rented(fleet.on):
        _say_rent(root, fleet.rows)
    if options.does == "resume":
        fleet_progress.fleet_progress(root, fleet)  # which notes the runs
        fleet = fleet_jobs.resume(root, fleet)
    if options.does == "show" or options.no_wait:
        return _stood(root, fleet)
    return _followed(root, fleet)


def _listed(root: Path) -> Answer:
    from lib_lora.workflows.fleet import fleet_progress, fleet_store
    from lib_lora.workflows.listing import table

    fleets = [fleet_store.load(root, one) for one in fleet_store.identifiers(root)]
    if not fleets:
        return Answer(f"No fleets yet. Make one with: {typed('fleet', 'train', 'NAME', '--on', 'PLACE')}", [])
    rows = [("fleet", "made", "what", "on", "jobs")]
    rows += [(one.id, fleet_progress.age(one), one.what, one.on, str(len(one.rows))) for one in fleets]
    values = [
        {"fleet": one.id, "created": one.created, "what": one.what, "on": one.on, "jobs": len(one.rows)}
        for one in fleets
    ]
    return Answer(table(rows), values)


def _stood(root: Path, fleet: Fleet) -> Answer:
    from lib_lora.workflows.fleet import fleet_progress

    fleet, found = fleet_progress.fleet_progress(root, fleet)
    text, values = fleet_progress.summary(fleet, found)
    return Answer(text, values)


def _followed(root: Path, fleet: Fleet) -> Answer:
    from lib_lora.hosts.standalone import Alone
    from lib_lora.workflows.fleet import fleet_follow, fleet_progress

    fleet, found = fleet_follow.follow(Alone(root), root, fleet)
    text, values = fleet_progress.summary(fleet, found)
    return Answer(text, values, 0 if all(one.state == "finished" for one in found) else NOT_ALL)


def _made(root: Path, options: argparse.Namespace) -> Fleet:
    """A new fleet, once all that can be seen to be wrong was looked at.

    Raises:
        UserError: something is.
    """
    from lib_lora.character.store import load
    from lib_lora.workflows.fleet import fleet_store

    folders = [Workspace(root).character(one) for one in options.names]
    if options.all:
        folders += Workspace(root).character_folders()
    names = [load(folder).name for folder in folders]
    rental = rental_of(options)
    places.named(root, options.on)
    what: What = options.does
    if options.base_address and what in ("choose", "produce"):
        _note_address(options, names)
    plans: dict[str, ProductionPlan] = {}
    if what == "produce":
        rows, plans = _productions(options, names, rental)
    else:
        rows = (_searches if what == "choose" else _trainings)(options, names, rental)
    if is_rented(options.on):
        _say_rent(root, rows, plans)
    return fleet_store.make(root, what, options.on, _begun(root, rows, plans))


def _searches(options: argparse.Namespace, names: list[str], rental: Rental | None) -> list[FleetRow]:
    from lib_lora.workflows.fleet.fleet_plan import searches

    given = {"steps": options.among, "weights": options.weights, "grid_steps": options.grid_steps, "on": options.on}
    asked = typed_settings.from_dict(ChooseArguments, given, "fleet choose")
    return searches(names, replace(asked, rental=rental))


def _productions(
    options: argparse.Namespace, names: list[str], rental: Rental | None
) -> tuple[list[FleetRow], dict[str, ProductionPlan]]:
    """The rows, whose productions are not begun yet, and what each character's should be.

    Raises:
        UserError: there is something wrong with one, or a job is at it already.
    """
    from lib_lora.workflows.fleet.fleet_plan import productions
    from lib_lora.workflows.produce import production_request
    from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings
    from lib_lora.workflows.produce.prompts.prompt_list import PromptFolders, read_prompts

    if options.prompts is None:
        raise UserError("Name the list of prompts with --prompts FILE.", "prompts", code="prompts-not-named")
    root = data_root(options.data)
    folders = PromptFolders([Workspace(root).wildcards], [Workspace(root).loras])
    settings = ProduceSettings(count=options.count or 0, tries=options.tries, steps=options.grid_steps)
    request = ProduceRequest(read_prompts(options.prompts), settings, folders)
    plans = {name: production_request.plan_of(root, name, request)[1] for name in names}
    line = Queue(root).open()
    for name, plan in plans.items():
        there = production_request.there_already(root, name, plan)
        mine = (job for job in line if job.slug == slug(name))
        if there and (job := next((one for one in mine if production_in(one.arguments) == there.id), None)):
            raise UserError(
                f"Job {job.id} ({job.state}) already exists for these pictures of {name}, production {there.id}; "
                "wait for it to end, or stop it first.",
                code="production-has-job",
                job=job.id,
                production=there.id,
            )
    asked = ProduceArguments(
        "0",
        options.on,
        wildcards=[str(one) for one in folders.wildcards],
        loras=[str(one) for one in folders.loras],
        rental=rental,
    )
    return productions(dict.fromkeys(plans, asked)), plans


def _begun(root: Path, rows: list[FleetRow], plans: dict[str, ProductionPlan]) -> list[FleetRow]:
    """The rows, each production begun; nothing can be refused any more."""
    from lib_lora.workflows.produce.production_request import begun

    found = []
    for row in rows:
        if row.produce:
            number = begun(root, row.character, plans[row.character]).id
            row = replace(row, produce=replace(row.produce, production=number))
        found.append(row)
    return found


def _note_address(options: argparse.Namespace, names: list[str]) -> None:
    """Keep from where the base models of the newest runs may be fetched. What another machine finds there is used only
    where it is that very file, so it does no harm where they have several.

    Raises:
        UserError: a character has no run.
    """
    root = data_root(options.data)
    for name in names:
        run = newest(Workspace(root).character(name), name, None, trained=True)
        base_addresses.note(root, run.file.base.sha256, options.base_address)


def _trainings(options: argparse.Namespace, names: list[str], rental: Rental | None) -> list[FleetRow]:
    from lib_lora.training.plan.training_request import TrainingRequest
    from lib_lora.workflows.fleet.fleet_plan import trainings
    from lib_lora.workflows.train.prepare import asked_for

    if options.base is None:
        raise UserError("Name the base model with --base CHECKPOINT.", "base", code="base-model-not-chosen")
    varied = _varied(options)
    if options.does == "study" and not varied and not options.seeds:
        raise UserError(
            "A study needs something to vary, such as --vary lora.rank=8,16 or --seeds 1 2 3.",
            "vary",
            code="study-without-variation",
        )
    if options.does == "train" and varied:
        raise UserError("--vary is for a study; use that, or set it with --set.", "vary", code="vary-without-study")
    shared = TrainArguments(
        base=str(options.base.absolute()),
        preset=options.preset,
        settings=settings_given(options),
        few=options.few,
        then_test=not options.no_test,
        on=options.on,
        rental=rental,
        base_address=options.base_address,
    )
    rows = trainings(names, shared, varied, options.seeds)
    seen: list[dict[str, Any]] = []
    for row in rows:
        if row.train and row.train.settings not in seen:  # each combination is looked at once
            seen.append(row.train.settings)
            asked_for(TrainingRequest(options.base, options.preset, row.train.settings))
    return rows


def _varied(options: argparse.Namespace) -> dict[str, list[Any]]:
    """The values of each setting that a study varies."""
    found: dict[str, list[Any]] = {}
    for item in options.vary:
        key, equals, text = item.partition("=")
        values = [one.strip() for one in text.split(",")]
        if not equals or not key.strip() or not all(values):
            raise UserError(
                f"--vary {item}: write KEY=VALUE,VALUE, for example --vary lora.rank=8,16.",
                "vary",
                code="vary-without-values",
                option=item,
            )
        found[key.strip()] = [parsed_value(one, item) for one in values]
    return found


def _say_rent(root: Path, rows: list[FleetRow], plans: Mapping[str, ProductionPlan] | None = None) -> None:
    """What the first job costs, and what all may.

    Args:
        root: the data folder.
        rows: the jobs.
        plans: of productions that are not begun yet, by the character's name.
    """
    from lib_lora.workflows.judge.painting.painting_quote import before_painting, of_production, of_search
    from lib_lora.workflows.produce import production_store
    from lib_lora.workflows.train.elsewhere.rent_quote import before_renting

    first, name = rows[0], rows[0].character
    asked = first.arguments
    rental = asked.rental or Rental()
    if isinstance(asked, TrainArguments):
        print(before_renting(root, name, asked))
    elif isinstance(asked, ProduceArguments):
        folder = Workspace(root).character(name)
        plan = plans[name] if plans else production_store.named(folder, asked.production).plan()
        run = newest(folder, name, plan.run, trained=True)
        print(before_painting(root, run, of_production(run, plan.count, plan.steps, plan.side), rental))
    else:
        run = newest(Workspace(root).character(name), name, asked.run, trained=True)
        tried = len(asked.steps) if asked.steps else None
        print(before_painting(root, run, of_search(run, tried, asked.weights, asked.grid_steps), rental))
    most = rate_of(root).shown(money.exact(rental.cap) * len(rows))
    print(
        f"Each of the {plural(len(rows), 'job')} may cost that much, however often it is resumed; together they may "
        f"cost {most}."
    )
