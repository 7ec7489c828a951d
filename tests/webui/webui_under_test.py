"""The webui in SAMEFACE_WEBUI: which one it is, how it is started on a processor, and a base model that it accepts.

A1111 reads a small model by its ``.yaml``; Forge and its descendants know no sizes but the usual ones. For those
SAMEFACE_WEBUI_BASE names a checkpoint of Stable Diffusion 1.5's sizes (`tools.mini.wide` makes one that paints faces).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import STARTED

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
FLAGS = ("--skip-prepare-environment", "--skip-python-version-check", "--skip-torch-cuda-test", "--skip-version-check")
_A1111 = ("--no-half", "--precision", "full", "--use-cpu", "all", "--no-download-sd-model", "--do-not-download-clip")
_ON_A_PROCESSOR = {
    "a1111": _A1111,
    "forge": ("--always-cpu", "--all-in-fp32"),
    "neo": ("--cpu", "--force-fp32"),
    "reforge": ("--always-cpu", "--all-in-fp32"),
}


def folder() -> Path:
    """The webui's folder."""
    return Path(os.environ["SAMEFACE_WEBUI"]).resolve()


def kind() -> str:
    """Which webui it is, by its files."""
    version = folder() / "modules_forge" / "forge_version.py"
    if version.is_file() and 'version = "neo"' in version.read_text(encoding="utf-8"):
        return "neo"
    if (folder() / "backend").is_dir() and version.is_file():
        return "forge"
    return "reforge" if (folder() / "ldm_patched").is_dir() else "a1111"


def with_ux() -> bool:
    """Whether the UX extension is in it: among those built in, since the tests' data folder has its own extensions."""
    return (folder() / "extensions-builtin" / "sd-webui-ux").is_dir()


def base() -> Path:
    """The base model that it can paint with."""
    if kind() == "a1111":
        return MINI
    named = os.environ.get("SAMEFACE_WEBUI_BASE", "")
    if not named:
        pytest.skip(f"SAMEFACE_WEBUI_BASE names no base model that {kind()} accepts")
    return Path(named)


@contextmanager
def started(home: Path, checkpoint: Path, seconds: float = 600) -> Iterator[int]:
    """The port of the webui with a data folder of its own, until the block ends.

    Args:
        home: the data folder; its log is ``log.txt``.
        checkpoint: in the data folder; selected.
        seconds: that its start may take.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inside = folder() / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    python = os.environ.get("SAMEFACE_WEBUI_PYTHON", str(inside))
    flags = [*FLAGS, *_ON_A_PROCESSOR[kind()], "--api", "--port", str(port), "--data-dir", str(home)]
    if kind() == "neo":  # it selects by its settings, and asks on the console about those of another version
        flags += ["--ui-settings-file", str(home / "config.json")]
        settings = {"VERSION_UID": "PY313", "sd_model_checkpoint": checkpoint.name}
        (home / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    else:
        flags += ["--ckpt", str(checkpoint)]
    if kind() == "reforge":  # its usual previews need a model that it would download
        (home / "config.json").write_text(json.dumps({"show_progress_type": "Approx cheap"}), encoding="utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUTF8": "1"}
    environment["PYTHONUNBUFFERED"] = "1"
    environment.pop("PYTHONPATH", None)
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [python, "launch.py", *flags],
            cwd=folder(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + seconds
    try:
        # A request while it starts could end it, see docs/webui.md.
        while STARTED not in (said := (home / "log.txt").read_text(encoding="utf-8", errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the webui did not start: " + said[-3000:])
            time.sleep(1)
        yield port
    finally:
        process.kill()
        process.wait()
