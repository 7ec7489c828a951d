"""Answers `/state`: how far each character is, from its photos to its use, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lib_lora
from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.character.photo_files import kinds
from lib_lora.errors import UserError
from lib_lora.files import digest_of
from lib_lora.likeness.verdict.verdict_tone import verdict_tone
from lib_lora.messages.message import Message
from lib_lora.models.families.registry import families
from lib_lora.queue.job_types import lane_of
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_history import history_of
from lib_lora.runs.records.run_records import RunRecord
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import LOG
from lib_lora.ui.routes import job_routes
from lib_lora.ui.views import caption_checks, invention, machine, step_words
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, snapshot_of
from lib_lora.ui.views.page_limits import page_limits
from lib_lora.ui.views.page_words import page_words
from lib_lora.workflows.photos import changes
from lib_lora.workspace.file_cache import keep_nothing, kept, mark, names_in, unless_changed
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job

_LINE = 30  # jobs that wait
_SHORT = 300  # letters of an argument


def routes() -> list[Route]:
    """The routes that a page requests repeatedly."""
    return [get("/state", state_or_changes, "since"), get("/waits", waits)]


def state_or_changes(context: RequestContext, call: Call) -> dict[str, Any]:
    """Everything that is shown at every step: host, characters, queue. With `since` (the `mark` of the previous
    response, empty at first), only what has changed: the parts by name in `changed`, and for the `lists` of
    characters and jobs their `keys` in order and the entries that have `changed`; if nothing has, the `mark` alone."""
    whole = state(context)
    if "since" not in call.query:
        return whole
    queue = {**whole.pop("queue")}
    lists = {"characters": ("slug", whole.pop("characters")), "jobs": ("id", queue.pop("jobs"))}
    return context.changes.since(call.query["since"], {**whole, "queue": queue}, lists)


def state(context: RequestContext) -> dict[str, Any]:
    """The complete state."""
    caption_checks.begin()  # somebody looks; what the first trigger word or caption needs is loaded meanwhile
    disk = _on_disk(context)
    return {
        "version": lib_lora.__version__,
        "folder": digest_of(str(context.root))[:12],  # a browser remembers for each what was chosen in it
        "host": {
            "name": context.host.name,
            "version": context.host.version,
            "remote": context.host.remote(),
            "paints": context.host.paints(),
            "refuses": {one.name: why for one in families() if (why := context.host.refuses(one.name))},
            "busy": context.host.busy(),
            "samplers": context.host.samplers(),
            "detailer": context.host.detailer(),
            "gpu": machine.has_gpu(),
            "photos": _photo_kinds(),
        },
        "limits": asdict(page_limits()),
        "words": _words(),
        "supervisor": {"active": context.supervisor.active, "reason": context.supervisor.reason},
        "characters": disk.characters,
        "queue": {**disk.queue, "holds": _holds(context, disk.open_jobs)},
    }


@dataclass(frozen=True)
class _OnDisk:
    """What of the state is read from files: computed again when one of them has changed, asked for each second."""

    open_jobs: list[Job]
    characters: list[dict[str, Any]]
    queue: dict[str, Any]


def _on_disk(context: RequestContext) -> _OnDisk:
    return unless_changed(("state", context.root, caption_checks.ready()), lambda: _from_disk(context))


def _from_disk(context: RequestContext) -> _OnDisk:
    context.queue.observe()
    open_jobs = _open_jobs(context)
    in_list, more = _in_list(context.queue.jobs())
    return _OnDisk(
        open_jobs,
        [_entry(folder, open_jobs) for folder in folders(context.root)],
        {
            "paused": context.queue.paused(),
            "notice": context.queue.notice(),
            "jobs": [_short(job_routes.job_values(context, job)) for job in in_list],
            "more": more,
        },
    )


def _open_jobs(context: RequestContext) -> list[Job]:
    def read() -> list[Job]:
        context.queue.observe()
        return context.queue.open()

    return unless_changed(("open jobs", context.root), read)


def _entry(folder: CharacterFolder, open_jobs: Sequence[Job]) -> dict[str, Any]:
    trains = is_trained_now(folder, open_jobs)
    key = ("entry", folder.path, trains, caption_checks.ready())
    return unless_changed(key, lambda: of_character(folder, trains))


@cache
def _words() -> dict[str, Any]:
    return asdict(page_words())


@cache
def _photo_kinds() -> list[str]:
    """To look for packages that are not there takes milliseconds each time; what is installed later needs a restart."""
    return kinds()


def _in_list(found: Sequence[Job]) -> tuple[list[Job], int]:
    """The jobs that the state repeats, and how many it leaves out: of a long line its first ones, and of each character
    the first one of each kind."""
    line, first = 0, set()
    shown = []
    for job in found:
        line += job.state == "waiting"
        if job.state != "waiting" or line <= _LINE or (job.slug, job.kind) not in first:
            shown.append(job)
        first.add((job.slug, job.kind))
    return shown, len(found) - len(shown)


def _short(job: dict[str, Any]) -> dict[str, Any]:
    """A job with those of its arguments that are short: long lists of photos, and whole settings, are left out."""
    return {**job, "arguments": {key: one for key, one in job["arguments"].items() if len(str(one)) <= _SHORT}}


def waits(context: RequestContext, _call: Call) -> dict[str, Any]:
    """The job that the webui's pictures are waiting for; null if they do not wait."""
    open_jobs = _open_jobs(context)
    number = _holds(context, open_jobs)
    return {"job": next((job_routes.job_values(context, job) for job in open_jobs if job.id == number), None)}


