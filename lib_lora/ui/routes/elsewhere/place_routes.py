"""Other machines on which can be trained: which there are, and what a training sends there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lib_lora.character.store import load
from lib_lora.queue.job_types import TrainArguments
from lib_lora.remote import places
from lib_lora.training.plan import form_fields
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about, forbidden
from lib_lora.ui.routes.job_routes import base_of
from lib_lora.ui.routes.plan_routes import EstimateRequest
from lib_lora.workflows.train.sent_preview import sent_list


def routes() -> list[Route]:
    """The routes about other machines."""
    return [get("/places", listed), post("/characters/{slug}/sent", sent, EstimateRequest)]


def listed(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """The other machines on which can be trained, what each has, and what would be sent there; none are told to others
    than this machine's user."""
    return [
        {
            "on": place.on(),
            "title": places.title(place),
            "text": places.described(place),
            "sent": places.sent_sentence(place),
        }
        for place in ([] if context.host.remote() else places.load(context.root))
    ]


def sent(context: RequestContext, call: Call) -> dict[str, Any]:
    """What a training would send to another machine: each photo, caption and setting, by the rules of sending."""
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so nothing can be sent elsewhere from here.")
    folder, body = paths.character(context, call), call.body
    with about("base"):
        base = base_of(context, body.base)
    asked = TrainArguments(base=str(base), preset=body.preset, settings=form_fields.checked(body.settings))
    found = asdict(sent_list(context.root, load(folder).name, asked))
    found["photo_bytes"] = sum(photo["bytes"] for photo in found["photos"])
    return found
