"""Fills wildcards in prompts: ``__place__`` by a line of ``place.txt``, and ``{red|3::blue}`` by one of the two.

The notation is that of the webui's extensions for wildcards and dynamic prompts. Which line is taken depends on the
random numbers alone, so a prompt is filled the same way again. Imports nothing heavy.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import content, explained
from lib_lora.workflows.produce.prompts.prompt_list import decoded

_MARK = re.compile(r"__([\w./-]+?)__")
_INNER = re.compile(r"\{([^{}]*)\}")
_UNREAD = re.compile(r"\{[^{}]*\$\$[^{}]*\}|__[~*@!^$][^\s_]*__|__[\w./-]*[*?][^\s_]*__")
_WEIGHT = re.compile(r"\s*([0-9]*\.?[0-9]+)::(.*)", re.DOTALL)
_DEEP = 50  # wildcards in wildcards
_LARGEST = 8 << 20  # bytes of a file
_LONGEST = 20_000  # letters of a filled prompt


class Wildcards:
    """The files of some folders.

    Args:
        folders: in which ``place.txt`` and ``in/folders/too.txt`` are looked for; the first that has one counts.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = list(folders)
        self._known: dict[str, list[str]] = {}

    def fill(self, prompt: str, numbers: random.Random) -> str:
        """A prompt without wildcards.

        Args:
            prompt: with them.
            numbers: decide.

        Raises:
            UserError: there is no such wildcard, or they name each other without end.
        """
        for _ in range(_DEEP):
            filled = _INNER.sub(lambda found: _one_of(found[1], numbers), prompt)
            if filled == prompt:
                filled = _MARK.sub(lambda found: numbers.choice(self._lines(found[1])), prompt)
            if filled == prompt:
                _see_all_read(filled)
                return " ".join(filled.split())
            if len(filled) > _LONGEST:
                break
            prompt = filled
        raise UserError(
            f"The wildcards of the prompt {prompt[:60]!r} name each other without end; change their files.",
            code="wildcard-endless",
        )

    def check(self, prompts: Iterable[str]) -> None:
        """See that all wildcards that prompts name are there.

        Raises:
            UserError: one is not.
        """
        for prompt in prompts:
            _see_all_read(_MARK.sub("", prompt))
            for found in _MARK.finditer(prompt):
                self._lines(found[1])

    def _lines(self, name: str) -> list[str]:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> list[str]:
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise UserError(f"__{name}__ names no wildcard file.", code="wildcard-name-invalid", wildcard=name)
        for folder in self._folders:
            path = folder.joinpath(*parts[:-1], f"{parts[-1]}.txt")
            if path.is_file():
                with explained(path, "read"):
                    text = decoded(content(path)[:_LARGEST])
                lines = [line.strip() for line in text.splitlines()]
                found = [line for line in lines if line and not line.startswith("#")]
                if found:
                    return found
                raise UserError(f"{path} has no line to choose from.", code="wildcard-empty", file=path)
        known = " or ".join(str(folder) for folder in self._folders)
        where = f"put it into {known}" if known else "name its folder with --wildcards"
        raise UserError(
            f"There is no wildcard file {name}.txt for __{name}__; {where}.", code="wildcard-unknown", wildcard=name
        )


def _see_all_read(prompt: str) -> None:
    """
    Raises:
        UserError: it has a notation of the webui's extensions that is not known here, and would be painted as words.
    """
    found = _UNREAD.search(prompt)
    if found:
        raise UserError(
            f"{found[0][:60]!r} in a prompt is a notation for wildcards that SameFace does not read; it reads "
            "{red|blue}, {3::red|blue} and __file__.",
            code="wildcard-notation-unknown",
        )


def _one_of(text: str, numbers: random.Random) -> str:
    """One of some texts parted by |, each as often as the weight before its :: says."""
    choices: Sequence[str] = text.split("|")
    weights = []
    texts = []
    for choice in choices:
        found = _WEIGHT.fullmatch(choice)
        weights.append(float(found[1]) if found else 1.0)
        texts.append((found[2] if found else choice).strip())
    if not sum(weights):
        weights = [1.0] * len(texts)
    return numbers.choices(texts, weights)[0]
