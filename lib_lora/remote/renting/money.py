"""Computes what a rented machine will cost, may cost and has cost: exact decimals, and nothing is asked of anybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

from lib_lora.errors import Misfit, UserError

USD = "USD"
MOST_PER_USD = 10_000_000  # of another currency
CENT = Decimal("0.01")
HOURS_A_MONTH = Decimal(730)
UNBILLED = Decimal("0.5")  # hours that may be missing in the bill of a machine that has ended
PREPARING = 12.0  # minutes until a pod trains: it is started, SameFace is installed there, photos are sent
_NEAR = Decimal("0.10")  # a bill this far from its estimate, as a share, is as estimated
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class ExchangeRate:
    """The user's own currency. The rate is the user's too: none is looked up.

    Attributes:
        currency: three letters, such as EUR.
        per_usd: how much of it one USD is.
    """

    currency: str = USD
    per_usd: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        if not _CURRENCY.fullmatch(self.currency):
            raise Misfit(
                f"{self.currency[:20]!r} is not a currency code; give three capital letters, such as EUR.", "currency"
            )
        if not self.per_usd.is_finite() or not 0 < self.per_usd <= MOST_PER_USD:
            raise Misfit(f"one USD cannot be {self.per_usd} {self.currency}; give a number above 0.", "per_usd")

    def shown(self, usd: Decimal, rounding: str = ROUND_HALF_UP) -> str:
        """An amount for people, to the cent; what is less than one is not called nothing.

        Args:
            usd: the amount.
            rounding: as `decimal` names it.

        >>> ExchangeRate("EUR", Decimal("0.9")).shown(Decimal(2)), ExchangeRate().shown(Decimal("0.001"))
        ('1.80 EUR', 'less than 0.01 USD')
        """
        amount = usd * self.per_usd
        if 0 < amount < CENT:
            return f"less than {CENT} {self.currency}"
        return f"{amount.quantize(CENT, rounding):,} {self.currency}"

    def in_usd(self, amount: float) -> Decimal:
        """USD for an amount in this currency, to a hundredth of a cent."""
        usd = exact(amount) / self.per_usd
        return usd.quantize(CENT * CENT, ROUND_HALF_UP) if usd.is_finite() and usd < 10**9 else usd


USD_ITSELF = ExchangeRate()


@dataclass(frozen=True)
class RentEstimate:
    """What a training on a rented machine will cost, and may.

    Attributes:
        minutes: that it will be rented.
        hourly: USD an hour.
        total: USD for these minutes, to the next cent.
        cap: USD at which it is deleted, whatever it does.
    """

    minutes: Decimal
    hourly: Decimal
    total: Decimal
    cap: Decimal

    @property
    def fits(self) -> bool:
        """Whether it ends before the cap does."""
        return self.total <= self.cap

    def sentence(self, rate: ExchangeRate) -> str:
        """The sentence for people."""
        much = f"about {self.minutes.quantize(Decimal(1), ROUND_CEILING)} min at {rate.shown(self.hourly)} an hour"
        if self.fits:
            return f"{much}: {rate.shown(self.total)}, and never more than {rate.shown(self.cap)}."
        return f"{much}: {rate.shown(self.total)}, which is more than the limit of {rate.shown(self.cap)}."


@dataclass(frozen=True)
class BillCheck:
    """A bill beside its estimate.

    Attributes:
        billed, estimated: USD.
        verdict: "less", "more" or "as estimated".
    """

    billed: Decimal
    estimated: Decimal
    verdict: str

    def sentence(self, rate: ExchangeRate) -> str:
        """The sentence for people."""
        ending = {"less": ", so it was less.", "more": ", so it was more."}.get(self.verdict, ".")
        return f"It has cost {rate.shown(self.billed)}; {rate.shown(self.estimated)} were estimated{ending}"


def exact(number: float | Decimal) -> Decimal:
    """A number as it is written, not as a float holds it."""
    return number if isinstance(number, Decimal) else Decimal(str(number))


def hourly(price: Decimal, count: int, disk: int, disk_monthly: Decimal) -> Decimal:
    """USD an hour of a whole pod.

    Args:
        price: USD an hour of one GPU.
        count: of GPUs.
        disk: GB.
        disk_monthly: USD a GB of it.
    """
    return price * count + disk_monthly * disk / HOURS_A_MONTH


def estimate(
    steps: float, seconds_per_step: float, price: Decimal, cap: Decimal, preparing: float = PREPARING
) -> RentEstimate:
    """What a training will cost.

    Args:
        steps: of the training, or how many take as long as all that is done there.
        seconds_per_step: measured, or guessed from another machine.
        price: USD an hour of the whole pod; see `hourly`.
        cap: USD that it may cost.
        preparing: minutes before the first step.
    """
    minutes = exact(preparing) + exact(seconds_per_step) * exact(steps) / 60
    return RentEstimate(minutes, price, (price * minutes / 60).quantize(CENT, ROUND_CEILING), cap)


@dataclass(frozen=True)
class RunningCost:
    """What a rented machine costs while it is rented.

    Attributes:
        so_far: USD until now.
        total: USD when the training will have ended, at its pace; None = not known yet.
        cap: USD that it may cost at most.
    """

    so_far: Decimal
    total: Decimal | None
    cap: Decimal

    def sentence(self, rate: ExchangeRate) -> str:
        """The sentence for people."""
        much = f"About {rate.shown(self.so_far)} so far"
        if self.total is not None:
            much += f", about {rate.shown(self.total)} in all at this pace"
        return f"{much}; never more than {rate.shown(self.cap)}."


def running_cost(hourly: float, cap: float, seconds: float, seconds_left: float | None) -> RunningCost:
    """What a rented machine costs.

    Args:
        hourly: USD an hour.
        cap: USD that it may cost at most.
        seconds: since it was rented.
        seconds_left: of the training; None = not known.
    """
    price, ran = exact(hourly), exact(round(max(0.0, seconds)))
    total = None if seconds_left is None else price * (ran + exact(round(max(0.0, seconds_left)))) / 3600
    return RunningCost(price * ran / 3600, total, exact(cap))


def check_cap(price: Decimal, hours: float, cap: Decimal, rate: ExchangeRate = USD_ITSELF) -> None:
    """See that a machine cannot cost more than it may, even if it is rented for as long as it may be.

    Args:
        price: USD an hour.
        hours: at most.
        cap: USD.
        rate: in which it is said.

    Raises:
        UserError: it can.
    """
    most = price * exact(hours)
    if most > cap:
        raise UserError(
            f"{exact(hours).normalize():f} hours at {rate.shown(price)} may cost "
            f"{rate.shown(most, ROUND_CEILING)}, and the limit is {rate.shown(cap)}; "
            "allow fewer hours, a cheaper GPU, or more money.",
            code="rent-above-limit",
            most=most,
            cap=cap,
        )


def known_cost(billed: Decimal, counted: Decimal, hourly: Decimal, minutes: Decimal) -> tuple[Decimal, Decimal]:
    """USD that a machine has cost, and minutes that it has lived: its bill, and what may not be in that yet.

    What was counted is too much where the machine had ended long before that was seen.

    Args:
        billed: USD; 0 = there is no bill yet.
        counted: USD for the minutes that it was taken to live.
        hourly: USD an hour.
        minutes: that it was taken to live.
    """
    if not billed:
        return counted, minutes
    usd = max(billed, min(counted, billed + hourly * UNBILLED))
    return usd, min(minutes, usd / hourly * 60) if hourly else minutes


def compared(billed: Decimal, estimated: RentEstimate) -> BillCheck:
    """A bill beside its estimate; a difference of up to a cent or a tenth does not count."""
    expected = estimated.total
    if abs(billed - expected) <= max(CENT, expected * _NEAR):
        return BillCheck(billed, expected, "as estimated")
    return BillCheck(billed, expected, "less" if billed < expected else "more")
