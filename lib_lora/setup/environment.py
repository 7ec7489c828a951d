"""Knows which packages SameFace needs and which are there, and whether its private environment is complete.

Looks and says; changes nothing (on Windows it makes and removes an empty folder, to see whether it can). Runs before
anything is installed, so it imports the standard library alone, and `packaging` where that is there: a Python without
it lacks what SameFace needs anyway, and is asked for names only. The lists of packages are the files in
``requirements/``.
"""

from __future__ import annotations

import hashlib
import operator
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = (ROOT / "pyproject.toml").is_file()  # else this is an installed package, and ROOT holds all others too
MARKER = "sameface-packages.txt"  # in the environment: the requirement lines that pip has installed, written last
PURPOSES = {
    "run": ("base", "opencv"),
    "try": ("base", "opencv", "ui"),
    "test": ("base", "opencv", "ui", "optimizers", "dev", "standin"),
    "newest": ("base", "opencv", "ui", "optimizers", "dev"),
    "a1111": ("a1111",),
    "worker": ("worker",),  # what install.py puts beside a webui's own packages
    "worker-transformers-5": ("worker-transformers-5",),  # instead of the lines above with the same names
}
# Purposes that have a Python of their own: A1111's, and the newest that is supported (the newest numpy and scipy need
# 3.12 or newer).
PYTHONS = {"a1111": (3, 10), "newest": (3, 13)}
# Purposes that have a folder of their own. In that of `try`, the bounds of the tests would put older packages in place,
# and leave beside them what had come with the newer ones and does not work with these.
APART = ("test", *PYTHONS)
ALTERNATIVES = {  # four packages with the same module cv2: any of them will do
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
}
_PACKAGE_OF = {"cv2": "opencv-python-headless", "PIL": "Pillow", "yaml": "PyYAML"}
_PAGE = ("gradio", "fastapi", "starlette", "uvicorn", "pydantic")  # modules that the page needs and the rest does not
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)((?:(?:==|>=|<)[0-9.]+,?)*)")
_SIGNS = {">=": operator.ge, "<": operator.lt, "==": operator.eq}
_METADATA = re.compile(r"(.+?)-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist-info|egg-info)")


def requirements(purpose: str, root: Path = ROOT) -> list[str]:
    """The requirement lines of one of the `PURPOSES`, without comments and without those for other Pythons.

    Empty where there is no ``requirements/`` folder: in an installed package pip has seen to them.
    """
    python = _python_for(purpose)
    found = []
    for name in PURPOSES[purpose]:
        path = root / "requirements" / f"{name}.txt"
        if path.is_file():
            lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
            found += [plain for line in lines if (plain := _for_python(line, python))]
    return found


def _for_python(line: str, python: str) -> str:
    """A line without its ``; python_version >= "3.13"``; empty where that does not hold for this Python."""
    plain, _, marker = (part.strip() for part in line.partition(";"))
    if not marker:
        return plain
    _, sign, bound = marker.split()
    this, other = ([int(number) for number in text.strip("\"'").split(".")] for text in (python, bound))
    return plain if _SIGNS[sign](this, other) else ""


def bundled(name: str, source: bool = SOURCE) -> Path:
    """Where something that comes with SameFace beside its code lies: in the source folder, or in the installed package.

    Args:
        name: its path in the source folder; ``setup.py`` lists all that there are.
        source: this is the source folder.
    """
    return (ROOT if source else ROOT / "lib_lora" / "bundled") / name


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
                found.setdefault(normal_name(match[1]), match[2])
    return found


def missing(lines: Iterable[str], folders: Iterable[str | Path] | None = None) -> list[str]:
    """The names among requirement `lines` that are absent from `folders` (default: sys.path) or out of range."""
    there = installed(sys.path if folders is None else folders)
    lacking = []
    for line in lines:
        name, wanted = parse(line)
        others = any(normal_name(other) in there for other in ALTERNATIVES.get(name, ()))
        version = there.get(normal_name(name))
        if not others and (version is None or not admits(wanted, version)):
            lacking.append(name)
    return lacking


def parse(line: str) -> tuple[str, str]:
    """``name>=1,<2`` -> ("name", ">=1,<2").

    Raises:
        ValueError: anything else; the files in ``requirements/`` hold nothing fancier.
    """
    match = _REQUIREMENT.fullmatch(line.replace(" ", ""))
    if not match:
        raise ValueError(f"not a plain requirement: {line!r}")
    return match[1], match[2]


def admits(wanted: str, version: str) -> bool:
    """Whether a version is in a range: ``admits(">=2.1", "2.1.0+cu121")``. Pre-releases count as their release, and a
    version that does not follow the rules ("0.31.0.custom") as the numbers with which it begins.

    Any version is where `packaging` is missing: what is in `lines` has it among its needs, so it is complained of
    itself; and in the private environment, where the same is asked again, it is there.
    """
    try:
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return True
    try:
        plain = Version(version).base_version
    except InvalidVersion:  # of a package that somebody has built by hand
        numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
        if numbers is None:
            return False
        plain = numbers[0]
    return SpecifierSet(wanted).contains(plain)


