"""What other programs take of the processor, looked at while one of them computes."""

import subprocess
import sys
import time

import psutil

from lib_lora.models.fast import cpu_load

_COMPUTES = "while True: pass"


def test_a_program_that_computes_is_seen_and_our_own_is_not():
    child = subprocess.Popen([sys.executable, "-c", _COMPUTES])
    try:
        mine = cpu_load.Others()  # knows the child as one of its own
        foreign = cpu_load.Others([psutil.Process()])
        began, before = time.perf_counter(), psutil.Process(child.pid).cpu_times()
        time.sleep(1)
        times, wall = psutil.Process(child.pid).cpu_times(), time.perf_counter() - began
        took = (times.user + times.system - before.user - before.system) / (wall * cpu_load.cores())
        apart = foreign.share() - mine.share()
    finally:
        child.kill()
        child.wait()
    assert 0 <= mine.share() <= 1
    assert apart > 0.5 * took > 0  # the same machine, the same second: they differ by the child alone


def test_a_process_that_has_ended_is_no_error():
    child = subprocess.Popen([sys.executable, "-c", ""])
    others = cpu_load.Others([psutil.Process(child.pid)])
    child.wait()
    assert 0 <= others.share() <= 1


def test_a_step_waits_for_the_thread_that_shares_its_core():
    assert [cpu_load.slowed(share) for share in (0.0, 0.25, 0.5, 1.0)] == [1.0, 3.0, 5.0, 5.0]
