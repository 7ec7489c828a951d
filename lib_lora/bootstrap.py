"""A private environment on first use, so that a bare Python is all a person needs.

Knows which packages are missing, how to make a virtual environment, fill it with pip, mend it when that was
interrupted, and go on inside it. Knows nothing of what SameFace does with the packages, and imports the standard
library alone. The lists of packages are the files in ``requirements/``.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lib_lora.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
MARKER = "sameface-packages.txt"  # in the environment: the requirement lines that pip has installed, written last
PIP_LOG = "sameface-pip.log"
PURPOSES = {
    "try": ("base", "opencv"),
    "test": ("base", "opencv", "optimizers", "dev"),
    "a1111": ("a1111",),
}
A1111_PYTHON = (3, 10)
ALTERNATIVES = {  # four packages with the same module cv2: any of them will do
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
}
_REASONS = (  # the first whose pattern is in pip's log
    (
        r"No space left on device|Errno 28|WinError 112|Disk quota exceeded",
        "The disk of {env} is full (2 GB are needed, 8 GB where torch brings CUDA); free some space, or let"
        " SAMEFACE_ENV name a folder on another disk",
    ),
    (
        r"ensurepip is not|No module named '?(?:venv|ensurepip|pip)\b",
        "{python} cannot make environments, because its venv or pip module is missing; install it (on Debian and Ubuntu"
        " the package python3-venv) or take a Python from python.org",
    ),
    (r"Long Path support", "A path in {env} is longer than Windows allows; let SAMEFACE_ENV name a short folder"),
    (
        r"Permission denied|Errno 13|WinError 5\b|Read-only file system",
        "{env} cannot be written; let SAMEFACE_ENV name a folder that can",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "pip does not trust the certificate of its package index, as behind a proxy that opens connections; let"
        " PIP_CERT name the proxy's certificate file",
    ),
    (
        r"connection broken|ConnectionError|getaddrinfo|name resolution|timed out|ProxyError|IncompleteRead",
        "pip could not reach its package index (what was downloaded is kept); check the network or the proxy",
    ),
)
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)((?:(?:==|>=|<)[0-9.]+,?)*)")
_METADATA = re.compile(r"(.+?)-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist-info|egg-info)")


# ---------------------------------------------------------------------------------------- what is there, what is not


def requirements(purpose: str, root: Path = ROOT) -> list[str]:
    """The requirement lines of "try", "test" or "a1111", without comments.

    Empty where there is no ``requirements/`` folder: in an installed package pip has seen to them.
    """
    found = []
    for name in PURPOSES[purpose]:
        path = root / "requirements" / f"{name}.txt"
        if path.is_file():
            lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
            found += [line for line in lines if line]
    return found


def installed(folders: Iterable[str | Path]) -> dict[str, str]:
    """Normalised name -> version of the packages whose metadata lies in `folders`; the first folder wins.

    Reads folder names only: ``importlib.metadata`` gives the same, but takes 40 ms at every start.
    """
    found: dict[str, str] = {}
    for folder in folders:
        try:
            entries = os.listdir(folder or ".")  # noqa: PTH208 - names are enough, and this is on the way of every start
        except OSError:
            continue  # sys.path names zip files and folders that are not there
        for entry in entries:
            match = _METADATA.fullmatch(entry)
            if match:
                found.setdefault(_normal(match[1]), match[2])
    return found


def missing(lines: Iterable[str], folders: Iterable[str | Path] | None = None) -> list[str]:
    """The names among requirement `lines` that are absent from `folders` (default: sys.path) or out of range."""
    there = installed(sys.path if folders is None else folders)
    lacking = []
    for line in lines:
        name, wanted = parse(line)
        others = any(_normal(other) in there for other in ALTERNATIVES.get(name, ()))
        version = there.get(_normal(name))
        if not others and (version is None or not all(_holds(version, sign, bound) for sign, bound in wanted)):
            lacking.append(name)
    return lacking


def parse(line: str) -> tuple[str, list[tuple[str, str]]]:
    """``name>=1,<2`` -> ("name", [(">=", "1"), ("<", "2")]).

    Raises:
        ValueError: anything else; the files in ``requirements/`` hold nothing fancier.
    """
    match = _REQUIREMENT.fullmatch(line.replace(" ", ""))
    if not match:
        raise ValueError(f"not a plain requirement: {line!r}")
    return match[1], re.findall(r"(==|>=|<)([0-9.]+)", match[2])


def _holds(version: str, sign: str, bound: str) -> bool:
    have, want = _release(version), _release(bound)
    return have == want if sign == "==" else have >= want if sign == ">=" else have < want


def _release(version: str) -> tuple[int, ...]:
    """2.1.0+cu121 -> (2, 1): without the local part and the zeros at the end, since 2.1 and 2.1.0 are the same."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else [0]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def about_missing(error: ModuleNotFoundError) -> str | None:
    """The sentence for an import that failed for want of a package; None if the fault is SameFace's own."""
    if not error.name or error.name.split(".")[0] == "lib_lora":
        return None
    if not (ROOT / "requirements").is_dir():
        return f"The Python package {error.name} is missing; `pip install --force-reinstall sameface` puts it back."
    lacking = missing(requirements("try"))
    if not lacking:
        return None
    return (
        f"Packages are missing from this Python ({', '.join(lacking)}): run `python -m lib_lora try` once, which makes"
        " a private environment, or `pip install .` in an environment of your own."
    )


# --------------------------------------------------------------------------------------------- the private environment


