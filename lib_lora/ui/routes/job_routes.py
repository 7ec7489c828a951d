"""Answers the routes of jobs: queueing, watching, stopping and moving them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import (
    Arguments,
    ChooseArguments,
    CombineArguments,
    FillArguments,
    InventArguments,
    MoreArguments,
    ProbeArguments,
    ProduceArguments,
    TestArguments,
    TrainArguments,
    arguments_of,
    as_plain,
    asked_place,
    base_in,
    chosen_base,
    class_photos_in,
    lane_of,
    loras_in,
    run_in,
    together_in,
    uses_place,
)
from lib_lora.queue.queue import OPEN
from lib_lora.queue.runners import pod_terms
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.renting import money
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.runs.events import events_after
from lib_lora.runs.lent_run import see_that_it_is_here
from lib_lora.runs.records import run_records
from lib_lora.training.plan import form_fields
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import Refused, about, forbidden, missing
from lib_lora.ui.views.invention import see_that_it_can_be
from lib_lora.workflows.train.training_set import others_of
from lib_lora.workspace.file_cache import keep_nothing, kept, mark
from lib_lora.workspace.workspace import CharacterFolder, JobFolder, Workspace

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job


@dataclass(frozen=True)
class _Shown:
    """How the page shows a type of job.

    Attributes:
        text: what it does.
        step: of the page, where it is started and followed.
        announced: that step shows all of its progress and its buttons, so the head does not repeat them; the browser's
            title shows it too, and a notification its end.
    """

    text: str
    step: str
    announced: bool = False


_SHOWN = {
    "audit": _Shown("Check the photos of {name}", "photos"),
    "fill": _Shown("Write captions for {name}", "captions"),
    "probe": _Shown("Measure how long {name} takes", "train"),
    "train": _Shown("Train {name}", "train", announced=True),
    "test": _Shown("Test {name}", "test", announced=True),
    "choose": _Shown("Find the best step and weight of {name}", "test", announced=True),
    "combine": _Shown("Try another LoRA with {name}", "test", announced=True),
    "invent": _Shown("Paint faces for {name}", "invent"),
    "more": _Shown("Paint more pictures of {name}", "invent"),
    "produce": _Shown("Produce pictures of {name}", "produce", announced=True),
}
_TONES = {"running": "busy", "paused": "warn", "interrupted": "warn", "failed": "bad", "finished": "good"}  # else none
_IN_LIST = ("running", "paused", "waiting")  # how open jobs are sorted; those that have ended come after them
_BROKEN = ("failed", "interrupted")  # ended, and nobody wanted it
_UNFINISHED = (*_BROKEN, "stopped")  # ended, and can go on
_LINES, _TAIL = 40, 1 << 16
_MOST_EVENTS = 1 << 20  # bytes of events in one answer
_NAMING_NO_FILE = ("", "clip", "blip:blip")  # captioners that anybody may ask for, beside the host's own
_OF_HOST = "webui-"  # how the names of the host's own captioners begin


@dataclass(frozen=True)
class NewJob:
    """What is to be done, and for which character (its slug)."""

    kind: str
    character: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """The waiting job before which this one is placed; null for the end of the queue."""

    before: int | None = None


@dataclass(frozen=True)
class QueueRequest:
    """Whether heavy jobs are prevented from starting."""

    paused: bool


def routes() -> list[Route]:
    """The routes for jobs."""
    return [
        get("/jobs", listed),
        post("/jobs", add, NewJob),
        get("/jobs/{number}", one),
        get("/jobs/{number}/events", events, "after"),
        get("/jobs/{number}/log", log),
        post("/jobs/{number}/stop", stop),
        post("/jobs/{number}/pause", pause),
        post("/jobs/{number}/resume", resume),
        post("/jobs/{number}/forget", forget),
        post("/jobs/{number}/move", move, Move),
        post("/queue", pause_queue, QueueRequest),
    ]


def listed(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """All jobs: waiting, running, and those that ended last."""
    return [job_values(context, job) for job in context.queue.jobs()]


def add(context: RequestContext, call: Call) -> dict[str, Any]:
    """Add a job to the queue."""
    folder = paths.named_character(context.root, call.body.character)
    return job_values(context, put(context, folder, arguments_of(call.body.kind, call.body.arguments)))


def put(context: RequestContext, folder: CharacterFolder, arguments: Arguments) -> Job:
    """Add a job for a character to the queue, after checking what its arguments name (`checked`)."""
    arguments = checked(context, folder, arguments)
    job = context.queue.add(load(folder).name, arguments)
    context.supervisor.wake()
    return job


def checked(context: RequestContext, folder: CharacterFolder, arguments: Arguments) -> Arguments:
    """The arguments of a job for a character, as it is put into the queue, after checking what they name.

    Raises:
        Refused: it names a path, and the webui is open to others; or a run that is not there; or a training without
            a declaration of consent.
        UserError: no base model is chosen, it is not there, or there is no such setting; or another machine is at work
            on the run that is to go on.
    """
    character, run = load(folder), run_in(arguments)
    if run is not None:
        path = paths.run(folder, run)
        if isinstance(arguments, TrainArguments):
            see_that_it_is_here(path)  # else the job would fail, and hide the one that brings the run home
    if isinstance(arguments, TrainArguments) and run is None and character.consent is None:
        raise Refused(409, f"Record consent for {character.name} first.", code="consent-missing")
    if isinstance(arguments, (TrainArguments, ProbeArguments, InventArguments)) and run is None:
        chosen_base(arguments)
    if isinstance(arguments, (TrainArguments, ProbeArguments)):
        arguments = replace(arguments, settings=form_fields.checked(arguments.settings))
        others_of(folder, character, together_in(arguments))
    _see_paths(context, arguments)
    if uses_place(arguments):
        if context.host.remote():
            raise forbidden("This webui is open to other machines, so nothing can be sent elsewhere from here.")
        place = places.named(context.root, asked_place(arguments))
        with_place = (TrainArguments, TestArguments, ChooseArguments, CombineArguments, ProduceArguments)
        if place and place.ray and isinstance(arguments, with_place):
            arguments = replace(arguments, on=place.on())  # it may be named by its address
        if is_rented(asked_place(arguments)):
            pod_terms.account(context.root)  # without its key nothing can be rented
    if isinstance(arguments, (InventArguments, MoreArguments)):
        see_that_it_can_be(context, folder, arguments)
    if isinstance(arguments, (TestArguments, ChooseArguments, CombineArguments)):
        _see_loras(context, folder, arguments)
        arguments = _painted_by(context, folder, arguments)
    return arguments


_Painted = TestArguments | ChooseArguments | CombineArguments


def _see_loras(context: RequestContext, folder: CharacterFolder, arguments: _Painted) -> None:
    """See that further LoRAs are there and fit the run's base model, before anything waits in the queue.

    Raises:
        UserError: one is gone, damaged or for another family.
    """
    named = loras_in(arguments)
    if not named:
        return
    from lib_lora.lora.file.fitting import check_fits

    run = run_records.run(paths.run(folder, arguments.run)) if arguments.run else run_records.newest(folder)
    for file in named:
        with about("lora"):
            path = lora_of(context, file)
            if run is not None:
                check_fits(path, run.family)


def lora_of(context: RequestContext, text: str) -> Path:
    """A LoRA that a request names: one in a folder of LoRAs here, or any file if only this machine's user can ask.

    Raises:
        Refused: it lies elsewhere, and the webui is open to others.
        UserError: there is no such file.
    """
    path = Path(text)
    if not paths.inside(path, lora_folders(context)):
        path = paths.free_path(context.host, text, "a LoRA outside the folders of LoRAs")
    if not path.is_file():
        raise UserError(f"There is no file {path}; choose another LoRA.", code="further-lora-missing", file=path)
    return path


def lora_folders(context: RequestContext) -> list[Path]:
    """The folders in which LoRAs lie here."""
    return [*context.host.roots().loras, Workspace(context.root).loras]


def _painted_by(context: RequestContext, folder: CharacterFolder, arguments: _Painted) -> _Painted:
    """The arguments, with the worker in the webui's place where that does not paint with models of the run's family.

    Raises:
        UserError: another base model than the run's own is asked for, with which the worker does not paint.
    """
    if arguments.painter != "webui":
        return arguments
    named = arguments.run
    run = run_records.run(paths.run(folder, named)) if named is not None else run_records.newest(folder)
    why = context.host.refuses(run.family) if run else ""
    if run and run.settings.trigger_vectors and not context.host.reads_vectors():
        why = why or "This webui does not read the trigger word's own vectors from a LoRA."
    if not run or not why:
        return arguments
    if isinstance(arguments, TestArguments) and arguments.base:
        if Path(arguments.base) != Path(run.base):
            raise UserError(
                f"{why} SameFace itself paints with the run's own base model only; choose that one.",
                "base",
                code="base-not-painted-with",
                file=Path(arguments.base),
            )
        arguments = replace(arguments, base=None)
    return replace(arguments, painter="worker")


def _see_paths(context: RequestContext, arguments: Arguments) -> None:
    """Somebody on another machine may name no file except a base model that the host offers."""
    if base := base_in(arguments):
        with about("base"):
            base_of(context, base)
    if not context.host.remote():
        return
    if class_photos_in(arguments):
        raise forbidden("This webui is open to other machines, so a folder of class photos cannot be named here.")
    if isinstance(arguments, ProduceArguments):
        roots = context.host.roots()
        known = {Workspace(context.root).wildcards, *roots.wildcards, *roots.loras}
        if not {*map(Path, arguments.wildcards), *map(Path, arguments.loras)} <= known:
            raise forbidden("This webui is open to other machines, so folders for prompts cannot be named here.")
        if arguments.comfyui:
            raise forbidden("This webui is open to other machines, so a ComfyUI cannot be named here.")
    if isinstance(arguments, FillArguments) and not _names_no_file(context, arguments.captioner):
        raise forbidden("This webui is open to other machines, so a captioner's files cannot be named here.")


def _names_no_file(context: RequestContext, captioner: str) -> bool:
    """Whether anybody may ask for this captioner: it needs no file, or is the host's own. The host looks at its files
    for that, so it is asked only about a name that can be one."""
    if captioner in _NAMING_NO_FILE:
        return True
    return captioner.startswith(_OF_HOST) and captioner in [one.name for one in context.host.captioners()]


def base_of(context: RequestContext, text: str) -> Path:
    """The base model that a request names: one that the host offers, or any file if only this machine's user can ask.

    Raises:
        Refused: the host does not offer it, and is open to others.
        UserError: there is no such file.
    """
    for checkpoint in context.host.checkpoints():
        if text == str(checkpoint.path):
            return checkpoint.path
    path = paths.free_path(context.host, text, "a base model outside the webui's own folders")
    if not path.is_file():
        raise UserError(f"There is no file {path}; choose another base model.", code="base-model-missing", file=path)
    return path


def job_values(context: RequestContext, job: Job) -> dict[str, Any]:
    """A job as the page shows it; one of a type that only a newer version knows, by that type's name."""
    shown = _SHOWN.get(job.kind, _Shown(job.kind, "train"))
    return {
        "id": job.id,
        "kind": job.kind,
        "lane": lane_of(job.kind, job.arguments),
        "character": job.character,
        "slug": job.slug,
        "step": shown.step,
        "announced": shown.announced,
        "state": job.state,
        "open": job.state in OPEN,
        "broken": job.state in _BROKEN,
        "unfinished": job.state in _UNFINISHED,
        "order": _IN_LIST.index(job.state) if job.state in _IN_LIST else len(_IN_LIST),
        "tone": _TONES.get(job.state, "none"),
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "run": job.run,
        "error": job.error,
        "code": job.code,
        "result": job.result,
        "wish": job.wish,
        "arguments": as_plain(job.arguments),
        "text": shown.text.format(name=job.character) + _elsewhere(job),
        "base_gone": _base_gone(context, job),
        "standing": None if job.state == "waiting" else _job_progress(context.queue.folder(job.id), job),
        "cost": _cost(context, job),
    }


