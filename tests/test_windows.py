"""What can be known of Windows without one: no call that only POSIX has is reached there, and types hold for it.

``docs/windows.md`` says what was proven how, and what was not run.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PureWindowsPath

import pytest
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import PERSONAS, plan_audit, plant_grid, plant_invented, plant_run

from lib_lora.character.store import Character, Consent, create
from lib_lora.errors import UserError
from lib_lora.files import digest_of, explained, slug, write_json, write_text
from lib_lora.grid import paint_plan
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.photos.importing import safe_names
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.runs.events import EventLog
from lib_lora.training.data import encoding_cache
from lib_lora.workflows.invent.invent_more import SHOWN
from lib_lora.workflows.invent.invented_folder import SQUARE, InventedFolder
from lib_lora.workflows.photos import audit_command, changes
from lib_lora.workspace import workspace as workspace_module
from lib_lora.workspace.workspace import JobFolder, RunFolder, Workspace

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "install.py", *(ROOT / "scripts").glob("*.py"), *(ROOT / "lib_lora").rglob("*.py")]
# Modules of POSIX, and of modules that Windows has too, what it lacks (the manual's "Availability: Unix") or what does
# something else there: os.kill ends a process whatever the signal, and asks nobody whether one lives.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "spwd", "syslog", "termios", "tty"}
_OS = """
chown chroot ctermid fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority
getresuid getsid getuid initgroups kill killpg lchown lockf major makedev minor mkfifo mknod nice openpty pathconf
pidfd_open pread preadv pwrite sched_getaffinity sched_setaffinity sendfile setegid seteuid setgid setgroups setpgid
setpriority setsid setuid statvfs sync sysconf tcgetpgrp uname wait wait3 wait4 waitid O_CLOEXEC O_DIRECTORY O_NOFOLLOW
O_NONBLOCK O_SYNC WNOHANG register_at_fork posix_spawn
"""
_SIGNAL = """
SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH alarm pause pthread_kill
pthread_sigmask setitimer sigwait siginterrupt
"""
CALLS = {
    "os": _OS.split(),
    "signal": _SIGNAL.split(),
    "socket": ["AF_UNIX", "SO_REUSEPORT"],
    "asyncio": ["add_signal_handler"],
    "time": ["tzset", "CLOCK_MONOTONIC_RAW", "clock_gettime"],
}


def posix_only(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what only POSIX has and Windows would reach: outside of a condition on the system, and of
    ``hasattr``, ``getattr`` and ``suppress(AttributeError)``."""
    yield from _in(list(ast.iter_child_nodes(tree)))


def _in(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.If | ast.IfExp):
            windows = _windows(node.test)
            body = node.body if isinstance(node.body, list) else [node.body]
            orelse = node.orelse if isinstance(node.orelse, list) else [node.orelse]
            yield from _in([node.test])
            if windows is not False:
                yield from _in(body)
            if windows is not True:
                yield from _in(orelse)
            if windows is True and body and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue):
                return  # what follows is not reached on Windows
            continue
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                if _windows(value) is False:
                    break  # what follows is not looked at there
                yield from _in([value])
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names if one.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if (node.module or "") in MODULES:
                yield node.lineno, node.module or ""
            names = CALLS.get(node.module or "", [])
            yield from ((node.lineno, f"{node.module}.{one.name}") for one in node.names if one.name in names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in CALLS.get(node.value.id, []):
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in ("preexec_fn", "dir_fd", "pass_fds"):
            yield node.value.lineno, str(node.arg)
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                yield from _in([one for one in value if isinstance(one, ast.AST)])
            elif isinstance(value, ast.AST):
                yield from _in([value])


def _windows(test: ast.AST) -> bool | None:
    """Whether a condition holds on Windows alone (True), everywhere else (False), or says nothing of it (None)."""
    if isinstance(test, ast.BoolOp):
        found = [_windows(value) for value in test.values]
        if isinstance(test.op, ast.And) and False in found:
            return False
        return True if isinstance(test.op, ast.Or) and True in found else None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _windows(test.operand)
        return None if inner is None else not inner
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return None
    left, right = ast.unparse(test.left), ast.unparse(test.comparators[0])
    if (left, right) not in {("sys.platform", "'win32'"), ("os.name", "'nt'")}:
        posix = (left, right) in {("os.name", "'posix'"), ("sys.platform", "'linux'"), ("sys.platform", "'darwin'")}
        return False if posix and isinstance(test.ops[0], ast.Eq) else None
    return isinstance(test.ops[0], ast.Eq)


def test_windows_reaches_nothing_that_only_posix_has() -> None:
    found = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}:{line}: {name}" for line, name in posix_only(tree)]
    assert found == []


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import os\nos.fork()", ["os.fork"]),
        ("import fcntl", ["fcntl"]),
        ("from os import getuid", ["os.getuid"]),
        ("from signal import SIGKILL", ["signal.SIGKILL"]),
        ("os.kill(pid, signal.SIGKILL)", ["os.kill", "signal.SIGKILL"]),
        ("subprocess.run(x, preexec_fn=f)", ["preexec_fn"]),
        ("if sys.platform == 'win32':\n    import msvcrt\nelse:\n    import fcntl", []),
        ("if sys.platform != 'win32':\n    os.fork()\nelse:\n    os.getuid()", ["os.getuid"]),
        ("def f():\n    if os.name == 'nt':\n        return\n    os.fork()", []),
        ("def f():\n    if os.name == 'nt':\n        g()\n    os.fork()", ["os.fork"]),
        ("x = os.getuid() if os.name != 'nt' else 0", []),
        ("x = os.name != 'nt' and os.getuid()", []),
        ("x = ready and os.getuid()", ["os.getuid"]),
        ("if sys.platform == 'win32' or slow:\n    return\nos.nice(3)", []),
        ("if sys.platform != 'win32' and slow:\n    os.nice(3)", []),
        ("if not sys.platform == 'win32':\n    os.nice(3)", []),
        ("if sys.platform == 'linux':\n    os.sysconf(3)", []),
        ("while os.uname():\n    pass", ["os.uname"]),
    ],
)
def test_what_is_found_and_what_is_guarded(code: str, names: list[str]) -> None:
    assert [name for _, name in posix_only(ast.parse(code))] == names