def environment(purpose: str, root: Path = ROOT) -> Path:
    """The folder of the private environment: in ``.sameface/``, or where the variable SAMEFACE_ENV says."""
    chosen = os.environ.get("SAMEFACE_ENV")
    if chosen:
        path = Path(chosen).expanduser().absolute()
        return path.with_name(path.name + "-a1111") if purpose == "a1111" else path
    kind, version = ("a1111", A1111_PYTHON) if purpose == "a1111" else ("venv", sys.version_info[:2])
    return root / ".sameface" / f"{kind}-{version[0]}.{version[1]}"


def python_of(env: Path) -> Path:
    """The environment's interpreter."""
    return env / "Scripts" / "python.exe" if os.name == "nt" else env / "bin" / "python"


def site_packages(env: Path) -> list[Path]:
    """Where the environment's packages lie (one folder; none if the environment is not whole)."""
    return [env / "Lib" / "site-packages"] if os.name == "nt" else sorted(env.glob("lib/python3*/site-packages"))


def alive(env: Path) -> bool:
    """Whether the environment's interpreter is there, and the one it was made from too."""
    try:
        text = (env / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    home = re.search(r"^home *= *(.+)$", text, re.MULTILINE)
    return home is not None and Path(home[1].strip()).is_dir() and python_of(env).exists()


def ready(env: Path, lines: Sequence[str]) -> bool:
    """Whether everything in `lines` was installed to the end and is still there. Starts no process; about 2 ms."""
    try:
        done = (env / MARKER).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return set(lines) <= set(done) and alive(env) and not missing(lines, site_packages(env))


def enter(purpose: str, argv: Sequence[str], make: bool = True) -> int | None:
    """Go on in an interpreter that has the packages of `purpose`.

    Returns None where the caller already is in one (or none exists and `make` is False), so that it simply
    continues. Otherwise ``python -m lib_lora *argv`` runs in the private environment, which is made or mended
    first, and its exit code is returned (on POSIX the process is replaced and nothing returns).

    Raises:
        UserError: the environment could not be made: no network, full disk, no venv module, no Python 3.10 ...
    """
    lines = requirements(purpose)
    version = A1111_PYTHON if purpose == "a1111" else sys.version_info[:2]
    if sys.version_info[:2] == version and not missing(lines):
        return None
    env = environment(purpose)
    if not ready(env, lines):
        if not make:
            return None
        prepare(env, lines, find_python(version))
    if python_of(env).parent.parent.resolve() == Path(sys.prefix).resolve():
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
        f" (tried {', '.join(' '.join(command) for command in candidates)}); install it and run the same command again."
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
    with _alone(env):
        if ready(env, lines):
            return  # another terminal has just done it
        _say(f"Setting up SameFace's own Python packages in {env}: once, some minutes. Ctrl+C is safe.")
        _make(env, base)
        with explained(env / MARKER):
            (env / MARKER).unlink(missing_ok=True)
        for name in forget_damaged(env):
            _say(f"{name} was not installed to the end; doing it again.")
        _pip(env, lines)
        write_text(env / MARKER, "".join(f"{line}\n" for line in lines))


@contextmanager
def _alone(env: Path) -> Iterator[None]:
    """One set-up at a time: a second terminal waits. The lock goes with its process, however that ends."""
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
    """A virtual environment with a pip that runs. What is there and works is kept."""
    python = str(python_of(env))
    if alive(env) and _quiet([python, "-m", "pip", "--version"]) is None:
        return
    own = not os.environ.get("SAMEFACE_ENV")
    if not own and env.is_dir() and any(env.iterdir()) and not alive(env):
        raise UserError(f"SAMEFACE_ENV names {env}, which is no working Python environment; empty it or name another.")
    # Only a folder of our own is ever cleared; somebody else's environment is completed.
    trouble = _quiet([base, "-m", "venv", *(["--clear"] if own else []), str(env)])
    if trouble is None:
        trouble = _quiet([python, "-m", "pip", "--version"])
    if trouble is not None:
        raise UserError(explain(trouble, env, base))


def _quiet(command: list[str]) -> str | None:
    """Run a short command. None if it ended well, else what it said."""
    try:
        done = subprocess.run(
            command, env=_plain_environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stdout + done.stderr


def _pip(env: Path, lines: Sequence[str]) -> None:
    log, python = env / PIP_LOG, str(python_of(env))
    log.unlink(missing_ok=True)
    command = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--prefer-binary"]
    command += ["--no-warn-script-location", "--log", str(log), *lines]
    # pip writes to the terminal itself, which keeps its progress bars; stdout is left to the command's own results.
    code = subprocess.run(command, env=_plain_environment(), stdout=2, check=False).returncode
    if code != 0 or missing(lines, site_packages(env)):
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        raise UserError(explain(said or f"ERROR: pip ended with code {code}", env, python))


def _plain_environment() -> dict[str, str]:
    """The environment less what would send pip's packages, or its view of what is installed, elsewhere."""
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")
    return {key: value for key, value in os.environ.items() if key.upper() not in elsewhere}


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


def explain(said: str, env: Path, python: str) -> str:
    """One sentence for what pip or venv `said` when it failed: what is wrong and what to do."""
    full = env.parent.is_dir() and shutil.disk_usage(env.parent).free < 50e6  # pip's own log may be cut off then
    for pattern, sentence in _REASONS:
        if re.search(pattern, said) or full:  # the full disk is the first of the reasons
            return sentence.format(env=env, python=python) + ", and run the same command again."
    errors = re.findall(r"ERROR: (.+)", said) or said.strip().splitlines() or ["pip said nothing"]
    return f"The packages could not be installed: {errors[-1].strip().rstrip('.')} (all of it: {env / PIP_LOG})."


def _say(text: str) -> None:
    sys.stderr.write(f"sameface: {text}\n")
    sys.stderr.flush()
