"""Suggests what was meant by a mistyped command, option or setting.

argparse says this in another way, or not at all, in each version of Python; so it is asked before argparse is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from lib_lora.typed_settings import by_dotted_key


def nearest(word: str, known: Collection[str]) -> str | None:
    """The one of `known` that is most like `word`; None where none is like it."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return near[0] if near else None


def about_command(words: Sequence[str], commands: Collection[str]) -> str:
    """What is wrong with the first of the words of a command line, in one sentence; empty where nothing is.

    Args:
        words: what was typed after the program's name.
        commands: those that there are.
    """
    if not words or words[0] in commands:
        return ""
    if words[0].startswith("-"):
        alone = words[0] == "-h" or any(one.startswith(words[0]) for one in ("--help", "--version"))
        return "" if alone else f"{words[0]} comes before the command; write the command first, then its options."
    near = nearest(words[0].lower(), commands)
    return f"there is no command {words[0]!r}; {f'did you mean {near}?' if near else 'see --help for the list.'}"


def about_options(words: Sequence[str], known: Collection[str]) -> str:
    """What is wrong with the options of a command, in one sentence; empty where nothing is.

    Args:
        words: what was typed after the command.
        known: its options, with their dashes. The beginning of one is enough, as for argparse.
    """
    for word in words:
        if word == "--":
            return ""
        name = word.partition("=")[0]
        if not re.fullmatch(r"--?[A-Za-z][\w-]+", name) or any(one.startswith(name) for one in known):
            continue
        near = nearest("--" + name.lstrip("-").lower(), known)
        return f"there is no option {name}{f'; did you mean {near}?' if near else ' of this command.'}"
    return ""


def options_in(usage: str) -> set[str]:
    """The options that a usage line of argparse names; ``--help`` has a short one there."""
    return {*re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", usage), "--help"}


def about_settings(values: Mapping[str, object], known: Collection[str]) -> str:
    """What is wrong with the names of settings, in one sentence; empty where nothing is.

    Args:
        values: settings in tables, as ``--set`` gives them.
        known: those there are, with dots.
    """
    for key in by_dotted_key(values):
        if key not in known:
            near = nearest_setting(key, known)
            return f"there is no setting {key!r}{f'; did you mean {near}?' if near else '.'}"
    return ""


def nearest_setting(key: str, known: Collection[str]) -> str | None:
    """The setting that `key` may stand for, also where its table is left out; None where none is like it."""
    leaves = {one.rpartition(".")[2]: one for one in known}
    leaf = key.rpartition(".")[2]
    return leaves.get(leaf) or nearest(key, known) or leaves.get(nearest(leaf, leaves) or "")