@pytest.mark.skipif(sys.platform == "win32", reason="mypy checks for the system that it runs on anyway")
@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="needs mypy")
def test_types_hold_for_windows(tmp_path: Path) -> None:
    """What the standard library has there and what not, such as ``os.geteuid`` or ``msvcrt.locking``.

    torch is left out, whose types are the same everywhere and take half of the time; what stands on it is then of any
    type, which some strict checks would complain about.
    """
    config = tmp_path / "pyproject.toml"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    config.write_text(f'{text}\n[[tool.mypy.overrides]]\nmodule = ["torch.*"]\nfollow_imports = "skip"\n', "utf-8")
    command = [sys.executable, "-m", "mypy", "--platform", "win32", "--cache-dir", os.devnull, "lib_lora"]
    command += ["--config-file", str(config), "--allow-subclassing-any", "--allow-untyped-decorators"]
    command += ["--no-warn-return-any", "--no-warn-unused-ignores", "--no-warn-redundant-casts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------------------------------ names and paths

DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
DEVICES |= {f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789¹²³"}
LONGEST = 259  # characters of a path, without its end
LONGEST_FOLDER = 247  # of a folder
HOMES = (
    r"C:\Users\Somebody\AppData\Local\sameface",
    r"D:\ai\stable-diffusion-webui-forge\sameface",
    r"\\server\share\data",
)


def is_refused(name: str) -> bool:
    """Whether Windows cannot make a file of this name, or makes another one."""
    forbidden = set('<>:"|?*/\\') | {chr(code) for code in range(32)}
    device = name.partition(".")[0].rstrip().lower() in DEVICES
    return not name or device or name[-1] in " ." or bool(forbidden & set(name)) or len(name) > 255


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "con.jpg",
        "Aux .old.jpg",
        "a.",
        "b ",
        "a:b",
        "x?",
        "tab\t",
        "",
        "COM¹",
        "com¹.txt",
        "NUL",
        "ok\\no",
        "…",
        "名前",
    ],
)
@settings(deadline=None, max_examples=60)
@given(more=st.text(max_size=12))
def test_names_of_photos_and_characters_are_taken_by_windows(name: str, more: str) -> None:
    for wished in (name, name + more, more):
        assert not is_refused(safe_names.safe_stem(wished) + ".jpg")
        with contextlib.suppress(UserError):  # says that a name cannot be used
            assert not is_refused(slug(wished))


def test_what_windows_refuses_is_known_here() -> None:
    for name in ("con", "NUL.txt", "aux .jpg", "a.", "a ", "a:b", "lpt9", "com¹", ""):
        assert is_refused(name)
    for name in ("console", "a.b", "名前", "com10", "null"):
        assert not is_refused(name)


