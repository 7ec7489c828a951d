"""Defines the arguments that several commands share, and reads their values."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

import yaml

from lib_lora import typed_settings
from lib_lora.cli import suggest
from lib_lora.comfyui.comfy_address import BY, DEFAULT
from lib_lora.errors import UserError, command
from lib_lora.models.families.model_family import Prediction
from lib_lora.queue.job_types import Rental
from lib_lora.remote import base_addresses
from lib_lora.remote.gpu_providers import NAMES, is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.training.plan.presets import presets
from lib_lora.workspace.workspace import Workspace, data_root

if TYPE_CHECKING:
    from lib_lora.faces.face import FaceEngine
    from lib_lora.training.plan.training_request import TrainingRequest
    from lib_lora.workflows.command_result import CommandResult

NOT_GOOD = 1  # exit status of commands that look at something, where something speaks against it
WRONG = 2  # exit status of wrong input, or of what was refused
DRIFTS, NO_VERDICT = 3, 4  # exit statuses of score, compare, choose and grid
STOPPED = 130  # exit status of what the user has stopped and can go on with, as of any program that Ctrl+C ends


@dataclass(frozen=True)
class Answer:
    """What a command answers.

    Attributes:
        text: for people; empty where all was said on the way.
        values: for programs, plain.
        status: the exit status.
    """

    text: str
    values: Any
    status: int = 0


class Commands(Protocol):
    """Adds one command: its name, what runs it, one sentence about it, and whether it answers (``--json``).

    What runs it gives the answer, or, where it has said everything itself, the exit status.
    """

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], Answer | int], text: str, answers: bool = True
    ) -> argparse.ArgumentParser: ...


def who(parser: argparse.ArgumentParser, consent: bool = True) -> None:
    """Who the character is; where `consent` is false, it may be declared later."""
    parser.add_argument("--trigger", required=True, help="the invented word for this character, e.g. mrxa")
    parser.add_argument("--class", dest="class_word", required=True, help="what it is, e.g. woman")
    parser.add_argument(
        "--consent", required=consent, help="fictional, myself, or consented (adult, with documentation)"
    )


def training(parser: argparse.ArgumentParser) -> None:
    """Base model and settings of a training."""
    parser.add_argument("--base", type=Path, required=True, metavar="CHECKPOINT", help="the .safetensors or .ckpt file")
    *others, last = presets()
    parser.add_argument("--preset", metavar="NAME", help=f"{', '.join(others)} or {last} (default: by the base)")
    parser.add_argument(
        "--steps", type=at_least(1), metavar="N", help="optimizer steps (default: the preset's views of each photo)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the finished LoRA goes (default of run: the current folder)"
    )
    parser.add_argument("--prediction", choices=get_args(Prediction), help="overrides what the checkpoint declares")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting of the preset, e.g. --set lora.rank=16 --set resolution=768",
    )
    parser.add_argument("--few", action="store_true", help="train even with fewer than 8 photos")


_COST = "maximum total cost, in USD or the currency set with 'money' (default: 5 USD)"
_RENTED = "rent a GPU; these limits cover all pods of a run, for training and painting, and start over when given again"


def on(parser: argparse.ArgumentParser, rents: bool = False) -> None:
    """Where it is done; where `rents`, a GPU may be rented for it."""
    added = "ssh:NAME or ray:NAME of a place that was added with 'place add'"
    parser.add_argument(
        "--on",
        default="local",
        metavar="PLACE",
        help=f"local (default), {added}, or {' or '.join(NAMES)}" if rents else f"local (default), or {added}",
    )
    if not rents:
        return
    parser.add_argument(
        "--base-address",
        default="",
        metavar="URL",
        help="with --on: URL from which that machine downloads the base model instead of receiving it from here "
        "(checked by its SHA-256)",
    )
    rented = parser.add_argument_group(f"with --on {' or '.join(NAMES)}", _RENTED)
    rented.add_argument("--gpu", nargs="+", metavar="NAME", help="in order of preference (default: the cheapest)")
    rented.add_argument("--max-hours", type=finite, metavar="H", help="maximum rental time in hours (default: 6)")
    rented.add_argument("--max-cost", type=finite, metavar="N", help=_COST)
    rented.add_argument(
        "--region", action="append", metavar="NAME", help="such as EU or EU-RO-1; may be given again (default: any)"
    )


def comfyui(parser: argparse.ArgumentParser) -> None:
    """Painting through a ComfyUI that runs."""
    parser.add_argument(
        "--comfyui",
        nargs="?",
        const=DEFAULT,
        metavar="ADDRESS",
        help=f"paint through the ComfyUI running there (without ADDRESS: {DEFAULT})",
    )


def lora_folders(parser: argparse.ArgumentParser) -> None:
    """Where further LoRAs are looked for that are given by their names."""
    parser.add_argument(
        "--loras",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders in which LoRAs are found by name, besides the folder loras in the data folder",
    )


def folders_of(options: argparse.Namespace) -> list[Path]:
    """The folders that `lora_folders` has asked for, and the data folder's own."""
    return [*options.loras, Workspace(data_root(options.data)).loras]


def painted_by(options: argparse.Namespace) -> str:
    """Who paints, as plans of pictures have it; empty = diffusers, wherever.

    Raises:
        UserError: two were named.
    """
    if options.comfyui is None:
        return ""
    if options.on != LOCAL:
        raise UserError(
            "--comfyui and --on each say who paints; give one of them.", "comfyui", code="comfyui-and-place"
        )
    return BY


