"""What can be known of Windows without one: no call that only POSIX has is reached there, and types hold for it.

``docs/windows.md`` says what was proven how, and what was not run.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.errors import UserError
from lib_lora.files import explained, slug
from lib_lora.photos.importing import safe_names
from lib_lora.workspace import workspace as workspace_module
from lib_lora.workspace.workspace import Workspace

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
    """What a typed library has there and what not, such as ``os.geteuid`` or ``msvcrt.locking``."""
    command = [sys.executable, "-m", "mypy", "--platform", "win32", "--cache-dir", str(tmp_path), "lib_lora"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------------------------------ names and paths

DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
DEVICES |= {f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789¹²³"}
LONGEST = 259  # characters of a path, without its end
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


@pytest.mark.parametrize("home", HOMES)
def test_the_longest_paths_fit_into_what_windows_takes(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the longest name of a character; the photo's own name may be 100 characters long."""
    monkeypatch.setattr(workspace_module, "Path", PureWindowsPath)
    name = slug("x" * 300)
    character = Workspace(PureWindowsPath(home)).character(name)
    run = character.run("001")
    temporary = ".12345678.tmp"  # while it is written
    paths = [
        run.path / "checkpoints" / f"{name}-001-000480.safetensors{temporary}",
        run.path / "grids" / "001" / "cells" / f"00-cell-with-a-long-name-0.8.png{temporary}",
        character.photos / f"{safe_names.safe_stem('y' * 300)}.jpeg{temporary}",
    ]
    for path in paths:
        assert path.is_absolute()
        assert len(str(path)) <= LONGEST


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
