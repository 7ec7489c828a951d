"""Makes a private environment on first use, so that a bare Python is enough.

Knows how to make a virtual environment, fill it, mend it when that was interrupted, and go on inside it;
`environment` says what is missing. Knows nothing of what SameFace does with the packages, and imports the
standard library alone.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.setup.environment import (
    MARKER,
    PYTHONS,
    ROOT,
    alive,
    environment,
    missing,
    python_of,
    ready,
    requirements,
    site_packages,
)
from lib_lora.setup.package_installer import explain, install_packages, pip_command, plain_environment, uv_command

PIP_LOG = "sameface-pip.log"
MADE = "sameface-made.txt"  # in an environment that SAMEFACE_ENV names and that SameFace itself has made
_ENVIRONMENT = {  # the words for a whole environment
    "room": "2 GB are needed, 8 GB where torch brings CUDA",
    "other_disk": ", or let SAMEFACE_ENV name a folder on another disk",
    "short": "let SAMEFACE_ENV name a short folder",
    "writable": "let SAMEFACE_ENV name a folder that can",
    "again": "run the same command again",
}


def enter(purpose: str, argv: Sequence[str], make: bool = True) -> int | None:
    """Go on in an interpreter that has the packages of `purpose`.

    Returns None where the caller already is in one (or none exists and `make` is False), so that it simply
    continues. Otherwise ``python -m lib_lora *argv`` runs in the private environment, which is made or mended
    first, and its exit code is returned (on POSIX the process is replaced and nothing returns).

    Raises:
        UserError: the environment could not be made: no network, full disk, no venv module, no Python 3.10 or 3.13 ...
    """
    lines = requirements(purpose)
    version = PYTHONS.get(purpose, sys.version_info[:2])
    # any environment may have what the bounds admit; the newest of everything has that one alone
    if purpose != "newest" and sys.version_info[:2] == version and not missing(lines):
        return None
    env = environment(purpose)
    if not ready(env, lines):
        if not make:
            return None
        prepare(env, lines, find_python(version))
    if env.resolve() == Path(sys.prefix).resolve():
        return None
    return hand_over(python_of(env), argv)


def hand_over(python: Path, argv: Sequence[str], replace: bool = os.name != "nt") -> int:
    """Run ``python -m lib_lora *argv`` and return its exit code; with `replace` this process becomes it (POSIX)."""
    command = [str(python), "-m", "lib_lora", *argv]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    sys.stdout.flush()
    sys.stderr.flush()
    if replace:
        os.execve(command[0], command, environment)
    with subprocess.Popen(command, env=environment) as child:  # Windows has no exec: wait, and pass the code on
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the console sends Ctrl+C to the child as well: how to end is the child's decision


def find_python(version: tuple[int, int]) -> str:
    """An interpreter of this version: this one, or one that `py`, PATH or pyenv knows.

    Each is run once, since pyenv's commands on PATH exist even for versions that are not active.

    Raises:
        UserError: there is none.
    """
    if sys.version_info[:2] == version:
        return sys.executable
    spelled = "{}.{}".format(*version)
    candidates = [["py", f"-{spelled}"]] if os.name == "nt" else []
    candidates += [[f"python{spelled}"]]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted((*pyenv.glob(f"versions/{spelled}.*"), *pyenv.glob(f"pyenv-win/versions/{spelled}.*"))):
        candidates.append([str(folder / "python.exe" if os.name == "nt" else folder / "bin" / "python")])
    for command in candidates:
        with suppress(OSError, subprocess.TimeoutExpired):
            asked = [*command, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"]
            answer = subprocess.run(asked, capture_output=True, encoding="utf-8", timeout=30, check=False).stdout
            if answer.startswith(f"{spelled} "):
                return answer.split(" ", 1)[1].strip()
    raise UserError(
        f"This needs Python {spelled}, and neither PATH nor pyenv has one"
        f" (tried {', '.join(' '.join(command) for command in candidates)}); install it and run this again.",
        code="python-not-found",
        version=spelled,
    )


# --------------------------------------------------------------------------------------- making, filling and mending it


def prepare(env: Path, lines: Sequence[str], base: str) -> None:
    """Make or mend `env` with the interpreter `base`, install `lines`, and write the marker when all is done.

    Raises:
        UserError: one sentence for each way in which this fails.
    """
    from lib_lora.files import explained, write_text

    with explained(env, "make"):
        env.parent.mkdir(parents=True, exist_ok=True)
    with alone_with(env):
        if ready(env, lines):
            return  # another terminal has just done it
        _say(f"Setting up SameFace's own Python packages in {env}: once, some minutes. Ctrl+C is safe.")
        _make(env, base)
        with explained(env / MARKER):
            (env / MARKER).unlink(missing_ok=True)
        damaged = forget_damaged(env) if _is_ours(env) else []
        for name in damaged:
            _say(f"{name} was not installed to the end; doing it again.")
        _fill(env, lines, cached=not damaged)
        write_text(env / MARKER, "".join(f"{line}\n" for line in lines))


@contextmanager
def alone_with(env: Path) -> Iterator[None]:
    """One set-up at a time: a second terminal waits. The lock goes with its process, however that ends.

    The system's own lock, since `filelock` may be among what is to be installed.
    """
    from lib_lora.files import explained

    path = env.with_name(env.name + ".lock")
    with explained(path):
        stream = path.open("a", encoding="utf-8")
    with stream:
        waiting = False
        while not _locked(stream.fileno()):
            if not waiting:
                _say("Another SameFace is setting up the same environment; waiting for it.")
            waiting = True
            time.sleep(0.5)
        yield


def _locked(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _make(env: Path, base: str) -> None:
    """A virtual environment that packages can be put into. What is there and works is kept."""
    from lib_lora.files import explained

    python = str(python_of(env))
    if alive(env) and _is_fillable(python):
        return
    own, found = not os.environ.get("SAMEFACE_ENV"), alive(env)
    if not own and env.is_dir() and any(env.iterdir()) and not found:
        raise UserError(
            f"SAMEFACE_ENV names {env}, which is not a working Python environment; empty it or name another one.",
            code="environment-broken",
            folder=env,
        )
    # Only a folder of our own is ever cleared; somebody else's environment is completed.
    trouble = _quiet([base, "-m", "venv", *(["--clear"] if own else []), str(env)])
    uv = uv_command()
    if trouble is not None and uv:  # a Python without ensurepip, as Debian's
        trouble = _quiet([*uv, "venv", "--allow-existing", "--python", base, str(env)])
    if trouble is None and not _is_fillable(python):
        trouble = _quiet([python, "-m", "pip", "--version"])
    if trouble is not None:
        said = explain(trouble, env, base, env / PIP_LOG, _ENVIRONMENT)
        raise UserError(said, code="environment-not-made", folder=env)
    if not own and not found:
        with explained(env / MADE):
            (env / MADE).touch()


def _is_ours(env: Path) -> bool:
    """Whether all in the environment is SameFace's. Somebody else's has packages whose files were changed on purpose:
    conda writes its own paths into programs after it has noted their sizes."""
    return not os.environ.get("SAMEFACE_ENV") or (env / MADE).is_file()


def _is_fillable(python: str) -> bool:
    """Whether uv or a pip that runs can install packages for an interpreter."""
    return bool(uv_command()) or _quiet([*pip_command(python), "--version"]) is None


def _quiet(command: list[str]) -> str | None:
    """Run a short command. None if it ended well, else what it said."""
    try:
        done = subprocess.run(
            command, env=plain_environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stdout + done.stderr


def _fill(env: Path, lines: Sequence[str], cached: bool) -> None:
    """Install `lines` into the environment; a spinner says what is done, and the log has all of it.

    Raises:
        UserError: that failed.
    """
    from lib_lora.spinner import Spinner, of_installer

    log, python = env / PIP_LOG, str(python_of(env))
    with Spinner("looking what there is") as spinner:

        def each(line: str) -> None:
            spinner.what = of_installer(line) or spinner.what

        code, said = install_packages(python, lines, log, each, cached=cached)
    if code != 0 or missing(lines, site_packages(env)):
        said = said or f"ERROR: pip ended with code {code}"
        raise UserError(explain(said, env, python, log, _ENVIRONMENT), code="pip-failed")


def forget_damaged(env: Path) -> list[str]:
    """Make pip forget each package whose files are not all there at their size, as after a kill in the middle.

    pip believes a package's metadata, which may be complete when the package is not. Returns their names.
    """
    damaged = []
    for folder in site_packages(env):
        for metadata in folder.glob("*.dist-info"):
            try:
                with (metadata / "RECORD").open(encoding="utf-8", newline="") as stream:
                    sizes = {row[0]: int(row[2]) for row in csv.reader(stream) if row[2:] and row[2]}
                whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
            except (OSError, ValueError):  # no RECORD, a file of it is gone, or it is cut off
                whole = False
            if not whole:
                shutil.rmtree(metadata)
                damaged.append(metadata.name.split("-")[0])
    return damaged


def _say(text: str) -> None:
    sys.stderr.write(f"sameface: {text}\n")
    sys.stderr.flush()
