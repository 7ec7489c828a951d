"""uv where it is there, pip where it is not or cannot: what is asked of them, what is passed on, and what is kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import wheels

from lib_lora import environment, package_installer
from lib_lora.package_installer import install_packages

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
        monkeypatch.setattr(package_installer, "_is_configured", lambda python: False)
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


@posix
def test_where_pip_is_configured_uv_is_not_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look for packages elsewhere than the user said."""
    monkeypatch.undo()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": place.wheels.as_uri(), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    asked = place.uv("exit 0")
    monkeypatch.setenv("PATH", f"{place.bin}{os.pathsep}{os.environ['PATH']}")
    assert place.install("tiny>=1") == 0
    assert place.installed() == {"tiny": "1.5"}
    assert not asked.exists()


@pytest.mark.parametrize(
    ("variable", "configured"),
    [("PIP_INDEX_URL", True), ("PIP_EXTRA_INDEX_URL", True), ("PIP_NO_CACHE_DIR", False), ("NOTHING", False)],
)
def test_pip_itself_says_whether_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, configured: bool
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # pip then reads no file at all
    monkeypatch.setenv(variable, "1")
    assert package_installer._is_configured(sys.executable) == configured
    assert not package_installer._is_configured(str(tmp_path / "nowhere"))


def test_nothing_of_it_reaches_the_screen_by_itself(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.install("tiny>=1")
    assert capfd.readouterr() == ("", "")


def test_a_module_does_as_well_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_installer.shutil, "which", lambda name: None)
    monkeypatch.setattr(package_installer.importlib.util, "find_spec", lambda name: object() if name == "uv" else None)
    assert package_installer._uv() == [sys.executable, "-m", "uv"]
    monkeypatch.setattr(package_installer.importlib.util, "find_spec", lambda name: None)
    assert package_installer._uv() == []
