"""What is set for all characters on one data folder: ``settings.json``. Shared by the tab, the routes and the host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora import settings
from lib_lora.deploy import comfyui
from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.ui import paths
from lib_lora.ui.answers import forbidden
from lib_lora.ui.desk import Call, Desk, Route, get, post

FILE = "settings.json"
PATHS = ("comfyui", "worker_python")


@dataclass(frozen=True)
class Settings:
    """All of them.

    Attributes:
        allow_painting: the webui may paint while something trains; both are slower then, and memory may run out.
        then_test: a training is followed by its test.
        comfyui: ComfyUI's folder; empty = none.
        worker_python: the Python that trains; empty = the webui's own.
        engine: the face engine; empty = the one that comes with SameFace.
    """

    allow_painting: bool = False
    then_test: bool = True
    comfyui: str = ""
    worker_python: str = ""
    engine: str = ""


@dataclass(frozen=True)
class SettingsChange:
    """What shall be another; null = as it is."""

    allow_painting: bool | None = None
    then_test: bool | None = None
    comfyui: str | None = None
    worker_python: str | None = None
    engine: str | None = None


def routes() -> list[Route]:
    """Both."""
    return [get("/settings", shown), post("/settings", change, SettingsChange)]


def load(root: Path) -> Settings:
    """The settings of a data folder.

    Raises:
        UserError: the file is damaged.
    """
    path = root / FILE
    if not path.is_file():
        return Settings()
    return settings.from_dict(Settings, read_json(path), str(path))


def shown(desk: Desk, _call: Call) -> dict[str, Any]:
    """All settings."""
    return settings.to_dict(load(desk.root))


def change(desk: Desk, call: Call) -> dict[str, Any]:
    """Change some settings."""
    before = load(desk.root)
    given = {key: value for key, value in settings.to_dict(call.body).items() if value is not None}
    for key in (*PATHS, "engine"):
        if key in given:
            given[key] = given[key].strip()
    changed = {key: value for key, value in given.items() if value != getattr(before, key)}
    if desk.host.remote() and (set(changed) & {*PATHS, "engine"}):
        raise forbidden("This webui is open to other machines, so no path or program can be set here.")
    if changed.get("comfyui"):
        comfyui.folder(paths.free_path(desk.host, changed["comfyui"], "ComfyUI's folder"))
    if changed.get("worker_python"):
        program = paths.free_path(desk.host, changed["worker_python"], "a Python")
        if not program.is_file():
            raise UserError(f"There is no file {program}; name the program of a Python.")
        changed["worker_python"] = str(program)
    after = replace(before, **changed)
    if after != before:
        paths.ensure_folder(desk.root)
        write_json(desk.root / FILE, settings.to_dict(after))
    return settings.to_dict(after)
