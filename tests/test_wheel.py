"""The built package in environments of its own: the page opens in a browser, and ``try`` trains, from another folder.

Of SameFace only what is in the wheel can be seen. In the first environment, the other packages are those of the
environment that runs the tests: A1111's on Python 3.10 (``--pins``), and the newest on Python 3.13 (``--newest``). The
others are bare, of the oldest and the newest Python, and one of conda's: uv installs the wheel with all it needs from
its cache or the package index, but leaves out what computes (6 GB with CUDA), unless the variable SAMEFACE_INSTALL is
"all". Where there is no network, no uv or not that Python, they are skipped; with "all", they fail.
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
from typing import NoReturn

import pytest

from lib_lora.errors import UserError
from lib_lora.setup import bootstrap, environment, package_installer

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("lib_lora", "javascript", "requirements", "tests/data/mini-face", "tests/data/personas/mara")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "style.css", "README.md", "LICENSE", "NOTICE", "install.py")
LONGEST = 240.0  # seconds
TRAINS = "lib_lora.training.loop"  # what needs torch in the first environment
COMPUTES = ("torch", "diffusers", "peft", "transformers", "accelerate", "open_clip_torch")
EVERYTHING = os.environ.get("SAMEFACE_INSTALL") == "all"
RATTLER = "py-rattler>=0.28,<0.29"  # its interface still changes from release to release
UNREACHABLE = (
    r"Failed to fetch|was not found in the package registry|Could not find a version|error sending request|dns error"
    r"|Network is unreachable|timed out"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    top = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        shutil.copytree(ROOT / name, top / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, top / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    if int(importlib.metadata.version("setuptools").split(".")[0]) >= 77:  # an older one, as A1111 has, cannot build it
        command += ["--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(top), str(top / "source")], capture_output=True, text=True, check=False)
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        lacks("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    return next(top.glob("*.whl"))


@pytest.mark.once("what is in it is the same whatever builds it")
def test_it_carries_every_file_of_the_package(built: Path) -> None:
    """Templates and models too, which setuptools leaves out unless each folder of them is named."""
    with zipfile.ZipFile(built) as archive:
        names = {name for name in archive.namelist() if name.startswith("lib_lora/")}
    package = [path for path in (ROOT / "lib_lora").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in package} - names == set()


@pytest.mark.once("what is in it is the same whatever builds it")
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
    env = tmp_path_factory.mktemp("shared") / "env ü"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment.python_of(env)), "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--quiet", str(built)], check=True)
    places = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    environment.site_packages(env)[0].joinpath("others.pth").write_text("\n".join(places), encoding="utf-8")
    asked = f"import importlib.util; print(importlib.util.find_spec({TRAINS!r}).origin)"
    words = [str(environment.python_of(env)), "-c", asked]
    said = subprocess.check_output(words, cwd=env, env=_variables(), encoding="utf-8")
    assert Path(said.strip()).is_relative_to(env)  # and not what the environment that runs the tests may have of it
    return command(env)


@pytest.fixture(scope="module", params=["3.10", "3.13", "conda"])
def bare(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``sameface`` of a bare environment that uv has filled."""
    uv = package_installer.uv_command()
    if not uv:
        lacks("needs uv")
    home = tmp_path_factory.mktemp("bare")
    env, left_out = home / "env 名前", home / "left out.txt"
    if request.param == "conda":
        make_as_conda(uv, home, env)
    else:
        make_bare(request.param, env)
    lines = [] if EVERYTHING else [f"{name} ; python_version < '3'\n" for name in COMPUTES]
    left_out.write_text("".join(lines), encoding="utf-8")
    wheel = f"sameface[opencv,ui] @ {built.as_uri()}"
    install = [*uv, "pip", "install", "--python", str(environment.python_of(env)), "--override", str(left_out), wheel]
    run_uv(install)
    return command(env)


def make_bare(version: str, env: Path) -> None:
    try:
        python = bootstrap.find_python(tuple(map(int, version.split("."))))
    except UserError as error:
        lacks(str(error))
    subprocess.run([python, "-m", "venv", "--without-pip", str(env)], check=True)


def make_as_conda(uv: list[str], place: Path, env: Path) -> None:
    """Of the Python that runs this, as a package of conda; those of conda's own channels are not asked for."""
    if sys.platform != "linux":
        pytest.skip("the package of conda is made as on Linux")
    script = ROOT / "tests" / "helpers" / "conda_environment.py"
    tool = [*uv, "run", "--no-project", "--quiet", "--python", sys.executable, "--with", RATTLER]
    run_uv([*tool, str(script), str(place), str(env)])
    assert list(env.glob("conda-meta/python-*.json"))


