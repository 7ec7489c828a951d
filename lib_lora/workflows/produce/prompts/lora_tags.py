"""Takes further LoRAs out of prompts: ``<lora:style:0.6>`` names the file ``style.safetensors`` of some folders.

The notation is A1111's; where the webui itself paints, it reads it itself. Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.lora.file.named_loras import NamedLoras, is_weight
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used

_TAG = re.compile(r"<(?:lora|lyco):([^<>:]+)((?::[^<>:]*)*)>", re.IGNORECASE)
_WILDCARD = re.compile(r"[{}]|__")


class LoraTags:
    """LoRA files by the tags that name them.

    Args:
        folders: as `NamedLoras` has them.
        root: the data folder, which may know what must not be used (`see_that_it_may_be_used`); None = none does.
    """

    def __init__(self, folders: Iterable[Path] = (), root: Path | None = None) -> None:
        self._loras, self._root = NamedLoras(folders), root
        self._seen: set[Path] = set()

    def parted(self, prompt: str) -> tuple[str, tuple[tuple[Path, float], ...]]:
        """A prompt without its LoRAs, and these with their weights, in their order.

        Raises:
            UserError: there is no such LoRA, its weight is no number, or it must not be used.
        """
        found = tuple((self._file(tag[1].strip()), _weight(tag[0], tag[2])) for tag in _TAG.finditer(prompt))
        return (" ".join(_TAG.sub("", prompt).split()), found) if found else (prompt, ())

    def check(self, prompts: Iterable[str]) -> None:
        """See that all LoRAs that prompts name are there; what a wildcard names is not known yet.

        Raises:
            UserError: see `parted`.
        """
        for prompt in prompts:
            for tag in _TAG.finditer(prompt):
                if not _WILDCARD.search(tag[0]):
                    self.parted(tag[0])

    def check_names(self, prompts: Iterable[str], known: frozenset[str]) -> None:
        """See that a webui which reads the prompts itself knows all LoRAs that they name, or finds them in the folders;
        what a wildcard names is not known yet.

        Raises:
            UserError: it has no such LoRA, or one must not be used.
        """
        for prompt in prompts:
            for tag in _TAG.finditer(prompt):
                name = tag[1].strip()
                if not _WILDCARD.search(tag[0]) and (name not in known or name in self._loras.known()):
                    self._file(name)

    def _file(self, name: str) -> Path:
        path = self._loras.file(name, tag=f"<lora:{name}>")
        if self._root and path not in self._seen:
            see_that_it_may_be_used(self._root, path)
            self._seen.add(path)
        return path


def _weight(tag: str, given: str) -> float:
    """The weight of a tag, which may stand there twice (for the text encoder and the UNet)."""
    texts = {text.strip() for text in given.split(":")[1:3]} or {"1"}
    try:
        weights = {float(text) for text in texts}
    except ValueError:
        weights = set()
    if len(weights) != 1 or not all(map(is_weight, weights)):
        raise UserError(
            f"{tag[:80]} has no weight that can be used here; write it as <lora:name:0.8>.", code="lora-tag-wrong"
        )
    return weights.pop()
