"""Checks what works here: the webui, Python, GPU, disk, folders, models, queue and other machines.

Loads no torch, and changes nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora import errors
from lib_lora.errors import UserError
from lib_lora.files import size
from lib_lora.hosts.host_protocol import Host
from lib_lora.messages.message import Message
from lib_lora.models.families.registry import usual_family
from lib_lora.queue.runners.local_runner import worker_command, worker_environment
from lib_lora.remote import places
from lib_lora.setup import environment
from lib_lora.ui.views import machine
from lib_lora.ui.views.doctor import package_checks
from lib_lora.ui.views.doctor.check_result import CheckResult
from lib_lora.ui.views.doctor.check_texts import ALONE_BASES, WEBUI_BASES, result

if TYPE_CHECKING:
    from lib_lora.queue.running.supervisor import Supervisor

_GB = 1 << 30
_ROOM, _NEEDED = 10 * _GB, 2 * _GB  # of disk: a training with its states and caches, and what it cannot do without
_FACES = ("yunet_2023mar.npz", "sface_2021dec.npz", "cohort.npz", "expression.npz", "unjudgeable.npz")
_LIKENESS = environment.ROOT / "lib_lora" / "faces" / "models"


def checks(host: Host, root: Path, supervisor: Supervisor | None = None) -> list[CheckResult]:
    """Check everything once.

    Args:
        host: the program around SameFace.
        root: the data folder.
        supervisor: runs the jobs; None = that is not looked at.
    """
    parts: list[tuple[str, Callable[[], Iterator[CheckResult]]]] = [
        (package_checks.PYTHON, lambda: package_checks.python(host, root)),
        ("GPU", lambda: _gpu(host, root)),
        ("Disk", lambda: _disk(root)),
        ("Data folder", lambda: _folder("Data folder", "folder", root)),
        ("LoRA folder", lambda: _loras(host)),
        ("Face models", _faces),
        ("Base models", lambda: _bases(host)),
        ("Queue", lambda: _queue(supervisor)),
        ("Other machines", lambda: _places(root)),
    ]
    found = [*_webui(host)]
    lacks = {str(one.title) for one in found}
    for name, part in parts:
        if name in lacks:
            continue  # said already, and better
        try:
            found += part()
        except UserError as error:
            found.append(CheckResult(Message(name), "bad", Message("{problem}", {"problem": str(error)}, error.code)))
        except Exception as error:  # one look that fails must not hide the others
            found.append(result(name, "check-failed", problem=f"{type(error).__name__}: {error}"))
    return found


def _webui(host: Host) -> Iterator[CheckResult]:
    """What this webui is, and the features that it does not have."""
    if host.name == "alone":
        return
    lacks = host.lacks()
    yield result("Webui", "webui", webui=f"{host.name} {host.version}".rstrip())
    for one in lacks:
        yield CheckResult(Message(one.name), "warn", one.text, one.mend)


def _gpu(host: Host, root: Path) -> Iterator[CheckResult]:
    smallest = usual_family()
    card = smallest.memory.card
    choice = machine.training_device(worker_command(host, root), worker_environment(host, root))
    if choice.tone == "bad" or not choice.memory:
        yield CheckResult(Message("GPU"), choice.tone, choice.text, choice.mend)
        return
    if choice.memory < card * _GB:
        memory, family = size(choice.memory), smallest.full_name
        yield result("GPU", "gpu-memory-small", device=choice.text, memory=memory, needed=card, family=family)
    else:
        memory, free = f"{choice.memory / _GB:.0f} GB", size(choice.free)
        found = result("GPU", "gpu-memory-free", device=choice.text, memory=memory, free=free)
        text = found.text if choice.tone == "good" else replace(found.text, code=choice.text.code)
        yield replace(found, text=text, tone=choice.tone, mend=choice.mend)


def _disk(root: Path) -> Iterator[CheckResult]:
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    code = "disk-full" if free < _NEEDED else "disk-low" if free < _ROOM else "disk-free"
    yield result("Disk", code, free=size(free), folder=str(root))


def _folder(title: str, code: str, path: Path) -> Iterator[CheckResult]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        yield result(title, f"{code}-not-writable", folder=str(path), problem=str(error.strerror or error))
    else:
        yield result(title, f"{code}-writable", folder=str(path))


def _loras(host: Host) -> Iterator[CheckResult]:
    folders = host.roots().loras
    if folders:
        yield from _folder("LoRA folder", "loras", folders[0])
    else:
        yield result("LoRA folder", "loras-not-shown")


def _faces() -> Iterator[CheckResult]:
    lost = [name for name in _FACES if not (_LIKENESS / name).is_file() or (_LIKENESS / name).stat().st_size < 1000]
    if lost:
        yield result("Face models", "face-models-damaged", files=lost, folder=str(_LIKENESS))
    else:
        yield result("Face models", "face-models-installed")


def _bases(host: Host) -> Iterator[CheckResult]:
    paths = [checkpoint.path for checkpoint in host.checkpoints()]
    own = [path for path in paths if environment.ROOT not in path.parents or host.name != "alone"]
    folders = host.roots().checkpoints
    mend = ALONE_BASES if host.name == "alone" else WEBUI_BASES if folders else ""
    if own:
        yield result("Base models", "base-model" if len(own) == 1 else "base-models", n=len(own))
    else:
        folder = str(folders[0]) if folders else ""
        yield result("Base models", "base-model-only-small" if paths else "base-model-missing", mend, folder=folder)


def _queue(supervisor: Supervisor | None) -> Iterator[CheckResult]:
    if supervisor is None:
        return
    reason = supervisor.reason
    if supervisor.active:
        yield result("Queue", "queue-waiting" if reason else "queue-active", reason=reason)
    else:
        yield result("Queue", "queue-elsewhere" if reason else "queue-inactive", reason=reason)


def _places(root: Path) -> Iterator[CheckResult]:
    """The places to train on, as they were when last inspected: inspecting one takes a connection."""
    for place in places.load(root):
        title, said = Message("Machine {name}", {"name": place.name}), places.description(place)
        if place.machine:
            yield result(title, "machine-checked", machine=said)
        else:
            typed = errors.typed("place", "check", place.name)
            yield result(title, "machine-unchecked", typed=typed, machine=said)
