"""Keeps API keys of services: in the system's keyring where one works, else in a file that only its owner can read.

The library `keyring` is optional. The environment variable of a service comes before both, and is never written.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import content, explained, read_json, replace, write_json, write_text
from lib_lora.remote.gpu_providers import PROVIDERS, USUAL
from lib_lora.workspace.workspace import Workspace

CIVITAI = "civitai"
VARIABLES = {
    **{one.name: one.key_variable for one in PROVIDERS},
    CIVITAI: "CIVITAI_API_TOKEN",
}  # the names that the services' own programs use
KEY = re.compile(r"[!-~]{8,512}")
ENVIRONMENT, KEYRING, FILE = "environment", "keyring", "file"  # where a key is kept
_NAMES = {**{one.name: one.title for one in PROVIDERS}, CIVITAI: "Civitai"}
_SERVICE = "SameFace"
_asking: threading.Thread | None = None  # the last one that was asked
_PATIENCE = 30.0  # seconds in which a keyring answers; it may ask its owner for a password


def load(root: Path, service: str = USUAL.name) -> str | None:
    """The key for a service; None = there is none.

    Args:
        root: the data folder.
        service: whose key: a name without spaces.

    Raises:
        UserError: the file with the keys is damaged.
    """
    found, _ = _found(root, service)
    return found


def kept_in(root: Path, service: str = USUAL.name) -> str:
    """Where the key for a service is kept: "environment", "keyring" or "file"; empty = there is none."""
    return _found(root, service)[1]


def kept_words(service: str) -> dict[str, str]:
    """The sentence for each place where the key for a service can be kept."""
    start = f"The API key of {_NAMES[service]} is in"
    return {
        ENVIRONMENT: f"{start} the environment variable {VARIABLES[service]}.",
        KEYRING: f"{start} the system’s keyring.",
        FILE: f"{start} a file of the data folder that only you can read.",
    }


def kept_here(root: Path, service: str = USUAL.name) -> str:
    """As `kept_in`, but a keyring is asked only where SameFace has put a key of this data folder into one: it may ask
    its owner for a password, and a page that is opened is no reason for that."""
    given = _in_environment(service)
    known = KEY.fullmatch(given) or _file(Workspace(root).api_keys).get(service) or service in _marked(root)
    return kept_in(root, service) if known else ""


def _marked(root: Path) -> list[str]:
    """The services whose keys SameFace has put into the keyring, as a file says."""
    try:
        return content(_marker(root)).decode("ascii").split() or [
            USUAL.name
        ]  # the only one at first, and not named then
    except (OSError, ValueError):
        return []


def _marker(root: Path) -> Path:
    return Workspace(root).api_keys.with_suffix(".keyring")


def _mark(root: Path, services: list[str]) -> None:
    if services:
        write_text(_marker(root), "\n".join(services) + "\n")
        return
    with explained(_marker(root)):
        _marker(root).unlink(missing_ok=True)


def save(root: Path, key: str, service: str = USUAL.name) -> str:
    """Keep a key.

    Returns:
        Where: "keyring" or "file".

    Raises:
        UserError: it is not one, or cannot be kept.
    """
    key = key.strip()
    if not KEY.fullmatch(key):
        raise UserError(
            "Invalid API key: it is empty, too long, or contains invalid characters; copy it again.",
            "key",
            code="api-key-malformed",
        )
    path = Workspace(root).api_keys
    if _in_keyring("set_password", service, key) is not None and _in_keyring("get_password", service) == key:
        _write(path, {name: one for name, one in _file(path).items() if name != service})
        _mark(root, sorted({*_marked(root), service}))
        return KEYRING
    _write(path, {**_file(path), service: key})
    return FILE


def forget(root: Path, service: str = USUAL.name) -> None:
    """Delete the key for a service wherever it is kept; what is in the environment stays there.

    Raises:
        UserError: the file cannot be written.
    """
    path = Workspace(root).api_keys
    if _in_keyring("get_password", service):
        _in_keyring("delete_password", service)
    _mark(root, [name for name in _marked(root) if name != service])
    _write(path, {name: one for name, one in _file(path).items() if name != service})


def _found(root: Path, service: str) -> tuple[str | None, str]:
    given = _in_environment(service)
    if KEY.fullmatch(given):
        return given, ENVIRONMENT
    kept = _in_keyring("get_password", service)
    if isinstance(kept, str) and KEY.fullmatch(kept):
        return kept, KEYRING
    written = _file(Workspace(root).api_keys).get(service)
    return (written, FILE) if written else (None, "")


def _in_environment(service: str) -> str:
    """The key in the service's variable; empty = none, also of a service that has no variable."""
    name = VARIABLES.get(service)
    return os.environ.get(name, "").strip() if name else ""


def _in_keyring(do: str, service: str, *words: str) -> Any:
    """What a function of the library `keyring` gives, "" where that is nothing; None = there is no keyring that works.

    A keyring may wait for its owner without end, or raise anything; it is asked by a thread that can be left alone.
    """
    global _asking
    if _asking is not None and _asking.is_alive():  # it waits still; others need not wait as well
        return None
    found: list[Any] = []

    def ask() -> None:
        with suppress(Exception):
            given = getattr(importlib.import_module("keyring"), do)(_SERVICE, service, *words)
            found.append("" if given is None else given)

    _asking = threading.Thread(target=ask, name="sameface-keyring", daemon=True)
    _asking.start()
    _asking.join(_PATIENCE)
    return found[0] if found else None


def _file(path: Path) -> dict[str, str]:
    """The keys in the file, which is closed to others should it be open to them."""
    if not path.is_file():
        return {}
    _close(path)
    stored = read_json(path)
    if not isinstance(stored, dict) or not all(isinstance(one, str) and KEY.fullmatch(one) for one in stored.values()):
        raise UserError(
            f"{path} holds no API keys; delete it, and give them again.", code="api-keys-damaged", file=path
        )
    return stored


def _write(path: Path, keys: dict[str, str]) -> None:
    """Write the file, for its owner alone from its first byte on; without a key there is none."""
    if not keys:
        with explained(path):
            path.unlink(missing_ok=True)
        return
    if sys.platform == "win32":  # what is in a user's profile is closed to other accounts
        write_json(path, keys)
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with explained(path):
        file_permissions.make_folder(path.parent)
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(keys, stream)
            stream.flush()
            os.fsync(stream.fileno())
        replace(temporary, path)


def _close(path: Path) -> None:
    if sys.platform == "win32":
        return
    with suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & ~0o077)
