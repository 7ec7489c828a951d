"""One process at a time on a run."""

import subprocess
import sys
from pathlib import Path

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


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def unsupported(handle):
        raise OSError(run_lock.errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(run_lock, "_lock", unsupported)
    entered = False
    with run_lock.only_process(tmp_path):
        entered = True
    assert entered


def test_a_vanished_folder_is_one_sentence(tmp_path):
    with (
        raises("file-missing"),
        run_lock.only_process(tmp_path / "gone"),
    ):
        pass
