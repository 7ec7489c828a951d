"""Which releases are newer than what the tests last passed with, and which our own bounds keep away."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from lib_lora import __main__ as entry
from lib_lora.setup import environment, releases

LISTS = {"base": "", "opencv": "", "ui": "", "optimizers": "", "dev": "", "standin": ""}
USERS = ("base", "opencv", "ui", "optimizers")
CAPPED = "# some-lib 2.5: it forgets its names\nsome_lib>=1,<2.5\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    put(tmp_path, "base", CAPPED + "other>=3\n")
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    for each, plain in {**LISTS, name: text}.items():
        if each == name or not (root / "requirements" / f"{each}.txt").exists():
            (root / "requirements" / f"{each}.txt").write_text(plain, encoding="utf-8")


@pytest.mark.parametrize("file", sorted((environment.ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_upper_bound_has_a_reason_that_names_what_it_keeps_away(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines):
        if "<" not in line.split("#")[0].split(";")[0]:
            continue
        said = releases._REASON.fullmatch(above)
        assert said, f"{line}: the line above says no reason as lib_lora/setup/releases.py wants it"
        name, bounds = environment.parse(line.split(";")[0])
        assert said["name"] == name
        assert not environment.admits(bounds, said["version"]), f"{line}: {said['version']} is not kept away"
        assert not (said["later"] and file.stem in USERS), f"{line}: no release of {name} would ever be looked at again"


@pytest.mark.parametrize("purpose", releases.RECORDS)
def test_the_record_is_of_the_libraries_that_we_name(purpose: str) -> None:
    record = environment.ROOT / "requirements" / releases.RECORDS[purpose]
    lines = record.read_text(encoding="utf-8").splitlines()[1:]
    names = {environment.parse(line)[0] for line in environment.requirements(purpose)}
    assert {line.split("==")[0] for line in lines} == names
    for line in environment.requirements(purpose):
        name, bounds = environment.parse(line)
        (version,) = [one.split("==")[1] for one in lines if one.split("==")[0] == name]
        assert environment.admits(bounds, version), line


def test_what_is_newer_than_the_record_is_named(root: Path) -> None:
    (root / "requirements" / "tested.txt").write_text("# head\nsome_lib==2.4\nother==3.9\nthird==1\n")
    there = {"some-lib": "2.10.1", "other": "3.9+cpu"}
    assert releases.newer(root, there) == ["some_lib 2.10.1 (2.4)"]
    (root / "requirements" / "tested-newest.txt").write_text("# head\nsome_lib==2.9\nother==3.9\n")
    assert releases.newer(root, there, "newest") == ["some_lib 2.10.1 (2.9)"]


@pytest.mark.parametrize(
    ("latest", "reason", "faults", "notes"),
    [
        ("2.4.9", "# some-lib 2.5: why", 0, 0),
        ("2.5", "# some-lib 2.5: why", 0, 1),
        ("2.5.3", "# some-lib 2.5: why", 0, 1),
        ("2.6", "# some-lib 2.5: why", 1, 0),
        ("2.6", "# some-lib 2.5 and later: why", 0, 1),
        ("3.0", "# because", 1, 0),
    ],
)
@pytest.mark.parametrize("purpose", releases.RECORDS)
def test_a_bound_of_ours_is_a_fault_unless_its_reason_speaks_of_the_release(
    root: Path, latest: str, reason: str, faults: int, notes: int, purpose: str
) -> None:
    put(root, "base", f"{reason}\nsome_lib>=1,<2.5\n")
    found = releases.judged({"some-lib": latest}, root, {"some-lib": "2.4.9"}, purpose)
    assert [len(one) for one in found] == [faults, notes]
    assert all(f"some_lib {latest} is out" in text for one in found for text in one)


@pytest.mark.parametrize(
    ("purpose", "days", "fails"), [("newest", 30, True), ("newest", 0.1, False), ("test", 30, False)]
)
def test_the_newest_set_is_the_newest(root: Path, purpose: str, days: float, fails: bool) -> None:
    """Of an environment that CI has just made, a release that came out meanwhile is no fault."""
    faults, notes = releases.judged({"other": "3.9.1"}, root, {"other": "3.9"}, purpose, days)
    assert (len(faults), len(notes)) == ((1, 0) if fails else (0, 1))
    assert [text for text in [*faults, *notes] if "other 3.9.1 is out, 3.9 is here" in text]
    assert releases.judged({"other": "3.9"}, root, {"other": "3.9"}, purpose, days) == ([], [])


def test_what_others_keep_away_is_said_and_no_fault(root: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "keeper-1.0.dist-info"
    folder.mkdir()
    needs = "Requires-Dist: Other<4,>=2\nRequires-Dist: other<3; extra == 'more'\n"
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: keeper\nVersion: 1.0\n{needs}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert releases.judged({"other": "4.1"}, root, {"other": "3.9"}) == (
        [],
        ["other 4.1 is out, 3.9 is here: kept away by keeper (<4,>=2)."],
    )
    assert "a new environment would have it" in releases.judged({"other": "3.9.1"}, root, {"other": "3.9"})[1][0]


def test_without_an_index_nothing_fails(monkeypatch, capsys) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert releases.latest(["a-library-that-is-nowhere"]) is None
    monkeypatch.setattr(releases, "latest", lambda names: None)
    assert releases.check(True, releases.ask("newest"), "newest") == 0
    assert "pip could not say" in capsys.readouterr().err


def test_pip_is_asked_for_the_latest(tmp_path: Path, monkeypatch) -> None:
    import wheels

    for version in ("1.2", "1.10"):
        wheels.wheel(tmp_path, "somelib", version, "somelib/__init__.py", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert releases.latest(["somelib"]) == {"somelib": "1.10"}


def test_the_end_of_the_run_says_it(monkeypatch, capsys) -> None:
    monkeypatch.setattr(releases, "newer", lambda purpose: ["diffusers 0.43.0 (0.42.1)"])
    assert releases.check(False, None) == 0
    assert "newer than what last passed: diffusers 0.43.0 (0.42.1)" in capsys.readouterr().err
    out: Future[dict[str, str] | None] = Future()
    out.set_result({"ruff": "99"})
    asked: list[object] = []

    def judged(found: dict[str, str], purpose: str, days: float) -> tuple[list[str], list[str]]:
        asked.append((found, purpose))
        return ["ruff 99"], []

    monkeypatch.setattr(releases, "judged", judged)
    assert releases.check(True, out, "newest") == 1
    assert asked == [({"ruff": "99"}, "newest")]
    said = capsys.readouterr().err
    assert "ruff 99" in said
    assert "releases newest > requirements/tested-newest.txt" in said


@pytest.mark.parametrize(("tests", "check", "code"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (-11, 0, -11)])
def test_the_newest_set_fails_by_its_tests_or_its_releases(monkeypatch, tests: int, check: int, code: int) -> None:
    order: list[object] = []
    monkeypatch.setattr(releases, "ask", lambda purpose: order.append(f"ask {purpose}"))
    monkeypatch.setattr(releases, "check", lambda passed, out, purpose: order.append((passed, purpose)) or check)
    done = subprocess.CompletedProcess([], tests)
    monkeypatch.setattr(entry.subprocess, "run", lambda *_, **__: order.append("tests") or done)
    assert entry._test_newest(["--newest"]) == code
    assert order == ["ask newest", "tests", (tests == 0, "newest")]  # the index answers while the tests run


@pytest.mark.parametrize(
    ("chosen", "given"),
    [
        (["--collect-only", "-q"], ["--collect-only", "-q", "--pins"]),  # so that no more is compiled than is run
        (["tests/test_waits.py"], ["tests/test_waits.py"]),
        (["--lf", "-q"], ["--lf", "-q"]),
    ],
)
def test_what_only_is_collected_is_what_would_be_run(chosen: list[str], given: list[str]) -> None:
    assert entry._given(chosen, ["--pins"]) == given
    assert entry._given([], ["--pins"]) == [*entry._side_by_side(), "--pins"]


@pytest.mark.parametrize("purpose", releases.RECORDS)
def test_a_record_is_printed(purpose: str) -> None:
    command = [sys.executable, "-m", "lib_lora.setup.releases", purpose]
    done = subprocess.run(command, cwd=environment.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# The releases")
    assert f"requirements/{releases.RECORDS[purpose]}\n" in done.stdout
    assert "\ntorch==" in done.stdout
