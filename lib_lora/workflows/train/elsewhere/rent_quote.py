"""Says what renting a GPU for a training will cost, before anything is rented: offers, minutes, sums, limits.

The time is taken from the user's own runs on that GPU, and is not guessed if there are none. Imports nothing heavy.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from lib_lora.character.store import load
from lib_lora.grid.prompts import PROMPTS
from lib_lora.queue.job_types import Rental, TrainArguments, chosen_base
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.places import Place
from lib_lora.remote.renting import gpu_offers, money, pod_rental
from lib_lora.remote.renting.gpu_offers import GpuOffer
from lib_lora.remote.renting.money import RentEstimate
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.renting.rental_api import RentalApi
from lib_lora.remote.renting.run_limits import LeftToRent
from lib_lora.runs.records.paces import Pace, pace_on
from lib_lora.training.plan import estimate
from lib_lora.training.plan.memory_fitting import AS_IT_IS, GB, GpuNeed, fitted
from lib_lora.training.plan.presets import asked_beside
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.typed_settings import by_dotted_key
from lib_lora.workflows.judge.painting.painting_quote import grid_of, pace_of
from lib_lora.workflows.train.elsewhere.renting import costing_pods
from lib_lora.workflows.train.prepare import asked_for
from lib_lora.workflows.train.training_set import photos_an_epoch, photos_of
from lib_lora.workspace.workspace import Workspace

_SHOWN = 5  # offers in a terminal


@dataclass(frozen=True)
class PlannedTraining:
    """What is to be trained on a GPU that is rented, or another machine's.

    Attributes:
        base: the checkpoint file.
        family, narrow: of the base model.
        train: the settings.
        given: which of them somebody asked for, by dotted key; those are not changed to fit a GPU.
        steps: that are still to be done.
        done: steps that the run has done before.
        side: in pixels, of the pictures of a test grid; 0 = not known.
    """

    base: Path
    family: str
    narrow: bool
    train: TrainSettings
    given: Collection[str]
    steps: int
    done: int = 0
    side: int = 0

    @property
    def work(self) -> float:
        """How many steps take as long as all that is done there, with all that is painted."""
        if not self.steps:
            return 0
        return self.steps + self.pictures * estimate.picture_steps(self._sent) + estimate.base_painting(self._sent)

    @property
    def pictures(self) -> int:
        """The sample pictures."""
        return estimate.pictures_left(self._sent, self.done, self.done + self.steps) if self.steps else 0

    @property
    def _sent(self) -> TrainSettings:
        """The settings there: no likeness curve is measured (`runs.sent_run`)."""
        return replace(self.train, likeness_curve=False, stop_early=False)

    def sentence(self, seconds_per_step: float, where: str) -> str:
        """What is done and how long it takes; the beginning of a sentence.

        Args:
            seconds_per_step: there.
            where: the name of the GPU.
        """
        pictures = " with their sample pictures" if self.pictures else ""
        return f"{self.steps:,} steps{pictures} take about {seconds_per_step * self.work / 60:.0f} min on the {where}"

    def need(self) -> GpuNeed | None:
        """How large a GPU it needs; None = not known."""
        return pod_terms.need_for(self.family, self.narrow, self.train, self.given)

    def on(self, memory: int) -> tuple[TrainSettings, str]:
        """The settings on a GPU of that many GB, and a sentence where they are changed."""
        if self.narrow or self.train.precision != "auto":
            return self.train, ""
        train, said = fitted(self.family, memory * GB, self.train, self.given)
        return train, "" if AS_IT_IS in said else said

    def pace(self, root: Path, gpu: str, memory: int) -> Pace | None:
        """How long a step takes on a GPU, by own runs on one, or by *Measure* on the user's own; None = not known.

        Args:
            root: the data folder.
            gpu: its name.
            memory: its GB.
        """
        if found := pace_on(root, gpu, self.family, self.on(memory)[0]):
            return found
        measured = estimate.last_measurement(root, self.base, self.train, gpu)
        return Pace(measured.seconds_per_step, "", 0.0) if measured and measured.seconds_per_step > 0 else None


def training_of(root: Path, name: str, asked: TrainArguments) -> PlannedTraining:
    """What a job will train.

    Args:
        root: the data folder.
        name: of the character.
        asked: the job's arguments.

    Raises:
        UserError: the run, the base model or the photos are gone, or a setting does not fit.
    """
    folder = Workspace(root).character(name)
    if asked.run:
        run = load_run(folder.run(asked.run).path)
        info, train = run.model(), run.file.settings
        total = asked.steps or run.file.ended or train.total_steps(len(run.file.photos))
        done = max(saved_steps(run), default=0)
        given: Collection[str] = asked_beside(train, info.family, info.narrow)
        side = train.resolution or info.resolution
        left = max(0, total - done)
        return PlannedTraining(info.path, info.family, info.narrow, train, given, left, done, side)
    base = chosen_base(asked)
    seen = asked_for(TrainingRequest(base, asked.preset, asked.settings, asked.prediction, few=asked.few))
    character = load(folder)
    own = len(photos_of(folder, character, asked.few))
    steps = seen.train.total_steps(max(photos_an_epoch(folder, character, seen.train, own), 1))
    side, given = seen.train.resolution or seen.info.resolution, by_dotted_key(asked.settings)
    return PlannedTraining(base, seen.info.family, seen.info.narrow, seen.train, given, steps, side=side)


@dataclass(frozen=True)
class QuotedOffer:
    """An available GPU, and what the training costs on it.

    Attributes:
        offer: the provider's.
        changed: what settings are changed there, a sentence; empty = none.
        pace: of a step there; its run is empty where *Measure* found it on the user's own GPU; None = not known.
        minutes: of the training alone; None = not known.
        estimate: of the whole rent; None = not known.
        most: USD that it can cost at most.
    """

    offer: GpuOffer
    changed: str
    pace: Pace | None
    minutes: Decimal | None
    estimate: RentEstimate | None
    most: Decimal


@dataclass(frozen=True)
class RentQuote:
    """What renting can give now.

    Attributes:
        training: what is to be trained.
        rental: what the user allows.
        terms: how it is rented.
        need: GB of a GPU; None = not known.
        offers: in the order in which they are tried.
        preparing: minutes before the first step.
        preparing_known: whether they were measured with the user's own pods.
    """

    training: PlannedTraining
    rental: Rental
    terms: RentTerms
    need: GpuNeed | None
    offers: list[QuotedOffer]
    preparing: float
    preparing_known: bool

    def tried(self) -> list[QuotedOffer]:
        """The offers that a job would try, in its order; see `quote` about the others."""
        named = self.rental.gpus
        if not named:
            least = self.need.whole if self.need else 0
            return [one for one in self.offers if one.offer.gpu.memory >= least]
        places = [(gpu_offers.place_in(named, one.offer.gpu), one) for one in self.offers]
        return [one for place, one in sorted(places, key=lambda row: row[0]) if place < len(named)]

    def need_sentence(self) -> str:
        """How much memory the GPU needs; empty where that is not known."""
        need = self.need
        if need is None:
            return ""
        if self.rental.gpus and need.least < need.whole:
            return (
                f"These settings need about {need.whole} GB of GPU memory; they can be made to fit {need.least} GB, "
                "so a smaller GPU is left out."
            )
        return f"These settings need about {need.whole} GB of GPU memory; smaller GPUs are left out."

    def time_sentence(self, quoted: QuotedOffer) -> str:
        """How long it takes and what that costs, and from what that is known."""
        name = quoted.offer.gpu.name
        pace = quoted.pace
        if pace is None or quoted.minutes is None or quoted.estimate is None:
            return (
                f"How long it takes on the {name} is not known before its first steps, as none of your runs had these "
                "settings there; what it will cost in all is shown then."
            )
        source = f"the pace of your run {pace.run} on one" if pace.run else "what Measure found on yours"
        prepared = f"{self.preparing:.0f} min to prepare it, as your last pods took"
        if not self.preparing_known:
            prepared = f"{self.preparing:.0f} min to prepare it, which is a guess, as sending the base model takes long"
        return (
            f"{self.training.sentence(pace.seconds, name)}, by {source} ({pace.seconds:.2f} s per step); with "
            f"{prepared}, {quoted.estimate.sentence(self.terms.rate)}"
        )

    def most_sentence(self) -> str:
        """What it can cost at most, and when it ends."""
        shown, first = self.terms.rate.shown, self.offers[0]
        hourly = first.offer.hourly
        hours = self.terms.longest(hourly)
        return (
            f"The {first.offer.gpu.name} is tried first: {shown(hourly)} an hour for {round(hours, 2):g} hours at "
            f"most is {shown(hourly * money.exact(hours))}. If it is not available, the next is tried. None may cost "
            f"more than {shown(self.terms.cap)}, or run longer; it is deleted as soon as the training has ended. Its "
            "cost until then is deducted from these limits when the run is resumed."
        )


def quote(
    root: Path,
    training: PlannedTraining,
    rental: Rental,
    api: RentalApi,
    to_choose_from: bool = False,
    left: LeftToRent | None = None,
) -> RentQuote:
    """What renting can give now.

    Args:
        root: the data folder.
        training: what is to be trained.
        rental: what the user allows.
        api: is asked for the catalogue.
        to_choose_from: also the GPUs that are not named, and those that the settings can be made to fit, by price.
        left: of the limits of the run that goes on; None = a new one is made.

    Raises:
        UserError: nothing is available, or could cost more than it may; or the provider cannot be asked.
    """
    need = training.need()
    terms = pod_terms.terms_here(root, rental, need, left=left)
    if to_choose_from:
        wishes = replace(terms.wishes, memory=need.least if need else 0, order=())
        terms = replace(terms, wishes=wishes)
    found = pod_rental.find(api, terms)
    preparing = PodLedger(root).usual_preparing()
    minutes = money.PREPARING if preparing is None else preparing
    offers = [_quoted(root, training, offer, terms, minutes) for offer in found]
    return RentQuote(training, rental, terms, need, offers, minutes, preparing is not None)


def _quoted(root: Path, training: PlannedTraining, offer: GpuOffer, terms: RentTerms, preparing: float) -> QuotedOffer:
    _, changed = training.on(offer.gpu.memory)
    names = (offer.gpu.id, offer.gpu.name)
    found = (training.pace(root, name, offer.gpu.memory) for name in names)
    pace, most = next((one for one in found if one), None), pod_rental.longest_cost(offer, terms)
    if pace is None:
        return QuotedOffer(offer, changed, None, None, None, most)
    cost = money.estimate(training.work, pace.seconds, offer.hourly, terms.cap, preparing)
    minutes = money.exact(pace.seconds) * money.exact(training.work) / 60
    return QuotedOffer(offer, changed, pace, minutes, cost, most)


def spent(root: Path) -> dict[str, Decimal]:
    """USD that pods have cost so far, by the name of the character's folder."""
    found: dict[str, Decimal] = {}
    for one in PodLedger(root).costs():
        found[one.character] = found.get(one.character, Decimal(0)) + one.usd
    return found


