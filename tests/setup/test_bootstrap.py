"""The private environment: what is missing, making, mending and re-entering it, and the sentence for each failure."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import venv
import zipfile
from pathlib import Path

import pytest
import wheels
from faults import raises
from packaging.specifiers import SpecifierSet

from lib_lora import __main__ as entry
from lib_lora.setup import bootstrap, environment
from lib_lora.setup.package_installer import explain

posix = pytest.mark.skipif(os.name == "nt", reason="uses shell scripts and signals of POSIX")


def put(folder: Path, *names: str) -> Path:
    """Metadata folders such as pip leaves, e.g. ``torch-2.1.2.dist-info``."""
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


def test_the_tests_processes_keep_what_they_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages are installed uncompiled, and each of hundreds of processes would compile torch anew."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = []

    def enter(purpose: str, argv: list[str]) -> int:
        seen.append(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        return 0

    monkeypatch.setattr(bootstrap, "enter", enter)
    assert entry._run(["test", "--pins"]) == 0  # `main` changes this process's output streams
    assert seen == [None]


# ------------------------------------------------------------------------------------------------- lists of packages


STANDIN = {"gradio", "fastapi", "huggingface-hub", "transformers", "diffusers", "torch"}


@pytest.mark.parametrize("purpose", environment.PURPOSES)
def test_every_line_of_the_requirement_files_is_plain(purpose: str) -> None:
    lines = environment.requirements(purpose)
    assert any(line.startswith(("torch", "diffusers")) for line in lines)
    for line in lines:
        name, bounds = environment.parse(line)
        assert name
        assert bounds, f"{line}: no bound"
    names = [environment.parse(line)[0].lower() for line in lines]
    twice = {name for name in names if names.count(name) > 1}
    assert twice == (STANDIN if purpose == "test" else set())  # bounded again by standin.txt


def test_the_ranges_admit_a1111s_pins() -> None:
    pins = [environment.parse(line) for line in environment.requirements("a1111")]
    ranges = dict(environment.parse(line) for line in environment.requirements("run"))
    ranges = {name.replace("_", "-").lower(): wanted for name, wanted in ranges.items()}
    compared = 0
    for name, wanted in pins:
        if wanted.startswith("==") and name.lower() in ranges:
            assert SpecifierSet(ranges[name.lower()]).contains(wanted.removeprefix("==")), name
            compared += 1
    # torch, diffusers, peft, transformers, accelerate, safetensors, open_clip, numpy, Pillow, opencv
    assert compared == 10


def test_pyproject_admits_the_same_pythons() -> None:
    text = (environment.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (first, beyond) = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', text, re.MULTILINE)[0]
    assert ((3, int(first)), (3, int(beyond) - 1)) == entry.SUPPORTED
    assert environment.PYTHONS["newest"] == entry.SUPPORTED[1]  # not every newest release runs on older ones


@pytest.mark.parametrize("line", ["torch @ file:///x", "-r base.txt", "numpy; python_version<'3'", "a[b]>=1", "a~=1.0"])
def test_a_fancier_requirement_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(line))):
        environment.parse(line)


@pytest.mark.parametrize(
    ("wanted", "version", "holds"),
    [
        (">=2.1,<3", "2.1.2+cu121", True),
        (">=2.1,<3", "2.1", True),
        (">=2.1,<3", "2.0.9", False),
        (">=2.1,<3", "3.0", False),
        ("<3", "2.10", True),
        ("==2.1.0", "2.1", True),
        ("==2.1", "2.1.1", False),
        (">=2.1", "2.1.0a0+git", True),  # NVIDIA's containers have such a torch
        ("<0.116", "0.116.0rc1", False),
        (">=1", "by hand", False),
        (">=0.31,<0.36", "0.31.0.custom", True),
        (">=0.31,<0.36", "0.36.0.custom", False),
        ("==0.31.0", "0.31.0_mine", True),
        ("", "0.1", True),
    ],
)
def test_ranges_mean_what_pip_means(wanted: str, version: str, holds: bool) -> None:
    assert environment.admits(wanted, version) == holds


def test_without_packaging_only_names_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "a", "torch-1.0.dist-info")
    lines = ["torch>=2.1", "packaging>=21"]
    assert environment.missing(lines, [folder]) == ["torch", "packaging"]
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    assert environment.missing(lines, [folder]) == ["packaging"]


@pytest.mark.parametrize("purpose", ["run", "try", "test"])
def test_who_has_all_packages_has_packaging(purpose: str) -> None:
    """So a Python that cannot compare versions is never taken for one that lacks nothing."""
    assert "packaging" in [environment.parse(line)[0] for line in environment.requirements(purpose)]


def test_installed_agrees_with_the_standard_library() -> None:
    ours = environment.installed(sys.path)
    for name in ("torch", "diffusers", "open_clip_torch", "Pillow", "PyYAML", "huggingface-hub", "pytest"):
        assert ours[name.lower().replace("_", "-")] == importlib.metadata.version(name)


def test_missing_names_what_is_absent_or_out_of_range(tmp_path: Path) -> None:
    first = put(tmp_path / "a", "torch-2.1.2+cu121.dist-info", "Py_Yaml-6.0-py3.10.egg-info")
    second = put(tmp_path / "b", "torch-1.0.dist-info", "diffusers-0.36.0.dist-info", "numpy-2.0.0rc1.dist-info")
    lines = ["torch>=2.1,<3", "diffusers>=0.31,<0.36", "py-yaml>=6", "numpy>=2", "peft>=0.13.2"]
    assert environment.missing(lines, [tmp_path / "nowhere", first, second]) == ["diffusers", "peft"]
    assert environment.missing(lines, [second, first]) == ["torch", "diffusers", "peft"]


def test_any_of_the_four_opencv_packages_will_do(tmp_path: Path) -> None:
    line = ["opencv-python-headless>=4.8"]
    assert environment.missing(line, [tmp_path]) == ["opencv-python-headless"]
    put(tmp_path, "opencv_contrib_python-4.11.0.86.dist-info")
    assert environment.missing(line, [tmp_path]) == []


# --------------------------------------------------------------------------------------- the environment and its marker


def test_the_environment_lies_in_the_checkout_or_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMEFACE_ENV", raising=False)
    here = "{}.{}".format(*sys.version_info)
    assert environment.environment("try", Path("/x")) == Path("/x/.sameface") / f"venv-{here}"
    assert environment.environment("run", Path("/x")) == environment.environment("try", Path("/x"))
    assert environment.environment("test", Path("/x")) == Path("/x/.sameface") / f"test-{here}"
    assert environment.environment("a1111", Path("/x")) == Path("/x/.sameface/a1111-3.10")
    assert environment.environment("newest", Path("/x")) == Path("/x/.sameface/newest-3.13")
    monkeypatch.setenv("SAMEFACE_ENV", str(Path("/y/my env").absolute()))
    assert environment.environment("test") == Path("/y/my env").absolute()
    assert environment.environment("a1111") == Path("/y/my env-a1111-3.10").absolute()


def test_ready_only_with_marker_packages_and_a_living_python(tmp_path: Path) -> None:
    env, lines = tmp_path / "env", ["torch>=2.1"]
    home = tmp_path / "base"
    home.mkdir()
    python = environment.python_of(env)
    python.parent.mkdir(parents=True)
    python.touch()
    site = env / "Lib" / "site-packages" if os.name == "nt" else env / "lib" / "python3.11" / "site-packages"
    put(site, "torch-2.2.0.dist-info")
    (env / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.7\n", encoding="utf-8")
    assert not environment.ready(env, lines)  # pip never came to its end
    (env / environment.MARKER).write_text("torch>=2.1\nnumpy>=1\n", encoding="utf-8")
    assert environment.ready(env, lines)
    assert not environment.ready(env, ["torch>=2.2"])  # the list has changed since
    assert not environment.ready(env, [*lines, "numpy>=1"])  # somebody uninstalled numpy
    home.rmdir()
    assert not environment.ready(env, lines)  # the Python that it was made from is gone


@pytest.mark.parametrize("windows", [False, True])
def test_an_environment_of_conda_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    """It has no pyvenv.cfg, and on Windows its Python lies beside its folders."""
    monkeypatch.setattr(environment.os, "name", "nt" if windows else "posix")
    python = tmp_path / ("python.exe" if windows else "bin/python")
    assert environment.python_of(tmp_path) == (tmp_path / "Scripts" / "python.exe" if windows else python)
    (tmp_path / "conda-meta").mkdir()
    assert environment.python_of(tmp_path) == python
    assert not environment.alive(tmp_path)
    python.parent.mkdir(exist_ok=True)
    python.touch()
    assert environment.alive(tmp_path)


def test_what_conda_calls_its_packages_is_known(tmp_path: Path) -> None:
    put(tmp_path, "torch-2.1.0-py3.10.egg-info", "opencv_python-4.10.0.dist-info", "huggingface_hub-0.24.0.dist-info")
    there = environment.installed([tmp_path])
    assert there == {"torch": "2.1.0", "opencv-python": "4.10.0", "huggingface-hub": "0.24.0"}
    assert environment.missing(["torch>=2.1", "opencv-python-headless>=4.8", "huggingface-hub>=0.23"], [tmp_path]) == []


def test_a_package_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    site = tmp_path / "Lib" / "site-packages" if os.name == "nt" else tmp_path / "lib" / "python3.11" / "site-packages"
    put(site, "whole-1.dist-info", "short-1.dist-info", "gone-1.dist-info", "norecord-1.dist-info")
    for name, content in (("whole", b"12345"), ("short", b"123")):
        (site / f"{name}.py").write_bytes(content)
    for name in ("whole", "short", "gone"):
        rows = f"{name}.py,sha256=x,5\n__pycache__/{name}.pyc,,\n{name}-1.dist-info/RECORD,,\n"
        (site / f"{name}-1.dist-info" / "RECORD").write_text(rows, encoding="utf-8")
    assert sorted(bootstrap.forget_damaged(tmp_path)) == ["gone", "norecord", "short"]
    assert list(environment.installed([site])) == ["whole"]


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@posix
def test_a_python_is_found_past_pyenvs_dead_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "shims"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    script(tmp_path / "shims" / "python3.8", "echo 'pyenv: python3.8: command not found' >&2; exit 127")
    with raises("python-not-found", has=("3.8", "python3.8")):
        bootstrap.find_python((3, 8))
    found = tmp_path / "pyenv" / "versions" / "3.8.18" / "bin" / "python"
    script(found, f"echo 3.8 {found}")
    assert bootstrap.find_python((3, 8)) == str(found)
    script(tmp_path / "shims" / "python3.8", "echo 3.8 /on/path")
    assert bootstrap.find_python((3, 8)) == "/on/path"
    assert bootstrap.find_python((sys.version_info[0], sys.version_info[1])) == sys.executable


# ------------------------------------------------------------------------------------------------------ the sentences


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk of .* full"),
        ("WARNING: connection broken by 'NewConnectionError('...')'\nERROR: No matching x", "could not reach"),
        ("WARNING: connection broken ...\nOSError: [Errno 28] No space left on device", "disk of .* full"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')) connection broken", "PIP_CERT"),
        ("not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu", "python3-venv"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
        (
            "HINT: This error might have occurred since this system does not have Windows Long Path support",
            "short folder",
        ),
        ("ERROR: Could not install: [WinError 5] Access is denied: 'C:\\\\x'", "cannot be written"),
        (
            "ERROR: first\nmore\nERROR: No matching distribution found for torch>=9.",
            "No matching .* torch>=9 \\(all of it",
        ),
        ("Killed", "could not be installed: Killed"),
    ],
)
def test_each_failure_has_its_sentence(said: str, sentence: str, tmp_path: Path) -> None:
    text = explain(said, tmp_path / "env {x}", "/usr/bin/python3", tmp_path / "pip.log", bootstrap._ENVIRONMENT)
    assert re.search(sentence, text), text
    assert text.endswith(".")
    assert "\n" not in text


def test_a_missing_package_is_distinguished_from_a_fault_of_our_own() -> None:
    assert environment.about_missing(ModuleNotFoundError("x", name="lib_lora.nothing")) is None
    assert environment.about_missing(ModuleNotFoundError("x")) is None
    # torch is here, so the fault is elsewhere:
    assert environment.about_missing(ModuleNotFoundError("x", name="torch")) is None


def test_an_installed_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a package called sameface from an index: that may be somebody else's."""
    monkeypatch.setattr(environment, "SOURCE", False)
    needs = ["torch>=2.1", "fastapi<0.116; extra == 'ui'", 'gradio<5,>=4.44.1; extra == "ui"', "ruff; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    said = environment.about_missing(ModuleNotFoundError("x", name="gradio.routes"))
    assert said is not None
    assert said.endswith('install it with: pip install "fastapi<0.116" "gradio<5,>=4.44.1"')
    assert str(environment.about_missing(ModuleNotFoundError("x", name="cv2"))).endswith("opencv-python-headless")


@pytest.mark.parametrize(("version", "good"), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False)])
def test_python_too_old_or_too_new(version: tuple[int, int], good: bool) -> None:
    reason = entry.unsupported(version, "/usr/bin/python3")
    assert (reason is None) == good
    if reason:
        assert f"needs Python 3.10 to 3.13, but /usr/bin/python3 is Python 3.{version[1]};" in reason


