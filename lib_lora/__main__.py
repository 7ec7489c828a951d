"""Starts the commands: ``python -m lib_lora COMMAND`` and ``sameface COMMAND``.

Knows which Python will do, and that ``try``, ``ui`` and ``test`` bring their own environment. What the commands do is
in `lib_lora.cli`. Written without ``from __future__``, so that an older Python reads it far enough to say its sentence.
"""

import gc
import os
import subprocess
import sys

# Those that meet what differs between the versions of the libraries: modules, layers and their names, tokens.
LIBRARY_TESTS = (
    *("tests/models/test_load.py", "tests/models/test_text_conditioning.py", "tests/models/test_clip_tokens.py"),
    *("tests/lora/test_lora_adapter.py", "tests/lora/test_lora_oracle.py", "tests/lora/test_lora_names.py"),
    *("tests/training/test_flow_family.py", "tests/grid/test_diffusers_painter.py", "tests/captions/test_blip.py"),
    "tests/test_pins.py::test_every_module_can_be_imported_with_these_versions",
    "tests/test_wheel.py::test_the_page_opens_from_another_folder",
    "tests/test_wheel.py::test_try_from_another_folder",
)
NEWEST_TESTS = (*LIBRARY_TESTS, "tests/ui/test_tab.py", "tests/ui/test_page_app.py")  # gradio is met by the page
SUPPORTED = ((3, 10), (3, 13))  # first and last, both included; pyproject.toml's requires-python says the same


def unsupported(version: "tuple[int, int]", python: str) -> "str | None":
    """Why the Python at `python` with this `version` cannot run SameFace, in one sentence; None if it can."""
    first, last = SUPPORTED
    if first <= version <= last:
        return None
    return (
        f"SameFace needs Python {first[0]}.{first[1]} to {last[0]}.{last[1]}, but {python} is Python"
        f" {version[0]}.{version[1]}; run the same command with one of those."
    )