@pytest.mark.parametrize(("one", "other"), [("Mara", "MARA"), ("straße", "STRASSE"), ("é", "e\u0301")])
def test_names_that_meet_where_case_does_not_count_are_one(one: str, other: str) -> None:
    assert slug(one) == slug(other)
    assert safe_names.key(one) == safe_names.key(other)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a character, Mara, that has everything: each file that is made for one. Its photos are called
    portrait."""
    root = tmp_path_factory.mktemp("finished")
    folder = create(root, Character("Mara", "mrxa", "woman", Consent("fictional", "2024-05-06")))
    photos = ["portrait.jpeg", *(f"portrait-{number}.png" for number in range(1, 5))]
    for number, name in enumerate(photos):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", folder.photos / name)
        (folder.photos / name).with_suffix(".txt").write_text("photo of mrxa woman")
    folder.sheets.mkdir()
    shutil.copy(PERSONAS / "mara" / "00.jpg", folder.sheets / "portrait.jpeg")
    plan_audit(folder)
    audit_store.save(folder, AuditStore())
    for number, run in enumerate((plant_run(folder, 1, 100, [100]), plant_run(folder, 999, 100, [50, 100])), 1):
        grid = plant_grid(run, 999)
        write_json(RunFolder(run).uses, [{"file": "x", "to": "the webui"}])
        for name in ("lora", "base", "leak"):
            shutil.copy(grid / "sheet.png", grid / "cells" / paint_plan.file_name(name, 100 + number))
        write_text(RunFolder(run).states / "000100.pt", "a state")
        write_text(RunFolder(run).samples / f"{100:06d}-{number}.png", "a picture")
    plant_invented(folder, 2, picked=1, more=["", "no face"])
    for name in ("candidates/0001" + SQUARE, "candidates/0001" + SHOWN, "candidates.png", "kept.png"):
        write_text(InventedFolder(folder).path / name, "a picture")
    key = digest_of("a key")
    for name in (f"thumbnails/{key}.jpg", f"base/{key}.png", f"template-{key[:12]}.json", "audit-sheet.txt"):
        write_text(folder.cache / name, "computed")
    for name in ("latents", "sizes", "text"):
        write_text(encoding_cache.file_of(folder.cache / name, (name,)), "computed")
    for name in (audit_command.PAGE, audit_command.SHEET):
        write_text(folder.path / name, "a page")
    for name in photos[:1] * 2:  # twice in one second
        changes.remove(folder, [name])
        shutil.copy(PERSONAS / "mara" / "00.jpg", folder.photos / name)
        (folder.photos / name).with_suffix(".txt").write_text("photo of mrxa woman")
    queue = Queue(root)
    job = queue.add("Mara", TrainArguments(base="/models/base.safetensors"))
    files = JobFolder(queue.folder(job.id))
    EventLog(files.events)("state", state="training")
    for path in (files.log, files.result, files.pictures / "0123456789.png"):
        write_text(path, "of a worker")
    workspace = Workspace(root)
    for path in (workspace.settings, workspace.hashes, workspace.bases, workspace.probes, workspace.confirmed):
        write_text(path, "{}")
    return root


@pytest.mark.parametrize("home", HOMES)
def test_the_longest_paths_fit_into_what_windows_takes(home: str, finished: Path) -> None:
    """Of every file of a finished character, and of the file beside it while it is written; with the longest name in
    place of the character's, and of each photo's the longest that is not the first of its kind."""
    character = Workspace(finished).character("Mara")
    name, stem = slug("x" * 300), next(islice(safe_names.choices("y" * 300), 1, None))
    assert (len(name), len(stem)) == (60, 102)
    inside = [path.relative_to(finished) for path in finished.rglob("*")]
    folders = {path.relative_to(character.path).parts[0] for path in character.path.iterdir() if path.is_dir()}
    assert folders == {"cache", "invented", "photos", "removed", "runs", "sheets"}
    assert len(inside) > 100
    for path in inside:
        there = PureWindowsPath(home) / str(path).replace("mara", name).replace("portrait", stem)
        if (finished / path).is_dir():
            assert len(str(there)) <= LONGEST_FOLDER, there
            continue
        assert len(str(there)) <= LONGEST, there
        if "removed" not in path.parts:  # moved there whole
            temporary = there.with_name(f"{there.name[:100]}.12345678.tmp")  # as `files.atomic_file` names it
            assert len(str(temporary)) <= LONGEST, temporary
    deleted = PureWindowsPath(home) / "deleted" / f"{name}-20240506-070809-10" / character.FILE
    assert len(str(deleted)) <= LONGEST  # what lies deeper is moved with its folder, and not opened there


def test_a_share_and_a_drive_are_homes_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_module, "Path", PureWindowsPath)
    for home in HOMES:
        root = PureWindowsPath(home)
        inside = Workspace(root).path_of("characters/mara/runs/001")
        assert inside == root / "characters" / "mara" / "runs" / "001"
        for outside in ("..\\x", "C:x", "\\x", "//server/other/x"):
            with contextlib.suppress(UserError):
                assert not Workspace(root).path_of(outside).is_relative_to(root)


def test_a_path_that_is_too_long_is_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_lora.files.sys.platform", "win32")

    def refused(length: int, number: int, temporary: str = "") -> None:
        path = Path("x" * (length - len(str(Path.cwd())) - 1))
        with explained(path):
            error = FileNotFoundError(errno.ENOENT, "refused", f"{path}{temporary}")
            error.winerror = number  # type: ignore[attr-defined]
            raise error

    no_such_file, no_such_path, name_too_long = 2, 3, 206
    for length, number, code in (
        (300, no_such_path, "path-too-long"),
        (250, name_too_long, "path-too-long"),  # of a folder
        (300, no_such_file, "file-missing"),  # where long paths are turned on
        (255, no_such_path, "file-missing"),
    ):
        with raises(code):
            refused(length, number)
    with raises("path-too-long"):
        refused(255, no_such_path, ".12345678.tmp")  # what was being made is longer than what was asked for
