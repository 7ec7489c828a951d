"""Installs packages with uv or pip, passes on what they say, and says in one sentence why they failed.

Imports the standard library alone, since it is needed before there are packages.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

_REASONS = (  # the first whose pattern is in what pip said; the words in brackets are the place's
    (
        r"No space left on device|Errno 28|WinError 112|Disk quota exceeded",
        "The disk of {env} is full ({room}); free some space{other_disk}",
    ),
    (
        r"ensurepip is not|No module named '?(?:venv|ensurepip|pip)\b",
        "{python} cannot install packages, because its venv or pip module is missing; install it (on Debian and Ubuntu"
        " the package python3-venv) or take a Python from python.org",
    ),
    (r"Long Path support", "A path in {env} is longer than Windows allows; {short}"),
    (r"Permission denied|Errno 13|WinError 5\b|Read-only file system", "{env} cannot be written; {writable}"),
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
# What pip may be told about where packages come from, as uv is told it: in variables, since everybody on a machine can
# read the words of a command, and an address may hold a password. Beside each: what stands between several values.
_UV_VARIABLES = {
    "index-url": ("UV_INDEX_URL", " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", ""),
    "client-cert": ("SSL_CLIENT_CERT", ""),
}
_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_TRUE = ("y", "yes", "t", "true", "on", "1")  # pip's words
_OF_PIP_ALONE = {"only-binary", "no-binary", "require-hashes", "pre"}  # where one of these is set, pip does it


def install_packages(
    python: str,
    lines: Sequence[str],
    log: Path,
    each: Callable[[str], None],
    target: Path | None = None,
    index: str = "",
    cached: bool = True,
) -> tuple[int, str]:
    """Install requirement lines for the interpreter `python`.

    uv does it in a fraction of the time, where it is there; it does not read pip's configuration, so it is told what
    that says about where packages come from. Where it fails, pip does it, and says why it cannot. An interpreter
    without pip, as uv makes them, is lent the one that comes with Python.

    Args:
        python: the interpreter.
        lines: the requirements.
        log: a file that gets all that was said; where it cannot be written, nothing is kept.
        each: gets what is said, line by line.
        target: a folder for exactly these packages, without what they need, and as wheels only; None = the
            interpreter's own, with what they need.
        index: address of the package index; empty = the usual one.
        cached: whether uv may take packages from its cache. Its files are hard links into environments, so what was
            damaged in one is damaged there too.

    Returns:
        Exit code, 0 = done, and what was said by who did it last.
    """
    where = ["--no-deps", "--target", str(target), "--only-binary=:all:"] if target else []
    where += ["--index-url", index] if index else []
    with suppress(OSError):  # Windows: another program has it open, or it is read-only
        log.unlink(missing_ok=True)
    # Modules are compiled as they are first imported, since compiling all takes longer than installing; but with this
    # variable, which containers set, each process would compile them again.
    never_compiled = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    uv, pip = uv_command(), pip_command(python)
    told = _pip_configuration(pip) if uv else {}
    if uv and not told.keys() & _OF_PIP_ALONE:
        how = ["--compile-bytecode"] if never_compiled else []
        how += [] if cached else ["--no-cache"]
        how += ["--no-index"] if told.get("no-index", "").lower() in _TRUE else []
        command = [*uv, "pip", "install", "--python", python, *how, *where, *lines]
        code, said = _watched(command, each, _variables_of_uv(told))
        if code == 0:
            with suppress(OSError):
                log.write_text(said, encoding="utf-8")
            return code, said
        each("uv could not do it; trying pip.")
        if target:
            shutil.rmtree(target, ignore_errors=True)
    command = [*pip, "install", *where, *([] if target else ["--prefer-binary"])]
    command += [] if never_compiled else ["--no-compile"]
    command += ["--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    command += ["--progress-bar", "off"]
    return _watched([*command, *(["--log", str(log)] if _is_writable(log) else []), *lines], each)


def _is_writable(file: Path) -> bool:
    try:
        with open(file, "ab"):
            return True
    except OSError:
        return False


def uv_command() -> list[str]:
    """The command of uv, which may have started this process, be on the path, where its own installer puts it, or a
    module of this interpreter; empty where there is none."""
    home = Path.home() / ".local" / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    for found in (os.environ.get("UV"), shutil.which("uv"), str(home)):
        if found and Path(found).is_file():
            return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else []


def pip_command(python: str) -> list[str]:
    """The command of pip for an interpreter: its own, else the one that Python keeps for new environments.

    The latter is run from its file, so that nothing is added to the interpreter's packages.
    """
    own = [python, "-m", "pip"]
    kept = (
        "import importlib.util, pathlib; pip = importlib.util.find_spec('pip'); "
        "kept = [] if pip else pathlib.Path(importlib.util.find_spec('ensurepip').origin).parent"
        ".glob('_bundled/pip-*.whl'); "
        "print(*kept)"
    )
    said = _said([python, "-c", kept])
    return [python, str(Path(said) / "pip")] if said else own


def _said(command: list[str]) -> str:
    """What a short command prints; empty where it fails."""
    try:
        done = subprocess.run(
            command, env=plain_environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _variables_of_uv(told: Mapping[str, str]) -> dict[str, str]:
    """What pip was told about where packages come from and how to get there, as variables for uv.

    pip looks for the best version in all its indexes; uv, unless it is told to, in the first that has the package.
    """
    found = {
        variable: between.join(told[name].split()) if between else told[name]
        for name, (variable, between) in _UV_VARIABLES.items()
        if told.get(name)
    }
    if told.get("extra-index-url"):
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if told.get("proxy"):
        names = _PROXY if os.name == "nt" else (*_PROXY, *map(str.lower, _PROXY))
        found.update(dict.fromkeys(names, told["proxy"]))
    return found


def _pip_configuration(pip: list[str]) -> dict[str, str]:
    """What `pip install` has been told by files and variables, by the long name of the option; a variable that is empty
    tells nothing, as where a workflow passes on a value that has not been set."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # the later ones count more
    for line in _said([*pip, "config", "list"]).splitlines():  # lines like global.index-url='https://...'
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        with suppress(ValueError, SyntaxError):
            text = str(ast.literal_eval(value))
            if section in found and text:
                found[section][name] = text
    return {name: value for section in found.values() for name, value in section.items()}