# --------------------------------------------------------------------- for real: a small checkout, a small package, pip


CLI = """
    import json, sys
    def main(argv):
        import tinypack
        print(json.dumps([argv, sys.prefix, tinypack.VALUE]))
        return 7
"""


def wheel(folder: Path, name: str, version: str) -> None:
    """A wheel of one module, ``VALUE = "name version"``."""
    wheels.wheel(folder, name, version, f"{name}.py", f"VALUE = '{name} {version}'\n")


class Checkout:
    """A copy of the entry with its own list of packages, and a folder of wheels in place of the index."""

    def __init__(self, root: Path) -> None:
        self.root, self.wheels = root, root.parent / "wheels"
        package = root / "lib_lora"
        (package / "models").mkdir(parents=True)
        names = (
            "__init__",
            "__main__",
            "errors",
            "file_permissions",
            "files",
            "pipes",
            "setup/__init__",
            "setup/bootstrap",
            "setup/environment",
            "setup/package_installer",
            "spinner",
            "models/__init__",
            "models/withheld_packages",
        )
        (package / "setup").mkdir()
        for name in names:
            shutil.copy(environment.ROOT / "lib_lora" / f"{name}.py", package / f"{name}.py")
        (root / "pyproject.toml").touch()  # by which a source folder is known
        (package / "cli.py").write_text(textwrap.dedent(CLI), encoding="utf-8")
        self.need("tinypack>=1")
        wheel(self.wheels, "tinypack", "1.5")

    def need(self, *lines: str) -> None:
        (self.root / "requirements").mkdir(exist_ok=True)
        (self.root / "requirements" / "base.txt").write_text("# comment\n" + "\n".join(lines), encoding="utf-8")

    def start(self, *argv: str, **variables: str) -> subprocess.Popen[str]:
        base = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "SAMEFACE_", "PYTHON"))}
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri(), "PIP_CONFIG_FILE": os.devnull}
        index["UV_CACHE_DIR"] = str(self.root.parent / "cache of uv")
        return subprocess.Popen(
            [sys.executable, "-m", "lib_lora", *argv],
            cwd=self.root,
            env={**base, **index, "PYTHONUTF8": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *argv: str, **variables: str) -> tuple[int, str, str]:
        child = self.start(*argv, **variables)
        out, err = child.communicate(timeout=120)
        return child.returncode, out, err

    @property
    def env(self) -> Path:
        return self.root / ".sameface" / "venv-{}.{}".format(*sys.version_info)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, list[tuple[int, str, str]]]:
    """A checkout whose environment two terminals wanted at the same moment, and what they saw."""
    checkout = Checkout(tmp_path_factory.mktemp("für 名前") / "check out")
    children = [checkout.start("try", "a b", "--ü"), checkout.start("try")]
    seen = []
    for child in children:
        out, err = child.communicate(timeout=120)
        seen.append((child.returncode, out, err))
    return checkout, seen


