"""Adds the commands ui, which shows the tab as a page of its own, and doctor, which checks what works here."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_lora.cli.arguments import NOT_GOOD, Answer, Commands, at_least
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add these commands."""
    tab = command("ui", _ui, "Show the Train LoRA tab as a page in the browser, without a webui.", answers=False)
    tab.add_argument(
        "--models",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="folders of base models, or single files (also: the variable SAMEFACE_MODELS)",
    )
    tab.add_argument("--port", type=at_least(1), metavar="N", help="default: the first free one from 7869 on")
    tab.add_argument("--listen", action="store_true", help="let other machines in; the address then has a token")
    tab.add_argument("--no-open", action="store_true", help="do not open the page in a browser")

    doctor = command("doctor", _doctor, "Say what works on this machine and what does not, also for bug reports.")
    doctor.add_argument(
        "--models", type=Path, nargs="+", action="extend", default=[], metavar="DIR", help="folders of base models"
    )


def _ui(options: argparse.Namespace) -> int:
    from lib_lora.ui.page.page_app import serve

    serve(data_root(options.data), options.port, options.listen, not options.no_open, options.models)
    return 0


def _doctor(options: argparse.Namespace) -> Answer:
    from lib_lora.hosts.standalone import Alone
    from lib_lora.ui.views.doctor.check_result import as_text
    from lib_lora.ui.views.doctor.doctor_checks import checks

    root = data_root(options.data)
    host = Alone(root, options.models)
    found = checks(host, root)
    bad = any(one.tone == "bad" for one in found)
    return Answer(as_text(host, found), {"checks": [one.for_programs() for one in found]}, NOT_GOOD if bad else 0)
