"""Adds the commands about many pictures of one character: produce and productions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.cli.arguments import (
    Answer,
    Commands,
    at_least,
    comfyui,
    engine,
    engine_of,
    finite,
    on,
    painted_by,
    painting,
)
from lib_lora.cli.judge_commands import painter_for
from lib_lora.errors import UserError, plural, typed
from lib_lora.workflows.train.progress import ThrottledLines
from lib_lora.workspace.workspace import Workspace, data_root

if TYPE_CHECKING:
    from lib_lora.content_credentials.certificates import SigningIdentity
    from lib_lora.workflows.judge.painting.painting_quote import PlannedPictures
    from lib_lora.workflows.produce.production_store import ProductionFolder

NOT_ALL = 1  # exit status where some pictures have not passed after all tries
_LINES = ("keep", "same")


def add(command: Commands) -> None:
    """Add these commands."""
    produce = command(
        "produce", _produce, "Paint hundreds of pictures of a character; each is judged, and painted again if it fails."
    )
    produce.add_argument("name", metavar="NAME")
    produce.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="one prompt per line, or a table: prompt, and any of negative, seed, size, weight, steps, cfg",
    )
    produce.add_argument("--count", type=at_least(1), metavar="N", help="pictures (default: one for each prompt)")
    produce.add_argument("--run", metavar="ID", help="which run of the character (default: the newest)")
    produce.add_argument("--step", type=int, help="which checkpoint (default: the one its tests recommend)")
    produce.add_argument("--weight", type=finite, help="of the LoRA (default: the one its tests recommend, else 1)")
    produce.add_argument("--tries", type=at_least(1), default=4, metavar="N", help="tries per picture (default: 4)")
    produce.add_argument(
        "--seed", type=at_least(0), default=1000, metavar="N", help="of the first picture (default: 1000)"
    )
    produce.add_argument(
        "--line",
        choices=_LINES,
        default="keep",
        help="keep: above the keep line (default); same: certainly this person",
    )
    produce.add_argument("--several", action="store_true", help="allow other people in the picture")
    produce.add_argument("--negative", metavar="TEXT", help="the negative prompt, where the list has none")
    produce.add_argument(
        "--side", type=at_least(64), metavar="PIXELS", help="side of a square picture (default: as trained)"
    )
    produce.add_argument("--cfg", type=finite, help="guidance scale (default: the base model's usual one)")
    produce.add_argument("--sampler", default="Euler", metavar="NAME", help="(default: Euler)")
    produce.add_argument(
        "--wildcards",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of files for __wildcards__, besides the folder wildcards in the data folder",
    )
    produce.add_argument(
        "--loras",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of further LoRAs, for <lora:name:weight>, besides the folder loras in the data folder",
    )
    produce.add_argument(
        "--second-pass",
        type=finite,
        nargs="?",
        const=0.4,
        metavar="STRENGTH",
        help="repaint small faces at full size, with this denoising strength (default: 0.4)",
    )
    produce.add_argument("--no-trigger", action="store_true", help="do not put the trigger word before prompts")
    painting(produce, least=1)
    engine(produce)
    on(produce, rents=True)
    comfyui(produce)

    made = command("productions", _productions, "List the productions of a character, or show or export one.")
    made.add_argument("name", metavar="NAME")
    made.add_argument("number", nargs="?", metavar="ID", help="which production (default: list them)")
    made.add_argument("--export", type=Path, metavar="DIR", help="copy the kept pictures, with captions")
    made.add_argument(
        "--c2pa",
        nargs="?",
        const="",
        metavar="CERTIFICATE",
        help="with --export: sign them (Content Credentials) with this PEM file, or a home-made certificate",
    )
    made.add_argument("--c2pa-key", type=Path, metavar="FILE", help="the certificate's key (default: in the same file)")


def _produce(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.judge.painting.painting_quote import of_production
    from lib_lora.workflows.produce import produce_command, production_request
    from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings
    from lib_lora.workflows.produce.prompts.prompt_list import PromptFolders, read_prompts

    root = data_root(options.data)
    measured_with = engine_of(options)
    wildcards = [*options.wildcards, Workspace(root).wildcards]
    folders = PromptFolders(wildcards, [*options.loras, Workspace(root).loras])
    settings = ProduceSettings(
        count=options.count or 0,
        run=options.run,
        step=options.step,
        weight=options.weight,
        tries=options.tries,
        seed=options.seed,
        line=options.line,
        several=options.several,
        negative=options.negative,
        side=options.side,
        steps=options.grid_steps,
        cfg=options.cfg,
        sampler=options.sampler,
        trigger=not options.no_trigger,
        second_pass=options.second_pass or 0.0,
    )
    request = ProduceRequest(read_prompts(options.prompts), settings, folders, painted_by(options))
    run, plan = production_request.plan_of(root, options.name, request)
    folder = production_request.begun(root, options.name, plan)
    lines = ThrottledLines()

    def emit(_kind: str, **fields: object) -> None:
        done, total = fields["done"], fields["total"]
        assert isinstance(done, int) and isinstance(total, int)
        said = f"{fields['kept']} kept, {fields['painted']} painted, {fields['failed']} given up"
        lines(done, total, f"Production {folder.id}: {done} of {total}; {said}")

    def pictures() -> PlannedPictures:
        return of_production(run, plan.count, plan.steps, plan.side)

    with painter_for(options, run, pictures, late=True) as painter:
        produce_command.work_on(run, folder, measured_with, emit, folders, painter)
    return _summary(run.file.character.name, folder)


def _summary(name: str, folder: ProductionFolder) -> Answer:
    """What a production came to; its page is written."""
    from lib_lora.typed_settings import to_dict
    from lib_lora.workflows.produce.production_page import write_page
    from lib_lora.workflows.produce.production_stats import as_text, stats_of

    stats = stats_of(folder.progress())
    page = write_page(folder.path, f"{name}: production {folder.id}", stats)
    text = f"{as_text(stats)}\nPictures: {folder.pictures}\nAll numbers: {page}"
    export = typed("productions", name, folder.id, "--export", "DIR")
    text += f"\nTo copy those that are kept, with captions: {export}" if stats.kept else ""
    values = {"production": folder.id, "folder": str(folder.path), **to_dict(stats)}
    return Answer(text, values, 0 if stats.kept == stats.wanted else NOT_ALL)


def _identity(options: argparse.Namespace) -> SigningIdentity | None:
    """Who signs, as the options say; None = nobody."""
    if options.c2pa is None and options.c2pa_key is None:
        return None
    if options.export is None or options.c2pa is None or (options.c2pa_key and not options.c2pa):
        raise UserError(
            "--c2pa is for --export, and --c2pa-key for a certificate that --c2pa names.",
            "c2pa",
            code="c2pa-without-export",
        )
    from lib_lora.content_credentials import certificates, signing

    signing.check_there()
    if options.c2pa:
        return certificates.own(Path(options.c2pa), options.c2pa_key)
    return certificates.home_made(Workspace(data_root(options.data)).signing_certificate)


def _productions(options: argparse.Namespace) -> Answer:
    from lib_lora.character.store import load
    from lib_lora.workflows.listing import table
    from lib_lora.workflows.produce import production_store
    from lib_lora.workflows.produce.production_export import export

    identity = _identity(options)
    character = Workspace(data_root(options.data)).character(options.name)
    name = load(character).name
    if options.number is not None or options.export is not None:
        folder = production_store.named(character, options.number or "")
        if options.export is None:
            return _summary(name, folder)
        kept = folder.progress().kept
        out = export(folder, name, kept, options.export, identity)
        text = f"{plural(len(kept), 'picture')} in {out}"
        if identity:
            whose = " with a home-made certificate, which is unknown to everybody else" if identity.home_made else ""
            text += f"\nThey are signed{whose}."
        return Answer(text, {"folder": str(out), "pictures": len(kept), "signed": identity is not None})
    found = [(one, one.progress()) for one in production_store.productions(character)]
    if not found:
        return Answer(f"No pictures of {name} have been produced yet.", [])
    rows = [("production", "kept", "painted", "run", "step", "weight")]
    for one, progress in found:
        plan = progress.plan
        count = f"{progress.done} of {plan.count}"
        rows.append((one.id, count, str(progress.painted), plan.run, str(plan.step), f"{plan.weight:g}"))
    values = [
        {"production": one.id, "kept": it.done, "wanted": it.plan.count, "painted": it.painted} for one, it in found
    ]
    return Answer(table(rows), values)
