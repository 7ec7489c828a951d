"""What the test wants of the stand-in (variable SAMEFACE_STANDIN, JSON), and what happened in it."""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import sys
import threading
from typing import Any

_GIVEN: dict[str, Any] = json.loads(os.environ["SAMEFACE_STANDIN"])
KIND: str = _GIVEN["kind"]  # "a1111", "ux", "forge", "neo" or "reforge"
FORGES = KIND in ("forge", "neo")
PATCHES = FORGES or KIND == "reforge"  # a model with LoRAs is a patched copy of it
DATA: str = _GIVEN["data"]
EXTENSIONS: list[str] = _GIVEN.get("extensions", [])  # folders with scripts/, javascript/, style.css
FLAGS: dict[str, Any] = _GIVEN.get("flags", {})  # of the command line, with underscores
OPTIONS: dict[str, Any] = _GIVEN.get("options", {})  # as if from config.json
PAINTER: str = _GIVEN.get("painter", "")  # FILE.py:FUNCTION(prompt, negative, seed, loras, (width, height), steps, cfg)

PRESENT: list[str] = _GIVEN.get("present", [])  # names as in lib_lora.hosts.webui_attributes that this webui has,
ABSENT: list[str] = _GIVEN.get("absent", [])  # and that it lacks

EVENTS: list[str] = []  # in the order in which it happened
_inner = threading.Lock()


class _Package:
    """Finds modules of the stand-in that are nothing but what `PRESENT` names; and none that `ABSENT` leaves empty."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> Any:
        if name not in {_full(one) for one in PRESENT} - {_full(one) for one in ABSENT}:
            return None
        return importlib.machinery.ModuleSpec(name, _Package)  # type: ignore[arg-type]

    @staticmethod
    def create_module(_spec: Any) -> None:
        return None

    @staticmethod
    def exec_module(_module: Any) -> None:
        return None


def _full(name: str) -> str:
    module = name.partition(":")[0]
    return module if "." in module or module in ("networks", "network") else f"modules.{module}"


def shape() -> None:
    """Make this webui the one of `KIND`: what it lacks goes, and what it has beyond the stand-in's own raises."""
    sys.meta_path.append(_Package)  # after all others
    for name in PRESENT:
        *way, last = name.partition(":")[2].split(".")
        place = importlib.import_module(_full(name))
        for step in way:
            place = getattr(place, step, None)
        if place is not None and not hasattr(place, last) and name not in ABSENT:
            setattr(place, last, _missing(name))
    for name in ABSENT:
        remove(name)


def remove(name: str) -> None:
    """Take an attribute away."""
    *way, last = name.partition(":")[2].split(".")
    place = sys.modules.get(_full(name))
    for step in way:
        place = getattr(place, step, None)
    if place is None:
        return
    if hasattr(place, "data_labels"):  # the webui's options
        place.data.pop(last, None), place.data_labels.pop(last, None)
    if last in vars(place):
        delattr(place, last)
    elif last in vars(type(place)):
        delattr(type(place), last)


def _missing(name: str) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise NotImplementedError(f"the stand-in does not do {name}")

    return call


def note(event: str) -> None:
    """One more thing that happened."""
    with _inner:
        EVENTS.append(event)