def _watched(
    command: list[str], each: Callable[[str], None], variables: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str]:
    """Run a command with these further variables, and pass on what it says; its exit code, and all it said."""
    said = []
    try:
        with subprocess.Popen(
            command,
            env={**plain_environment(), "PYTHONIOENCODING": "utf-8", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    said.append(line)
                    each(line.rstrip())
            except BaseException:  # Ctrl+C: it may not have got it
                process.kill()
                raise
    except OSError as error:
        return 1, f"ERROR: {error}"
    return process.returncode, "".join(said)


def plain_environment() -> dict[str, str]:
    """The environment less what would send pip's packages, or its view of what is installed, elsewhere."""
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")
    return {key: value for key, value in os.environ.items() if key.upper() not in elsewhere}


def explain(said: str, place: Path, python: str, log: Path, words: Mapping[str, str]) -> str:
    """One sentence for what pip or venv `said` when it failed: what is wrong and what to do.

    Args:
        said: what it printed.
        place: the folder that was to be filled.
        python: the interpreter.
        log: where all of it can be read.
        words: for the sentences' brackets: "room", "other_disk", "short", "writable" and "again".
    """
    full = place.parent.is_dir() and shutil.disk_usage(place.parent).free < 50e6  # the output may be cut off then
    for pattern, sentence in _REASONS:
        if re.search(pattern, said) or full:  # the full disk is the first of the reasons
            return f"{sentence.format(env=place, python=python, **words)}, and {words['again']}."
    errors = re.findall(r"ERROR: (.+)", said) or said.strip().splitlines() or ["pip said nothing"]
    return f"The packages could not be installed: {errors[-1].strip().rstrip('.')} (all of it: {log})."
