"""Answers the routes of GPUs rented at RunPod: the API key, what is offered at which price, the pods that cost now.

RunPod is asked once and for seconds only, so that a page does not wait for it. The key goes in and never out.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lib_lora.character.store import load
from lib_lora.errors import Misfit, UserError
from lib_lora.grid.prompts import PROMPTS
from lib_lora.queue.job_types import RENT_CAP, RENT_HOURS, Rental, TrainArguments
from lib_lora.queue.runners import pod_terms
from lib_lora.remote import api_key_store, places
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting import money, pod_rental
from lib_lora.remote.renting.gpu_offers import STOCK_WORDS, GpuOffer
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.remote.renting.pod_ledger import PREFIX
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.runs.lent_run import see_that_it_is_here
from lib_lora.runs.sent_run import MOST_STEPS
from lib_lora.training.plan.run_file import load_run
from lib_lora.typed_settings import by_dotted_key
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about, forbidden, missing
from lib_lora.ui.routes.job_routes import base_of
from lib_lora.ui.routes.train.plan_routes import settings_of
from lib_lora.ui.views import base_models
from lib_lora.ui.views.character_snapshot import snapshot_of
from lib_lora.workflows.judge.painting.painting_quote import (
    PaintingQuote,
    PlannedPictures,
    QuotedPainting,
    of_grid,
    of_production,
    of_search,
    quote_painting,
)
from lib_lora.workflows.train.elsewhere import renting
from lib_lora.workflows.train.elsewhere.rent_quote import (
    PlannedTraining,
    QuotedOffer,
    RentQuote,
    quote,
    spent,
    training_of,
)
from lib_lora.workflows.train.training_set import photos_an_epoch

_NAME = re.compile(rf"{PREFIX}[0-9A-Za-z-]{{1,64}}")  # of a pod of SameFace
_ENDING = 20.0  # seconds for which the page waits until a pod is gone


@dataclass(frozen=True)
class KeyRequest:
    """An API key of RunPod, which is kept in the system's keyring, or in a file that only its owner can read."""

    key: str


@dataclass(frozen=True)
class RentRequest:
    """The base model's path, the preset (null = its own), settings that override it, and what may be rented."""

    base: str
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    rental: Rental = field(default_factory=Rental)


@dataclass(frozen=True)
class GoingOnRentRequest:
    """How many steps the run should have in total (null = as before), and what may be rented."""

    steps: int | None = None
    rental: Rental = field(default_factory=Rental)

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise Misfit(f"a run cannot have {self.steps:,} steps; give 1 to {MOST_STEPS:,}.", "steps")


@dataclass(frozen=True)
class PaintingRentRequest:
    """How many pictures are painted: those of a test with `prompts` prompts (the answer covers a search for the best
    step and weight too), or of a `production`; sampling steps, side in pixels (null = as trained), what may be rented.
    """

    prompts: int = len(PROMPTS)
    production: int = 0
    steps: int = 20
    side: int | None = None
    rental: Rental = field(default_factory=Rental)


def routes() -> list[Route]:
    """The routes about rented GPUs."""
    return [
        get("/runpod", account),
        post("/runpod/key", keep_key, KeyRequest),
        post("/runpod/key/forget", forget_key),
        post("/characters/{slug}/rent", offered, RentRequest),
        post("/characters/{slug}/runs/{run}/rent-on", offered_to_go_on, GoingOnRentRequest),
        post("/characters/{slug}/runs/{run}/rent", offered_to_paint, PaintingRentRequest),
        get("/pods", living),
        post("/pods/{name}/end", end),
    ]


def _see_owner(context: RequestContext) -> None:
    """
    Raises:
        Refused: somebody on another machine may ask.
    """
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so nothing can be rented from here.")


def account(context: RequestContext, _call: Call) -> dict[str, Any]:
    """Whether GPUs can be rented: where RunPod's API key is kept (empty = there is none), the currency, the limits."""
    usual, rate = Rental(), rate_of(context.root)
    return {
        "on": places.RENTED.name,
        "available": not context.host.remote(),
        "kept_in": "" if context.host.remote() else api_key_store.kept_here(context.root),
        "currency": rate.currency,
        "per_usd": float(rate.per_usd),
        "hours": usual.hours,
        "cap": usual.cap,
        "hours_range": [*RENT_HOURS],
        "cap_range": [*RENT_CAP],
        "sent": places.sent_sentence(places.RENTED),
        "sent_to_paint": places.painting_sentence(places.RENTED),
    }