def before_renting(root: Path, name: str, asked: TrainArguments, grid_steps: int = 0) -> str:
    """What is shown in a terminal before a GPU is rented: pods that nobody uses, offers, time and money.

    Args:
        root: the data folder.
        name: of the character.
        asked: the job's arguments.
        grid_steps: sampling steps of the test grid that is painted on a rented GPU afterwards; 0 = none is.

    Raises:
        UserError: as `training_of` and `quote`.
    """
    training = training_of(root, name, asked)
    rental, folder = asked.rental or Rental(), Workspace(root).character(name)
    left = None
    if asked.run:
        left = pod_terms.left_for(root, folder.path.name, asked.run, rental, time.time(), so_far=True)
    found = quote(root, training, rental, pod_terms.account(root), left=left)
    rate = found.terms.rate
    lines = [f"This pod still costs: {one.line(rate)}" for one in costing_pods(root) if one.job is None]
    lines += [found.need_sentence(), f"{USUAL.title} offers now, with the disk:"]
    lines += [f"  {offer_line(one, found)}" for one in found.offers[:_SHOWN]]
    if len(found.offers) > _SHOWN:
        lines.append(f"  and {len(found.offers) - _SHOWN} more")
    first = found.offers[0]
    lines += [first.changed, found.time_sentence(first)]
    lines += [_grid_sentence(root, found, first, grid_steps)] if grid_steps else []
    lines += [left.sentence(rate) if left else "", found.most_sentence()]
    if before := spent(root).get(folder.path.name):
        lines.append(f"For {name} {rate.shown(before)} were spent at {USUAL.title} so far.")
    return "\n".join(line for line in lines if line)