def _cost(context: RequestContext, job: Job) -> dict[str, str] | None:
    """What the machine costs that is rented for a job, or has cost; None = none was."""
    rent = (job.result or {}).get("rent")
    rented = _job_progress(context.queue.folder(job.id), job)["rented"] if job.state == "running" else None
    if rented is not None:
        since, hourly, cap = rented
        left = _job_progress(context.queue.folder(job.id), job)["seconds_left"]
        found = money.running_cost(hourly, cap, time.time() - since, left)
        shown = rate_of(context.root).shown
        total = "" if found.total is None else shown(found.total)
        return {"so_far": shown(found.so_far), "total": total, "cap": shown(found.cap), "billed": ""}
    try:
        billed = money.exact(max(rent["billed"], rent["counted"])) if rent else None
    except (KeyError, TypeError, ArithmeticError):  # of another version
        return None
    text = "" if billed is None else rate_of(context.root).shown(billed)
    return {"so_far": "", "total": "", "cap": "", "billed": text} if text else None


def _elsewhere(job: Job) -> str:
    """On which other machine a job is done, as the end of its text."""
    return (
        f" on {asked_place(job.arguments).removeprefix(places.SSH).removeprefix(places.RAY)}"
        if uses_place(job.arguments)
        else ""
    )


def _base_gone(context: RequestContext, job: Job) -> str:
    """The missing base model that an unfinished job needs to continue; empty if it is there."""
    if job.state not in _UNFINISHED:
        return ""
    named, run = base_in(job.arguments), job.run or run_in(job.arguments)
    if not named and run:
        folder = Workspace(context.root).character_at(job.slug)
        try:
            mark(folder.run(paths.identifier(run, "run")).file)  # where there is none, one may come back
            named = run_records.run(paths.run(folder, run)).base  # remembered: this is asked each second
        except UserError:
            keep_nothing()
        except Refused:
            pass
    return named if named and mark(named) is None else ""


