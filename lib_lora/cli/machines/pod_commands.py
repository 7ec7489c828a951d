"""Adds the commands about rented GPUs: pods, which lists and ends them, key (the API key), and money."""

from __future__ import annotations

import argparse

from lib_lora.cli.arguments import Answer, Commands, finite
from lib_lora.cli.service_keys import forget_key, keep_key
from lib_lora.errors import UserError, typed
from lib_lora.remote.gpu_providers import NAMES, USUAL, provider_named
from lib_lora.remote.renting.money import USD
from lib_lora.remote.renting.user_currency import rate_of, set_rate
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add these commands."""
    pods = command("pods", _pods, f"The GPUs that are rented at {USUAL.title} now: list them, or end one or all.")
    pods.add_argument("does", choices=("list", "end"), metavar="list|end")
    pods.add_argument("name", nargs="?", metavar="NAME", help="with end: which, as 'pods list' names it")
    pods.add_argument("--all", action="store_true", help="with end: all that SameFace has rented")

    key = command(
        "key", _key, f"The API key of {USUAL.title}: set it (from a prompt, or standard input), or forget it."
    )
    key.add_argument("does", choices=("set", "forget"), metavar="set|forget")
    key.add_argument("service", choices=NAMES, metavar=" or ".join(NAMES))

    money = command("money", _money, "Set the currency used for amounts, and show what was spent on rented GPUs.")
    money.add_argument(
        "--currency", metavar="ABC", help=f"three letters, e.g. GBP (with --rate; USD = as {USUAL.title} bills)"
    )
    money.add_argument("--rate", type=finite, metavar="N", help="exchange rate: the value of one USD, e.g. 0.79")


def _money(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.train.elsewhere import rent_quote

    root = data_root(options.data)
    if options.currency is not None or options.rate is not None:
        before = rate_of(root)
        currency = before.currency if options.currency is None else options.currency
        if options.rate is None and currency.strip().upper() not in (before.currency, USD):
            raise UserError(
                f"Give the exchange rate from USD: {typed('money', '--currency', currency, '--rate', '0.79')}",
                "rate",
                code="rate-missing",
            )
        usual = 1.0 if currency.strip().upper() == USD else float(before.per_usd)
        set_rate(root, currency, usual if options.rate is None else options.rate)
    rate = rate_of(root)
    spent = rent_quote.spent(root)
    lines = [f"Amounts are shown in {rate.currency}; 1 USD is {rate.per_usd.normalize():f} {rate.currency}."]
    lines += [f"Spent at {USUAL.title} for {name}: {rate.shown(usd)}" for name, usd in spent.items()]
    values = {"currency": rate.currency, "per_usd": float(rate.per_usd)}
    return Answer("\n".join(lines), {**values, "spent_usd": {name: float(usd) for name, usd in spent.items()}})


def _pods(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.train.elsewhere import renting

    root = data_root(options.data)
    if options.does == "list":
        living = renting.costing_pods(root)
        text = "\n".join(one.line(rate_of(root)) for one in living) or "No SameFace pods are running."
        return Answer(text, [one.values() for one in living])
    if bool(options.name) == options.all:
        raise UserError(
            f"Name one pod, or use --all: {typed('pods', 'end', 'NAME')}", "name", code="pod-to-end-not-named"
        )
    ended = renting.end_pods(root, options.name)
    text = "\n".join(f"{one.name} is deleted." for one in ended) or "No SameFace pods are running."
    return Answer(text, [one.values() for one in ended])


def _key(options: argparse.Namespace) -> Answer:
    root, of = data_root(options.data), provider_named(options.service).title
    return forget_key(root, options.service, of) if options.does == "forget" else keep_key(root, options.service, of)
