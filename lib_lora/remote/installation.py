"""Sees that SameFace and its packages are installed on a place, once for each version, from a wheel made here.

The wheel is made without setuptools: a webui's environment has an old one, and a build of its own would need the
network. Its bytes depend on the code alone, so a version that is there is known by its hash.
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lib_lora
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import atomic_file, explained
from lib_lora.remote import transfers
from lib_lora.remote.place_connection import PlaceConnection
from lib_lora.setup import environment
from lib_lora.workspace.workspace import Workspace

PACKAGE = Path(lib_lora.__file__).resolve().parent
_LEFT_OUT = ("__pycache__", "bundled")
_STATES = ("ready", "running", "failed", "none")
_POLL = 1.0  # seconds between two checks at an installation
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_made: dict[
    Path, tuple[dict[Path, tuple[int, int]], tuple[bytes, str, str]]
] = {}  # the wheels that were made, by package


@dataclass(frozen=True)
class Wheel:
    """SameFace as a wheel.

    Attributes:
        path: the file.
        sha256: of it, by which the installation is known on a place.
    """

    path: Path
    sha256: str


def built(root: Path, package: Path = PACKAGE) -> Wheel:
    """The wheel of this very code, kept in the data folder.

    Raises:
        UserError: it cannot be written.
    """
    content, version, digest = _wheel_once(package)
    path = Workspace(root).wheels / digest[:16] / f"sameface-{version}-py3-none-any.whl"
    if not path.is_file() or path.stat().st_size != len(content):
        with atomic_file(path) as stream:
            stream.write(content)
    return Wheel(path, digest)


def install(
    connection: PlaceConnection, wheel: Wheel, say: Callable[[str], None], stop: Callable[[], bool] = lambda: False
) -> None:
    """See that a wheel is installed on a place, with all it needs.

    Args:
        connection: to the place.
        wheel: what is to be installed.
        say: is told what goes on, for the user.
        stop: asked meanwhile; true = wait no longer. The installation goes on there.

    Raises:
        UserError: it cannot be installed.
        StoppedByUser: `stop` said so.
    """
    if _state(connection, wheel)[0] == "ready":
        return
    transfers.send(connection, [transfers.sent(wheel.path, wheel.sha256)], stop=stop)
    connection.ask("install", version=wheel.sha256, file_name=wheel.path.name)
    place = connection.place
    while True:
        state, said = _state(connection, wheel)
        if state == "ready":
            return
        if state == "failed":
            raise UserError(_why(said, place.address(), place.python), code="remote-install-failed", place=place.name)
        if state == "none":
            address = place.address()
            if _is_full(said):
                raise UserError(_why(said, address, place.python), code="remote-install-full", place=place.name)
            raise UserError(
                f"The installation on {address} ended without a message; check that its disk has room, and try again.",
                code="remote-install-vanished",
                place=place.name,
            )
        line = " ".join(said.split())[:300]
        say(f"Installing SameFace on {place.name}: once for each version, some minutes. {line}".strip())
        until = time.monotonic() + _POLL
        while time.monotonic() < until:
            if stop():
                raise StoppedByUser(
                    "Stopped while SameFace was being installed; the installation continues there.",
                    code="installation-stopped",
                )
            time.sleep(0.05)


def _state(connection: PlaceConnection, wheel: Wheel) -> tuple[str, str]:
    found = connection.ask("installed", version=wheel.sha256)
    state, said = (found.get("state"), found.get("said")) if isinstance(found, dict) else (None, None)
    if state not in _STATES or not isinstance(said, str):
        place = connection.place
        raise UserError(
            f"{place.address()} does not report the progress of its installation.",
            code="remote-answer-unreadable",
            place=place.name,
        )
    return str(state), "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in said[-4000:])


def _why(said: str, address: str, python: str) -> str:
    if "ensurepip" in said or "No module named venv" in said or "No module named pip" in said:
        return (
            f"{python} on {address} cannot make an environment, because its venv module is missing; install it there "
            "(on Debian and Ubuntu the package python3-venv)."
        )
    if _is_full(said):
        return (
            f"The disk of {address} is full: SameFace and its packages need up to 8 GB there; free some, and try again."
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "ERROR" in line.upper()), lines[-1] if lines else "nothing")
    return f"SameFace could not be installed on {address}; pip said there: {last[:300]}"


def _is_full(said: str) -> bool:
    return "No space left" in said or "Disk quota" in said


def _wheel_once(package: Path) -> tuple[bytes, str, str]:
    """The bytes of the wheel, its version and its SHA-256; made again only where a file of the code has changed."""
    marks = {}
    for path in _code(package):
        with explained(path, "read"):
            status = path.stat()
        marks[path] = (status.st_size, status.st_mtime_ns)
    made = _made.get(package)
    if made is None or made[0] != marks:
        content, version = _wheel(package)
        made = _made[package] = (marks, (content, version, hashlib.sha256(content).hexdigest()))
    return made[1]


def _code(package: Path) -> list[Path]:
    return [
        path
        for path in sorted(package.rglob("*"))
        if path.suffix != ".pyc" and path.is_file() and not set(path.relative_to(package).parts) & set(_LEFT_OUT)
    ]


def _wheel(package: Path) -> tuple[bytes, str]:
    """The bytes of the wheel, and its version."""
    files = {}
    for path in _code(package):
        with explained(path, "read"):
            files[path.relative_to(package.parent).as_posix()] = path.read_bytes()
    code = hashlib.sha256()
    for name, content in files.items():
        code.update(f"{name}\0{len(content)}\0".encode() + content)
    version = f"{lib_lora.__version__}+{code.hexdigest()[:12]}"
    info = f"sameface-{version}.dist-info"
    files[f"{info}/METADATA"] = "\n".join(
        [
            "Metadata-Version: 2.1",
            "Name: sameface",
            f"Version: {version}",
            "Requires-Python: >=3.10",
            *(f"Requires-Dist: {line}" for line in environment.needed()),
            "",
        ]
    ).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: sameface\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = [f"{name},sha256={_record_hash(content)},{len(content)}\n" for name, content in files.items()]
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=1)
    return stream.getvalue(), version


def _record_hash(content: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