def _job_progress(folder: Path, job: Job) -> dict[str, Any]:
    """Of a job that has ended, it is read only once."""
    ended = None if job.ended is None else (job.ended, job.state)
    if ended is None:
        mark(JobFolder(folder).events)
        return _read(folder)
    return kept(("standing", folder), ended, lambda: _read(folder))


def _read(folder: Path) -> dict[str, Any]:
    progress = _follower(JobFolder(folder).events).read()
    values = asdict(progress)
    for inner in ("since", "best"):
        values.pop(inner)
    return values | {"name": progress.name, "counted": progress.is_counted, "slow": progress.is_slow}


@lru_cache(maxsize=256)
def _follower(path: Path) -> Follower:
    return Follower(path)


def one(context: RequestContext, call: Call) -> dict[str, Any]:
    """One job."""
    return job_values(context, _job(context, call))


def _job(context: RequestContext, call: Call) -> Job:
    try:
        return context.queue.get(paths.number(call.path["number"], "job"))
    except UserError as error:
        raise missing(str(error)) from error


def events(context: RequestContext, call: Call) -> dict[str, Any]:
    """The events of a job, starting at a position in its file."""
    after = call.query.get("after", "0")
    if not (after.isascii() and after.isdecimal() and len(after) <= 15):
        raise UserError("'after' must be a number of bytes: the 'next' of the previous answer.", code="offset-invalid")
    path = Workspace(context.root).job(_job(context, call).id).events
    found, offset = events_after(path, int(after), _MOST_EVENTS)
    return {"events": found, "next": offset}


