"""An SSH server of our own on the loopback, with its own keys and configuration; never the system's service."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lib_lora.remote.places import Place

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MISSING = "needs an SSH server (sshd), ssh and sftp"


def available() -> bool:
    """Whether a server can be started here."""
    return bool(SSHD and shutil.which("ssh") and shutil.which("sftp") and shutil.which("ssh-keygen"))


class SshServer:
    """A server that lets one key in.

    Args:
        folder: for its files.
        environment: further variables of what it starts.

    Attributes:
        port: on the loopback.
        key: the private key that is let in.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        # A home of its own: what somebody's shell does at each login (pyenv's half a second) is no part of this.
        self._environment = {"OMP_NUM_THREADS": "1", "HOME": str(folder / "home"), **(environment or {})}
        (folder / "home").mkdir(parents=True, exist_ok=True)
        self.key = folder / "user_key"
        _make_key(self.key)
        self.new_host_key()
        (folder / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text(), encoding="utf-8")
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def new_host_key(self) -> None:
        """Give the server another host key, from its next start on."""
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        _make_key(self.folder / "host_key")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert SSHD
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sftp = next(
            path
            for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "internal-sftp")
            if path == "internal-sftp" or Path(path).exists()
        )
        config = self.folder / "sshd_config"
        variables = " ".join(f'"{name}={value}"' for name, value in self._environment.items())
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder / 'host_key'}\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {self.folder / 'authorized_keys'}\nPidFile none\n"
            f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp {sftp}\n"
            f"SetEnv {variables}\nMaxStartups 100\nMaxSessions 100\n",
            encoding="utf-8",
        )
        with open(self.folder / "sshd.log", "ab") as log:
            self._process = subprocess.Popen(
                [str(Path(SSHD).resolve()), "-D", "-e", "-f", str(config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "sshd.log").read_text(encoding="utf-8"))

    def stop(self) -> None:
        """End it with all its connections, as when the machine's network is gone. What it has started stays."""
        process, self._process = self._process, None
        if process:
            mine = [process.pid, *_children(process.pid)]
            for pid in mine:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def place(self, name: str = "workshop", **fields: object) -> Place:
        """It as a place, whose files lie in a folder of its own."""
        values = {
            "host": "127.0.0.1",
            "user": getpass.getuser(),
            "port": self.port,
            "key": str(self.key),
            "folder": str(self.folder / "there"),
            "python": sys.executable,
        }
        return Place(name=name, **{**values, **fields})


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _children(pid: int) -> list[int]:
    """The server's own processes for its connections; not what these have started."""
    import psutil

    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if child.name().startswith("sshd"):
                found.append(child.pid)
    return found
