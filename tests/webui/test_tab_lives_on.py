"""A training outlives Reload UI, the death of its worker and the death of the webui, in a running webui."""

import time

import numpy as np
import psutil
import pytest
from in_page import go
from running import LONG_SAVE_EVERY, LONG_STEPS, PATIENCE, PRESET, SETTINGS

pytestmark = pytest.mark.webui(running=True)
RELOAD = "() => document.querySelector('#settings_restart_gradio').click()"
BACK = "() => !window.before && document.querySelector('#sameface.sf')"


@pytest.fixture(scope="module")
def long(webui, character, base, paints):
    """A training that would take long; its job's number. Whether the webui paints is known before: it waits for it."""
    settings = {"steps": LONG_STEPS, "save_every": LONG_SAVE_EVERY, **SETTINGS}
    arguments = {"base": base, "preset": PRESET, "settings": settings, "then_test": False, "few": True}
    job = webui.api("/jobs", {"kind": "train", "character": character, "arguments": arguments})
    webui.trains(job["id"])
    yield job["id"]
    if webui.process() is not None and webui.job(job["id"])["state"] in ("waiting", "running"):
        webui.api(f"/jobs/{job['id']}/stop", {})


def _worker(webui, folders):
    [worker] = webui.workers(folders["data"])
    return worker


def _starts(webui, number):
    return sum(event["state"] == "resumed" or event["state"] == "starting" for event in webui.events(number))


def _goes_on(webui, number, at_least):
    """Resume a job; the step after which it goes on must be this or a later one."""
    before = len([event for event in webui.events(number) if event["state"] == "resumed"])
    webui.api(f"/jobs/{number}/resume", {})
    webui.trains(number)
    resumed = [event for event in webui.events(number) if event["state"] == "resumed"]
    assert len(resumed) == before + 1
    assert resumed[-1]["step"] >= at_least
    return resumed[-1]["step"]


def test_reload_ui_twice_and_the_run_goes_on(webui, long, folders, window, character, seen):
    worker, starts = _worker(webui, folders), _starts(webui, long)
    took = []
    for _ in range(2):
        step = webui.job(long)["standing"]["done"]
        before = webui.ask("/internal/profile-startup").json()
        begun = time.monotonic()
        window.page.wait_for_selector("#settings_restart_gradio", state="attached")
        window.page.evaluate("() => { window.before = true }")
        window.page.evaluate(RELOAD)
        # The page loads itself again. Nobody else asks before: it could end A1111, see docs/webui.md.
        window.page.wait_for_function(BACK, timeout=180_000)
        while not _reloaded(webui, before):
            assert time.monotonic() - begun < 180, "the webui did not come back"
            time.sleep(1)
        took.append(round(time.monotonic() - begun, 1))
        assert webui.api("/state")["supervisor"] == {"active": True, "reason": ""}
        webui.trains(long, step)
        assert _worker(webui, folders) == worker
    seen["reload seconds"] = took
    assert _starts(webui, long) == starts
    # one supervisor runs a new job beside it, once
    light = webui.api(f"/characters/{character}/audit", {})["id"]
    webui.ended(light)
    assert [event["state"] for event in webui.events(light)].count("finished") == 1
    assert _worker(webui, folders) == worker
    window.turn_to_us()
    go(window.page, "train", character)
    window.page.wait_for_timeout(3000)
    window.photograph("train-after-reload")


def _reloaded(webui, before):
    try:
        answer = webui.ask("/internal/profile-startup", wait=20)
        return answer.status == 200 and answer.json() != before and webui.answers()
    except (OSError, ValueError):
        return False


def test_a_killed_worker_costs_little(webui, long, folders, plain, seen):
    every = LONG_SAVE_EVERY
    saved = webui.trains(long, beyond=every + every // 4)["standing"]["done"] // every * every
    worker, begun = _worker(webui, folders), time.monotonic()
    worker.kill()
    job = webui.until(long, lambda job: job["state"] in ("failed", "interrupted"), 60)
    seen["killed worker noticed seconds"] = round(time.monotonic() - begun, 1)
    seen["killed worker says"] = job["error"]
    assert job["error"].endswith(".")
    assert job["code"] == "worker-killed"
    assert webui.workers(folders["data"]) == []
    if plain is not None:
        assert np.array_equal(webui.picture(), plain)
    seen["resumed after the worker's death at"] = _goes_on(webui, long, max(every, saved - every))


@pytest.mark.usefixtures("restartable")
def test_a_killed_webui_costs_nothing(webui, long, folders, seen):
    last = webui.trains(long, beyond=webui.job(long)["standing"]["done"] + 3)["standing"]["done"]
    worker, run = _worker(webui, folders), webui.job(long)["run"]
    assert run
    webui.kill()
    begun = time.monotonic()
    try:
        worker.wait(90 * PATIENCE)
    except psutil.TimeoutExpired:
        pytest.fail(f"the worker still runs {90 * PATIENCE} s after the webui was killed")
    finally:
        seen["worker ended after the webui's death seconds"] = round(time.monotonic() - begun, 1)
        seen["start again seconds"] = round(webui.start(), 1)
    end = time.monotonic() + 60
    while (job := webui.job(long))["state"] == "running":
        assert time.monotonic() < end, job
        time.sleep(0.5)
    assert job["state"] == "interrupted"
    assert job["error"].endswith(".")
    seen["after the webui's death it says"] = job["error"]
    told = next(one for one in webui.api(f"/characters/{job['slug']}/runs") if one["id"] == run)
    assert told["resumable"]
    assert told["steps"] >= last
    seen["resumed after the webui's death at"] = [last, _goes_on(webui, long, last)]


def test_it_is_stopped_in_the_end_and_keeps_its_lora(webui, long, folders, seen):
    begun = time.monotonic()
    webui.api(f"/jobs/{long}/stop", {})
    job = webui.ended(long, 120, "stopped")
    seen["stop seconds"] = round(time.monotonic() - begun, 1)
    assert webui.workers(folders["data"]) == []
    [run] = [one for one in webui.api(f"/characters/{job['slug']}/runs") if one["id"] == job["run"]]
    assert run["checkpoints"]
    assert run["resumable"]
