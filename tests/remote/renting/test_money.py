"""Sums are exact, caps hold to the cent, and the user's currency is the user's."""

from __future__ import annotations

from decimal import Decimal

import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.errors import Misfit, UserError
from lib_lora.remote.renting.money import ExchangeRate, check_cap, compared, estimate, hourly, known_cost
from lib_lora.remote.runpod.runpod_answers import DISK_MONTHLY

EURO = ExchangeRate("EUR", Decimal("0.86"))


def test_an_estimate():
    found = estimate(1200, 1.5, Decimal("0.60"), Decimal(2), preparing=10)
    assert (found.minutes, found.total, found.fits) == (Decimal(40), Decimal("0.40"), True)
    assert found.sentence(ExchangeRate()) == "about 40 min at 0.60 USD an hour: 0.40 USD, and never more than 2.00 USD."
    assert found.sentence(EURO) == "about 40 min at 0.52 EUR an hour: 0.34 EUR, and never more than 1.72 EUR."


def test_an_estimate_above_the_cap_says_so():
    found = estimate(100_000, 1.5, Decimal("0.60"), Decimal(2))
    assert not found.fits
    assert "more than the limit of 2.00 USD" in found.sentence(ExchangeRate())


def test_a_sum_is_rounded_up_and_never_down():
    assert estimate(1, 0.001, Decimal("0.60"), Decimal(1), preparing=0).total == Decimal("0.01")
    assert estimate(0, 1.0, Decimal("0.10"), Decimal(1), preparing=6.06).total == Decimal("0.02")


@given(st.integers(0, 100_000), st.floats(0.001, 100), st.integers(1, 5000))
def test_an_estimate_is_never_below_what_it_is_made_of(steps, pace, cents):
    price = Decimal(cents) / 100
    found = estimate(steps, pace, price, Decimal(10), preparing=5)
    assert 0 <= found.total - price * found.minutes / 60 < Decimal("0.01")


def test_the_price_of_an_hour():
    assert hourly(Decimal("0.44"), 2, 0, DISK_MONTHLY) == Decimal("0.88")
    assert Decimal("0.0054") < hourly(Decimal(0), 1, 40, DISK_MONTHLY) < Decimal("0.0056")


def test_the_cap_holds_to_the_cent():
    check_cap(Decimal("0.44"), 5, Decimal("2.20"))
    check_cap(Decimal("0.1"), 0.3, Decimal("0.03"))  # as floats, 0.1 * 0.3 is more
    with raises("rent-above-limit", has=("5 hours", "2.20 USD", "2.19 USD")):
        check_cap(Decimal("0.44"), 5, Decimal("2.19"))


@given(st.decimals(0, 100, places=2), st.floats(0.1, 500), st.decimals(0, 500, places=2))
def test_it_is_refused_exactly_where_it_may_cost_more(price, hours, cap):
    more = price * Decimal(str(hours)) > cap
    try:
        check_cap(price, hours, cap)
    except UserError:
        assert more
    else:
        assert not more


@pytest.mark.parametrize(
    ("billed", "verdict"), [("0.40", "as estimated"), ("0.44", "as estimated"), ("0.45", "more"), ("0.10", "less")]
)
def test_a_bill_beside_its_estimate(billed, verdict):
    found = compared(Decimal(billed), estimate(1200, 1.5, Decimal("0.60"), Decimal(2), preparing=10))
    assert found.verdict == verdict
    assert found.sentence(ExchangeRate()).startswith(f"It has cost {billed} USD; 0.40 USD were estimated")


def test_a_cent_more_than_a_cent_is_as_estimated():
    assert (
        compared(Decimal("0.02"), estimate(1, 1.0, Decimal("0.1"), Decimal(1), preparing=0)).verdict == "as estimated"
    )


def test_amounts_for_people():
    assert EURO.shown(Decimal(1000)) == "860.00 EUR"
    assert ExchangeRate("JPY", Decimal(155)).shown(Decimal(100)) == "15,500.00 JPY"
    assert ExchangeRate().shown(Decimal("0.004")) == "less than 0.01 USD"
    assert ExchangeRate().shown(Decimal(0)) == "0.00 USD"


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", "1e12"])
def test_what_is_no_rate(rate):
    with pytest.raises(Misfit):
        ExchangeRate("EUR", Decimal(rate))


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "€", "E\nR"])
def test_what_is_no_currency(currency):
    with pytest.raises(Misfit):
        ExchangeRate(currency)


@pytest.mark.parametrize(
    ("billed", "counted", "expected"),
    [
        ("0.10", "0.10", ("0.10", 24)),
        ("0", "0.10", ("0.10", 600)),  # there is no bill yet
        ("0.10", "0.20", ("0.20", 48)),  # the rest may not be billed yet
        ("0.10", "2.50", ("0.225", 54)),  # it had ended long before that was seen
        ("0.30", "0.10", ("0.30", 72)),
    ],
)
def test_what_a_machine_has_cost_is_its_bill_and_what_may_be_missing_in_it(billed, counted, expected):
    usd, minutes = known_cost(Decimal(billed), Decimal(counted), Decimal("0.25"), Decimal(600))
    assert (usd, round(minutes)) == (Decimal(expected[0]), expected[1])
