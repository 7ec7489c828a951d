"""One process at a time on a run."""

import errno
import os
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import filelock
import pytest
from faults import raises

from lib_lora.runs import run_lock

HOLD = """
import sys, time
from pathlib import Path
from lib_lora.runs.run_lock import only_process
with only_process(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_until_the_first_has_ended(tmp_path):
    with (
        run_lock.only_process(tmp_path),
        raises("folder-locked"),
        run_lock.only_process(tmp_path),
    ):
        pass
    with run_lock.only_process(tmp_path):
        assert (tmp_path / "lock").is_file()


def test_a_killed_process_holds_nothing(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with raises("folder-locked"), run_lock.only_process(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with run_lock.only_process(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="the system's lock of POSIX")
@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, code):
    import fcntl

    def unsupported(*_):
        raise OSError(code, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / "lock").touch()
    entered = False
    with run_lock.only_process(tmp_path):
        entered = True
    assert entered
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EACCES])
def test_a_held_lock_is_held_although_no_other_can_be_tried(tmp_path, monkeypatch, code):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    acquire = filelock.FileLock.acquire
    with run_lock.only_process(tmp_path):
        monkeypatch.setattr(
            filelock.FileLock,
            "acquire",
            lambda lock, *given, **named: (fails if lock.lock_file.endswith(".tmp") else acquire)(
                lock, *given, **named
            ),
        )
        with raises("folder-locked"), run_lock.only_process(tmp_path):
            pass


@pytest.mark.parametrize(("code", "said"), [(errno.EMFILE, "file-inaccessible"), (errno.EACCES, "permission-denied")])
def test_a_lock_that_cannot_be_opened_is_one_sentence(tmp_path, monkeypatch, code, said):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with raises(said, has="lock"), run_lock.only_process(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_lock_that_is_a_link_is_not_passed_over(tmp_path):
    (tmp_path / "elsewhere").touch()
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    # releases of filelock that follow it lock what it leads to; the others refuse it
    with (
        raises(("file-inaccessible", "folder-locked")),
        run_lock.only_process(tmp_path),
        run_lock.only_process(tmp_path),
    ):
        pass


def test_where_there_are_no_locks_nothing_is_waited_for(tmp_path, monkeypatch):
    """As releases of filelock before 4 see such a file system: every lock seems to be held."""
    waits = []

    def fails(lock, timeout=None, **_):
        waits.append(timeout)
        raise filelock.Timeout(lock.lock_file)

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    entered = False
    with run_lock.only_process(tmp_path, patience=30):
        entered = True
    assert entered
    assert set(waits) == {0}


OLDER = """
import fcntl, sys, time
stream = open(sys.argv[1], "ab")
fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="the system's lock of POSIX")
def test_a_process_of_an_earlier_release_is_seen_and_sees(tmp_path):
    command = [sys.executable, "-c", OLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with raises("folder-locked"), run_lock.only_process(tmp_path):
            pass
        holder.kill()
    with run_lock.only_process(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "BlockingIOError" in done.stderr


def test_it_is_waited_for_as_long_as_was_said(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        threading.Timer(0.5, holder.kill).start()
        with run_lock.only_process(tmp_path, patience=30):
            assert holder.poll() is not None or holder.wait(5) is not None


def test_it_may_be_given_back_by_another_thread(tmp_path):
    stack = ExitStack()
    stack.enter_context(run_lock.only_process(tmp_path))
    thread = threading.Thread(target=stack.close)
    thread.start()
    thread.join()
    with run_lock.only_process(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="file modes of POSIX")
def test_the_files_rights_stay_as_they_are(tmp_path):
    for mode in (0o600, 0o640):
        (tmp_path / "lock").touch()
        (tmp_path / "lock").chmod(mode)
        with run_lock.only_process(tmp_path):
            assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == mode


def test_a_vanished_folder_is_one_sentence(tmp_path):
    with (
        raises("file-missing"),
        run_lock.only_process(tmp_path / "gone"),
    ):
        pass