def _holds(context: RequestContext, open_jobs: Sequence[Job]) -> int:
    """The job that keeps the webui from painting; 0 if there is none."""
    heavy = (job.id for job in open_jobs if job.state == "running" and lane_of(job.kind, job.arguments) == "heavy")
    return next(heavy, 0) if context.supervisor.holds else 0


def folders(root: Path) -> list[CharacterFolder]:
    """The folders of all characters, by name."""
    workspace = Workspace(root)
    there = [workspace.character_at(name) for name in names_in(workspace.characters)]
    return [folder for folder in there if mark(folder.file) is not None]


def of_character(folder: CharacterFolder, trains: bool = False) -> dict[str, Any]:
    """One character's entry; one whose file is damaged says so in place of its photos. `trains`: it is just trained."""
    slug = folder.path.name
    try:
        return _whole(folder, trains)
    except UserError as error:
        keep_nothing()  # a file that another program holds may be read in a second
        return _damaged(slug, str(error))
    except Exception:  # one character's odd file must not take the others from the page
        keep_nothing()
        LOG.exception("%s cannot be shown", slug)
        return _damaged(slug, f"A file in {folder.path} is damaged; the webui's log says which.")


def is_trained_now(folder: CharacterFolder, open_jobs: Sequence[Job]) -> bool:
    """Whether one of the open jobs is training this character."""
    return any(job.slug == folder.path.name and job.kind == "train" and job.state == "running" for job in open_jobs)


def _whole(folder: CharacterFolder, trains: bool) -> dict[str, Any]:
    slug, snapshot = folder.path.name, snapshot_of(folder)
    character = snapshot.character
    run = run_records.newest(folder)
    photos, captions = _photos(snapshot), _captions(snapshot)
    train, test, use, produce = _train(run, trains), _test(run), _use(folder), _produce(folder)
    return {
        "slug": slug,
        "name": character.name,
        "trigger": character.trigger,
        "class_word": character.class_word,
        "consent": asdict(character.consent) if character.consent else None,
        "traits": character.traits,
        "notes": character.notes,
        "photos": photos,
        "captions": captions,
        "train": train,
        "test": test,
        "use": use,
        "produce": produce,
        "undo": _undo(folder),
        "invented": (invented := invention.in_short(snapshot)),
        "next": _next(
            snapshot,
            run,
            is_captioned=captions["written"] >= captions["of"],
            is_good=bool(test["grid"]) and test["tone"] == "good",
            is_invented=invented is not None,
        ),
        "cover": _cover(snapshot),
        "touched": _touched(folder, run),
    }


def _undo(folder: CharacterFolder) -> dict[str, Any] | None:
    """The newest change that can be undone."""
    path = folder.path / changes.FILE
    there = mark(path)
    if there is None:
        return None
    known = kept(("changes", folder.path), there, lambda: changes.changes(folder))
    return {"what": known[-1].what, "t": known[-1].t} if known else None


def _touched(folder: CharacterFolder, run: RunRecord | None) -> float:
    """When anything of a character was last created or changed, in Unix seconds; 0 if unknown."""
    places = [folder.path, folder.file, folder.photos, folder.runs, *([run.folder] if run else [])]
    return max((found[0] / 1e9 for place in places if (found := mark(place)) is not None), default=0.0)


def _damaged(slug: str, why: str) -> dict[str, Any]:
    nothing = {"tone": "none", **step_words.as_it_is("")}
    return {
        "slug": slug,
        "name": slug,
        "trigger": "",
        "class_word": "",
        "consent": None,
        "traits": [],
        "notes": "",
        "photos": {"count": 0, "used": 0, "proposed": 0, "audited": False, "tone": "bad", **step_words.as_it_is(why)},
        "captions": {"written": 0, "of": 0, "problems": 0, **nothing},
        "train": {**nothing, "run": "", "steps": 0, "total": 0},
        "test": {**nothing, "run": "", "grid": "", "headline": ""},
        "use": nothing,
        "produce": nothing,
        "undo": None,
        "invented": None,
        "next": "photos",
        "cover": "",
        "touched": 0.0,
    }


def _photos(snapshot: CharacterSnapshot) -> dict[str, Any]:
    count, audit = len(snapshot.digests), snapshot.audit
    proposed = sum(one.proposed for one in audit.photos) if audit else 0
    if snapshot.trouble:
        tone, said = "bad", step_words.as_it_is(snapshot.trouble)
    elif not count:
        tone, said = "none", step_words.said(step_words.NO_PHOTOS)
    elif audit:
        tone, said = audit.tone, {"text": audit.headline, "message": audit.message}
    else:
        tone, said = "none", step_words.said(step_words.UNCHECKED if count != 1 else step_words.UNCHECKED_ONE, n=count)
    used, audited = len(snapshot.used), audit is not None
    return {"count": count, "used": used, "proposed": proposed, "audited": audited, "tone": tone, **said}