def run_uv(words: list[str]) -> None:
    done = subprocess.run(words, env=_variables(), capture_output=True, text=True, check=False)
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        lacks("the package index cannot be reached, and uv's cache does not have all packages")
    assert done.returncode == 0, done.stderr


def lacks(what: str) -> NoReturn:
    """Skips; fails where these tests are what the machine is there for."""
    if EVERYTHING:
        pytest.fail(what)
    pytest.skip(what)


def command(env: Path) -> Path:
    return environment.python_of(env).with_name("sameface.exe" if os.name == "nt" else "sameface")


def _variables() -> dict[str, str]:
    """Those of a user's terminal: without PYTHONPATH, which would put the source folder before what is installed."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SAMEFACE_"))}
    return variables | {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}


@contextmanager
def _running(program: Path, folder: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        command = [str(program), *map(str, words), "--data", str(folder / "data")]
        child = subprocess.Popen(command, cwd=folder, env=_variables(), stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_the_page_opens_from_another_folder(program: Path, tmp_path: Path, chromium) -> None:
    _page_opens(program, tmp_path, chromium)


@pytest.mark.once("the environments are the same whatever runs the tests")
@pytest.mark.parametrize("bare", ["3.10", "3.13"], indirect=True)  # what conda does otherwise meets the Doctor alone
def test_the_page_opens_in_a_bare_environment(bare: Path, tmp_path: Path, chromium) -> None:
    _page_opens(bare, tmp_path, chromium)


@pytest.mark.once("the environments are the same whatever runs the tests")
def test_the_doctor_says_what_a_bare_environment_lacks(bare: Path, tmp_path: Path) -> None:
    doctor = [str(bare), "doctor", "--data", str(tmp_path / "data")]
    said = subprocess.run(doctor, cwd=tmp_path, env=_variables(), capture_output=True, encoding="utf-8")
    if EVERYTHING:
        assert "[fine] Packages: " in said.stdout
        return
    assert said.returncode == 1
    assert f"[does not work] Packages: Missing for training: {', '.join(COMPUTES)}." in said.stdout
    assert re.search(
        r"""What to do: Type: uv pip install --python (["']).+\1 (["'])torch\S+\2 (["'])diffusers\S+\3""", said.stdout
    )
    assert "Training cannot start: the Python that trains has no torch that loads." in said.stdout


@pytest.mark.skipif(not EVERYTHING, reason="bare environments have no torch unless SAMEFACE_INSTALL is all")
def test_try_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    _try_begins(bare, tmp_path)


def _page_opens(program: Path, tmp_path: Path, chromium) -> None:
    with _running(program, tmp_path, "ui", "--no-open") as child:
        assert child.stdout is not None
        address = next((found[0] for line in child.stdout if (found := re.search(r"http://\S+", line))), "")
        assert address, (tmp_path / "log.txt").read_text(encoding="utf-8")
        page = chromium.new_page()
        page.goto(address)
        page.wait_for_selector("#sameface .sf-tabs", state="visible", timeout=LONGEST * 1000)
        assert page.evaluate("getComputedStyle(document.querySelector('.sf-tabs')).display") == "flex"  # our style
        page.get_by_text("Doctor", exact=True).first.click()
        page.wait_for_selector(".sf-checks li", state="visible", timeout=LONGEST * 1000)
        if shots := os.environ.get("SAMEFACE_SHOTS"):
            page.screenshot(path=Path(shots) / f"{program.parts[-4]}.png")
        page.close()


def test_try_from_another_folder(program: Path, tmp_path: Path) -> None:
    _try_begins(program, tmp_path)


def _try_begins(program: Path, tmp_path: Path) -> None:
    """All of it is tested elsewhere, so it ends with its first step."""
    with _running(program, tmp_path, "try", "--no-open", "--steps", "9") as child:
        until = time.monotonic() + LONGEST
        events = tmp_path / "data" / "characters" / "mara" / "runs" / "001" / "events.jsonl"
        while not (events.is_file() and '"step"' in events.read_text(encoding="utf-8")):
            said = (tmp_path / "log.txt").read_text(encoding="utf-8")
            assert child.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.2)
