"""Installs what the worker lacks in a webui's Python into a folder of SameFace's own; the webui's packages stay.

Knows what is lacking, how it gets there whole or not at all, and what to say where that fails. Imports the standard
library alone and looks at folder names only, since ``install.py`` runs at every start of the webui.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.setup import environment
from lib_lora.setup.bootstrap import alone_with
from lib_lora.setup.environment import MARKER, ROOT
from lib_lora.setup.package_installer import explain, install_packages

# Which releases of diffusers and peft import depends on the transformers beside them: before the first of these only
# the exact ones in requirements/worker.txt, then any in the ranges of base.txt, and from the second on none that is
# older than those in worker-transformers-5.txt.
_MODERN = "transformers>=4.46"
_NEWEST = "transformers>=5"
_BOUND_TO_TRANSFORMERS = {"diffusers", "peft"}  # of the others any release in the ranges will do beside any
_PEFT = re.compile(r"""["']peft["']: ["']peft>=([0-9.]+)["']""")
_OLD_SCRIPT = b"window.sameface"  # each script of those versions has it
_WORDS = {
    "room": "30 MB are needed",
    "other_disk": "",
    "short": "move the webui into a folder with a short name",
    "writable": "change the rights of that folder",
    "again": "start the webui again",
}
Progress = Callable[[str], None]


def lacking(root: Path = ROOT, folders: Iterable[str | Path] | None = None) -> list[str]:
    """The lines of ``requirements/worker.txt`` that a Python does not fulfil by itself.

    Beside transformers 5, those in ``worker-transformers-5.txt`` take the place of the ones with the same names.

    Args:
        root: SameFace's source folder.
        folders: where that Python's packages lie; None = this one's.
    """
    places = _elsewhere(root) if folders is None else list(folders)
    ranges = dict(environment.parse(line) for line in environment.requirements("run", root))
    modern = not environment.missing([_MODERN], places)
    lines, found = environment.requirements("worker", root), []
    if not environment.missing([_NEWEST], places):
        newer = dict(environment.parse(line) for line in environment.requirements("worker-transformers-5", root))
        parsed = [environment.parse(line) for line in lines]
        lines = [f"{name}{newer.get(name, exact)}" for name, exact in parsed]
        ranges |= {name: newer[name].replace("==", ">=") for name in _BOUND_TO_TRANSFORMERS if name in newer}
    for line in lines:
        name, exact = environment.parse(line)
        wanted = ranges.get(name, exact) if modern or name not in _BOUND_TO_TRANSFORMERS else exact
        if environment.missing([f"{name}{wanted}"], places):
            found.append(line)
    there = environment.installed(places).get("peft", "")
    own = next((line.partition("==")[2] for line in found if line.startswith("peft==")), there)
    least = _peft_for_diffusers(places)
    if least and own and not environment.admits(f">={least}", own):
        found = [line for line in lines if line in found or environment.parse(line)[0] in _BOUND_TO_TRANSFORMERS]
    return found


def _peft_for_diffusers(places: Iterable[str | Path]) -> str:
    """The oldest peft beside which a Python's own diffusers loads, as it says itself; empty where it does not say.

    diffusers does without peft, but refuses to load where an older one is there. A peft that it loads beside may not
    load beside the accelerate that is there, so the worker then gets a diffusers and a peft that fit each other.
    """
    for place in places:
        folder = Path(place or ".", "diffusers")
        if folder.is_dir():
            with suppress(OSError, UnicodeDecodeError):
                said = _PEFT.search((folder / "dependency_versions_table.py").read_text(encoding="utf-8"))
                return said[1] if said else ""
            return ""
    return ""


def worker_packages(root: Path = ROOT) -> Path:
    """The folder with what this Python lacks for the worker; first on the worker's path.

    It need not exist: where nothing is lacking, nothing is made. It belongs to SameFace alone.
    """
    name = "worker-{}.{}".format(*sys.version_info)
    return environment.private_folder(root, name, lambda folder: _holds(folder, lacking(root)))


def absent(root: Path = ROOT) -> list[str]:
    """Names of packages that the worker needs and finds neither in this Python nor in the folder of its own."""
    lines = environment.needed() if root == ROOT else environment.requirements("run", root)
    return environment.missing(lines, [worker_packages(root), *sys.path])


def ready(root: Path = ROOT) -> bool:
    """Whether nothing is to do: this Python lacks nothing, or what it lacks is in the folder."""
    return _holds(worker_packages(root), lacking(root))


def note(root: Path = ROOT) -> str:
    """Why the last installation failed, in one sentence; empty if it did not."""
    try:
        return _note_file(root).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def install(progress: Progress = print, root: Path = ROOT) -> bool:
    """Put what this Python lacks into the folder; returns whether anything was installed.

    The folder is whole or absent: it is filled under another name, and takes its own once pip has come to its end.
    Two that do this at once wait for one another. A failure is noted (`note`), until the next success.

    Args:
        progress: gets what pip says, line by line.
        root: SameFace's source folder.

    Raises:
        UserError: one sentence; the folder is as it was.
    """
    from lib_lora.files import explained, write_text

    folder = worker_packages(root)
    try:
        if ready(root):
            return False
        with explained(folder.parent, "make"):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with alone_with(folder):
            lines = lacking(root)
            if not _holds(folder, lines):  # another one may just have done it
                progress(f"SameFace: installing {', '.join(lines)} into {folder} (the webui's own packages stay)")
                _fill(folder, lines, progress)
    except UserError as error:
        with suppress(UserError):
            write_text(_note_file(root), f"{error}\n")
        raise
    else:
        with suppress(OSError):
            _note_file(root).unlink(missing_ok=True)
    return True


