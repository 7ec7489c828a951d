"""Knows in which currency a user reads amounts of money: a setting of the data folder, whose rate is the user's too."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lib_lora.errors import Misfit, UserError
from lib_lora.remote.renting import money
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.workspace import preferences


def rate_of(root: Path) -> ExchangeRate:
    """The user's currency; USD where none is set, or what is set cannot be used. Raises nothing."""
    with suppress(UserError, Misfit):
        settings = preferences.load(root)
        return ExchangeRate(settings.currency, money.exact(settings.per_usd))
    return ExchangeRate()


def set_rate(root: Path, currency: str, per_usd: float) -> ExchangeRate:
    """Keep the user's currency.

    Args:
        root: the data folder.
        currency: three letters.
        per_usd: how much of it one USD is.

    Raises:
        UserError: it is no currency, no rate, or cannot be kept.
    """
    rate = checked_rate(currency, per_usd)
    preferences.change(root, currency=rate.currency, per_usd=float(rate.per_usd))
    return rate


def checked_rate(currency: str, per_usd: float) -> ExchangeRate:
    """A currency and its rate.

    Raises:
        UserError: it is not one.
    """
    try:
        rate = ExchangeRate(currency.strip().upper(), money.exact(per_usd))
    except Misfit as error:
        raise UserError(f"The currency cannot be used: {error}", error.field, code="currency-unusable") from error
    if rate.currency == money.USD and rate.per_usd != 1:
        raise UserError("One USD is 1 USD; name another currency for another rate.", "per_usd", code="usd-is-usd")
    return rate
