"""Keeps the addresses from which another machine may fetch base models by SHA-256, in ``base-addresses.json``.

An address is sent to other machines and stands in files, so one with a password or a key in it is refused.
"""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lib_lora.errors import UserError
from lib_lora.files import SHA256_HEX, read_json, write_json
from lib_lora.workspace.workspace import Workspace

_LONGEST = 2000  # letters
_SECRETS = ("sig", "token", "key", "cred", "auth", "secret", "pass", "session", "policy")  # in a parameter's name
_CHANGING = threading.Lock()


def check(address: str) -> str:
    """An address as it was given.

    Raises:
        UserError: it is not one, or has a secret in it.
    """
    try:
        parts = urlsplit(address)
        plain = bool(parts.scheme in ("https", "http") and parts.hostname and parts.port != 0)
    except ValueError:
        plain = False
    if not plain or len(address) > _LONGEST or not address.isascii() or not address.isprintable() or " " in address:
        raise UserError(
            f"{address[:80]!r} is not the address of a file; give one such as https://example.org/base.safetensors.",
            "base_address",
            code="base-address-invalid",
        )
    if parts.username or parts.password or has_secret(parts.query):
        raise UserError(
            "The address of the base model contains a password or key, which would be sent along; give one that is "
            "publicly accessible.",
            "base_address",
            code="base-address-with-secret",
        )
    return address


def has_secret(query: str) -> bool:
    """Whether a parameter of an address has the name of a key or a password."""
    names = [name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)]
    return any(secret in name for name in names for secret in _SECRETS)


def known(root: Path, sha256: str) -> str:
    """From where a base model may be fetched; empty = nobody has said so."""
    found = _all(root).get(sha256, "")
    try:
        return check(found) if found else ""
    except UserError:
        return ""


def note(root: Path, sha256: str, address: str) -> None:
    """Keep from where a base model may be fetched.

    Raises:
        UserError: the file cannot be written.
    """
    if not SHA256_HEX.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is not a SHA-256 hash")
    with _CHANGING:
        before = _all(root)
        if before.get(sha256) != address:
            write_json(Workspace(root).base_addresses, {**before, sha256: address})


def _all(root: Path) -> dict[str, str]:
    try:
        found = read_json(Workspace(root).base_addresses) if Workspace(root).base_addresses.is_file() else {}
    except UserError:
        return {}
    return {key: one for key, one in found.items() if isinstance(one, str)} if isinstance(found, dict) else {}
