"""Lets the owner's own browser into the page by an address with a secret that works once.

Who reads the address later, in a terminal's log, a browser's history or the list of processes, comes too late. The
browser is sent to a file that only its owner can read, and that leads on to such an address; once it was used, the file
holds the next one. Scripts read the page's token from a file beside it.
"""

from __future__ import annotations

import html
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from lib_lora.files import replace

ONCE = "once"  # the parameter of an address


class LoginSecrets:
    """The secrets that are good for one opening each. For any thread.

    Attributes:
        used: gets each secret once it was used.
    """

    def __init__(self) -> None:
        self.used: Callable[[str], None] = lambda _secret: None
        self._lock = Lock()
        self._open: set[str] = set()

    def fresh(self) -> str:
        """A new secret."""
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._open.add(made)
        return made

    def take(self, given: str) -> bool:
        """Whether this is a secret that was not used yet; now it is."""
        said = given.encode("utf-8", "replace")
        with self._lock:
            found = [one for one in self._open if secrets.compare_digest(one.encode("utf-8"), said)]
            self._open.difference_update(found)
        for one in found:
            self.used(one)
        return bool(found)


class Files:
    """The two files of a page that runs: one that a browser opens, one that scripts read the token from.

    Args:
        folder: only its owner should be able to write in it.
        port: of the page; two pages on one data folder have files of their own.
        token: of the page.
        address: the page's, with a secret.
    """

    def __init__(self, folder: Path, port: int, token: str, address: Callable[[str], str]) -> None:
        self.page, self.token = folder / f"page-{port}.html", folder / f"page-{port}.token"
        self._token, self._address, self._secret = token, address, ""

    def write(self, entry: LoginSecrets) -> bool:
        """Write both; false, and nothing is left, where they would be readable by other accounts."""
        self._secret = entry.fresh()
        try:
            _write_private(self.token, f"{self._token}\n")
            _write_private(self.page, _leading_to(self._address(self._secret)))
        except OSError:
            self.delete()
            return False
        return True

    def renew(self, entry: LoginSecrets, used: str) -> None:
        """Where the secret in the file was used, write the next one."""
        if used == self._secret:
            self.write(entry)

    def delete(self) -> None:
        """Delete both."""
        for path in (self.page, self.token):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _leading_to(address: str) -> str:
    where = html.escape(address, quote=True)
    return (
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>SameFace</title>'
        f'<meta http-equiv="refresh" content="0;url={where}"><p><a href="{where}">Open SameFace</a></p>\n'
    )


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment. On Windows its folder keeps others out.

    Raises:
        OSError: it cannot be written, or the file system holds no rights (a Windows disk seen from Linux).
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
        if os.name != "nt" and stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
            temporary.unlink()
            raise PermissionError(f"{path.parent} does not support permissions")
        stream.write(text)
    replace(temporary, path)
