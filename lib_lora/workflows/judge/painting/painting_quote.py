"""Says what painting on a rented GPU will cost, before anything is rented: offers, minutes, sums, limits.

The time is taken from the user's own pictures on that GPU, and is not guessed if there are none. Imports nothing heavy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lora.errors import plural
from lib_lora.grid.prompts import LEAK, PROMPTS, SCREENING
from lib_lora.queue.job_types import CHECKPOINTS, CONFIRMED, WEIGHTS, Rental
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting import money, pod_rental
from lib_lora.remote.renting.gpu_offers import GpuOffer, place_in
from lib_lora.remote.renting.money import RentEstimate
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.renting.rental_api import RentalApi
from lib_lora.training.plan.memory_fitting import GpuNeed
from lib_lora.training.plan.run_file import Run, saved_steps

_SHOWN = 5  # offers in a terminal
_LATEST = 5  # pods by which a pace is known


@dataclass(frozen=True)
class PlannedPictures:
    """What is to be painted on a GPU that is rented.

    Attributes:
        count: pictures, at most.
        steps: sampling steps of each.
        side: pixels of a square one.
    """

    count: int
    steps: int
    side: int


def of_grid(run: Run, count: int = len(PROMPTS), steps: int = 20, side: int | None = None) -> PlannedPictures:
    """The pictures of a test grid of so many prompts, with and without the LoRA; see `PlannedPictures`."""
    return grid_of(count, steps, side or _side(run))


def grid_of(count: int, steps: int, side: int) -> PlannedPictures:
    """Like `of_grid`, for a run that is not made yet."""
    return PlannedPictures(2 * count + len(LEAK), steps, side)


def of_search(
    run: Run,
    tried: int | None = None,
    weights: Sequence[float] = WEIGHTS,
    steps: int = 20,
    count: int = SCREENING,
) -> PlannedPictures:
    """The pictures of a search for the best step and weight: those of the screening, a whole grid for its lines, and
    those that confirm its best.

    Args:
        run: whose.
        tried: checkpoints; None = as many as usual.
        weights: of the LoRA that are tried.
        steps: sampling steps.
        count: prompts of the screening.
    """
    cells = (tried or min(CHECKPOINTS, len(saved_steps(run)))) * len(weights)
    whole = len(PROMPTS) + len(LEAK)
    confirmed = min(CONFIRMED, cells)
    return PlannedPictures(cells * (count + len(LEAK)) + confirmed * whole + 3 * len(PROMPTS), steps, _side(run))


def of_combined(run: Run, count: int, weights: Sequence[float], steps: int) -> PlannedPictures:
    """The pictures of a character's LoRA with another one: of so many prompts at each weight, after a test of the LoRA
    alone; see `PlannedPictures`."""
    return PlannedPictures(of_grid(run).count + count * len({*weights} - {0.0}), steps, _side(run))


def of_production(run: Run, count: int, steps: int, side: int | None) -> PlannedPictures:
    """The pictures of a production, each painted once."""
    return PlannedPictures(count, steps, side or _side(run))


def _side(run: Run) -> int:
    return run.file.settings.resolution or run.model().resolution


@dataclass(frozen=True)
class QuotedPainting:
    """An available GPU, and what the pictures cost on it.

    Attributes:
        offer: the provider's.
        pace: seconds for a sampling step of a picture there; None = not known.
        estimate: of the whole rent; None = not known.
    """

    offer: GpuOffer
    pace: float | None
    estimate: RentEstimate | None


@dataclass(frozen=True)
class PaintingQuote:
    """What renting can give now.

    Attributes:
        pictures: that are to be painted.
        rental: what the user allows.
        terms: how it is rented.
        need: GB of a GPU; None = not known.
        offers: in the order in which they are tried.
        preparing: minutes before the first picture.
    """

    pictures: PlannedPictures
    rental: Rental
    terms: RentTerms
    need: GpuNeed | None
    offers: list[QuotedPainting]
    preparing: float

    def tried(self) -> list[QuotedPainting]:
        """The offers that would be tried, in their order; see `quote_painting` about the others."""
        named = self.rental.gpus
        if not named:
            return self.offers
        places = [(place_in(named, one.offer.gpu), one) for one in self.offers]
        return [one for place, one in sorted(places, key=lambda row: row[0]) if place < len(named)]

    def estimate(self, quoted: QuotedPainting, pictures: PlannedPictures) -> RentEstimate | None:
        """What other pictures of the same size would cost; None = not known."""
        return _estimate(quoted.pace, pictures, quoted.offer, self.terms, self.preparing)

    def time_sentence(self, quoted: QuotedPainting) -> str:
        """How long it takes and what that costs, and from what that is known."""
        name, count = quoted.offer.gpu.name, plural(self.pictures.count, "picture")
        if quoted.estimate is None or quoted.pace is None:
            return (
                f"How long {count} take on the {name} is not known, as you have not painted pictures of this size on "
                "one yet; the GPU is deleted as soon as they have arrived."
            )
        minutes = quoted.pace * self.pictures.steps * self.pictures.count / 60
        return (
            f"{count} take about {max(1, round(minutes))} min on the {name}, as your last ones there did; with "
            f"{self.preparing:.0f} min to prepare it, {quoted.estimate.sentence(self.terms.rate)}"
        )

    def most_sentence(self, quoted: QuotedPainting) -> str:
        """What it can cost at most, and when it ends."""
        shown, offer = self.terms.rate.shown, quoted.offer
        hours = self.terms.longest(offer.hourly)
        return (
            f"The {offer.gpu.name} costs {shown(offer.hourly)} an hour, and at most "
            f"{shown(pod_rental.longest_cost(offer, self.terms))}: after {round(hours, 2):g} hours it is deleted, "
            "even if it is still working, and before that as soon as the pictures are painted and judged."
        )

    def left_sentence(self) -> str:
        """What the run's earlier pods have left of its limits; empty where there was none."""
        return self.terms.left.sentence(self.terms.rate) if self.terms.left else ""