def let_waiting_threads_sleep() -> None:
    """Have the threads of OpenMP's library (GNU's, Intel's) soon sleep while they wait, unless the user says how they
    wait; to be called before torch is loaded.

    In a busy loop they make a step many times slower as soon as another thread or program wants a core
    (docs/performance.md). A child process inherits it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
        os.environ.setdefault("KMP_BLOCKTIME", "1")


def main(argv: "list[str] | None" = None) -> int:
    """Run one command. Returns the exit code: 0 well, 1 a check failed, 2 an error with a sentence, 130 stopped by the
    user; 3 and 4 are verdicts (`lib_lora.cli.main`)."""
    reason = unsupported(sys.version_info[:2], sys.executable)
    if reason:
        sys.stderr.write(f"sameface: {reason}\n")
        return 2
    let_waiting_threads_sleep()
    gc.set_threshold(20_000, 20, 100)  # torch and diffusers make so many objects that looking for dead ones took 0.6 s
    from lib_lora.pipes import outlive_readers

    outlive_readers()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console may lack a letter; better a "\u540d" than a crash
            stream.reconfigure(errors="backslashreplace")
    from lib_lora.errors import UserError, brief

    argv = sys.argv[1:] if argv is None else argv
    try:
        return _run(argv)
    except UserError as error:
        sys.stderr.write(f"sameface: {brief(str(error), argv)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("sameface: stopped; finished work is kept, and the same command continues from there.\n")
        return 130


def _run(argv: "list[str]") -> int:
    from lib_lora.errors import UserError
    from lib_lora.setup import bootstrap, environment

    command = argv[0] if argv else ""
    if command == "test" and not (environment.SOURCE and (environment.ROOT / "tests").is_dir()):
        raise UserError(
            "The tests come with SameFace's source folder, not with the installed package; run this in that folder.",
            code="tests-not-installed",
        )
    if command == "test":
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # packages are not compiled yet: each process would do it again
        purposes = {"--pins": "a1111", "--newest": "newest"}
        purpose = next((purposes[word] for word in argv if word in purposes), "test")
        left = bootstrap.enter(purpose, argv)
        if left is not None:
            return left
        return _test_newest(argv[1:]) if purpose == "newest" else _test(argv[1:], purpose == "a1111")
    page = command in ("try", "ui")  # these two make the environment, and need the page's packages in it
    left = bootstrap.enter("try" if page else "run", argv, make=page)
    if left is not None:
        return left
    from lib_lora.models.withheld_packages import withhold_packages

    withhold_packages()
    try:
        from lib_lora.cli import main as command_line

        return command_line(argv)
    except ModuleNotFoundError as error:
        sentence = environment.about_missing(error)
        if sentence is None:
            raise
        raise UserError(sentence, code="package-missing") from error


def _test_newest(words: "list[str]") -> int:
    """`NEWEST_TESTS`, or what else of pytest's the `words` name, on the newest release of every library; with nothing
    but "--collect-only" those tests are collected, as by `_test`."""
    from lib_lora.setup import releases
    from lib_lora.setup.environment import ROOT

    chosen = [word for word in words if word != "--newest"]
    out = None if chosen else releases.ask("newest")
    pytest = [sys.executable, "-m", "pytest", "--durations=50", *_given(chosen, NEWEST_TESTS)]
    code = subprocess.run(pytest, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"}, check=False).returncode
    outdated = 0 if chosen else releases.check(code == 0, out, "newest")
    return code or outdated  # a signal's code is negative


def _test(words: "list[str]", pins: bool) -> int:
    """ruff and its formatter, mypy, the checks of the page's scripts and pytest, in this order and all of them; with
    A1111's pins only pytest.

    ``--without-library-tests`` leaves `LIBRARY_TESTS` to ``--pins`` and ``--newest``, whose versions are the oldest and
    the newest; for who runs all three.

    Other `words` than these and ``--coverage`` go to pytest, and the page's scripts are not checked then. Without
    any, all tests run, with ``--pins`` those that the pinned versions can change (tests/helpers/pins.py); with nothing
    but "--collect-only" these are collected, which compiles each module once. "--page" alone checks the page's scripts
    and nothing else.
    """
    from lib_lora.setup import page_checks, releases
    from lib_lora.setup.environment import ROOT

    chosen = [word for word in words if word not in ("--pins", "--coverage", "--without-library-tests")]
    which = ["--pins"] if pins else []
    if "--without-library-tests" in words:
        # a whole file is not even imported: each worker would load the libraries that it tests
        which += [f"--{'deselect' if '::' in test else 'ignore'}={test}" for test in LIBRARY_TESTS]
    covered = ["--cov", "--cov-report=term:skip-covered"] if "--coverage" in words else []
    python = [sys.executable, "-m"]
    pytest = {"pytest": [*python, "pytest", "--durations=50", *covered, *_given(chosen, which)]}
    of_the_page, skipped = page_checks.checks() if not pins and chosen in ([], ["--page"]) else ({}, [])
    if chosen == ["--page"]:
        steps = of_the_page
    elif pins:
        steps = pytest
    else:
        ruff = {"ruff": [*python, "ruff", "check", "."], "ruff format": [*python, "ruff", "format", "--check", "."]}
        steps = {**ruff, "mypy": [*python, "mypy"], **of_the_page, **pytest}
    variables = {**os.environ, "PYTHONUTF8": "1"}
    if sys.version_info >= (3, 12):
        variables.setdefault("COVERAGE_CORE", "sysmon")  # before, a tracer makes tests much slower
    out = None if pins or chosen else releases.ask("test")
    codes = {}
    # Collecting compiles each module once, while mypy has one core; otherwise each worker does it for itself.
    compiling = None if pins or chosen else _quietly([*python, "pytest", "--collect-only", "-q", *which])
    for name, command in steps.items():
        if name == "pytest" and compiling:
            compiling.wait()
        by = "Node" if name in of_the_page else f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        sys.stderr.write(f"== {name} ({by})\n")
        sys.stderr.flush()
        codes[name] = subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
    if not pins and "pytest" in codes:
        codes["releases"] = releases.check(not any(codes.values()), out)
    verdict = ", ".join([*(f"{name} {'passed' if code == 0 else 'FAILED'}" for name, code in codes.items()), *skipped])
    sys.stderr.write(f"== {verdict}\n")
    return 1 if any(codes.values()) else 0


def _given(chosen: "list[str]", which: "list[str] | tuple[str, ...]") -> "list[str]":
    """What pytest is given: the words that its user has `chosen`, or those that say `which` tests to run or collect."""
    if set(chosen) - {"--collect-only", "-q"}:
        return chosen
    return [*(chosen or _side_by_side()), *which]


def _quietly(command: "list[str]") -> "subprocess.Popen[bytes]":
    """The process of a command whose output nobody reads."""
    from lib_lora.setup.environment import ROOT

    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _side_by_side() -> "list[str]":
    """pytest's words for two workers more than there are cores, at most 8, since a test that waits for a browser or
    another process leaves its core idle. A file's tests stay in one worker and in order: one may go on where the one
    before has ended.
    """
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))  # those that a container may use
    return ["-n", str(min(cores + 2, 8)), "--dist", "loadfile", "--no-loadscope-reorder"]


if __name__ == "__main__":
    sys.exit(main())
