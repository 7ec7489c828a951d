"""Gives the settings of a training, read from the dataclasses alone, as form fields and as a page of the documents.

The page is made with ``python -m lib_lora.training.plan.form_fields > docs/settings.md``. Loads no torch.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.training.objective.objective_settings import ObjectiveSettings
from lib_lora.training.plan.presets import presets
from lib_lora.training.plan.train_settings import TrainSettings

NO_FIELDS = ("preset", "version")

_GROUPS = {"lora": "LoRA", "objective": "Objective"}  # by the table of a dotted key
_KINDS = {int: "int", float: "float", bool: "bool", str: "text", list[str]: "lines"}


def fields() -> list[dict[str, Any]]:
    """Every setting of a training that a person may change, in the order of the dataclasses.

    Returns:
        Tables of plain values: key (dotted), label, text (one line), kind ("int", "float", "bool", "choice", "text", or
        "lines" for a list of texts), choices (empty for all but "choice"), default, group ("Training", "Photos", "LoRA"
        or "Objective"), optional (true where the value may be null), path (true where a text names a folder), and
        example (of a line; may be empty).
    """
    own = _of(TrainSettings, "")
    inner = [*_of(LoraSettings, "lora"), *_of(ObjectiveSettings, "objective")]
    order = ("Training", "Photos", "LoRA", "Objective")
    return sorted([*own, *inner], key=lambda field: order.index(field["group"]))


def flat(train: TrainSettings) -> dict[str, Any]:
    """The settings by dotted key, without those that are no fields."""
    values = dataclasses.asdict(train)
    return typed_settings.by_dotted_key({name: value for name, value in values.items() if name not in NO_FIELDS})


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, or nested, as the tables that `training.plan.presets.preset` takes.

    Raises:
        UserError: there is no such setting (the nearest one is named), or its value does not fit.
    """
    found = typed_settings.nested(values)
    for name in found:
        if name in NO_FIELDS:
            raise UserError(
                f"{name!r} is not a known setting; leave it out.",
                code="setting-unknown",
                setting=name,
            )
    typed_settings.from_dict(TrainSettings, found)
    return found


def preset_entries(family: str | None = None, narrow: bool = False) -> list[dict[str, str]]:
    """Name and text of the presets; with `family` only those for such a base model (see `presets.preset`)."""
    return [
        {"name": name, "text": one.description}
        for name, (its, one) in presets().items()
        if family is None or (its.name == family and (narrow or not one.narrow))
    ]


def _of(kind: type[Any], table: str) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]) or (not table and field.name in NO_FIELDS):
            continue
        key = f"{table}.{field.name}" if table else field.name
        hint, optional = _plain(hints[field.name])
        make = field.default_factory
        choices = list(typing.get_args(hint)) if typing.get_origin(hint) is typing.Literal else []
        found.append(
            {
                "key": key,
                "label": field.metadata["label"],
                "text": field.metadata["meaning"],
                "kind": "choice" if choices else _KINDS[hint],
                "choices": choices,
                "default": field.default if make is dataclasses.MISSING else make(),
                "group": _GROUPS.get(table) or field.metadata.get("group", "Training"),
                "optional": optional,
                "path": field.metadata.get("path", False),
                "example": field.metadata.get("example", ""),
            }
        )
    return found


def _plain(hint: Any) -> tuple[Any, bool]:
    """A type without its None, and whether None was there."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [one for one in typing.get_args(hint) if one is not type(None)]
    return rest[0], True


def document() -> str:
    """The page ``docs/settings.md``: a table of settings for each group."""
    lines = [
        "# Settings of a training",
        "",
        "Made by `python -m lib_lora.training.plan.form_fields`. `--set NAME=VALUE` sets one on the command line; the",
        "tab shows the same ones by their titles. A preset overrides these defaults;",
        "`python -m lib_lora settings --preset NAME` shows its own.",
    ]
    group = ""
    for field in fields():
        if field["group"] != group:
            group = field["group"]
            lines += ["", f"## {group}", "", "| name | title | default | meaning |", "|---|---|---|---|"]
        choices = f" One of {', '.join(field['choices'])}." if field["choices"] else ""
        meaning = f"{field['text']}{choices}".replace("|", "\\|")
        lines.append(
            f"| `{field['key']}` | {field['label']} | {as_written(field['default']) or '(empty)'} | {meaning} |"
        )
    return "\n".join(lines) + "\n"


def as_written(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    import sys

    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(document())
