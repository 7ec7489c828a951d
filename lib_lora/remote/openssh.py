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
from typing import IO

from lib_lora import file_permissions
from lib_lora.errors import Misfit, UserError, typed
from lib_lora.files import digest_of, explained
from lib_lora.remote import places
from lib_lora.remote.places import Place

PROGRAMS = ("ssh", "sftp", "ssh-keygen")
_PATIENCE = 15  # seconds for a connection, and between two signs of life
_MISSED = 4  # signs of life that may be missed
_SHARED = 60  # seconds that a shared connection outlives its last user
_LONGEST_SOCKET = 86  # bytes of its path, to which ssh adds 17 for a moment; macOS lets it have 104
_NOT_FOUND, _NOT_RUN = 127, 126  # exit statuses of a shell that lacks a program, or may not run it
# what ssh says beside the reason, and in words that look like one
_BESIDE = re.compile(r"(?:Warning: )?(?:Identity file .*not accessible|no such identity):?.*", re.IGNORECASE)
_PYTHON = (
    "remote-python-missing",
    "{address} has no program {python}; install Python 3.10 or newer there, or name another with: {python_again}",
)
_REASONS = (  # pattern in what ssh says, code, sentence with the place's words
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed",
        "host-key-changed",
        "The host key of {address} has changed: the machine may have been reinstalled, or another one is answering in "
        "its place. If you know why, remove the place and add it again: {again}",
    ),
    (
        r"Permission denied \(|Permission denied, please|Too many authentication failures|UNPROTECTED PRIVATE KEY",
        "ssh-login-refused",
        "{address} refuses the login; check that your SSH key is in its authorized_keys, and that the agent or the "
        "place "
        "names that key (a key with a passphrase must be in the agent).",
    ),
    (
        r"Temporary failure in name resolution",
        "host-unreachable",
        "{address} cannot be reached, because name resolution fails; check the network connection of this computer.",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "host-unknown",
        "There is no host called {host}; check the address of the place {name}.",
    ),
    (
        r"Bad configuration option|Bad owner or permissions|bad configuration options|Unable to negotiate"
        r"|keyword \S+ extra arguments|unknown key %|unsupported option",
        "ssh-settings-unusable",
        "ssh cannot connect to {address} with the settings it has; it said: {said}",
    ),
    (
        r"local \S.*(No space left|Disk quota exceeded)",
        "disk-full",
        "The disk of this computer is full; free some space to continue the transfer from {address}.",
    ),
    (
        r"(open|write) local \S|local open \S",
        "transfer-unwritable",
        "What comes from {address} cannot be written here; sftp said: {said}",
    ),
    (
        r"No space left|Disk quota exceeded|write remote.*Failure",
        "remote-disk-full",
        "The disk of {address} is full; free some space there.",
    ),
    (
        r"(dest|remote) open .*Permission denied|write remote .*Permission denied",
        "remote-folder-denied",
        "{address} does not let this user write into {folder}; change its permissions, or give the place another "
        "folder.",
    ),
    (
        r"Connection refused|No route to host|Network is unreachable|timed out|Connection closed|Connection reset"
        r"|Broken pipe|not responding|Connection to .* closed|kex_exchange_identification|Connection unexpectedly",
        "host-unreachable",
        "{address} cannot be reached; check that it is on, and that its SSH server and this network let you in.",
    ),
    (
        r"SyntaxError|has no attribute 'buffer'|is not subscriptable",
        "remote-python-unfit",
        "{python} on {address} is too old; SameFace needs Python 3.10 or newer, so name another one with: "
        "{python_again}",
    ),
    (r"command not found|unknown command|: not found", *_PYTHON),
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
        raise UserError(f"The program {name} is not installed; {how}.", code="openssh-missing", program=name)
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
    known = places.known_hosts(root, place).absolute()
    with explained(known):
        file_permissions.make_folder(known.parent)
    given = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": _as_option(known),
        "GlobalKnownHostsFile": os.devnull,
        "HostKeyAlias": f"sameface-{place.name}",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "LogLevel": "ERROR",  # reasons, but no greeting of the server, which may hold anything
        "RemoteCommand": "none",
        "ConnectTimeout": str(_PATIENCE),
        "ServerAliveInterval": str(_PATIENCE),
        "ServerAliveCountMax": str(_MISSED),
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        **_sharing(known, place),
    }
    words = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
    if place.port:
        words += [port_flag, str(place.port)]
    if place.key:
        key = Path(place.key).expanduser().absolute()  # sftp runs in another folder
        words += ["-o", f"IdentityFile={_as_option(key)}", "-o", "IdentitiesOnly=yes"]
    if place.user:
        words += ["-o", f"User={place.user}"]
    return words


def _as_option(path: Path) -> str:
    """A path as the value of an option, in which ssh would replace what begins with a %."""
    text = path.as_posix().replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'


def _sharing(known: Path, place: Place) -> dict[str, str]:
    """What lets several commands use one connection; nothing on Windows, whose client cannot, and where the path of a
    socket would be too long. It is shared by what uses the same key and knows the host by the same file alone.

    Its socket lies in a folder that nobody else can write to.

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
    socket = folder / digest_of(known, place.host, place.user, place.port, place.key)[:20]
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        return {}
    return {"ControlMaster": "auto", "ControlPath": _as_option(socket), "ControlPersist": str(_SHARED)}


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
    host = f"[{place.host}]" if ":" in place.host else place.host  # else a path would begin with the :
    command = [program("sftp"), *options(root, place, "-P"), "-b", "-", "--", host]
    lines = "".join(f"{line}\n" for line in batch).encode("utf-8", "surrogateescape")
    with tempfile.TemporaryFile() as stream:
        stream.write(lines)
        stream.seek(0)
        return _started(command, folder, stream)


def quoted(name: str) -> str:
    """A name in a batch of sftp, which would else look for wildcards in it.

    Raises:
        ValueError: a line of the batch would end in it.
    """
    if any(ord(letter) < 32 for letter in name):
        raise Misfit(f"{name!r} is not a name", "name")
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _started(
    command: list[str], folder: Path | None, incoming: IO[bytes] | int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        command,
        stdin=incoming,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        creationflags=flags,
        start_new_session=True,  # Ctrl+C in a terminal is for SameFace, which then decides what happens
    )


def why(said: str, place: Place, status: int | None = None) -> UserError:
    """Why ssh or sftp failed.

    Args:
        said: on standard error.
        place: the place.
        status: its exit status; that of the command there, if that was begun.
    """
    said = _BESIDE.sub("", said)
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    printable = "".join(letter if letter.isprintable() else "?" for letter in last)[:300]
    words = {
        "address": place.address(),
        "host": place.host,
        "name": place.name,
        "python": place.python,
        "folder": place.folder,
        "said": printable,
        "again": typed("place", "remove", place.name),
        "python_again": typed("place", "add", place.name, place.address(), "--python", "PROGRAM"),
    }
    if status in (_NOT_FOUND, _NOT_RUN):
        code, sentence = _PYTHON
        return UserError(sentence.format(**words), code=code, place=place.name)
    for pattern, code, sentence in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return UserError(sentence.format(**words), code=code, place=place.name)
    return UserError(
        f"The connection to {place.address()} failed (ssh said: {printable}); try again.",
        code="ssh-failed",
        place=place.name,
    )
