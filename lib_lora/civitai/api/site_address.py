"""Reads addresses of a Civitai site, and of what is on it, as people give them (URL, AIR, number or hash).

Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from lib_lora.errors import UserError

DEFAULT = "https://civitai.com"
MATURE = "https://civitai.red"  # the same site with what is for adults
OWN = (DEFAULT, MATURE, "https://civitai.green")  # that are one site: with one owner, one database and one login
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SITES = ("civitai.com", "civitai.red", "civitai.green")
_HOST = re.compile(r"[0-9A-Za-z.-]{1,253}|[0-9A-Fa-f:]{2,45}")
_LONGEST = 2000  # letters of an address
_MOST = 2**31 - 1  # ids are 32-bit numbers there
_HASH_LENGTHS = (8, 10, 12, 64)  # AutoV1 (or CRC32), AutoV2, AutoV3, SHA-256 (or BLAKE3)
_AIR = re.compile(r"(?:urn:)?(?:air:)?[\w.-]{1,40}:[\w.-]{1,40}:civitai:(\d{1,10})(?:@(\d{1,10}))?", re.ASCII)
_PATHS = (  # of what has a number, and which number it is
    (re.compile(r"/models/(\d{1,10})(?:/.*)?", re.ASCII), "model"),
    (re.compile(r"/(?:api/v1/)?models/(\d{1,10})/?", re.ASCII), "model"),
    (re.compile(r"/(?:api/v1/)?model-versions/(\d{1,10})/?", re.ASCII), "version"),
    (re.compile(r"/api/download/models/(\d{1,10})/?", re.ASCII), "version"),
)


@dataclass(frozen=True)
class Pointer:
    """What somebody means on Civitai; one of the three is given, or a model with one of its versions.

    Attributes:
        model, version: numbers there; 0 = not given.
        hash: of a file, upper-case hex; empty = not given.
    """

    model: int = 0
    version: int = 0
    hash: str = ""


def site_of(address: str) -> str:
    """The address of a Civitai, without a path.

    >>> site_of("civitai.red/api/v1")
    'https://civitai.red'

    Raises:
        UserError: it is not one to which a token may be sent: not encrypted, and not on this machine.
    """
    text = address.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port that is no number, brackets that do not close
        host, port, parts = "", None, urlsplit("")
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    safe = safe and (host in LOOPBACK or "." in host.strip(".") or ":" in host)  # another name without a dot is a slip
    path = parts.path.rstrip("/").removesuffix("/v1").removesuffix("/api")
    if not safe or not _HOST.fullmatch(host) or path or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserError(
            f"{address[:80]!r} is not the address of a Civitai site; give one such as {DEFAULT} or {MATURE}.",
            "civitai_address",
            code="civitai-address-invalid",
            address=address,
        )
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"


def host_of(site: str) -> str:
    """The name of a site in sentences."""
    return urlsplit(site).netloc


def owner_of(site: str) -> str:
    """Who answers there, to whom consent and key belong: one address for Civitai's own sites, else the site's.

    >>> owner_of("https://civitai.red"), owner_of("https://example.org:8443")
    ('https://civitai.com', 'https://example.org:8443')
    """
    return DEFAULT if site in OWN else site


def hash_in(text: str) -> str:
    """A hash as Civitai has it: hex digits, upper case, as many as one of its kinds has; empty = it is not one."""
    plain = text.strip().removeprefix("0x")
    return plain.upper() if len(plain) in _HASH_LENGTHS and re.fullmatch(r"[0-9A-Fa-f]+", plain) else ""


def pointer_of(text: str, site: str = DEFAULT) -> Pointer:
    """What somebody means.

    >>> pointer_of("https://civitai.com/models/4384/dreamshaper?modelVersionId=128713")
    Pointer(model=4384, version=128713, hash='')

    Args:
        text: an address of a page, of a download or of the API; an AIR; a model's number; or a hash.
        site: that is asked, whose own addresses are read as well.

    Raises:
        UserError: it is not one of these.
    """
    given = text.strip()
    if len(given) > _LONGEST:
        raise _unreadable(given)
    if found := hash_in(given):
        return Pointer(hash=found)
    if re.fullmatch(r"[0-9]{1,10}", given):
        return Pointer(model=_number(given, text))
    if match := _AIR.fullmatch(given):
        return Pointer(_number(match[1], text), _number(match[2] or "0", text))
    return _of_url(given, site)


def _of_url(given: str, site: str) -> Pointer:
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        host, netloc = (parts.hostname or "").removeprefix("www."), parts.netloc
    except ValueError:
        raise _unreadable(given) from None
    if parts.scheme not in ("http", "https") or not (host in _SITES or netloc == host_of(site)):
        raise _unreadable(given)
    for pattern, kind in _PATHS:
        if match := pattern.fullmatch(parts.path):
            number = _number(match[1], given)
            if kind == "version":
                return Pointer(version=number)
            version = parse_qs(parts.query, max_num_fields=100).get("modelVersionId", ["0"])[0]
            return Pointer(number, _number(version, given))
    raise _unreadable(given)


def _number(digits: str, given: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", digits) or int(digits) > _MOST:
        raise _unreadable(given)
    return int(digits)


def _unreadable(given: str) -> UserError:
    return UserError(
        f"{given[:80]!r} does not name anything on Civitai; give a file, the address of a model's page such as "
        f"{DEFAULT}/models/4384, or a hash.",
        "what",
        code="civitai-pointer-unreadable",
        given=given,
    )
