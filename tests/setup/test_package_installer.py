"""uv where it is there, pip where it is not or cannot: what is asked of them, what is passed on, and what is kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wheels

from lib_lora.setup import environment, package_installer
from lib_lora.setup.package_installer import install_packages

posix = pytest.mark.skipif(os.name == "nt", reason="stands in for uv with a shell script")
FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "$0.asked"
echo "Resolved 1 package in 1ms"
{does}
"""


class Place:
    """A folder of wheels in place of the index, and a path on which `uv` may lie."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.wheels, self.target = home / "bin", home / "wheels ü", home / "target ü"
        self.log = home / "log.txt"
        self.said: list[str] = []
        self.bin.mkdir()
        wheels.wheel(self.wheels, "tiny", "1.5", "tiny.py", "VALUE = 1\n")
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setattr(Path, "home", lambda: home)
        for name in ("UV", "PYTHONDONTWRITEBYTECODE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(package_installer, "_pip_configuration", lambda pip: {})
        monkeypatch.setattr(package_installer.importlib.util, "find_spec", lambda name: None)
        for name, value in {"NO_INDEX": "1", "FIND_LINKS": self.wheels.as_uri(), "CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(f"PIP_{name}", value)

    def uv(self, does: str) -> Path:
        file = self.bin / "uv"
        file.write_text(FAKE.format(does=does), encoding="utf-8")
        file.chmod(0o755)
        return self.bin / "uv.asked"

    def install(self, *lines: str, index: str = "") -> int:
        code, said = install_packages(sys.executable, lines, self.log, self.said.append, self.target, index)
        assert said.splitlines()[-1].rstrip() == self.said[-1]
        return code

    def installed(self) -> dict[str, str]:
        return environment.installed([self.target])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_without_uv_pip_does_it(place: Place) -> None:
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}
    assert any(line.startswith("Successfully installed tiny-1.5") for line in place.said)
    assert "Successfully installed tiny-1.5" in place.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("never_written", [False, True])
def test_modules_are_compiled_only_where_no_import_would_keep_them(
    place: Place, monkeypatch: pytest.MonkeyPatch, never_written: bool
) -> None:
    if never_written:
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert place.install("tiny>=1") == 0
    assert bool(list(place.target.rglob("tiny.*.pyc"))) is never_written


@pytest.mark.parametrize("locked", [False, True])
def test_a_log_that_cannot_be_written_stops_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    if locked:  # as on Windows, while another program has the file open

        def refuse(path: Path, missing_ok: bool = False) -> None:
            raise PermissionError(13, "held", str(path))

        monkeypatch.setattr(Path, "unlink", refuse)
    else:
        place.log.mkdir()
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}


@posix
def test_uv_is_asked_for_the_same(place: Place) -> None:
    asked = place.uv("exit 0")
    assert place.install("tiny>=1", index="https://mirror/simple") == 0
    words = asked.read_text(encoding="utf-8").splitlines()
    exact = ["--no-deps", "--target", str(place.target), "--only-binary=:all:"]
    index = ["--index-url", "https://mirror/simple"]
    assert words == ["pip", "install", "--python", sys.executable, *exact, *index, "tiny>=1"]
    assert place.said == ["Resolved 1 package in 1ms"]
    assert place.log.read_text(encoding="utf-8") == "Resolved 1 package in 1ms\n"
    assert place.installed() == {}  # and pip was not asked as well


@posix
def test_uv_is_told_to_compile_where_no_import_would_keep_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = place.uv("exit 0")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert place.install("tiny>=1") == 0
    assert "--compile-bytecode" in asked.read_text(encoding="utf-8").splitlines()


@posix
def test_where_uv_cannot_pip_does_it_in_a_clean_folder(place: Place) -> None:
    place.uv(f'/bin/mkdir "{place.target}"; echo half > "{place.target}/half"; exit 2')
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}
    assert not (place.target / "half").exists()
    assert "uv could not do it; trying pip." in place.said


@posix
def test_where_both_cannot_it_is_pip_that_says_why(place: Place) -> None:
    place.uv("echo error: something of uv; exit 1")
    code, said = install_packages(sys.executable, ["none>=1"], place.log, place.said.append, place.target)
    assert code == 1
    assert "No matching distribution found for none>=1" in said
    assert "something of uv" not in said
    assert "something of uv" in " ".join(place.said)


@posix
def test_a_uv_that_does_not_start_is_passed_over(place: Place) -> None:
    place.uv("exit 0").with_name("uv").write_bytes(b"\x7fELF nothing")
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}


TOLD = {
    "index-url": "https://me:secret@mirror/simple",
    "extra-index-url": "https://a/simple https://b/simple",
    "find-links": "https://c/ https://d/",
    "cert": "/a b/ca.pem",
    "proxy": "http://proxy:1",
    "timeout": "3",
}


@posix
def test_uv_is_told_where_pip_was_told_to_look_and_no_word_of_its_command_has_a_password(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_installer, "_pip_configuration", lambda pip: TOLD | {"no-index": "Y"})
    asked = place.uv('/usr/bin/env > "$0.environment"')
    assert place.install("tiny>=1") == 0
    words = asked.read_text(encoding="utf-8").splitlines()
    assert words[:5] == ["pip", "install", "--python", sys.executable, "--no-index"]
    assert not any("secret" in word or "://" in word for word in words)
    lines = (place.bin / "uv.environment").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    wanted = {
        "UV_INDEX_URL": TOLD["index-url"],
        "UV_EXTRA_INDEX_URL": TOLD["extra-index-url"],
        "UV_FIND_LINKS": "https://c/,https://d/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/a b/ca.pem",
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://proxy:1"),
    }
    assert wanted.items() <= found.items()


@posix
def test_where_pip_was_told_what_may_be_installed_it_does_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_installer, "_pip_configuration", lambda pip: {"only-binary": ":all:"})
    asked = place.uv("exit 0")
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}
    assert not asked.exists()


@pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="the package uv is not installed")
def test_uv_itself_understands_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels_of = {"no-index": "1", "find-links": place.wheels.as_uri(), "index-url": "https://nowhere.invalid/simple"}
    monkeypatch.setattr(package_installer, "_pip_configuration", lambda pip: wheels_of)
    monkeypatch.setattr(package_installer, "uv_command", lambda: [sys.executable, "-m", "uv"])
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name)
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}
    assert not any("trying pip" in line for line in place.said)


def test_the_settings_of_pip_install_count_and_a_broken_pip_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    settings = tmp_path / "pip ü.ini"
    text = "[global]\nindex-url = https://one\nproxy = p:1\n[install]\nindex-url = https://two\n"
    settings.write_text(f"{text}[download]\nconstraint = x\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    found = package_installer._pip_configuration([sys.executable, "-m", "pip"])
    assert (found["index-url"], found["proxy"], found.get("constraint")) == ("https://two", "p:1", None)
    assert package_installer._pip_configuration([str(tmp_path / "nowhere")]) == {}


def test_nothing_of_it_reaches_the_screen_by_itself(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.install("tiny>=1")
    assert capfd.readouterr() == ("", "")


def test_a_module_does_as_well_as_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(package_installer.shutil, "which", lambda name: None)
    monkeypatch.setattr(package_installer.importlib.util, "find_spec", lambda name: object() if name == "uv" else None)
    assert package_installer.uv_command() == [sys.executable, "-m", "uv"]
    monkeypatch.setattr(package_installer.importlib.util, "find_spec", lambda name: None)
    assert package_installer.uv_command() == []


@pytest.mark.parametrize("where", ["variable", "home"])
def test_a_uv_that_is_not_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """`uv run` names itself in a variable; uv's own installer puts it where a service's path may not lead."""
    uv = tmp_path / ".local" / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    uv.parent.mkdir(parents=True)
    uv.touch()
    monkeypatch.setattr(package_installer.shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path if where == "home" else tmp_path / "nobody")
    monkeypatch.setenv("UV", str(uv) if where == "variable" else "")
    assert package_installer.uv_command() == [str(uv)]


@pytest.fixture(scope="module")
def without_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment such as uv makes."""
    env = tmp_path_factory.mktemp("uv") / "env 名前"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    return str(environment.python_of(env))


@pytest.mark.parametrize("own", [False, True])  # the one of its own last: it fills the environment
def test_an_environment_without_pip_is_lent_one(place: Place, without_pip: str, own: bool) -> None:
    """As one of uv or conda may be; nothing is added to it but what is asked for."""
    code, said = install_packages(
        without_pip, ["tiny>=1"], place.log, place.said.append, None if own else place.target, ""
    )
    assert code == 0, said
    there = environment.installed(environment.site_packages(Path(without_pip).parents[1]))
    assert there == ({"tiny": "1.5"} if own else {})
    assert own or place.installed() == {"tiny": "1.5"}


def test_a_pip_of_its_own_is_preferred(without_pip: str) -> None:
    assert package_installer.pip_command(sys.executable) == [sys.executable, "-m", "pip"]
    lent = package_installer.pip_command(without_pip)
    assert Path(lent[1]).parent.suffix == ".whl"
    assert package_installer.pip_command("no such python") == ["no such python", "-m", "pip"]
