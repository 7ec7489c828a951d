"""Answers the routes of the panel Library that look models up on Civitai, find one there and fetch one, as tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.api.civitai_answers import CHECKPOINT, LORAS
from lib_lora.civitai.api.site_address import pointer_of
from lib_lora.civitai.model_fetch import FileChoice, choose, fetch_choice
from lib_lora.civitai.model_lookup import FoundModel, ModelLookup
from lib_lora.civitai.starter_models import fetch_starter, starter_named
from lib_lora.errors import UserError
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about
from lib_lora.ui.routes.library import library_tasks
from lib_lora.ui.routes.library.known_models import files_of, folder_for, see_owner
from lib_lora.ui.routes.library.library_tasks import LibraryTask, TaskKind
from lib_lora.workflows.library.library_table import entries
from lib_lora.workflows.library.model_words import values_of

_MOST = 60  # versions, or files of one, that can be chosen


@dataclass(frozen=True)
class LookupRequest:
    """Whether to ask about everything again, even if it was asked recently."""

    refresh: bool = False


@dataclass(frozen=True)
class FindRequest:
    """An address on Civitai, a model's number or a hash; a version's number or name (empty = the newest)."""

    what: str
    version: str = ""


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch: an address or a number on Civitai, a version and a file of it (by number; empty = the page's own
    choice)."""

    what: str
    version: str = ""
    file: str = ""


@dataclass(frozen=True)
class StarterRequest:
    """A base model from the list of those to begin with; `agreed`: its licence was shown, and the user agrees."""

    name: str
    agreed: bool = False


@dataclass(frozen=True)
class StopTaskRequest:
    """Which kind of task ends."""

    kind: Literal["look", "find", "fetch"]


def routes() -> list[Route]:
    """The routes of what takes longer."""
    return [
        get("/library/tasks", tasks),
        post("/library/look", look_up, LookupRequest),
        post("/library/find", find, FindRequest),
        post("/library/fetch", fetch, FetchRequest),
        post("/library/starter", fetch_starter_model, StarterRequest),
        post("/library/stop", stop, StopTaskRequest),
    ]


