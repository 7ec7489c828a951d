"""Answers the routes of productions: beginning and continuing them, and the state of each picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lib_lora.comfyui.comfy_address import BY, DEFAULT, base_of
from lib_lora.errors import UserError
from lib_lora.queue.job_types import ProduceArguments, Rental
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.runs.records import run_records
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import MB, Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import Refused, about, missing
from lib_lora.ui.routes.job_routes import checked, job_values, put
from lib_lora.ui.routes.train.run_routes import address
from lib_lora.ui.views import page_words
from lib_lora.workflows.produce import production_request, production_store
from lib_lora.workflows.produce.production import WEBUI, PaintedTry, PictureDecision, Progress
from lib_lora.workflows.produce.production_log import ReadLog
from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.prompt_list import PromptFolders, parse
from lib_lora.workspace.file_cache import kept, mark
from lib_lora.workspace.workspace import CharacterFolder, Workspace

if TYPE_CHECKING:
    from lib_lora.workflows.produce.production_stats import ProductionStats

_PROMPTS = 4 * MB  # of a list of prompts


@dataclass(frozen=True, kw_only=True)
class NewProduction(ProduceSettings):
    """What is painted: `prompts` is the text of a list of prompts, or of a table; `painter` is "webui", "worker" or
    "comfyui", the last with the `comfyui` that paints (its address); `rental` says what may be rented with `on`
    "runpod"; the other values are those of the command `produce`; null = its default."""

    prompts: str
    painter: str = "worker"
    on: str = LOCAL
    comfyui: str = DEFAULT
    rental: Rental | None = None


@dataclass(frozen=True)
class Continued:
    """Who paints what is missing: the machine "local", "ssh:NAME" or "ray:NAME" of a place, or "runpod" with the
    `rental`; and the address of the ComfyUI, for a production that was begun with one. Null means: as the last time."""

    on: str | None = None
    comfyui: str | None = None
    rental: Rental | None = None


@dataclass(frozen=True)
class Decided:
    """What the user has decided: "keep", "drop", or null (as was measured), by the name of the picture."""

    decisions: dict[str, PictureDecision | None] = field(default_factory=dict)


def routes() -> list[Route]:
    """The routes for productions."""
    whole = "/characters/{slug}/productions/{production}"
    return [
        get("/characters/{slug}/productions", listed),
        post("/characters/{slug}/productions", begin, NewProduction, _PROMPTS),
        get(whole, read_production, "since"),
        post(f"{whole}/continue", go_on, Continued),
        post(f"{whole}/decisions", decide, Decided),
    ]


def production_of(context: RequestContext, call: Call) -> tuple[CharacterFolder, ProductionFolder]:
    """The character and the production that a request names.

    Raises:
        Refused: there is none.
    """
    folder = paths.character(context, call)
    wanted = paths.identifier(call.path["production"], "production")
    for one in production_store.productions(folder):
        if one.id == wanted:
            return folder, one
    raise missing("There is no such production.")


def listed(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """The productions of a character, the newest first; one whose file is damaged says so."""
    folder = paths.character(context, call)
    return [_entry(context, folder, one) for one in production_store.productions(folder)]


def _entry(context: RequestContext, folder: CharacterFolder, one: ProductionFolder) -> dict[str, Any]:
    try:
        progress = _read(one).progress
    except UserError as error:
        return {"id": one.id, "error": str(error)}
    made = (one.path / production_store.PLAN_FILE).stat().st_mtime
    return {"id": one.id, "error": "", "made": made, **_state(progress), "job": _job_of(context, folder, one)}


def _state(progress: Progress) -> dict[str, Any]:
    """How far a production is, and with what it is painted."""
    plan = progress.plan
    return {
        "run": plan.run,
        "step": plan.step,
        "weight": plan.weight,
        "by": plan.by,
        "second_pass": plan.second_pass,
        "detailer": plan.detailer,
        "wanted": plan.count,
        "kept": progress.done,
        "painted": progress.painted,
    }


def _job_of(context: RequestContext, folder: CharacterFolder, one: ProductionFolder) -> int | None:
    """The open job that works on a production."""
    for job in context.queue.open():
        mine = isinstance(job.arguments, ProduceArguments) and job.arguments.production == one.id
        if mine and job.slug == folder.path.name:
            return job.id
    return None


@dataclass(frozen=True)
class _ReadProduction:
    """What has become of a production.

    Attributes:
        progress: see there.
        log: from which it was read.
        mark: changes with it; it says how far the log was read.
    """

    progress: Progress
    log: ReadLog
    mark: str

    def since(self, mark: str) -> list[PaintedTry] | None:
        """The pictures that are new since a `mark`; None where that is not one of this log."""
        origin, _, rest = mark.partition("-")
        read = rest.partition("-")[0]
        if origin != self.log.origin or not (read.isascii() and read.isdigit() and len(read) < 10):
            return None
        new = {one.file: one for one in self.log.tries[int(read) :]}
        return [one for one in new.values() if one in self.progress.tried.get(one.item, ())]


def _read(one: ProductionFolder) -> _ReadProduction:
    marks = tuple(mark(one.path / name) for name in (production_store.LOG_FILE, production_store.DECISIONS_FILE))

    def read() -> _ReadProduction:
        log = one.read()
        decided = marks[1][0] if marks[1] else 0
        return _ReadProduction(one.progress(log), log, f"{log.origin}-{len(log.tries)}-{decided}")

    return kept(("production", one.path), marks, read)


def _stats(one: ProductionFolder, found: _ReadProduction) -> ProductionStats:
    from lib_lora.workflows.produce.production_stats import stats_of

    return kept(("production stats", one.path), found.mark, lambda: stats_of(found.progress, with_piles=False))


def begin(context: RequestContext, call: Call) -> dict[str, Any]:
    """Begin a production, or continue the one with exactly the same values; answers its number and the job."""
    folder = paths.character(context, call)
    if call.body.run is not None:
        paths.run(folder, call.body.run)
    by = _painter(context, folder, call.body)
    asked = _asked(context, by, call.body.on, call.body.comfyui, call.body.rental)
    checked(context, folder, asked)  # before anything is made
    name = folder_name(folder)
    _, plan = production_request.plan_of(context.root, name, _request(context, call.body, by))
    one = production_request.begun(context.root, name, plan)
    return {"production": one.id, "job": _queued(context, folder, one, asked)}


def folder_name(folder: CharacterFolder) -> str:
    """The name of the character in a folder."""
    from lib_lora.character.store import load

    return load(folder).name


def _painter(context: RequestContext, folder: CharacterFolder, body: NewProduction) -> str:
    """Who paints: the worker in the webui's place, where that does not paint with models of the run's family."""
    if body.painter not in (WEBUI, BY, "worker"):
        known = "give webui, worker or comfyui"
        raise UserError(f"{body.painter!r} cannot paint here; {known}.", "painter", code="painter-unknown")
    if body.painter == BY:
        return BY
    run = run_records.run(paths.run(folder, body.run)) if body.run is not None else run_records.newest(folder)
    refused = not context.host.paints() or (run is not None and context.host.refuses(run.family))
    if run is not None and run.settings.trigger_vectors and not context.host.reads_vectors():
        refused = True
    return WEBUI if body.painter == WEBUI and not refused and body.on == LOCAL else ""


def _request(context: RequestContext, body: NewProduction, by: str) -> ProduceRequest:
    with about("prompts"):
        prompts = parse(body.prompts, "The list of prompts")
    host = context.host
    return ProduceRequest(prompts, body, folders_of(context), by, host.detailer(), host.lora_names())


def folders_of(context: RequestContext) -> PromptFolders:
    """Where files are looked for that prompts name: in the data folder, and where the webui has them."""
    roots = context.host.roots()
    return PromptFolders([Workspace(context.root).wildcards, *roots.wildcards], roots.loras)


def _asked(context: RequestContext, by: str, on: str, comfyui: str, rental: Rental | None) -> ProduceArguments:
    """What a job does of a production that is not named yet."""
    folders = folders_of(context)
    with about("comfyui"):
        base_of(comfyui)
    address = comfyui if by == BY and comfyui != DEFAULT else ""
    named = ([*map(str, folders.wildcards)], [*map(str, folders.loras)])
    painter: Literal["webui", "worker"] = "webui" if by == WEBUI else "worker"
    return ProduceArguments("0", on, *named, painter=painter, comfyui=address, rental=rental)


def _queued(
    context: RequestContext, folder: CharacterFolder, one: ProductionFolder, asked: ProduceArguments
) -> dict[str, Any]:
    if _job_of(context, folder, one) is not None:
        raise Refused(409, f"Production {one.id} is already in the queue.", code="production-in-queue")
    return job_values(context, put(context, folder, replace(asked, production=one.id)))


def go_on(context: RequestContext, call: Call) -> dict[str, Any]:
    """Paint the missing pictures of a production, and replace those that the user has dropped."""
    folder, one = production_of(context, call)
    last = _last(context, folder, one)
    on = call.body.on if call.body.on is not None else last.on
    comfyui = call.body.comfyui if call.body.comfyui is not None else last.comfyui or DEFAULT
    rental = call.body.rental
    if rental is None and is_rented(on) and last.rental:
        rental = replace(last.rental, anew=False)  # nobody has allowed more meanwhile
    asked = _asked(context, one.plan().by, on, comfyui, rental)
    return {"production": one.id, "job": _queued(context, folder, one, asked)}


def _last(context: RequestContext, folder: CharacterFolder, one: ProductionFolder) -> ProduceArguments:
    """What the newest job of a production did."""
    jobs = sorted(context.queue.jobs(), key=lambda job: job.id, reverse=True)
    for job in jobs:
        asked = job.arguments
        if job.slug == folder.path.name and isinstance(asked, ProduceArguments) and asked.production == one.id:
            return asked
    return ProduceArguments(one.id)


def read_production(context: RequestContext, call: Call) -> dict[str, Any]:
    """A production with its pictures and its numbers. With `since` (the `mark` of the previous response), the mark
    alone where nothing has changed; else, where it is not `whole`, of the `pictures` those that are new or painted
    again, to be put among the earlier ones (`painted` in all), and all `decisions`."""
    from lib_lora.workflows.produce.production_stats import SIMILAR_BITS

    folder, one = production_of(context, call)
    found, job = _read(one), _job_of(context, folder, one)
    since, progress = call.query.get("since", ""), found.progress
    if since == found.mark:
        return {"id": one.id, "mark": found.mark, "job": job}
    new = found.since(since)
    shown = [other for tries in progress.tried.values() for other in tries] if new is None else new
    plan, stats, slug = progress.plan, _stats(one, found), folder.path.name
    return {
        "id": one.id,
        "mark": found.mark,
        "job": job,
        "whole": new is None,
        **_state(progress),
        "given_up": stats.given_up,
        "first_try": _interval(stats),
        "tries": stats.tries,
        "reasons": [{"reason": reason, "count": count} for reason, count in stats.reasons],
        "by_hand": list(stats.by_hand),
        "prompts": [row.prompt for row in plan.prompts],
        "similar_bits": SIMILAR_BITS,
        "decisions": dict(progress.decisions),
        "pictures": [_picture(slug, one, painted, progress) for painted in sorted(shown, key=_place)],
        "page": address(slug, "productions", one.id, "production.html"),
        "archive": address(slug, "productions", one.id, "pictures.zip"),
        "signing": _signing(context),
        "signing_text": page_words.SIGNING[_signing(context)],
    }


def _signing(context: RequestContext) -> str:
    """With whose certificate the archive can be signed: "own", "home-made"; or "missing", without the package."""
    from lib_lora.content_credentials import signing

    if not signing.is_there():
        return "missing"
    return "own" if Workspace(context.root).own_certificate.is_file() else "home-made"


def _place(one: PaintedTry) -> tuple[int, int]:
    return one.item, one.attempt


def _interval(stats: ProductionStats) -> dict[str, float] | None:
    first = stats.first_try
    return None if first is None else {"value": first.value, "low": first.low, "high": first.high}


def _picture(slug: str, one: ProductionFolder, painted: PaintedTry, progress: Progress) -> dict[str, Any]:
    return {
        "file": painted.file,
        "item": painted.item,
        "attempt": painted.attempt,
        "row": (painted.item - 1) % len(progress.plan.prompts),
        "prompt": painted.prompt,
        "words": painted.prompt.removeprefix(f"{progress.plan.before}, "),
        "seed": painted.seed,
        "passed": painted.kept,
        "decision": progress.decisions.get(painted.file),
        "reason": painted.reason,
        "said": painted.said,
        "likeness": painted.likeness,
        "nearest": painted.nearest,
        "hash": painted.hash,
        "url": address(slug, "productions", one.id, "pictures", painted.file),
    }


def decide(context: RequestContext, call: Call) -> dict[str, Any]:
    """Keep pictures, drop them, or undo such decisions."""
    _, one = production_of(context, call)
    one.decide(call.body.decisions)
    found = _read(one)
    return {"kept": found.progress.done, "mark": found.mark}
