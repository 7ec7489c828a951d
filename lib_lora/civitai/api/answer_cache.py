"""Keeps Civitai's answers in the data folder with their times, including that it does not know a hash.

An answer is kept as it came, and is read again each time, so a file here is trusted no more than the network. Never
asks Civitai.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lib_lora.civitai.api.site_address import DEFAULT, OWN, owner_of
from lib_lora.errors import Misfit, UserError
from lib_lora.files import digest_of, read_json, write_json
from lib_lora.workspace.workspace import Workspace

Kind = Literal["hash", "version", "model"]
FRESH = 7 * 86400.0  # seconds after which an answer is asked for again: licences change, and models come and go
_LATER = 86400.0  # seconds by which a clock may have been wrong


@dataclass(frozen=True)
class KeptAnswer:
    """An answer.

    Attributes:
        row: as it came; None = the site knows no such thing.
        asked: Unix time.
        site: that has answered.
    """

    row: dict[str, Any] | None
    asked: float
    site: str

    @property
    def age(self) -> float:
        """Seconds since it was asked."""
        return max(time.time() - self.asked, 0.0)

    @property
    def fresh(self) -> bool:
        """Whether it need not be asked again."""
        return self.age < FRESH


class AnswerCache:
    """The answers in a data folder.

    Args:
        root: the data folder.
        site: whose answers; those of Civitai's own sites too. No other site's answers are given. That another one does
            not know something says nothing of this one.
    """

    def __init__(self, root: Path, site: str) -> None:
        self._folder, self._site = Workspace(root).civitai, site

    def get(self, kind: Kind, key: str | int) -> KeptAnswer | None:
        """An answer; None = there is none that can be read."""
        for path in (self._path(kind, key), self._path(kind, key, DEFAULT)):
            with suppress(UserError):
                if path.is_file() and (found := self._read(read_json(path))):
                    return found
        return None

    def put(self, kind: Kind, key: str | int, row: dict[str, Any] | None) -> KeptAnswer:
        """Keep an answer that has just come.

        Raises:
            UserError: it cannot be written.
        """
        kept = KeptAnswer(row, time.time(), self._site)
        with suppress(RecursionError):  # an answer so deep is not kept
            json.dumps(row)
            write_json(self._path(kind, key), {"asked": kept.asked, "site": kept.site, "answer": row})
        return kept

    def _path(self, kind: Kind, key: str | int, site: str = "") -> Path:
        """Where an answer lies; those of Civitai's own sites at one place, and no other site's there."""
        text, owner = str(key), owner_of(site or self._site)
        if not (text.isascii() and text.isalnum() and len(text) <= 64):
            raise Misfit(f"{text[:80]!r} is not a key", "key")
        whose = "" if owner == DEFAULT else f"-{digest_of(owner)[:16]}"
        return self._folder / f"{kind}-{text}{whose}.json"

    def _read(self, value: Any) -> KeptAnswer | None:
        if not isinstance(value, dict):
            return None
        row, asked, site = value.get("answer"), value.get("asked"), value.get("site")
        if not isinstance(asked, (int, float)) or isinstance(asked, bool) or not math.isfinite(asked):
            return None
        if not (row is None or isinstance(row, dict)) or not isinstance(site, str):
            return None
        if asked > time.time() + _LATER or (row is None and site != self._site):
            return None
        if site not in (self._site, *OWN):
            return None
        return KeptAnswer(row, float(asked), site)