def test_first_use_makes_the_environment_once_and_goes_on_inside(
    built: tuple[Checkout, list[tuple[int, str, str]]],
) -> None:
    checkout, seen = built
    for (code, out, err), argv in zip(seen, (["try", "a b", "--ü"], ["try"]), strict=True):
        assert code == 7, err
        assert json.loads(out) == [argv, str(checkout.env), "tinypack 1.5"]
    assert sum("Setting up SameFace's own Python packages" in err for _, _, err in seen) == 1
    assert sum("waiting for it" in err for _, _, err in seen) == 1
    assert (checkout.env / environment.MARKER).read_text(encoding="utf-8") == "tinypack>=1\n"


def test_later_uses_and_other_commands_go_straight_in(built: tuple[Checkout, list[tuple[int, str, str]]]) -> None:
    checkout, _ = built
    for argv in (["try"], ["info", "x.safetensors"]):
        code, out, err = checkout.run(*argv, PIP_FIND_LINKS="")
        assert (code, json.loads(out), err) == (7, [argv, str(checkout.env), "tinypack 1.5"], "")


def test_what_a_kill_left_behind_is_mended(built: tuple[Checkout, list[tuple[int, str, str]]]) -> None:
    checkout, _ = built
    (site,) = environment.site_packages(checkout.env)
    (checkout.env / environment.MARKER).unlink()
    (site / "tinypack.py").unlink()
    (site / "tinypack.py").write_text("VAL", encoding="utf-8")
    code, out, err = checkout.run("try")
    assert (code, json.loads(out)[2]) == (7, "tinypack 1.5")
    assert "tinypack was not installed to the end; doing it again." in err
    shutil.rmtree(site / "pip")
    (checkout.env / environment.MARKER).unlink()
    code, out, err = checkout.run("try")
    assert (code, json.loads(out)[2]) == (7, "tinypack 1.5"), err


