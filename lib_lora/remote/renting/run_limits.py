"""Knows what may still be rented for a run: its limits of money and time hold for all of its pods together.

A pod that may still live counts with the most that it may cost and live. Pods that were rented before the limits were
given do not count, nor do those of a deleted run whose identifier the run now has. Pure functions, except that the
ledger is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal

from lib_lora.errors import UserError, plural, typed
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting import money
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.remote.renting.pod_ledger import PodEntry, PodLedger, RunLimits

# what a user can do where a run's limits are used up and pictures are to be painted; ends a sentence
TO_PAINT_ON = "paint on this computer, or set new limits with --max-hours and --max-cost."
UNSURE = (
    300.0  # seconds in which a pod may still be made that was asked for; then the provider lists it, or there is none
)
LEAST = 0.25  # hours that a pod must be able to live for anything to come of it where a run goes on


@dataclass(frozen=True)
class LeftToRent:
    """What is left of a run's limits.

    Attributes:
        limits: those that hold.
        pods: how many were rented within them so far.
        spent: USD that these have cost.
        lived: hours that these have lived.
        painting: it is for pictures, not for the training.
        living: how many of the pods may still live.
    """

    limits: RunLimits
    pods: int = 0
    spent: Decimal = Decimal(0)
    lived: float = 0.0
    painting: bool = False
    living: int = 0

    @property
    def cap(self) -> Decimal:
        """USD that a pod may still cost."""
        return max(Decimal(0), self.limits.cap - self.spent)

    @property
    def hours(self) -> float:
        """That a pod may still live."""
        return max(0.0, self.limits.hours - self.lived)

    def longest(self, hourly: Decimal) -> float:
        """Hours that a pod at a price may live. Before the first one they are not shortened: what could cost more than
        it may is refused then."""
        return min(self.hours, float(self.cap / hourly)) if self.pods and hourly > 0 else self.hours

    def sentence(self, rate: ExchangeRate) -> str:
        """What is left, for people; empty where nothing was rented yet.

        Args:
            rate: in which money is spoken of.
        """
        if not self.pods:
            return ""
        whole = f"{rate.shown(self.limits.cap)} and {self.limits.hours:g} hours"
        left = f"{rate.shown(self.cap)} and {_duration(self.hours)}"
        pods = plural(self.pods, "pod")
        return f"Of {whole} that may be rented for run {self.limits.run}, {left} are left after {pods}."

    def used_up(self, rate: ExchangeRate) -> UserError:
        """The error where no pod can live long enough for anything to come of it.

        Args:
            rate: in which money is spoken of.
        """
        advice = TO_PAINT_ON if self.painting else to_go_on(self.limits.run)
        if self.living:
            advice = f"wait until it has ended ({typed('pods', 'list')} shows it), or {advice}"
            return UserError(
                f"A rented pod of run {self.limits.run} may still be running, and may use up what is left of the "
                f"run's limits: {advice}",
                code="rent-in-use",
                run=self.limits.run,
            )
        return UserError(
            f"{self.sentence(rate).rstrip('.')}, which is too little to continue: {advice}",
            code="rent-used-up",
            run=self.limits.run,
        )


def to_go_on(run: str) -> str:
    """What a user can do where a run's limits are used up; ends a sentence.

    Args:
        run: its character's folder and its identifier, as ``mara/001``.
    """
    again = typed("resume", run, "--on", USUAL.name, "--max-cost", "N", "--max-hours", "H")
    return f"continue on this computer, or set new limits: {again}"


def limits_of(
    ledger: PodLedger,
    run: str,
    cap: Decimal,
    hours: float,
    given: float | None,
    now: float | None = None,
    made: float = 0.0,
) -> RunLimits:
    """The limits that hold for a run: those that were given last.

    Args:
        ledger: with the run's earlier pods.
        run: its character's folder and its identifier, as ``mara/001``.
        cap, hours: of the job that rents.
        given: when these were given explicitly, unix seconds; None = they were not, so those that the run had before
            go on to hold, if it had any.
        now: unix seconds; None = the present.
        made: when the run was made, unix seconds; older pods were those of a deleted run of this name.
    """
    entries = [entry for entry in ledger.entries() if entry.time >= made]
    known = [entry.limits for entry in entries if entry.limits and entry.limits.run == run]
    last = max(known, key=lambda one: one.since, default=None)
    if last is not None and (given is None or given < last.since):
        return last
    since = 0.0 if given is None else min(given, time.time() if now is None else now)
    return RunLimits(run, cap, hours, max(since, made))


def left_of(ledger: PodLedger, limits: RunLimits, now: float | None = None, so_far: bool = False) -> LeftToRent:
    """What is left of a run's limits.

    Args:
        ledger: with the run's earlier pods.
        limits: those that hold.
        now: unix seconds; None = the present.
        so_far: pods that live count with what they have cost by now, as if they ended now: to say what is available,
            never to rent.
    """
    moment = time.time() if now is None else now
    costs = {one.name: one for one in ledger.costs()}
    left = LeftToRent(limits)
    for entry in ledger.entries():
        if entry.limits is None or entry.limits.run != limits.run or entry.time < limits.since:
            continue
        cost = costs.get(entry.name)
        lives = not so_far and _may_live(entry, moment) and (cost is None or cost.minutes is None)
        if not (entry.made or lives):
            continue
        if cost is not None and cost.minutes is not None:
            usd, hours = cost.usd, cost.minutes / 60
        else:  # nobody has asked for its bill: what it can cost at most, or can have cost by now
            hours = _lived(entry, entry.limits, moment)
            # it was given all that was left then, by which its watchdog ends it
            hours = max(hours, left.longest(entry.price)) if lives else hours
            usd = max(_cost(entry, hours), cost.usd if cost else Decimal(0))
            usd = left.cap if lives and not entry.price else min(usd, left.cap) if lives else usd
        left = replace(
            left, pods=left.pods + 1, spent=left.spent + usd, lived=left.lived + hours, living=left.living + lives
        )
    return left


def _may_live(entry: PodEntry, now: float) -> bool:
    """Whether a pod may live, or come to life yet."""
    return entry.open and (bool(entry.id) or now - entry.time < UNSURE)


def _lived(entry: PodEntry, limits: RunLimits, now: float) -> float:
    return min(max(0.0, (entry.until or now) - entry.time) / 3600, limits.hours)


def _cost(entry: PodEntry, hours: float) -> Decimal:
    return entry.price * money.exact(hours)


def _duration(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.1f} hours"
