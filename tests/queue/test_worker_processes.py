"""Worker processes: how they are started, that nothing of them is left, and that one is known again."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faults import raises

from lib_lora.queue.running import worker_processes

ECHO = "import sys; print(sys.stdin.readline().strip()[::-1], flush=True); print('Fehler ü 名前', file=sys.stderr)"
PARENT = """
import subprocess, sys, time
child = [sys.executable, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(child).pid, subprocess.Popen(child).pid, flush=True)
if sys.argv[1] == "stay":
    time.sleep(600)
"""
UTF8 = {**os.environ, "PYTHONUTF8": "1"}


def gone(pid, seconds=5.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_input_and_output_are_pipes_and_errors_go_to_the_log(tmp_path):
    log = tmp_path / "Ordner ü" / "log.txt"
    for _ in range(2):
        with worker_processes.start([sys.executable, "-c", ECHO], UTF8, log) as process:
            out, _ = process.communicate("größer 名\n")
        assert (out, process.returncode) == ("名 reßörg\n", 0)
    assert log.read_text(encoding="utf-8").splitlines() == ["Fehler ü 名前"] * 2  # added to, not overwritten


def test_the_worker_finds_the_package_and_gets_just_its_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMEFACE_SECRET", "1")
    there = "*('SAMEFACE_' + name in os.environ for name in ('SECRET', 'FILE_NAMES'))"
    code = f"import os, lib_lora; print(lib_lora.__file__, {there}, os.environ['ONLY'])"
    keep = {key: os.environ[key] for key in ("SYSTEMROOT", "PATH") if key in os.environ}
    with worker_processes.start(
        [sys.executable, "-c", code], {**keep, "ONLY": "this"}, tmp_path / "log.txt"
    ) as process:
        out, _ = process.communicate()
    assert out.split()[1:] == ["False", "True", "this"]


def test_a_python_that_is_not_there_is_one_sentence(tmp_path):
    with raises("file-missing"):
        worker_processes.start([str(tmp_path / "no python")], UTF8, tmp_path / "log.txt")


def test_a_tree_is_killed(tmp_path):
    process = worker_processes.start([sys.executable, "-c", PARENT, "stay"], UTF8, tmp_path / "log.txt")
    children = [int(pid) for pid in process.stdout.readline().split()]
    worker_processes.kill_tree(process.pid)
    assert all(gone(pid) for pid in (*children, process.pid))
    assert process.wait(5) != 0  # its exit status is still there for who started it
    worker_processes.kill_tree(process.pid)  # no error
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="a dead parent's children are not known there")
def test_what_a_dead_worker_has_left_is_killed(tmp_path):
    process = worker_processes.start([sys.executable, "-c", PARENT, "leave"], UTF8, tmp_path / "log.txt")
    children = [int(pid) for pid in process.stdout.readline().split()]
    process.wait(5)
    assert not any(gone(pid, 0.1) for pid in children)
    worker_processes.kill_group(process.pid)
    assert all(gone(pid) for pid in children)
    process.communicate()


def test_killing_a_group_spares_its_own():
    for pid in (0, os.getpgrp() if sys.platform != "win32" else 0):
        worker_processes.kill_group(pid)  # if it did not, no test would come after this one


def sleeper(number, root):
    command = [sys.executable, "-c", "import time; time.sleep(600)", *worker_processes.worker_arguments(number, root)]
    return subprocess.Popen(command)


def test_a_worker_is_known_again(tmp_path):
    process = sleeper(7, tmp_path)
    try:
        until = time.monotonic() + 5  # between fork and exec it has another command
        while not worker_processes.is_worker(process.pid, 7, tmp_path) and time.monotonic() < until:
            time.sleep(0.02)
        assert worker_processes.is_worker(process.pid, 7, tmp_path)
        assert not worker_processes.is_worker(process.pid, 8, tmp_path)
        assert not worker_processes.is_worker(process.pid, 7, tmp_path / "other")
        assert not worker_processes.is_worker(os.getpid(), 7, tmp_path)
        assert not worker_processes.is_worker(0, 7, tmp_path)
        worker_processes.end_worker(process.pid, 8, tmp_path, 0.0, lambda: False)
        worker_processes.end_worker(process.pid, 7, tmp_path, 60.0, lambda: True)
        assert process.poll() is None
        worker_processes.end_worker(process.pid, 7, tmp_path, 0.1, lambda: False)
        assert process.wait(5) != 0
        assert not worker_processes.is_worker(process.pid, 7, tmp_path)
    finally:
        process.kill()
        process.wait()


def test_an_owner_is_alive_as_long_as_its_process():
    assert not worker_processes.owner_alive(worker_processes.owner_name("x"))  # of this process: it would know
    assert not worker_processes.owner_alive("nonsense")
    assert not worker_processes.owner_alive("")
    parent = psutil.Process(os.getppid())
    assert worker_processes.owner_alive(f"{parent.pid}@{parent.create_time():.2f}/x")
    assert not worker_processes.owner_alive(
        f"{parent.pid}@{parent.create_time() - 100:.2f}/x"
    )  # its number was given again


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which start of the computer it is")
def test_an_owner_of_before_a_restart_is_not_one_with_the_same_number_and_clock(monkeypatch):
    """A clock that is set anew, or begins anew, neither hides a process that lives nor makes one out of a dead one."""
    own = worker_processes.owner_name("x")
    assert worker_processes.is_own_name(own)
    before_restart = re.sub("@[0-9a-f-]{36}:", f"@{'0' * 36}:", own)
    assert before_restart != own
    assert not worker_processes.is_own_name(before_restart)
    monkeypatch.setattr(os, "getpid", lambda: 1)  # seen by another process
    assert worker_processes.owner_alive(own)
    assert not worker_processes.owner_alive(before_restart)
    assert worker_processes.owner_alive(re.sub("@[0-9.]+/", "@1.00/", own))


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "log.txt"
    assert worker_processes.tail(log) == []
    bar = "".join(f"\r{percent}%" for percent in range(101))
    text = "first ü\n" + "x" * 70_000 + f"\nbefore\n\n{bar}\r\nlast\n"
    log.write_bytes(text.encode())
    assert worker_processes.tail(log, 3) == ["before", "100%", "last"]
    assert len(worker_processes.tail(log)) == 4
    assert Path(log).stat().st_size > 70_000
