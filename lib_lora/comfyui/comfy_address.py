"""Reads the address of a ComfyUI as people write it, and gives its name in plans.

Imports nothing heavy.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lib_lora.errors import UserError

PORT = 8188  # ComfyUI's own
DEFAULT = f"127.0.0.1:{PORT}"
BY = "comfyui"  # who has painted, in plans of grids and productions
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,253}")  # a name or a number; of IPv6, what is in the brackets
_PATH = re.compile(r"(/[0-9A-Za-z_~-][0-9A-Za-z._~-]{0,60}){0,8}/?")


def base_of(address: str) -> str:
    """The URL that everything is asked of, without a slash at its end.

    >>> base_of("192.168.1.20")
    'http://192.168.1.20:8188'

    Raises:
        UserError: it is no address.
    """
    text = address.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port that is no number, brackets that do not close
        raise _invalid(address) from None
    plain = parts.scheme in ("http", "https") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not plain or not _HOST.fullmatch(host) or not _PATH.fullmatch(parts.path or "/"):
        raise _invalid(address)
    host = f"[{host}]" if ":" in host else host
    if port is None and parts.scheme == "http":
        port = PORT
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"


def _invalid(address: str) -> UserError:
    return UserError(
        f"{address[:80]!r} is not an address of ComfyUI; give one such as {DEFAULT}.",
        "comfyui",
        code="comfyui-address-invalid",
        address=address,
    )