@posix
def test_an_environment_of_conda_keeps_what_conda_knows_of_its_packages(
    built: tuple[Checkout, list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    checkout, _ = built
    env = tmp_path / "conda env"
    venv.create(env, with_pip=False)
    (site,) = environment.site_packages(env)
    for folder in next(iter(environment.site_packages(checkout.env))).glob("pip*"):
        shutil.copytree(folder, site / folder.name)
    (env / "conda-meta").mkdir()
    (env / "bin" / "tqdm").write_text("a longer path than when it was packed", encoding="utf-8")
    put(site, "tqdm-4.66.5.dist-info", "brotli-1.1.0.dist-info")
    for name in ("tqdm-4.66.5", "brotli-1.1.0"):
        (site / f"{name}.dist-info" / "INSTALLER").write_text("conda\n", encoding="utf-8")
    rows = "../../../bin/tqdm,sha256=x,12\ntqdm-4.66.5.dist-info/RECORD,,\n"
    (site / "tqdm-4.66.5.dist-info" / "RECORD").write_text(rows, encoding="utf-8")
    code, out, err = checkout.run("try", SAMEFACE_ENV=str(env))
    assert code == 7, err
    assert json.loads(out)[2] == "tinypack 1.5"
    assert "not installed to the end" not in err
    assert {"tqdm": "4.66.5", "brotli": "1.1.0", "tinypack": "1.5"}.items() <= environment.installed([site]).items()


def test_an_environment_elsewhere_that_is_ours_is_mended_too(
    built: tuple[Checkout, list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    checkout, _ = built
    env = tmp_path / "ours"
    where = {"SAMEFACE_ENV": str(env), "UV_CACHE_DIR": str(tmp_path / "cache")}
    assert checkout.run("try", **where)[0] == 7
    (env / environment.MARKER).unlink()
    (site,) = environment.site_packages(env)
    (site / "tinypack.py").write_text("VAL", encoding="utf-8")  # in uv's cache as well, by a hard link
    code, out, err = checkout.run("try", **where)
    assert (code, json.loads(out)[2]) == (7, "tinypack 1.5"), err
    assert "tinypack was not installed to the end; doing it again." in err


def test_a_package_that_cannot_be_had_is_one_sentence(built: tuple[Checkout, list[tuple[int, str, str]]]) -> None:
    checkout, _ = built
    checkout.need("tinypack>=1", "otherpack>=2")
    try:
        code, out, err = checkout.run("try")
        last = err.splitlines()[-1]
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert last.startswith(
            "sameface: The packages could not be installed: No matching distribution found for otherp"
        )
        nowhere = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
        code, out, err = checkout.run("try", **nowhere)
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith("sameface: pip could not reach its package index")
        wheel(checkout.wheels, "otherpack", "2.0")
        code, out, err = checkout.run("try")
        assert code == 7, err
        assert environment.missing(["otherpack>=2"], environment.site_packages(checkout.env)) == []
    finally:
        checkout.need("tinypack>=1")


def test_an_interpreter_that_has_everything_is_used_as_it_is(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    site = tmp_path / "site"
    with zipfile.ZipFile(checkout.wheels / "tinypack-1.5-py3-none-any.whl") as archive:
        archive.extractall(site)
    code, out, err = checkout.run("try", PYTHONPATH=str(site))
    assert (code, json.loads(out), err) == (7, [["try"], sys.prefix, "tinypack 1.5"], "")
    assert not (checkout.root / ".sameface").exists()


def test_without_packages_the_other_commands_say_how_to_get_them(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    code, out, err = checkout.run("run", "photos")
    assert (code, out) == (2, "")
    assert err.startswith(
        "sameface: Packages are missing from this Python (tinypack): run `python -m lib_lora try` once"
    )
    assert len(err.splitlines()) == 1
    assert not (checkout.root / ".sameface").exists()
    code, _, err = checkout.run("test")
    assert code == 2
    assert "The tests come with SameFace's source folder" in err


def test_somebody_elses_folder_is_never_cleared(tmp_path: Path) -> None:
    checkout, mine = Checkout(tmp_path / "checkout"), tmp_path / "photos"
    mine.mkdir()
    (mine / "a.jpg").write_bytes(b"x")
    code, _, err = checkout.run("try", SAMEFACE_ENV=str(mine))
    assert code == 2
    assert "not a working Python environment; empty it or name another" in err
    assert [path.name for path in mine.iterdir()] == ["a.jpg"]


@posix
def test_without_exec_the_exit_code_and_ctrl_c_pass_through(tmp_path: Path) -> None:
    package = tmp_path / "lib_lora"
    (package / "setup").mkdir(parents=True)
    names = ("bootstrap", "environment", "package_installer")
    for name in ("__init__", "errors", "setup/__init__", *(f"setup/{one}" for one in names)):
        shutil.copy(environment.ROOT / "lib_lora" / f"{name}.py", package / f"{name}.py")
    (package / "__main__.py").write_text(
        "import sys, time\ntry:\n    print('up', flush=True)\n    time.sleep(float(sys.argv[1]))\n    sys.exit(3)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.3)\n    sys.exit(5)\n",
        encoding="utf-8",
    )
    call = (
        "import signal, sys; from lib_lora.setup import bootstrap as b; "
        # a shell that starts the tests in the background lets them ignore Ctrl+C, which a child would inherit
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.exit(b.hand_over(sys.executable, sys.argv[1:], False))"
    )
    for seconds, code in (("0", 3), ("60", 5)):
        child = subprocess.Popen(
            [sys.executable, "-c", call, seconds], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        if code == 5:
            time.sleep(0.1)
            os.killpg(child.pid, signal.SIGINT)
        assert child.wait(timeout=30) == code
        child.stdout.close()