def main(root: Path = ROOT) -> None:
    """What ``install.py`` does. Never fails, so that the webui starts; what went wrong is said and noted.

    On standard output, since the webui shows nothing else of an extension's installer that ends well.
    """
    with suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if aside := set_older_scripts_aside(root):
            print(f"SameFace: an older version's scripts, now {', '.join(aside)}, can be deleted.", flush=True)
    except (UserError, OSError) as error:
        print(f"SameFace: {error} Delete it by hand, or the page of the older version appears too.", flush=True)
    try:
        if not other_python(Path.cwd()):
            install(lambda text: print(text, flush=True), root)
    except UserError as error:
        print(f"SameFace: {error} Until then the Train LoRA tab opens, but cannot train.", flush=True)
    except KeyboardInterrupt:
        print("SameFace: stopped; the next start continues.", flush=True)
    except Exception as error:
        print(f"SameFace: its packages could not be checked ({type(error).__name__}: {error}).", flush=True)


def set_older_scripts_aside(root: Path = ROOT) -> list[str]:
    """Rename the scripts that an older version has left where a newer zip was unpacked over its folder.

    Until November 2026 each part of the page was a script ``javascript/sameface_*.js``; a webui loads every script of
    that folder, so the old page would be drawn over the new one. All other files stay.

    Args:
        root: SameFace's source folder.

    Returns:
        Their new names, which end in ``.old``; a webui loads none of these.

    Raises:
        UserError: one cannot be renamed.
    """
    from lib_lora.files import explained

    aside = []
    for script in sorted((root / "javascript").glob("sameface_*.js")):
        with explained(script, "rename"):
            if _OLD_SCRIPT in script.read_bytes():
                aside.append(script.replace(script.with_name(f"{script.name}.old")).name)
    return aside


def other_python(webui: Path) -> str:
    """The Python chosen for the worker in the tab; empty = the webui's own.

    Args:
        webui: the webui's folder, where its settings and its data lie too unless ``--data-dir`` says otherwise.
    """
    words = []
    with suppress(ValueError):
        words = shlex.split(os.environ.get("COMMANDLINE_ARGS", ""), posix=os.name != "nt")
    given = [after.strip("\"'") for word, after in pairwise(words) if word == "--data-dir"]
    home = webui.joinpath(*given[-1:])
    settings = _texts(home / "config.json")
    own = _texts(home / (settings.get("sameface_data_dir") or "sameface") / "settings.json")
    return own.get("worker_python", "")


def _texts(path: Path) -> dict[str, str]:
    """The texts in a file of settings; none where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value.strip() for key, value in values.items() if isinstance(value, str)}


def _elsewhere(root: Path) -> list[str]:
    """This Python's own folders of packages; where the worker asks, its own folder is among them."""
    name = "worker-{}.{}".format(*sys.version_info)
    beside = environment.private_folder(root, name, lambda _: True)
    elsewhere = environment.private_folder(root, name, lambda _: False)
    return [place for place in sys.path if Path(place or ".") not in (beside, elsewhere)]


def _holds(folder: Path, lines: list[str]) -> bool:
    """Whether the folder has all these lines, to the end."""
    if not lines:
        return True
    try:
        done = (folder / MARKER).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return set(lines) <= set(done) and not environment.missing(lines, [folder])


def _note_file(root: Path) -> Path:
    folder = worker_packages(root)
    return folder.with_name(f"{folder.name}.note.txt")


def _fill(folder: Path, lines: list[str], progress: Progress) -> None:
    """A new folder in place of the old one.

    Raises:
        UserError: pip could not do it, or the folder cannot be put in place.
    """
    from lib_lora.files import explained, write_text

    for left in folder.parent.glob(
        f"{folder.name}.*.tmp"
    ):  # of one that was killed; the lock says that none is at work
        shutil.rmtree(left, ignore_errors=True)
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    log = folder.with_name(f"{folder.name}.log")
    try:
        index = os.environ.get("INDEX_URL", "")  # the webui's own variable for people behind a mirror
        code, said = install_packages(sys.executable, lines, log, progress, fresh, index)
        if code != 0 or environment.missing(lines, [fresh]):
            raise UserError(
                explain(said or f"ERROR: pip ended with code {code}", folder, sys.executable, log, _WORDS),
                code="pip-failed",
            )
        write_text(fresh / MARKER, "".join(f"{line}\n" for line in lines))
        with explained(folder):
            _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Give the fresh folder its name; what bears it moves aside first, and comes back if that fails."""
    old = folder.with_name(f"{folder.name}.{os.getpid()}.old.tmp")
    for attempt in range(20):  # Windows refuses while a virus scanner looks into it
        try:
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
            break
        except PermissionError:
            if old.exists() and not folder.exists():
                old.rename(folder)
            if os.name != "nt" or attempt == 19:
                raise
            time.sleep(0.1)
    shutil.rmtree(old, ignore_errors=True)
