"""The built package in an environment of its own: the page opens in a browser, and ``try`` trains, from another folder.

Other packages are those of the environment that runs the tests; of SameFace only what is in the wheel can be seen.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("lib_lora", "javascript", "requirements", "tests/data/mini-face", "tests/data/personas/mara")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "style.css", "README.md", "LICENSE", "NOTICE", "install.py")
LONGEST = 240.0  # seconds


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    version = importlib.metadata.version("setuptools")
    if int(version.split(".")[0]) < 77:
        pytest.skip(f"needs setuptools 77 to build a wheel, and this environment has {version}")
    top = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        shutil.copytree(ROOT / name, top / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, top / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "-w", str(top), str(top / "source")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(top.glob("*.whl"))


def test_it_carries_what_a_webui_finds_beside_the_code(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    bundled = {name.removeprefix("lib_lora/bundled/") for name in names if name.startswith("lib_lora/bundled/")}
    wanted = [
        *(path for path in (ROOT / "javascript").rglob("*") if path.is_file()),
        *(ROOT / "tests/data/mini-face").iterdir(),
        ROOT / "style.css",
    ]
    wanted += [*(ROOT / "tests/data/personas/mara").iterdir()]
    assert bundled == {path.relative_to(ROOT).as_posix() for path in wanted}
    assert not [name for name in names if name.startswith(("tests/", "javascript/", "requirements/"))]


@pytest.fixture(scope="module")
def program(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``sameface`` of an environment into which the wheel is installed."""
    env = tmp_path_factory.mktemp("bare") / "env ü"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    folder = env / ("Scripts" if os.name == "nt" else "bin")
    python = folder / ("python.exe" if os.name == "nt" else "python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(built)], check=True)
    places = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    next(env.rglob("site-packages")).joinpath("others.pth").write_text("\n".join(places), encoding="utf-8")
    return folder / ("sameface.exe" if os.name == "nt" else "sameface")


@contextmanager
def _running(program: Path, folder: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SAMEFACE_"))}
    variables |= {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        command = [str(program), *map(str, words), "--data", str(folder / "data")]
        child = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_the_page_opens_from_another_folder(program: Path, tmp_path: Path, chromium) -> None:
    with _running(program, tmp_path, "ui", "--no-open") as child:
        assert child.stdout is not None
        address = next((found[0] for line in child.stdout if (found := re.search(r"http://\S+", line))), "")
        assert address, (tmp_path / "log.txt").read_text(encoding="utf-8")
        page = chromium.new_page()
        page.goto(address)
        page.wait_for_selector("#sameface .sf-tabs", state="visible", timeout=LONGEST * 1000)
        assert page.evaluate("getComputedStyle(document.querySelector('.sf-tabs')).display") == "flex"  # our style
        page.close()


def test_try_has_its_photos_and_its_base(program: Path, tmp_path: Path) -> None:
    """All of it is tested elsewhere, so it ends with its first step."""
    with _running(program, tmp_path, "try", "--no-open", "--steps", "9") as child:
        until = time.monotonic() + LONGEST
        events = tmp_path / "data" / "characters" / "mara" / "runs" / "001" / "events.jsonl"
        while not (events.is_file() and '"step"' in events.read_text(encoding="utf-8")):
            said = (tmp_path / "log.txt").read_text(encoding="utf-8")
            assert child.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.2)