def keep_key(context: RequestContext, call: Call) -> dict[str, Any]:
    """Store RunPod's API key; no answer contains it."""
    _see_owner(context)
    paths.ensure_folder(context.root)
    return {"kept_in": api_key_store.save(context.root, call.body.key)}


def forget_key(context: RequestContext, _call: Call) -> dict[str, Any]:
    """Forget RunPod's API key; one in the environment of this program stays."""
    _see_owner(context)
    api_key_store.forget(context.root)
    return {"kept_in": api_key_store.kept_in(context.root)}


def offered(context: RequestContext, call: Call) -> dict[str, Any]:
    """What RunPod offers now for a training, with prices, minutes and sums; what was spent for this character."""
    _see_owner(context)
    slug, body = paths.character(context, call).path.name, call.body
    training = _training(context, call)
    found = quote(context.root, training, body.rental, pod_terms.account(context.root).hurried(), to_choose_from=True)
    return _quoted(context, slug, found)


def offered_to_go_on(context: RequestContext, call: Call) -> dict[str, Any]:
    """What RunPod offers now to continue a run, with prices, minutes and sums, or why nothing is available (`refused`);
    the limits that hold for the run as long as no others are given, and what is left of those that are asked for."""
    _see_owner(context)
    folder, body = paths.character(context, call), call.body
    path, slug = paths.run(folder, call.path["run"]), folder.path.name
    see_that_it_is_here(path)
    asked = TrainArguments(run=path.name, steps=body.steps, on=USUAL.name, rental=body.rental)
    training = training_of(context.root, load(folder).name, asked)
    now, rate = time.time(), rate_of(context.root)
    own = pod_terms.left_for(context.root, slug, path.name, Rental(), now, so_far=True).limits
    left = pod_terms.left_for(context.root, slug, path.name, body.rental, now, so_far=True)
    about_limits = {"left": left.sentence(rate), "limits": {"hours": own.hours, "cap": float(own.cap)}}
    api = pod_terms.account(context.root).hurried()
    try:
        found = quote(context.root, training, body.rental, api, to_choose_from=True, left=left)
    except UserError as error:  # the page has to know the limits all the same
        return {**about_limits, "refused": {"text": str(error), "code": error.code}, "offers": [], "tried": []}
    return {**_quoted(context, slug, found), **about_limits, "refused": None}


def _quoted(context: RequestContext, slug: str, found: RentQuote) -> dict[str, Any]:
    before = spent(context.root).get(slug, Decimal(0))
    shown = found.terms.rate.shown
    return {
        "currency": found.terms.rate.currency,
        "need": found.need.whole if found.need else None,
        "least": found.need.least if found.need else None,
        "steps": found.training.steps,
        "pictures": found.training.pictures > 0,
        "preparing": {"minutes": found.preparing, "known": found.preparing_known},
        "offers": [_offer(one, found) for one in found.offers],
        "tried": [one.offer.gpu.id for one in found.tried()],
        "cap": shown(found.terms.cap),
        "spent": shown(before) if before else "",
    }


def _training(context: RequestContext, call: Call) -> PlannedTraining:
    folder, body = paths.character(context, call), call.body
    snapshot = snapshot_of(folder)
    with about("base"):
        path = base_of(context, body.base)
        base = base_models.of(context, path)
    train = settings_of(base, body.preset, body.settings)
    steps = train.total_steps(photos_an_epoch(folder, snapshot.character, train, max(len(snapshot.used), 1)))
    given = by_dotted_key(body.settings)
    return PlannedTraining(path, base.family, base.narrow, train, given, steps, side=train.resolution or base.side)