def quote_painting(
    root: Path,
    run: Run,
    pictures: PlannedPictures,
    rental: Rental,
    api: RentalApi | None = None,
    to_choose_from: bool = False,
) -> PaintingQuote:
    """What renting can give now to paint.

    Args:
        root: the data folder.
        run: whose pictures are painted; its limits hold.
        pictures: what is to be painted.
        rental: what the user allows.
        api: is asked for the catalogue; None = that of the key that is kept.
        to_choose_from: also the GPUs that are not named, by price.

    Raises:
        UserError: nothing is available, or could cost more than it may; or the provider cannot be asked.
    """
    slug, need = run.character_folder.path.name, pod_terms.painting_need(run)
    left = pod_terms.left_for(root, slug, run.file.id, rental, time.time(), painting=True, so_far=True)
    terms = pod_terms.terms_here(root, rental, need, left=left)
    if to_choose_from:
        terms = replace(terms, wishes=replace(terms.wishes, order=()))
    ledger = PodLedger(root)
    preparing = ledger.usual_preparing() or money.PREPARING
    offers = []
    for offer in pod_rental.find(api or pod_terms.account(root), terms):
        pace = pace_of(ledger, offer, run.model().family, pictures.side)
        offers.append(QuotedPainting(offer, pace, _estimate(pace, pictures, offer, terms, preparing)))
    return PaintingQuote(pictures, rental, terms, need, offers, preparing)


def _estimate(
    pace: float | None, pictures: PlannedPictures, offer: GpuOffer, terms: RentTerms, preparing: float
) -> RentEstimate | None:
    if pace is None:
        return None
    return money.estimate(pictures.count * pictures.steps, pace, offer.hourly, terms.cap, preparing)


def pace_of(ledger: PodLedger, offer: GpuOffer, family: str, side: int) -> float | None:
    """Seconds for a sampling step of a picture, by those painted before on such a GPU; None = there were none.

    Args:
        ledger: of the user's pods.
        offer: the GPU.
        family: of the base model.
        side: pixels of a square picture.
    """
    gpus = {entry.name: entry.gpu for entry in ledger.entries()}
    known = [
        one.painted.seconds / one.painted.steps
        for one in ledger.costs()
        if one.painted
        and gpus.get(one.name) == offer.gpu.id
        and (one.painted.family, one.painted.side) == (family, side)
    ]
    return statistics.median(known[-_LATEST:]) if known else None


def before_painting(root: Path, run: Run, pictures: PlannedPictures, rental: Rental) -> str:
    """What is shown in a terminal before a GPU is rented to paint: offers, time and money.

    Args:
        root, run, pictures, rental: see `quote_painting`.

    Raises:
        UserError: as `quote_painting`.
    """
    found = quote_painting(root, run, pictures, rental)
    shown, first = found.terms.rate.shown, found.offers[0]
    lines = [f"{USUAL.title} offers now, with the disk:"]
    lines += [
        f"  {one.offer.gpu.name}, {one.offer.gpu.memory} GB: {shown(one.offer.hourly)} an hour"
        for one in found.offers[:_SHOWN]
    ]
    if len(found.offers) > _SHOWN:
        lines.append(f"  and {len(found.offers) - _SHOWN} more")
    lines += [found.time_sentence(first), found.left_sentence(), found.most_sentence(first)]
    return "\n".join(line for line in lines if line)