def log(context: RequestContext, call: Call) -> dict[str, Any]:
    """The last lines printed by a job's process."""
    path = Workspace(context.root).job(_job(context, call).id).log
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - _TAIL))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    whole = text.replace("\r\n", "\n").split("\n")
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in whole]  # of a bar only its last state
    return {"lines": [line for line in lines if line.strip()][-_LINES:]}


def _acted(context: RequestContext, job: Job) -> dict[str, Any]:
    context.supervisor.wake()
    return job_values(context, context.queue.get(job.id))


def stop(context: RequestContext, call: Call) -> dict[str, Any]:
    """Stop a job; what it has done so far is kept."""
    job = _job(context, call)
    context.queue.wish(job.id, "stop")
    return _acted(context, job)


def pause(context: RequestContext, call: Call) -> dict[str, Any]:
    """Pause a running job, and all heavy jobs behind it."""
    job = _job(context, call)
    context.queue.wish(job.id, "pause")
    return _acted(context, job)


def resume(context: RequestContext, call: Call) -> dict[str, Any]:
    """Return an unfinished job to the queue."""
    job = _job(context, call)
    context.queue.resume(job.id)
    return _acted(context, job)


def forget(context: RequestContext, call: Call) -> dict[str, Any]:
    """Remove a job that has ended from the list."""
    job = _job(context, call)
    context.queue.forget(job.id)
    return {"forgotten": job.id}


def move(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """Move a waiting job to another place in the queue."""
    context.queue.move(_job(context, call).id, call.body.before)
    return listed(context, call)


def pause_queue(context: RequestContext, call: Call) -> dict[str, Any]:
    """Prevent heavy jobs from starting, or let them start again."""
    context.queue.pause_all(call.body.paused)
    context.supervisor.wake()
    return {"paused": context.queue.paused()}