def _grid_sentence(root: Path, found: RentQuote, first: QuotedOffer, steps: int) -> str:
    """What the test grid of a training costs, which is painted on another GPU; begins as the terminal says it."""
    training, name = found.training, first.offer.gpu.name
    pictures = grid_of(len(PROMPTS), steps, training.side)
    pace = pace_of(PodLedger(root), first.offer, training.family, training.side)
    if pace is None:
        costs = (
            f"how long they take on the {name} is not known, as you have not painted pictures of this size on one yet"
        )
    else:
        work = pictures.count * pictures.steps
        cost = money.estimate(work, pace, first.offer.hourly, found.terms.cap, found.preparing)
        minutes = max(1, round(pace * work / 60))
        costs = f"about {minutes} min on the {name} and {found.preparing:.0f} min to prepare it, "
        costs += f"which is {found.terms.rate.shown(cost.total)} more"
    return (
        f"The {pictures.count} pictures of the test grid are painted afterwards on another GPU that is rented for them "
        f"({costs}), within what the training leaves of these limits; if that is too little, they are painted on this "
        "computer."
    )


def time_there(root: Path, name: str, asked: TrainArguments, place: Place) -> str:
    """How long a training takes on a machine, a sentence; empty where no own run tells.

    Args:
        root, name, asked: see `before_renting`.
        place: where is trained.

    Raises:
        UserError: as `training_of`.
    """
    if place.machine is None or not place.machine.gpus:
        return ""
    gpu, training = place.machine.gpus[0], training_of(root, name, asked)
    pace = training.pace(root, gpu.name, round(gpu.memory / GB))
    if pace is None:
        return ""
    source = f"the pace of your run {pace.run} on one" if pace.run else "what Measure found on yours"
    return f"{training.sentence(pace.seconds, gpu.name)}, by {source}."


def offer_line(quoted: QuotedOffer, found: RentQuote) -> str:
    """An offer on one line."""
    gpu = quoted.offer.gpu
    stock = f", stock {gpu.availability.lower()}" if gpu.availability else ""
    price = found.terms.rate.shown(quoted.offer.hourly)
    return f"{gpu.name}, {gpu.memory} GB: {price} an hour{stock}"
