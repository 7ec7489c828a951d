"""Adds the command about Civitai: info, fetch, library, starter, token, agree, off and site."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.cli.arguments import NOT_GOOD, WRONG, Answer, Commands, as_answer
from lib_lora.cli.service_keys import forget_key, keep_key
from lib_lora.errors import UserError, command, typed
from lib_lora.files import explained, size
from lib_lora.spinner import Spinner
from lib_lora.workspace.workspace import data_root

if TYPE_CHECKING:
    from lib_lora.civitai.model_lookup import ModelLookup

_DOES = ("info", "fetch", "library", "starter", "token", "agree", "off", "site")


def add(command: Commands) -> None:
    """Add this command."""
    civitai = command(
        "civitai",
        _civitai,
        "Look up LoRAs and base models on Civitai and what they may be used for, and download them.",
    )
    civitai.add_argument("does", choices=_DOES, metavar="|".join(_DOES))
    civitai.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="info: files, hashes or addresses; fetch: an address or a model's number; library: folders; starter: a "
        "name from its list; token: set or remove; site: the address of another Civitai, or default",
    )
    civitai.add_argument("--to", metavar="FOLDER", help="with fetch and starter: where the file goes")
    civitai.add_argument("--version", default="", metavar="ID", help="with fetch: number or name (default: the newest)")
    civitai.add_argument("--file", default="", metavar="ID", help="with fetch: number or name (default: the page's)")
    civitai.add_argument("--refresh", action="store_true", help="with info and library: ask again, ignoring the cache")
    civitai.add_argument(
        "--yes",
        action="store_true",
        help="with agree, starter and fetch: you have read what is sent, the licence, or that it shows a real person",
    )


def _civitai(options: argparse.Namespace) -> Answer:
    does = {
        "info": _info,
        "fetch": _fetch,
        "library": _library,
        "starter": _starter,
        "token": _token,
        "agree": _agree,
        "off": _off,
        "site": _site,
    }
    return does[options.does](options)


def _info(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.library.model_words import NO_ADVICE, lines_of, together_lines, values_of
    from lib_lora.workflows.library.named_models import failed, look_up_each

    _named(options, "FILE", least=1, most=100)
    found = look_up_each(data_root(options.data), options.what, _lookup(options, options.refresh))
    lines = [line for one in found for line in (*lines_of(one), "")]
    if len(found) > 1:
        lines += [*together_lines(found), ""]
    refused = any(one.assessment.refused for one in found)
    status = WRONG if any(map(failed, found)) else NOT_GOOD if refused else 0
    return Answer("\n".join([*lines, NO_ADVICE]), [values_of(one) for one in found], status)


def _fetch(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.api import civitai_consent
    from lib_lora.civitai.api.site_address import pointer_of
    from lib_lora.civitai.model_fetch import choose, fetch_choice, unusual_folder
    from lib_lora.workflows.library.model_words import NO_ADVICE, lines_of, values_of

    _named(options, "ADDRESS")
    root, folder = data_root(options.data), _folder(options)
    civitai_consent.see_that_it_may_be_asked(root)
    lookup = _lookup(options, refresh=True)
    choice = choose(lookup, pointer_of(options.what[0], lookup.site), options.what[0], options.version, options.file)
    print("\n".join([*lines_of(choice.found), NO_ADVICE]))
    wanted = size(choice.file.bytes, 1000) if choice.file.bytes else "unknown size"
    print(f"To be fetched: {choice.name}, {wanted}, into {folder}.")
    if warning := unusual_folder(choice.found.kind, folder):
        print(warning)
    if choice.found.subject().poi and not (options.yes or _asked("It shows a real person. Download it anyway?")):
        raise UserError(
            f"{choice.found.title} shows a real person; add --yes to download it anyway.",
            "yes",
            code="civitai-person-not-agreed",
        )
    with Spinner(f"fetching {choice.name}") as spinner:
        path = fetch_choice(root, choice, folder, lookup.api, _reporter(spinner, choice.name))
    return Answer(f"{path.name} is in {path.parent}.", {"file": str(path), **values_of(choice.found)})


def _library(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.library.library_table import list_library

    _named(options, "FOLDER", least=1, most=100)
    with Spinner("looking") as spinner:

        def said(what: str) -> None:
            spinner.what = what

        return as_answer(list_library(data_root(options.data), [*map(Path, options.what)], options.refresh, said))


def _starter(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.starter_models import fetch_starter, starter_models, starter_named

    if not options.what:
        lines = []
        for one in starter_models():
            lines += [f"{one.key:<14} {one.title}, {size(one.bytes, 1000)} from {one.host}", f"{'':<14} {one.text}"]
            lines.append(f"{'':<14} Licence: {one.licence.name}, {one.licence.address}")
        lines.append(f"To fetch one: {typed('civitai', 'starter', 'NAME', '--to', 'FOLDER')}")
        return Answer("\n".join(lines), [one.values() for one in starter_models()])
    _named(options, "NAME")
    model, root, folder = starter_named(options.what[0]), data_root(options.data), _folder(options)
    print(f"{model.title}: {size(model.bytes, 1000)} from {model.host}, to {folder}.")
    print(f"Its licence is {model.licence.name} ({model.licence.address}). {model.licence.note}")
    agreed = options.yes or _asked("Download it under this licence?")
    with Spinner(f"fetching {model.name}") as spinner:
        path = fetch_starter(root, model, folder, agreed, _reporter(spinner, model.name))
    return Answer(f"{path.name} is in {path.parent}.", {"file": str(path), **model.values()})


def _token(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.api import civitai_consent
    from lib_lora.civitai.api.site_address import host_of
    from lib_lora.remote import api_key_store

    if options.what not in (["set"], ["remove"]):
        raise UserError(
            f"Say whether the token is to be set or removed: {typed('civitai', 'token', 'set')}",
            "what",
            code="civitai-token-what",
        )
    root = data_root(options.data)
    asked = civitai_consent.site(root)
    of, service = host_of(asked), civitai_consent.key_name(asked)  # a key is given to the site that is set now
    if options.what == ["set"]:
        return keep_key(root, service, of)
    if not api_key_store.kept_in(root, service):
        return Answer(f"There was no key for {of}.", {"kept_in": ""})
    return forget_key(root, service, of)


def _agree(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.api import civitai_consent

    _named(options, "", most=0)
    root = data_root(options.data)
    sent = civitai_consent.what_is_sent(root)
    agreed = options.yes
    if not agreed and sys.stdin.isatty():
        print(sent)
        agreed = _asked("Do you agree?")
        sent = ""
    if not agreed:
        again = typed("civitai", "agree", "--yes")
        return Answer(f"{sent}\nNothing is sent yet. To agree: {again}".lstrip(), {"civitai": _state(root)}, WRONG)
    civitai_consent.set_state(root, civitai_consent.AGREED)
    off = f"To switch it off again: {typed('civitai', 'off')}"
    return Answer(f"{sent}\nYou have agreed. {off}".lstrip(), {"civitai": _state(root)})


def _off(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.api import civitai_consent

    _named(options, "", most=0)
    root = data_root(options.data)
    civitai_consent.set_state(root, civitai_consent.OFF)
    return Answer("Civitai is turned off: no requests are sent to it.", {"civitai": _state(root)})


def _site(options: argparse.Namespace) -> Answer:
    from lib_lora.civitai.api import civitai_consent

    _named(options, "ADDRESS", least=0)
    root = data_root(options.data)
    if options.what:
        civitai_consent.set_site(root, "" if options.what == ["default"] else options.what[0])
    asked, kept = civitai_consent.site(root), civitai_consent.kept_site(root)
    text = f"{asked} is asked."
    if kept != asked and os.environ.get(civitai_consent.VARIABLE, "").strip():
        text += f" {kept} is kept as the setting, but the variable {civitai_consent.VARIABLE} comes first."
    return Answer(text, {"site": asked, "kept": kept})


def _state(root: Path) -> str:
    from lib_lora.civitai.api import civitai_consent

    return civitai_consent.state_of(root)


def _lookup(options: argparse.Namespace, refresh: bool) -> ModelLookup:
    from lib_lora.civitai.model_lookup import ModelLookup

    def said(what: str) -> None:
        print(f"{what} ...", file=sys.stderr)

    return ModelLookup(data_root(options.data), refresh=refresh, said=said)


def _named(options: argparse.Namespace, what: str, least: int = 1, most: int = 1) -> None:
    """See that as much is named as the command needs."""
    if not least * bool(what) <= len(options.what) <= most:
        words = ("civitai", options.does, *([what] if what else []))
        raise UserError(
            f"{command()} civitai {options.does} is given the wrong number of names; for example: {typed(*words)}",
            "what",
            code="civitai-what-not-named",
        )


def _folder(options: argparse.Namespace) -> Path:
    """The folder that a file goes into, as a whole path; it may still have to be made, its parent must be there."""
    if options.to is None:
        raise UserError(
            f"Say where the file goes: {typed('civitai', options.does, *options.what, '--to', 'FOLDER')}",
            "to",
            code="civitai-folder-not-named",
        )
    if not options.to.strip():
        raise UserError("The folder after --to is empty; name one.", "to", code="civitai-folder-empty")
    folder = Path(options.to).absolute()
    with explained(folder, "read"):
        try:
            is_folder, there = stat.S_ISDIR(folder.stat().st_mode), True
        except (FileNotFoundError, NotADirectoryError):
            is_folder = there = False
    if there and not is_folder:
        raise UserError(f"The path {folder} is a file; name a folder after --to.", "to", code="civitai-folder-is-file")
    if not there and not folder.parent.is_dir():
        raise UserError(
            f"There is no folder {folder.parent}; create it first, or name another one after --to.",
            "to",
            code="civitai-folder-parent-missing",
        )
    return folder


def _asked(question: str) -> bool:
    """What the user says in a terminal; elsewhere nobody can be asked, which is no yes."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _reporter(spinner: Spinner, name: str) -> Callable[[int, int], None]:
    """Puts into a spinner how far a download is."""

    def report(there: int, total: int) -> None:
        of = f" of {size(total, 1000)}" if total else ""
        spinner.what = f"fetching {name}: {size(there, 1000)}{of}"

    return report
