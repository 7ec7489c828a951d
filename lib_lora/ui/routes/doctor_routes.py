"""Checks what works here and how to fix what does not, in one sentence each.

Loads no torch, and changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lib_lora
from lib_lora import errors
from lib_lora.errors import UserError
from lib_lora.files import size
from lib_lora.hosts.host_protocol import Host
from lib_lora.models.families.registry import usual_family
from lib_lora.queue.runners.local_runner import worker_command, worker_environment
from lib_lora.remote import places
from lib_lora.setup import environment, packages
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.views import machine
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.queue.running.supervisor import Supervisor

Check = dict[str, str]  # name, tone ("good", "warn", "bad", "none"), text, mend
_WORDS = {"good": "fine", "warn": "note", "bad": "does not work", "none": "not there"}  # by tone
_GB = 1 << 30
_ROOM, _NEEDED = 10 * _GB, 2 * _GB  # of disk: a training with its states and caches, and what it cannot do without
_FACES = ("yunet_2023mar.npz", "sface_2021dec.npz", "cohort.npz", "expression.npz", "unjudgeable.npz")
_LIKENESS = environment.ROOT / "lib_lora" / "faces" / "models"


def routes() -> list[Route]:
    """The route of the doctor."""
    return [get("/doctor", doctor)]


def doctor(context: RequestContext, _call: Call) -> dict[str, Any]:
    """What works here, and where things are stored."""
    roots = context.host.roots()
    loras = str(roots.loras[0]) if roots.loras else ""
    found = checks(context.host, context.root, context.supervisor)
    return {
        "checks": found,
        "text": as_text(context.host, found),
        "folders": {"data": str(context.root), "loras": loras, "log": str(Workspace(context.root).jobs)},
    }


def checks(host: Host, root: Path, supervisor: Supervisor | None = None) -> list[Check]:
    """Check everything once.

    Args:
        host: the program around SameFace.
        root: the data folder.
        supervisor: runs the jobs; None = that is not looked at.
    """
    parts: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("Python that trains", lambda: _python(host, root)),
        ("GPU", lambda: _gpu(host, root)),
        ("Disk", lambda: _disk(root)),
        ("Data folder", lambda: _folder("Data folder", root)),
        ("LoRA folder", lambda: _loras(host)),
        ("Face models", _faces),
        ("Base models", lambda: _bases(host)),
        ("Queue", lambda: _queue(supervisor)),
        ("Other machines", lambda: _places(root)),
    ]
    found, lacks = _webui(host)
    for name, part in parts:
        if name in lacks:
            continue  # said already, and better
        try:
            found += list(part())
        except UserError as error:
            found.append(check(name, "bad", str(error)))
        except Exception as error:  # one look that fails must not hide the others
            found.append(check(name, "warn", f"This could not be checked ({type(error).__name__}: {error})."))
    return found


def _places(root: Path) -> Iterator[Check]:
    """The places to train on, as they were when last inspected: inspecting one takes a connection."""
    for place in places.load(root):
        tone = "good" if place.machine else "none"
        again = errors.typed("place", "check", place.name)
        yield check(
            f"Machine {place.name}", tone, f"{places.described(place)}.", "" if place.machine else f"Type: {again}"
        )


def as_text(host: Host, found: list[Check]) -> str:
    """The checks as plain text, with the system that they ran on: for a terminal, and for bug reports."""
    where = "without a webui" if host.name == "alone" else f"in {host.name} {host.version}".rstrip()
    lines = [
        f"SameFace {lib_lora.__version__}, {where}",
        f"{platform.platform()}, Python {platform.python_version()}",
        "",
    ]
    for one in found:
        lines.append(f"[{_WORDS[one['tone']]}] {one['name']}: {one['text']}")
        if one["mend"]:
            lines.append(f"    What to do: {one['mend']}")
    return "\n".join(lines)


def check(name: str, tone: str, text: str, mend: str = "") -> Check:
    """One of the `checks`."""
    return {"name": name, "tone": tone, "text": text, "mend": mend}


def _webui(host: Host) -> tuple[list[Check], set[str]]:
    """What this webui is, and what it does not have; with the names of the features that this costs."""
    if host.name == "alone":
        return [], set()
    lacks = host.lacks()
    said = [check("Webui", "good", f"{host.name} {host.version}".rstrip() + ".")]
    return [*said, *(check(one.name, "warn", one.text, one.mend) for one in lacks)], {one.name for one in lacks}


def _python(host: Host, root: Path) -> Iterator[Check]:
    command, variables = worker_command(host, root), worker_environment(host, root)
    own = Path(command[0]) == Path(sys.executable)
    version, absent = machine.lacks(command, variables)
    yield check("Python that trains", "good", f"Python {version}: {command[0]}")
    if not absent:
        yield check("Packages", "good", "All packages needed for training are installed.")
    elif own:
        yield check("Packages", "bad", f"Missing for training: {', '.join(absent)}.{_why()}", _mend(host, absent))
    else:
        typed = _typed(command[0], "-m", "pip", "install", *_lines(absent))
        yield check("Packages", "bad", f"Missing from the Python that trains: {', '.join(absent)}.", f"Type: {typed}")
    if own and not absent and (note := packages.note()):
        yield check("Last installation", "warn", note)


def _why() -> str:
    note = packages.note()
    return f" The last installation failed: {note}" if note else ""


def _mend(host: Host, absent: list[str]) -> str:
    if host.name == "alone":
        pip = [sys.executable, "-m", "pip", "install"]
        if importlib.util.find_spec("pip") is None:  # as in what uv makes
            pip = ["uv", "pip", "install", "--python", sys.executable]
        return f"Type: {'python -m lib_lora try' if environment.SOURCE else _typed(*pip, *_lines(absent))}"
    install = _typed(sys.executable, str(environment.ROOT / "install.py"))
    names = {environment.parse(line)[0] for line in environment.requirements("worker")}
    if set(absent) <= names:
        return f"Start the webui without --skip-install and --skip-prepare-environment, or type: {install}"
    return (
        f"The webui itself has lost {', '.join(sorted(set(absent) - names))}: start it without --skip-install, so that "
        "it installs its own packages again."
    )


def _lines(names: list[str]) -> list[str]:
    """The requirement lines of these packages: for the user's own Python, the newest versions that fit."""
    return [line for line in environment.needed() if environment.parse(line)[0] in names]