def _offer(one: QuotedOffer, found: RentQuote) -> dict[str, Any]:
    shown = found.terms.rate.shown
    disk = one.offer.gpu.disk_monthly * found.terms.wishes.disk / money.HOURS_A_MONTH
    longest = found.terms.longest(one.offer.hourly)
    hours = money.exact(longest) if one.estimate is None else one.estimate.minutes / 60
    return {
        **_gpu(one.offer, found.terms.rate),
        "changed": one.changed,
        "minutes": None if one.minutes is None else float(one.minutes),
        "pace": None if one.pace is None else {"seconds": one.pace.seconds, "run": one.pace.run},
        "rented_minutes": None if one.estimate is None else float(one.estimate.minutes),
        "total": "" if one.estimate is None else shown(one.estimate.total),
        "fits": one.estimate is None or one.estimate.fits,
        "gpu_cost": shown((one.offer.hourly - disk) * hours),
        "disk_cost": shown(disk * hours),
        "disk": found.terms.wishes.disk,
        "hours": longest,
        "whole": shown(one.offer.hourly * money.exact(longest)),
        "most": shown(one.most),
    }


def _gpu(offer: GpuOffer, rate: ExchangeRate) -> dict[str, Any]:
    gpu = offer.gpu
    facts = {"id": gpu.id, "name": gpu.name, "memory": gpu.memory, "stock": STOCK_WORDS.get(gpu.availability, "")}
    return {**facts, "hourly": rate.shown(offer.hourly)}


def offered_to_paint(context: RequestContext, call: Call) -> dict[str, Any]:
    """What RunPod offers now to paint pictures with a run's LoRA, with prices, minutes and sums; what is left of the
    limits of the run."""
    _see_owner(context)
    body = call.body
    run = load_run(paths.run(paths.character(context, call), call.path["run"]))
    if body.production:
        plans = {"produce": of_production(run, max(1, body.production), body.steps, body.side)}
    else:
        grid = of_grid(run, max(1, body.prompts), body.steps, body.side)
        plans = {"test": grid, "choose": of_search(run, steps=body.steps)}
    pictures = next(iter(plans.values()))
    api = pod_terms.account(context.root).hurried()
    found = quote_painting(context.root, run, pictures, body.rental, api, to_choose_from=True)
    return {
        "currency": found.terms.rate.currency,
        "need": found.need.whole if found.need else None,
        "preparing": found.preparing,
        "offers": [_offer_to_paint(one, found, plans) for one in found.offers],
        "tried": [one.offer.gpu.id for one in found.tried()],
        "left": found.left_sentence(),
    }


def _offer_to_paint(one: QuotedPainting, found: PaintingQuote, plans: dict[str, PlannedPictures]) -> dict[str, Any]:
    shown = found.terms.rate.shown
    estimates = {what: found.estimate(one, pictures) for what, pictures in plans.items()}
    return {
        **_gpu(one.offer, found.terms.rate),
        "hours": found.terms.longest(one.offer.hourly),
        "most": shown(pod_rental.longest_cost(one.offer, found.terms)),
        "paints": [
            {
                "what": what,
                "count": plans[what].count,
                "minutes": None if cost is None else float(cost.minutes),
                "total": "" if cost is None else shown(cost.total),
                "fits": cost is None or cost.fits,
            }
            for what, cost in estimates.items()
        ],
    }


def living(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """SameFace's pods at RunPod that are running and cost money; empty without an API key."""
    if context.host.remote() or not api_key_store.kept_here(context.root):
        return []
    api = pod_terms.account(context.root).hurried()
    rate = rate_of(context.root)
    return [{**one.values(), "text": one.words(rate)} for one in renting.costing_pods(context.root, api)]


def end(context: RequestContext, call: Call) -> dict[str, Any]:
    """Delete a pod, and wait until RunPod confirms that it is gone."""
    _see_owner(context)
    if not _NAME.fullmatch(call.path["name"]):
        raise missing("There is no such pod.")
    api = pod_terms.account(context.root).hurried()
    try:
        ended = renting.end_pods(context.root, call.path["name"], _ENDING, api)
    except UserError as error:
        if error.code == "pod-not-found":
            raise missing(str(error)) from error
        raise
    return {"ended": [one.name for one in ended]}
