"""Runs the system's OpenSSH client, by lists of arguments, and says in one sentence why it failed.

The key of a host is pinned when it is first reached, in a file of its own for each place, and one that has changed is
refused. Nothing is ever asked at a terminal. Imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.errors import UserError, typed
from lib_lora.files import explained
from lib_lora.remote import places
from lib_lora.remote.places import Place

PROGRAMS = ("ssh", "sftp")
_PATIENCE = 15  # seconds for a connection, and between two signs of life
_MISSED = 4  # signs of life that may be missed
_SHARED = 60  # seconds that a shared connection outlives its last user
_REASONS = (  # pattern in what ssh says, code, sentence with the place's words
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed",
        "host-key-changed",
        "The host key of {address} is not the one that it had before: it may have been set up anew, or another machine "
        "answers in its place. If you know why, remove the place and add it again: {again}",
    ),
    (
        r"Permission denied|Too many authentication failures|no such identity|UNPROTECTED PRIVATE KEY",
        "ssh-login-refused",
        "{address} refuses the login; see that your SSH key is in its authorized_keys, and that the agent or the place "
        "names that key (a key with a passphrase must be in the agent).",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "host-unknown",
        "There is no host called {host}; check the address of the place {name}.",
    ),
    (
        r"Connection refused|No route to host|Network is unreachable|timed out|Connection closed|Connection reset"
        r"|Broken pipe|not responding|Connection to .* closed|kex_exchange_identification|Connection unexpectedly",
        "host-unreachable",
        "{address} cannot be reached; see that it is on, and that its SSH server and this network let you in.",
    ),
    (
        r"command not found|No such file or directory|not found",
        "remote-python-missing",
        "{address} has no program {python}; install Python 3.10 or newer there, or name another with: {python_again}",
    ),
    (
        r"No space left|Disk quota exceeded|write remote.*Failure",
        "remote-disk-full",
        "The disk of {address} is full; free some space there.",
    ),
)


def program(name: str) -> str:
    """The path of one of the `PROGRAMS`.

    Raises:
        UserError: it is not installed.
    """
    found = shutil.which(name)
    if found is None and sys.platform == "win32":
        built_in = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "OpenSSH" / f"{name}.exe"
        found = str(built_in) if built_in.is_file() else None
    if found is None:
        how = (
            'turn on "OpenSSH Client" among the optional features of Windows'
            if sys.platform == "win32"
            else "install OpenSSH's client (on Debian and Ubuntu the package openssh-client)"
        )
        raise UserError(f"The program {name} is not there; {how}.", code="openssh-missing", program=name)
    return found


def options(root: Path, place: Place, port_flag: str = "-p") -> list[str]:
    """The arguments for a place, less its host.

    Args:
        root: the data folder, which keeps the host's key.
        place: the place.
        port_flag: of the program.

    Raises:
        UserError: the file for the host's key cannot be made.
    """
    known = places.known_hosts(root, place)
    with explained(known):
        file_permissions.make_folder(known.parent)
    given = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": f'"{known.as_posix()}"',
        "GlobalKnownHostsFile": os.devnull,
        "HostKeyAlias": f"sameface-{place.name}",
        "UpdateHostKeys": "no",
        "ConnectTimeout": str(_PATIENCE),
        "ServerAliveInterval": str(_PATIENCE),
        "ServerAliveCountMax": str(_MISSED),
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        **_sharing(),
    }
    words = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
    if place.port:
        words += [port_flag, str(place.port)]
    if place.key:
        words += ["-i", place.key, "-o", "IdentitiesOnly=yes"]
    if place.user:
        words += ["-o", f"User={place.user}"]
    return words


def _sharing() -> dict[str, str]:
    """What lets several commands use one connection; nothing on Windows, whose client cannot.

    Its socket lies in a folder with a short path, as it must, that nobody else can write to.

    Raises:
        UserError: another user has taken the folder's name.
    """
    if sys.platform == "win32":
        return {}
    folder = Path(tempfile.gettempdir()) / f"sameface-{os.getuid()}"
    with explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise UserError(f"{folder} belongs to somebody else; delete it.", code="folder-not-ours", folder=folder)
    return {"ControlMaster": "auto", "ControlPath": str(folder / "%C"), "ControlPersist": str(_SHARED)}


def start(root: Path, place: Place, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a command on a place, with pipes for its standard streams.

    Args:
        root, place: see `options`.
        words: of the command. The shell there reads them: they must be constants, or have been looked at.
    """
    command = [program("ssh"), "-T", *options(root, place), "--", place.host, *words]
    return _started(command, None)


def start_transfer(root: Path, place: Place, batch: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start sftp with the lines of `batch`; names of files here are relative to `folder`.

    It ends with the first line that fails.
    """
    command = [program("sftp"), "-q", *options(root, place, "-P"), "-b", "-", "--", place.host]
    process = _started(command, folder)
    assert process.stdin
    try:
        process.stdin.write("".join(f"{line}\n" for line in batch).encode("utf-8"))
        process.stdin.close()
    except OSError:
        pass  # it has ended; what it says tells why
    process.stdin = None
    return process


def quoted(name: str) -> str:
    """A name in a batch of sftp, which would else look for wildcards in it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _started(command: list[str], folder: Path | None) -> subprocess.Popen[bytes]:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        creationflags=flags,
        start_new_session=True,  # Ctrl+C in a terminal is for SameFace, which then says what shall happen
    )


def why(said: str, place: Place) -> UserError:
    """The error for what ssh or sftp said on standard error."""
    words = {
        "address": place.address(),
        "host": place.host,
        "name": place.name,
        "python": place.python,
        "again": typed("place", "remove", place.name),
        "python_again": typed("place", "add", place.name, place.address(), "--python", "PROGRAM"),
    }
    for pattern, code, sentence in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return UserError(sentence.format(**words), code=code, place=place.name)
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    printable = "".join(letter if letter.isprintable() else "?" for letter in last)[:300]
    return UserError(
        f"The connection to {place.address()} failed; ssh said: {printable}", code="ssh-failed", place=place.name
    )