def _typed(*words: str, system: str = os.name) -> str:
    """A command as this system's shell reads it."""
    import shlex

    if system != "nt":
        return shlex.join(words)
    # list2cmdline quotes for programs; to the shells of Windows, a bare > in "torch>=2.1" names a file to write
    return " ".join(f'"{word}"' if set(word) & set("<>|&^") else subprocess.list2cmdline([word]) for word in words)


def _gpu(host: Host, root: Path) -> Iterator[Check]:
    smallest = usual_family()
    card = smallest.memory.card
    choice = machine.training_device(worker_command(host, root), worker_environment(host, root))
    if choice.tone == "bad" or not choice.memory:
        yield check("GPU", choice.tone, choice.text, choice.mend)
    elif choice.memory < card * _GB:
        text = f"{choice.text} It has {size(choice.memory)} of memory; {card} GB are needed for {smallest.full_name}."
        yield check("GPU", "warn", text, "Train with batch size 1, gradient checkpointing and a small resolution.")
    else:
        text = f"{choice.text} It has {choice.memory / _GB:.0f} GB of memory, {size(choice.free)} free now."
        yield check("GPU", choice.tone, text, choice.mend)


def _disk(root: Path) -> Iterator[Check]:
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    tone = "bad" if free < _NEEDED else "warn" if free < _ROOM else "good"
    mend = "" if tone == "good" else "Free some space, or move the data folder to another disk."
    yield check("Disk", tone, f"{size(free)} are free where {root} is.", mend)


def _folder(name: str, path: Path) -> Iterator[Check]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        text = f"{path} cannot be written ({error.strerror or error})."
        yield check(name, "bad", text, "Change its permissions, or choose another folder.")
    else:
        yield check(name, "good", f"{path} can be written.")


def _loras(host: Host) -> Iterator[Check]:
    folders = host.roots().loras
    if folders:
        yield from _folder("LoRA folder", folders[0])
    else:
        text = "The webui shows no LoRAs: its built-in extension Lora is turned off."
        yield check("LoRA folder", "warn", text, "Turn it on under Extensions, and restart the webui.")


def _faces() -> Iterator[Check]:
    lost = [name for name in _FACES if not (_LIKENESS / name).is_file() or (_LIKENESS / name).stat().st_size < 1000]
    if lost:
        text = f"Faces cannot be compared: {', '.join(lost)} in {_LIKENESS} is missing or cut off."
        yield check("Face models", "bad", text, "Install SameFace again.")
    else:
        yield check("Face models", "good", "YuNet and SFace are installed, and work offline.")


def _bases(host: Host) -> Iterator[Check]:
    paths = [checkpoint.path for checkpoint in host.checkpoints()]
    own = [path for path in paths if environment.ROOT not in path.parents or host.name != "alone"]
    folders = host.roots().checkpoints
    if host.name == "alone":
        mend = "Start with --models FOLDER, the folder of your base models."
    else:
        mend = f"Put a Stable Diffusion checkpoint into {folders[0]}." if folders else ""
    if own:
        yield check("Base models", "good", "1 base model." if len(own) == 1 else f"{len(own)} base models.")
    elif paths:
        yield check("Base models", "warn", "There is only the small test model, which paints 128 x 128 pixels.", mend)
    else:
        yield check("Base models", "bad", "There is no base model to train on.", mend)


def _queue(supervisor: Supervisor | None) -> Iterator[Check]:
    if supervisor is None:
        return
    if supervisor.active:
        yield check(
            "Queue", "warn" if supervisor.reason else "good", supervisor.reason or "Jobs are run by this process."
        )
    else:
        yield check("Queue", "bad", supervisor.reason or "Jobs are not run.")
