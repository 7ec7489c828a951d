"""How fast a file reaches another machine: `remote.transfers` against plain scp, to an SSH server on the loopback.

    python bench/speed/transfer.py  2 GB, 3 rounds; needs sshd, ssh, sftp, scp and 8 GB of disk
    python bench/speed/transfer.py --gigabytes 0.1 --rounds 1 --work FOLDER

Each round sends the same file of random bytes by scp and by `transfers.send`, in alternation (every other round begins
with the other one), to places where it is not yet, and then once more by `transfers.send`, to where it is. The numbers:

scp       Seconds of ``scp``, with the same key and options and a connection of its own.
send      Seconds of the first `transfers.send`, with the look at what is there before, the SHA-256 that the far end
          computes afterwards, and both connections; the file's own hash is known, as it is of a base model.
second    Seconds of the second `transfers.send`.
ratio     scp / send: the share of scp's speed.
load      The machine's load average of the last minute before each round: well above 1, measure again.

Client, server and disk are one machine, so ciphers and hashes of both ends share its cores: over a network they do not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from ssh_server import MISSING, SshServer, available  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.remote import openssh  # noqa: E402
from lib_lora.remote.connection import Connection  # noqa: E402
from lib_lora.remote.places import Place  # noqa: E402
from lib_lora.remote.transfers import Sent, send  # noqa: E402

BLOCK = 1 << 24
ROOM = 4  # times the file's size that must be free


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the file")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--work", type=Path, help="folder for the files; they are deleted")
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    if not available() or not shutil.which("scp"):
        parser.error(MISSING)
    size = round(options.gigabytes * 1e9)
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work, prefix="sameface-transfer-") as folder:
        if shutil.disk_usage(folder).free < ROOM * size:
            parser.error(f"{folder} needs {ROOM * options.gigabytes:.1f} GB of free disk")
        rounds = measured(Path(folder), size, options.rounds)
    figures = {"bytes": size, "rounds": rounds, **summary(rounds)}
    print(table(rounds))
    print(f"\nratio {figures['ratio']:.2f}, second send {figures['second']:.2f} s (medians)")
    results_file.save("transfer", figures, options.results)
    return 0


def measured(folder: Path, size: int, count: int) -> list[dict[str, float]]:
    """The seconds of each round."""
    file = _random_file(folder / "file.bin", size)
    server = SshServer(folder / "server")
    server.start()
    rounds = []
    try:
        place = server.place(folder=str(folder / "there"))
        for number in range(count):
            row = {"load": os.getloadavg()[0]}
            ways: list[tuple[str, Callable[[], None]]] = [
                ("scp", lambda: _scp(folder, place, file.path)),
                ("send", lambda: _send(folder, place, file)),
            ]
            for name, way in ways if number % 2 == 0 else ways[::-1]:
                _settle(folder, file)
                row[name] = _seconds(way)
                if name == "send":
                    row["second"] = _seconds(way)
            row["ratio"] = row["scp"] / row["send"]
            rounds.append(row)
    finally:
        server.stop()
    return rounds


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each column."""
    return {name: statistics.median(row[name] for row in rounds) for name in ("scp", "send", "second", "ratio")}


def table(rounds: list[dict[str, float]]) -> str:
    """The rounds as a Markdown table."""
    lines = ["| round | scp s | send s | second s | ratio | load |", "|---:|---:|---:|---:|---:|---:|"]
    for number, row in enumerate(rounds, 1):
        cells = [f"{row[name]:.2f}" for name in ("scp", "send", "second", "ratio", "load")]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _random_file(path: Path, size: int) -> Sent:
    digest = hashlib.sha256()
    with open(path, "wb") as stream:
        for start in range(0, size, BLOCK):
            block = os.urandom(min(BLOCK, size - start))
            digest.update(block)
            stream.write(block)
    return Sent(path, digest.hexdigest(), size)


def _settle(folder: Path, file: Sent) -> None:
    """Delete what the last way has left, and let the disk finish what it has to write."""
    (folder / "scp.bin").unlink(missing_ok=True)
    (folder / "there" / "files" / file.sha256).unlink(missing_ok=True)
    os.sync()


def _seconds(way: Callable[[], None]) -> float:
    began = time.monotonic()
    way()
    return time.monotonic() - began


def _scp(folder: Path, place: Place, path: Path) -> None:
    flags = openssh.options(folder / "scp", place, "-P")
    command = ["scp", "-q", "-o", "ControlPath=none", *flags, str(path), f"{place.host}:{folder / 'scp.bin'}"]
    subprocess.run(command, check=True)


def _send(folder: Path, place: Place, file: Sent) -> None:
    there = Connection(folder / "data", place)
    try:
        send(there, [file])
    finally:
        there.close()


if __name__ == "__main__":
    sys.exit(main())