def tasks(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """What is under way or has ended: the newest look-up, search and download."""
    return [task.values() for task in library_tasks.tasks_of(context.root)]


def stop(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """Stop the running task of a kind; what was fetched or found is kept."""
    see_owner(context)
    library_tasks.stop(context.root, call.body.kind)
    return tasks(context, call)


def _start(context: RequestContext, kind: TaskKind, name: str, work: Callable[[LibraryTask], Any]) -> dict[str, Any]:
    return library_tasks.start(context.root, kind, name, work).values()


def look_up(context: RequestContext, call: Call) -> dict[str, Any]:
    """Look up every model that the webui knows: hashes are computed, and asked for where nothing fresh is known."""
    see_owner(context)
    civitai_consent.see_that_it_may_be_asked(context.root)
    bases, loras, _ = files_of(context)
    paths = [*bases, *loras]

    def work(task: LibraryTask) -> dict[str, Any]:
        lookup, troubles = ModelLookup(context.root, refresh=call.body.refresh), []
        for number, path in enumerate(paths):
            task.report(number, len(paths), path.name)
            entry = entries(context.root, [path], lookup)[0]
            if entry.away:  # it was tried several times; what was found so far is kept
                raise UserError(entry.trouble, code="library-nobody-answers")
            if entry.trouble:
                troubles.append({"name": path.name, "text": entry.trouble})
        task.report(len(paths), len(paths))
        return {"looked": len(paths), "troubles": troubles}

    return _start(context, "look", "", work)


def find(context: RequestContext, call: Call) -> dict[str, Any]:
    """Find a model on Civitai: what it is, what may be done with it, and which versions and files can be fetched."""
    see_owner(context)
    what = call.body.what.strip()
    with about("what"):
        pointer_of(what, civitai_consent.site(context.root))  # what is no address is said at once
    civitai_consent.see_that_it_may_be_asked(context.root)

    def work(_task: LibraryTask) -> dict[str, Any]:
        return _findings(ModelLookup(context.root), what, call.body.version)

    return _start(context, "find", what, work)


def _findings(lookup: ModelLookup, what: str, version: str) -> dict[str, Any]:
    choice: FileChoice | None = None
    refusal: UserError | None = None
    pointer = pointer_of(what, lookup.site)
    found = lookup.of_pointer(pointer, what)
    if found.known:
        try:
            choice = choose(lookup, pointer, what, version)
            found = choice.found
            _see_that_it_has_a_place(found.kind, found.title)
        except UserError as error:
            refusal = error
    return {
        "what": what,
        **values_of(found),
        "page": found.page,
        "versions": _versions(found),
        "version": str(found.version.id) if found.version else "",
        "files": _safe_files(found),
        "file": str(choice.file.id) if choice else "",
        "goes_to": "base" if found.kind == CHECKPOINT else "lora",
        "refusal": {"code": refusal.code, "message": str(refusal)} if refusal else None,
    }


def _versions(found: FoundModel) -> list[dict[str, str]]:
    there = found.model.versions if found.model else ((found.version,) if found.version else ())
    return [{"value": str(one.id), "text": f"{one.name} ({one.base or '?'})"} for one in there[:_MOST]]


def _safe_files(found: FoundModel) -> list[dict[str, Any]]:
    files = found.version.files if found.version else ()
    safe = [one for one in files if one.name.lower().endswith(".safetensors")]
    return [{"value": str(one.id), "text": one.name, "bytes": one.bytes} for one in safe[:_MOST]]


def fetch(context: RequestContext, call: Call) -> dict[str, Any]:
    """Fetch a model from Civitai into the webui's folder for its kind; a download that was stopped is continued."""
    see_owner(context)
    body = call.body

    def work(task: LibraryTask) -> dict[str, str]:
        civitai_consent.see_that_it_may_be_asked(context.root)
        lookup = ModelLookup(context.root, refresh=True)
        choice = choose(lookup, pointer_of(body.what.strip(), lookup.site), body.what, body.version, body.file)
        folder = _target(context, choice.found.kind, choice.found.title)
        task.report(0, choice.file.bytes, choice.name)
        path = fetch_choice(context.root, choice, folder, lookup.api, task.report)
        if choice.found.kind == CHECKPOINT:
            context.host.refresh_checkpoints()
        else:
            context.host.refresh_loras(path.stem)
        return {"file": str(path), "name": path.name}

    return _start(context, "fetch", body.what, work)


def fetch_starter_model(context: RequestContext, call: Call) -> dict[str, Any]:
    """Fetch a base model to begin with, from the address in the list."""
    see_owner(context)
    with about("name"):
        model = starter_named(call.body.name)
    if not call.body.agreed:
        raise UserError(
            f"Read the licence of {model.title} ({model.licence.address}), and agree to it first.",
            "agreed",
            code="library-licence-not-agreed",
        )
    folder = _target(context, CHECKPOINT, model.title)

    def work(task: LibraryTask) -> dict[str, str]:
        path = fetch_starter(context.root, model, folder, True, task.report)
        context.host.refresh_checkpoints()
        return {"file": str(path), "name": path.name}

    return _start(context, "fetch", model.name, work)


def _see_that_it_has_a_place(kind: str, title: str) -> None:
    if kind not in (CHECKPOINT, *LORAS):
        raise UserError(
            f"{title} is of the kind {kind or 'unknown'}, and neither a LoRA nor a base model; fetch it with the "
            "command civitai, which asks for a folder.",
            code="library-other-kind",
        )


def _target(context: RequestContext, kind: str, title: str) -> Path:
    """The webui's folder for a model.

    Raises:
        UserError: it has none.
    """
    _see_that_it_has_a_place(kind, title)
    folder = folder_for(context, base=kind == CHECKPOINT)
    if folder is None:
        raise UserError(
            f"There is no folder here for {title}; fetch it with the command civitai, which asks for a folder.",
            code="library-no-folder",
        )
    return folder
