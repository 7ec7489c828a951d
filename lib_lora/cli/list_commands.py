"""Adds the commands that list what there is: list, settings and texts."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from lib_lora.cli.arguments import Answer, Commands, as_answer, as_json
from lib_lora.cli.suggest import nearest, nearest_setting
from lib_lora.errors import UserError
from lib_lora.training.plan.presets import usual_preset
from lib_lora.workspace.workspace import data_root

_WIDTH = 110


def add(command: Commands) -> None:
    """Add these commands."""
    there = command("list", _list, "List the characters with their photos, runs and newest test; or one's runs.")
    there.add_argument("name", nargs="?", metavar="NAME", help="list the runs of this character")

    usual = usual_preset()
    settings = command("settings", _settings, "List what can be set for a training: name, default and meaning.")
    settings.add_argument(
        "words", nargs="*", metavar="WORD", help="only the settings that have this in their name, e.g. lora or rank"
    )
    settings.add_argument("--preset", default=usual, metavar="NAME", help=f"whose defaults (default: {usual})")

    command("texts", _texts, "Print the tab's texts as a file for the webui's folder localizations, for a translator.")


def _list(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.listing import list_characters, list_runs

    root = data_root(options.data)
    return as_answer(list_runs(root, options.name) if options.name else list_characters(root))


def _texts(_options: argparse.Namespace) -> Answer:
    from lib_lora.ui.views.translatable_texts import texts

    values = {text: text for text in texts()}
    return Answer(as_json(values), values)


def _settings(options: argparse.Namespace) -> Answer:
    from lib_lora.training.plan.form_fields import fields, flat, preset_entries
    from lib_lora.training.plan.presets import preset, presets

    known = presets()
    if options.preset not in known:
        near = nearest(options.preset, known)
        hint = f"did you mean {near}?" if near else f"the presets are {', '.join(known)}."
        raise UserError(f"There is no preset {options.preset!r}; {hint}", code="preset-unknown", preset=options.preset)
    family, one = known[options.preset]
    defaults = flat(preset(options.preset, family.name, narrow=one.narrow))
    found = [{**field, "default": defaults[field["key"]]} for field in fields()]
    for word in options.words:
        keys = [field["key"] for field in found]
        if not any(word.lower() in key for key in keys):
            near = nearest_setting(word, keys)
            raise UserError(
                f"No setting has {word!r} in its name{f'; did you mean {near}?' if near else '.'}",
                code="setting-unknown",
                setting=word,
            )
    if options.words:
        found = [field for field in found if any(word.lower() in field["key"] for word in options.words)]
    values = {"preset": options.preset, "presets": preset_entries(), "settings": found}
    return Answer("\n".join(_lines(options.preset, list(known), found)), values)


def _lines(preset: str, presets: list[str], found: list[dict[str, Any]]) -> list[str]:
    from lib_lora.training.plan.form_fields import as_written

    others = ", ".join(one for one in presets if one != preset)
    lines = [f"For --set NAME=VALUE; the defaults are those of the preset {preset} (others: {others})."]
    width = max(len(field["key"]) for field in found)
    shown = max(len(as_written(field["default"])) for field in found)
    group = ""
    for field in found:
        if field["group"] != group:
            group = field["group"]
            lines += ["", f"{group}:"]
        choices = f" One of {', '.join(field['choices'])}." if field["choices"] else ""
        head = f"  {field['key'].ljust(width)}  {as_written(field['default']).ljust(shown)}  "
        lines += textwrap.wrap(
            field["text"] + choices,
            _WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        )
    return lines
