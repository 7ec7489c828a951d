"""Answers the routes of other machines that train: which there are, and what a training sends there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.queue.job_types import TrainArguments
from lib_lora.remote import places
from lib_lora.remote.ray_cluster.shared_storage import is_url
from lib_lora.training.plan import form_fields
from lib_lora.ui.http import paths
from lib_lora.ui.http.confirmation import confirm
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about, forbidden, missing
from lib_lora.ui.routes.job_routes import base_of
from lib_lora.ui.routes.train.plan_routes import EstimateRequest
from lib_lora.workflows.train.elsewhere.place_keeping import inspect, place_of, see_unused, unchecked
from lib_lora.workflows.train.elsewhere.sent_preview import base_address, base_there, sent_list

_PATIENCE = 30.0  # seconds in which a cluster must have room for a look, while the page waits


@dataclass(frozen=True)
class PlaceRequest:
    """A machine to add: a short name, its address (`user@host:port`, or that of a Ray cluster's dashboard), and what is
    not usual: the file of the private key, the folder and the Python there, a cluster's shared storage. It needs the
    code that 428 requests."""

    name: str
    address: str
    key: str = ""
    folder: str = ""
    python: str = ""
    storage: str = ""
    code: str = ""


@dataclass(frozen=True)
class SentRequest(EstimateRequest):
    """The base model's path, the preset (null = its own), settings that override it, and the address from which the
    other machine may fetch the base model."""

    base_address: str = ""


def routes() -> list[Route]:
    """The routes about other machines."""
    return [
        get("/places", listed),
        post("/places", add, PlaceRequest),
        post("/places/{name}/check", check),
        post("/places/{name}/remove", remove),
        post("/characters/{slug}/sent", sent, SentRequest),
    ]


def listed(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """The other machines that can train, what each has, and what would be sent there; empty where other machines can
    open the page."""
    return [_values(place) for place in ([] if context.host.remote() else places.load(context.root))]


def _values(place: places.Place) -> dict[str, Any]:
    return {
        "on": place.on(),
        "name": place.name,
        "checked": place.machine is not None,
        "title": places.title(place),
        "text": places.described(place),
        "sent": places.sent_sentence(place),
    }


def add(context: RequestContext, call: Call) -> dict[str, Any]:
    """Add a machine once SameFace has logged in and checked it; it replaces one of the same name. A cluster without
    free resources is added unchecked, and `said` says so."""
    _see_owner(context)
    body = call.body
    name, address = body.name.strip(), body.address.strip()
    given: dict[str, Any] = {field: getattr(body, field).strip() or None for field in ("folder", "python")}
    for field, what in (("key", "a private key"), ("storage", "a storage")):
        if text := getattr(body, field).strip():
            with about(field):
                local = field == "key" or not is_url(text)
                given[field] = str(paths.free_path(context.host, text, what)) if local else text
    place = place_of(name, address, given)
    see_unused(context.root, place.name)
    key = f" with the key {place.key}" if place.key else ""
    confirm(context, f"log in to {place.address()}{key}, and run the program {place.python} there", body.code)
    paths.ensure_folder(context.root)
    said = ""
    try:
        found = inspect(context.root, place, new=True, patience=_PATIENCE)
    except UserError as error:
        if error.code != "ray-no-room":
            raise
        found, said = unchecked(context.root, place), f"{error} {place.name} was added unchecked; check it later."
    places.save(context.root, found)
    return {**_values(found), "said": said}


def check(context: RequestContext, call: Call) -> dict[str, Any]:
    """Check again what a machine has."""
    _see_owner(context)
    place = _named(context, call)
    try:
        found = inspect(context.root, place, patience=_PATIENCE)
    except UserError as error:
        if error.code != "ray-no-room":
            raise
        raise UserError(f"{error} {place.name} is unchanged.", code=error.code, place=place.name) from error
    assert found.machine
    return _values(places.checked(context.root, place, found.machine))


def remove(context: RequestContext, call: Call) -> dict[str, Any]:
    """Forget a machine; its files there are kept."""
    _see_owner(context)
    place = _named(context, call)
    see_unused(context.root, place.name)
    return {"removed": places.remove(context.root, place.name).name}


def _named(context: RequestContext, call: Call) -> places.Place:
    try:
        return places.find(context.root, call.path["name"])
    except UserError as error:
        if error.code == "place-not-found":
            raise missing(str(error)) from error
        raise


def _see_owner(context: RequestContext) -> None:
    """
    Raises:
        Refused: somebody on another machine may ask.
    """
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so no machine can be named here.")


def sent(context: RequestContext, call: Call) -> dict[str, Any]:
    """What a training would send to another machine: each photo, caption and setting."""
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so nothing can be sent elsewhere from here.")
    folder, body = paths.character(context, call), call.body
    with about("base"):
        base = base_of(context, body.base)
    asked = TrainArguments(base=str(base), preset=body.preset, settings=form_fields.checked(body.settings))
    found = asdict(sent_list(context.root, load(folder).name, asked))
    place = places.named(context.root, body.on)
    found["base_address"] = base_address(context.root, place, base, body.base_address.strip()) if place else ""
    found["base_there"] = base_there(context.root, place, base) if place else None
    found["photo_bytes"] = sum(photo["bytes"] for photo in found["photos"])
    return found
