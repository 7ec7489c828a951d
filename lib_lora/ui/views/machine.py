"""Finds the GPU without loading torch, and the Python that trains by running it.

Both are asked at most once in a while, since the page asks whenever somebody looks.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from lib_lora.errors import UserError
from lib_lora.setup.environment import ROOT
from lib_lora.training.plan.device_choice import DeviceChoice, TorchFacts, choose
from lib_lora.training.plan.graphics_cards import machine_facts, nvidia_card, run

_ASKED = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from lib_lora.setup import packages; "
    "print(json.dumps([list(sys.version_info[:3]), packages.absent()]))"
)
_DEVICES = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from dataclasses import asdict; "
    "from lib_lora.training.distributed import torch_facts; print(json.dumps(asdict(torch_facts(with_memory=True))))"
)
_PATIENCE = 90.0  # seconds for torch to load, on a slow disk
_KEPT = 60.0  # seconds
T = TypeVar("T")


class _Kept(Generic[T]):
    """What a look has found, or how it failed, for a minute from then on. One that is going on is awaited."""

    def __init__(self, measure: Callable[..., T]) -> None:
        self._measure = measure
        self._lock = Lock()
        self._found: dict[tuple[object, ...], tuple[Future[T], list[float]]] = {}  # with when it ended

    def __call__(self, *asked: object) -> T:
        with self._lock:
            now = time.monotonic()
            self._found = {key: one for key, one in self._found.items() if not one[1] or now - one[1][0] < _KEPT}
            mine = asked not in self._found
            future, ended = self._found.setdefault(asked, (Future(), []))
        if mine:
            try:
                future.set_result(self._measure(*asked))
            except BaseException as error:
                future.set_exception(error)
            finally:
                ended.append(time.monotonic())
        return future.result()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found = {}


def gpu_name() -> str:
    """Of the first GPU: as torch calls it, where the webui has loaded it, else its driver's tool; empty = none."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    card = nvidia_card()
    if card:
        return card.name
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple GPU"
    return "AMD GPU" if shutil.which("rocm-smi") else ""


def has_gpu() -> bool | None:
    """Whether there is one; None until that is known, since a driver's tool may take seconds."""
    checking = _checking()
    return checking.result() if checking.done() else None


@lru_cache(maxsize=1)
def _checking() -> Future[bool | None]:
    """Asked once: it does not change."""
    found: Future[bool | None] = Future()

    def measure() -> None:
        try:
            found.set_result(bool(gpu_name()))
        except Exception:  # a broken driver: the doctor says it
            found.set_result(None)

    Thread(target=measure, name="sameface-gpu-there", daemon=True).start()
    return found


def lacks(command: Sequence[str], variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """The version of the Python that trains, and the packages that it lacks. It is run for this.

    Args:
        command: starts it.
        variables: its environment.

    Raises:
        UserError: it does not run.
    """
    return _lacks(tuple(command), tuple(sorted(variables.items())))


@_Kept
def _lacks(command: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> tuple[str, list[str]]:
    said = run([*command, "-c", _ASKED, str(ROOT)], dict(variables))
    try:
        version, absent = json.loads(said)
    except ValueError as error:
        raise UserError(
            f"{command[0]} does not run as Python 3.10 or newer.", code="worker-python-outdated", program=command[0]
        ) from error
    return ".".join(map(str, version)), absent


def training_device(command: Sequence[str], variables: Mapping[str, str]) -> DeviceChoice:
    """What a training would use, and why: its Python is run and loads torch for this, which takes seconds.

    Args:
        command: starts the Python that trains.
        variables: its environment.

    Raises:
        UserError: it did not answer.
    """
    return _training_device(tuple(command), tuple(sorted(variables.items())))


@_Kept
def _training_device(command: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> DeviceChoice:
    return choose(_torch_facts(command, dict(variables)), machine_facts())


def _torch_facts(command: Sequence[str], variables: Mapping[str, str]) -> TorchFacts:
    said = run([*command, "-c", _DEVICES, str(ROOT)], variables, _PATIENCE)
    try:
        said_last = json.loads(said.splitlines()[-1])  # torch's packages print things as they load
        values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in said_last.items()}
        return TorchFacts(**values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{command[0]} did not say which devices its torch can use; start it by hand and type: import torch",
            code="devices-unknown",
            program=command[0],
        ) from error