def rental_of(options: argparse.Namespace) -> Rental | None:
    """What may be rented, as the options that `on` has added say; None = nothing is.

    Raises:
        UserError: a limit is invalid, nothing is rented, or the base model's address is invalid.
    """
    given = {"gpus": options.gpu, "hours": options.max_hours, "cap": options.max_cost, "regions": options.region}
    values = {name: value for name, value in given.items() if value is not None}
    if options.base_address:
        base_addresses.check(options.base_address)
        if options.on == LOCAL:
            raise UserError(
                "--base-address is for another machine; name it with --on, or leave the address out.",
                "base_address",
                code="base-address-without-place",
            )
    if is_rented(options.on) and "cap" in values:
        values["cap"] = float(rate_of(data_root(options.data)).in_usd(values["cap"]))
    if is_rented(options.on):
        values["anew"] = "hours" in values or "cap" in values  # a run that goes on has had limits before
        return typed_settings.from_dict(Rental, values, "what may be rented")
    if values:
        raise UserError(
            f"--gpu, --max-hours, --max-cost and --region are for --on {' or '.join(NAMES)}; give that, or leave them "
            "out.",
            "on",
            code="rental-without-runpod",
        )
    return None


def engine(parser: argparse.ArgumentParser) -> None:
    """The face engine, and agreeing to its licence."""
    parser.add_argument(
        "--engine", default="sface", metavar="NAME", help="sface (default), or insightface:FOLDER of a model pack"
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="agree to the licence of the engine's models (non-commercial)"
    )


def painting(parser: argparse.ArgumentParser, least: int) -> None:
    """Sampling steps of test pictures, from `least` on; 0 means that none are painted."""
    none = "" if least else "; 0: no grid"
    parser.add_argument(
        "--grid-steps", type=at_least(least), default=20, metavar="N", help=f"sampling steps (default: 20{none})"
    )


def at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number from `least` on, or argparse says what is wrong."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return number


def finite(text: str) -> float:
    """Reads a finite number, or argparse says what is wrong."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number


def request_of(options: argparse.Namespace) -> TrainingRequest:
    """What the options that `training` has added ask for; what they leave open is made to fit the memory.

    Raises:
        UserError: as `settings_given`.
    """
    from lib_lora.training.plan.training_request import TrainingRequest

    return TrainingRequest(
        options.base,
        options.preset,
        settings_given(options),
        options.prediction,
        options.out,
        few=options.few,
        fit=True,
    )


def settings_given(options: argparse.Namespace) -> dict[str, Any]:
    """Like `overrides`, but checks that each is a known setting.

    Raises:
        UserError: as `overrides`, or there is no such setting; the nearest one is named.
    """
    from lib_lora.training.plan.form_fields import fields

    values = overrides(options)
    complaint = suggest.about_settings(values, [field["key"] for field in fields()])
    if complaint:
        raise UserError(f"--set: {complaint} All of them: {command()} settings", code="setting-unknown")
    return values


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """``--set a.b=c`` and ``--steps`` as nested settings; of one key the last word counts.

    Raises:
        UserError: an item without "=" or without a key, a key inside one that has a plain value, or a list or
            table that is no YAML.
    """
    values: dict[str, Any] = {}
    for item in options.set:
        key, equals, text = item.partition("=")
        path = [word.strip() for word in key.split(".")]
        if not equals or not all(path):
            raise UserError(
                f"--set {item}: write KEY=VALUE, for example --set lora.rank=16.", code="set-without-value", option=item
            )
        table = values
        for word in path[:-1]:
            table = table.setdefault(word, {})
            if not isinstance(table, dict):
                raise UserError(
                    f"--set {item}: {word} already has a value of its own.",
                    code="set-conflicts-with-group",
                    option=item,
                )
        table[path[-1]] = parsed_value(text.strip(), item)
    if options.steps is not None:
        values["steps"] = options.steps
    return values


def parsed_value(text: str, item: str) -> Any:
    """A number, true/false, null, "quoted text", [list] or {table} as YAML has it; anything else is text as it is.

    YAML itself would read a caption "a woman: smiling" as a table, and cut a folder's name at " #".
    """
    structured = text.startswith(("[", "{", '"', "'"))
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # beside its own errors, PyYAML lets through those of values that only look right: 2024-02-30, !!bool x
        if structured:
            raise UserError(
                f"--set {item[:80]}: the value cannot be read.", code="set-unreadable", option=item
            ) from error
        return text
    return value if structured or value is None or isinstance(value, (bool, int, float)) else text


def engine_of(options: argparse.Namespace) -> FaceEngine:
    """The engine that the options name.

    Raises:
        UserError: as `faces.engines.engine_names.engine_of`.
    """
    from lib_lora.faces.engines.engine_names import engine_of

    return engine_of(options.engine, data_root(options.data), options.accept_licence)


def status(drift: bool, judged: bool) -> int:
    """The exit status of a verdict."""
    return DRIFTS if drift else 0 if judged else NO_VERDICT


def as_answer(result: CommandResult) -> Answer:
    """What a job answers, as the answer of its command."""
    return Answer(result.text, result.values, 0 if result.good else NOT_GOOD)


def as_json(values: Any) -> str:
    """JSON for standard output, in letters that its encoding has."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    return json.dumps(values, indent=2, ensure_ascii=not unicode)
