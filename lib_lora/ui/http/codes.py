"""Makes short codes, shown where the program runs, which prove that whoever types one can see that screen.

One code at a time, for one thing, for a while, with few tries.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from lib_lora.errors import brief
from lib_lora.files import printable

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that is taken for another
_LENGTH, _LASTS, _TRIES = 8, 600.0, 5


def show(text: str) -> None:
    """Say something where the program runs: in its terminal, or the webui's console."""
    with suppress(OSError, ValueError, AttributeError):  # there may be none
        print(f"\n{text}\n", file=sys.stderr, flush=True)


class Codes:
    """The code that counts now. For any thread.

    Args:
        tell: shows a text to the person who runs the program.
        now: seconds.
    """

    def __init__(self, tell: Callable[[str], None] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._now = tell, now
        self._lock = Lock()
        self._about, self._code, self._until, self._left = "", "", 0.0, 0

    def ask(self, about: str) -> None:
        """Show a code for something; one that still counts for the same is not shown again.

        Args:
            about: what is to be confirmed, as the words after "SameFace is asked to".
        """
        with self._lock:
            if about == self._about and self._counts():
                return
            code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
            self._about, self._code, self._until, self._left = about, code, self._now() + _LASTS, _TRIES
        shown = brief(printable(about), [about])
        (self._tell or show)(
            f"SameFace is asked to {shown}. If that was you, type this code into its page: {code[:4]}-{code[4:]}"
        )

    def confirms(self, about: str, given: str) -> bool:
        """Whether `given` is the code that was shown for this; it is used up then, as it is by wrong ones."""
        said = "".join(one for one in given.upper() if one.isalnum()).encode("utf-8", "replace")
        with self._lock:
            if about != self._about or not self._counts():
                return False
            right = secrets.compare_digest(said, self._code.encode())
            self._left = 0 if right else self._left - 1
            return right

    def _counts(self) -> bool:
        return bool(self._code) and self._left > 0 and self._now() < self._until