def _captions(snapshot: CharacterSnapshot) -> dict[str, Any]:
    of, written = len(snapshot.used), sum(bool(text) for text in snapshot.used_texts.values())
    found = (caption_checks.problems(snapshot) or []) if of else []
    # what nearly all captions have says something of the photos, and is no fault of a caption
    wrong = len({photo for photo, one in found if not one.code.startswith("constant-")} | {*snapshot.unreadable})
    if not of:
        tone, said = "none", step_words.said(step_words.NO_PHOTOS)
    elif written < of:
        tone, said = ("warn" if written else "none"), step_words.said(step_words.UNCAPTIONED, n=of - written, of=of)
    elif wrong:
        template = step_words.CAPTIONS_WRONG if of != 1 else step_words.CAPTION_WRONG
        tone, said = "warn", step_words.said(template, of=of, n=wrong)
    else:
        tone, said = "good", step_words.said(step_words.CAPTIONS if of != 1 else step_words.CAPTION, n=of)
    return {"written": written, "of": of, "problems": wrong, "tone": tone, **said}


def _train(run: RunRecord | None, working: bool) -> dict[str, Any]:
    if run is None:
        said = step_words.said(step_words.PREPARING if working else step_words.UNTRAINED)
        return {"tone": "none", **said, "run": "", "steps": 0, "total": 0}
    done, total, trained = progress(run)
    tone = "none" if working else "good" if trained else "warn" if run.saved else "none"
    template = step_words.STEPS_OF if done < total else step_words.STEPS if done != 1 else step_words.STEP
    said = step_words.said(template, run=run.id, done=done, total=total)
    return {"tone": tone, **said, "run": run.id, "steps": done, "total": total}


def progress(run: RunRecord) -> tuple[int, int, bool]:
    """Steps done and in all, and whether that is the end."""
    history = history_of(RunFolder(run.folder).events)
    done = max(history.step, run.saved[-1] if run.saved else 0)
    total = max(run.total, done)
    return done, total, bool(run.saved) and run.saved[-1] >= total


def _test(run: RunRecord | None) -> dict[str, Any]:
    """Of the newest run alone: what an older one was worth says nothing of it."""
    found = [one for one in run_records.grids(run.folder) if not one.more] if run else []
    if run is None or not found:
        number = run.id if run else ""
        said = step_words.said(step_words.RUN_UNTESTED if run else step_words.UNTESTED, run=number)
        return {"tone": "none", **said, "run": number, "grid": "", "headline": ""}  # an older one's may be shown
    grid = found[0]
    headline = grid.headline if {"{", "}"} & {*grid.headline} else Message(grid.headline)  # a report may be anybody's
    template = step_words.TESTED if grid.step is None else step_words.TESTED_AT
    said = step_words.said(template, headline=headline, step=grid.step, weight=grid.weight)
    tone = verdict_tone(grid.kind, grid.judged)
    return {"tone": tone, **said, "run": run.id, "grid": grid.id, "headline": grid.headline}


def _use(folder: CharacterFolder) -> dict[str, Any]:
    for name in run_records.identifiers(folder.runs, RunFolder.USES):
        for use in run_records.uses(folder.runs / name):
            if mark(str(use["file"])) is not None:
                to = str(use.get("to", step_words.PLACES["folder"]))
                place = Message(to) if to in step_words.PLACES.values() else to
                name = Path(str(use["file"])).stem
                return {"tone": "good", **step_words.said(step_words.IN_USE, name=name, place=place)}
    return {"tone": "none", **step_words.said(step_words.NOT_IN_USE)}


def _produce(folder: CharacterFolder) -> dict[str, Any]:
    count = sum(name.isascii() and name.isdecimal() for name in names_in(folder.productions))
    template = step_words.PRODUCED_ONE if count == 1 else step_words.PRODUCED if count else step_words.NOT_PRODUCED
    return {"tone": "good" if count else "none", **step_words.said(template, n=count)}


def _next(
    snapshot: CharacterSnapshot, run: RunRecord | None, *, is_captioned: bool, is_good: bool, is_invented: bool
) -> str:
    """The step that is next, where the newest test may be good and the character invented."""
    if run is not None and run.saved:
        return "use" if is_good else "test"  # which says what to do first
    if len(snapshot.used) < LEAST_TO_TRAIN and is_invented:
        return "invent"
    if len(snapshot.used) < LEAST_TO_TRAIN or snapshot.audit is None or snapshot.audit.stopped:
        return "photos"
    return "train" if is_captioned else "captions"


def _cover(snapshot: CharacterSnapshot) -> str:
    """The first photo that is good, else the first in use."""
    good = {one.file for one in snapshot.audit.photos if one.tone == "good"} if snapshot.audit else set()
    for file in [*(one for one in snapshot.used if one in good), *snapshot.used]:
        return snapshot.digests[file]
    return ""