def normal_name(name: str) -> str:
    """A package's name as indexes compare it: lower case, with single dashes (PEP 503).

    As ``packaging.utils.canonicalize_name``; `packaging` is one of the packages that are looked for by these names.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def about_missing(error: ModuleNotFoundError) -> str | None:
    """The sentence for an import that failed for want of a package; None if the fault is SameFace's own."""
    if not error.name or error.name.split(".")[0] == "lib_lora":
        return None
    if not SOURCE:
        lines = _declared("ui") if error.name.split(".")[0] in _PAGE else []
        wanted = " ".join(f'"{line}"' for line in lines) or _PACKAGE_OF.get(error.name, error.name)
        return f"The Python package {error.name} is missing; install it with: pip install {wanted}"
    lacking = missing(requirements("try" if error.name.split(".")[0] in _PAGE else "run"))
    if not lacking:
        return None
    return (
        f"Packages are missing from this Python ({', '.join(lacking)}): run `python -m lib_lora try` once, which makes"
        ' a private environment, or `pip install ".[opencv,ui]"` in an environment of your own.'
    )


def needed() -> list[str]:
    """What training needs: of the source folder's lists, or of what the installed package declares."""
    return requirements("run") if SOURCE else [*_declared(""), *_declared("opencv")]


def _declared(extra: str) -> list[str]:
    """The lines of the installed package's metadata for one of its extras, or for none, without those for other
    Pythons; empty where it has no metadata.

    Read without ``packaging.requirements``: whoever asks wants to know what is missing, and that may be `packaging`.
    They come from ``requirements/``, so their markers are these two only.
    """
    from importlib import metadata

    try:
        lines = metadata.requires("sameface") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        plain, _, marker = line.partition(";")
        of = re.search(r"""extra *== *["']([^"']+)["']""", marker)
        python = re.search(r"""python_version *[<>=]+ *["'][0-9.]+["']""", marker)
        if (of[1] if of else "") == extra:
            found.append(_for_python(f"{plain};{_spaced(python[0])}" if python else plain, _python_for("run")))
    return [line for line in found if line]


def _spaced(marker: str) -> str:
    return re.sub(r" *([<>=]+) *", r" \1 ", marker)


def _python_for(purpose: str) -> str:
    return "{}.{}".format(*PYTHONS.get(purpose, sys.version_info))


def environment(purpose: str, root: Path = ROOT) -> Path:
    """The folder of the private environment: in the `private_folder`, or where the variable SAMEFACE_ENV says."""
    chosen = os.environ.get("SAMEFACE_ENV")
    if chosen:
        path = Path(chosen).expanduser().absolute()
        return path.with_name(f"{path.name}-{purpose}-{_python_for(purpose)}") if purpose in PYTHONS else path
    name = f"{purpose if purpose in APART else 'venv'}-{_python_for(purpose)}"
    return private_folder(root, name, lambda folder: ready(folder, requirements(purpose, root)))


def private_folder(root: Path, name: str, suffices: Callable[[Path], bool]) -> Path:
    """A folder `name` for packages of SameFace's own, in ``.sameface`` beside its code.

    Where that cannot be written, and what others have put there is not enough, in a folder of the user's
    cache that belongs to this place alone.

    Args:
        root: SameFace's source folder.
        name: the folder's own name.
        suffices: whether a folder has all that is needed, to the end.
    """
    inside = root / ".sameface"
    nearest = next((place for place in (inside, root) if place.exists()), None)
    if nearest is None or _can_write(nearest) or suffices(inside / name):
        return inside / name
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    return Path(cache) / "sameface-packages" / place / name


def _can_write(folder: Path, system: str = os.name) -> bool:
    """Whether something can be made in a folder. On Windows only trying tells: `os.access` says yes to every folder."""
    if system != "nt":
        return os.access(folder, os.W_OK)
    tried = folder / f"sameface-{os.getpid()}.tmp"
    try:
        with suppress(FileExistsError):  # of another thread
            tried.mkdir()
    except OSError:
        return False
    with suppress(OSError):
        tried.rmdir()
    return True


def python_of(env: Path) -> Path:
    """The environment's interpreter; conda's is elsewhere on Windows."""
    if os.name == "nt":
        return env / "python.exe" if _is_conda(env) else env / "Scripts" / "python.exe"
    return env / "bin" / "python"


def _is_conda(env: Path) -> bool:
    return (env / "conda-meta").is_dir()


def site_packages(env: Path) -> list[Path]:
    """Where the environment's packages lie (one folder; none if the environment is not whole)."""
    return [env / "Lib" / "site-packages"] if os.name == "nt" else sorted(env.glob("lib/python3*/site-packages"))


def alive(env: Path) -> bool:
    """Whether the environment's interpreter is there, and the one it was made from too (one of conda's is whole)."""
    if _is_conda(env):
        return python_of(env).exists()
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
