"""Answers the routes of the settings for all characters of a data folder, which ``settings.json`` holds.

The tab, the routes and the host share these settings.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora import typed_settings
from lib_lora.deploy import comfyui
from lib_lora.errors import UserError
from lib_lora.remote.renting.user_currency import checked_rate
from lib_lora.ui.http import paths
from lib_lora.ui.http.confirmation import confirm
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about, forbidden
from lib_lora.workspace.preferences import change as keep_changes
from lib_lora.workspace.preferences import load

PATHS = ("comfyui", "worker_python")
_LONGEST = 60.0  # seconds that a Python may take to answer


@dataclass(frozen=True)
class SettingsChange:
    """Settings to change; null leaves one as it is. `worker_python` and `comfyui` need the code that 428 requests."""

    allow_painting: bool | None = None
    then_test: bool | None = None
    comfyui: str | None = None
    worker_python: str | None = None
    engine: str | None = None
    currency: str | None = None
    per_usd: float | None = None
    code: str = ""


def routes() -> list[Route]:
    """The routes that read and change the settings."""
    return [get("/settings", read_settings), post("/settings", change, SettingsChange)]


def read_settings(context: RequestContext, _call: Call) -> dict[str, Any]:
    """All settings."""
    return typed_settings.to_dict(load(context.root))


def change(context: RequestContext, call: Call) -> dict[str, Any]:
    """Change some settings."""
    before = load(context.root)
    given = {key: value for key, value in typed_settings.to_dict(call.body).items() if value is not None}
    code = given.pop("code")
    for key in (*PATHS, "engine"):
        if key in given:
            given[key] = given[key].strip()
    changed = {key: value for key, value in given.items() if value != getattr(before, key)}
    if context.host.remote() and (set(changed) & {*PATHS, "engine"}):
        raise forbidden("This webui is open to other machines, so no path or program can be set here.")
    if set(changed) & {"currency", "per_usd"}:
        rate = checked_rate(changed.get("currency", before.currency), changed.get("per_usd", before.per_usd))
        changed |= {"currency": rate.currency, "per_usd": float(rate.per_usd)}
    asked = []
    if changed.get("comfyui"):
        with about("comfyui"):
            folder = comfyui.folder(paths.free_path(context.host, changed["comfyui"], "ComfyUI's folder"))
        asked.append(f"copy LoRAs into {folder}")
    if changed.get("worker_python"):
        with about("worker_python"):
            program = paths.free_path(context.host, changed["worker_python"], "a Python")
            if not program.is_file():
                raise UserError(
                    f"{program} does not exist; name a Python executable.",
                    code="worker-python-missing",
                    program=program,
                )
        changed["worker_python"] = str(program)
        asked.append(f"run the program {program} as the Python that trains")
    if asked:
        confirm(context, " and to ".join(asked), code)
    if changed.get("worker_python"):
        with about("worker_python"):
            _see_python(Path(changed["worker_python"]))
    return typed_settings.to_dict(keep_changes(context.root, **changed) if changed else before)


def _see_python(program: Path) -> None:
    """Raises: UserError: it is not a Python that can run the worker's packages."""
    needed = ("torch", "diffusers", "transformers", "peft")
    asked = (
        "import sys, importlib.util as of; "
        "print(*sys.version_info[:2], *(name for name in sys.argv[1:] if not of.find_spec(name)))"
    )
    command = [str(program), "-I", "-c", asked, *needed]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LONGEST, check=True, stdin=subprocess.DEVNULL
        )
        major, minor, *lacking = done.stdout.split()
        old = (int(major), int(minor)) < (3, 10)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{program} does not answer as a Python does; name a Python executable.",
            code="worker-python-not-python",
            program=program,
        ) from error
    if old:
        raise UserError(
            f"{program} is Python {major}.{minor}; the worker needs 3.10 or newer.",
            code="worker-python-outdated",
            program=program,
        )
    if lacking:
        raise UserError(
            f"{program} lacks {', '.join(lacking)}; install them there, or name another Python.",
            code="worker-python-incomplete",
            program=program,
            packages=lacking,
        )
