"""Names the folders in which the files are looked for that prompts name. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PromptFolders:
    """Where files are looked for, with all that is below.

    Attributes:
        wildcards: for ``__name__`` (`wildcards.Wildcards`).
        loras: for ``<lora:name:weight>`` (`lora_tags.LoraTags`).
    """

    wildcards: Sequence[Path] = ()
    loras: Sequence[Path] = ()


NO_FOLDERS = PromptFolders()
