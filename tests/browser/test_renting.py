"""Renting a GPU in the tab, in a browser: key, offers, limits, and what a job is given. RunPod is a stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from fake_runpod import KEY, FakeRunpod
from in_page import go, refresh, until
from planted_page import Planted, planted_page
from visitor import ROOT

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.runpod import api_key_store
from lib_lora.remote.runpod.pod_ledger import PodLedger
from lib_lora.remote.runpod.runpod_answers import PodRequest
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.remote.runpod.user_currency import set_rate

pytestmark = pytest.mark.once("the page's scripts")

MARA = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))


@pytest.fixture
def runpod(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRunpod]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)
    with FakeRunpod(tmp_path / "pods").running() as server:
        server.runs = False
        own = pod_terms.account

        def account(root: Any) -> RunpodApi:
            own(root)  # which needs a key
            return RunpodApi(KEY, server.base, timeout=5)

        monkeypatch.setattr(pod_terms, "account", account)
        yield server


@pytest.fixture
def planted(tmp_path: Any) -> Iterator[Planted]:
    with planted_page(tmp_path / "Daten ü") as page:
        yield page


def test_from_the_key_to_the_job(chromium: Any, planted: Planted, runpod: FakeRunpod) -> None:
    folder = planted.character("Lena")
    for photo in MARA[:8]:
        shutil.copy(photo, folder.photos)
    set_rate(planted.root, "GBP", 0.5)
    ledger = PodLedger(planted.root)
    left = ledger.intend("NVIDIA A40", "0.4")
    ledger.created(left, RunpodApi(KEY, runpod.base).create_pod(PodRequest(left, "image", "NVIDIA A40")).id)

    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(20_000)
    page.goto(planted.address)
    until(page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")
    refresh(page)
    go(page, "train", "lena")
    page.get_by_label("Where to train").select_option("runpod")
    start = page.get_by_role("button", name="Start training")
    assert start.is_disabled()  # without a key
    page.get_by_label("API key of RunPod").fill(KEY)
    page.get_by_role("button", name="Keep the API key").click()
    page.locator(".sf-offer", has_text="RTX 4090").click()
    page.locator(".sf-offer", has_text="48 GB").click()
    page.get_by_label("Hours at most").fill("2")
    page.get_by_label("Cost at most (GBP)").fill("1.5")
    page.get_by_text("Starting rents a GPU (RTX 4090) and costs 0.45 GBP at most: after 2 hours").wait_for()
    assert KEY not in page.content()

    page.get_by_role("button", name="End it").click()
    page.get_by_text("The rented GPU is deleted.").wait_for()
    assert runpod.living() == []

    start.click()
    page.get_by_text("The training begins.").wait_for()
    [job] = planted.queue.jobs()
    assert isinstance(job.arguments, TrainArguments)
    rental = job.arguments.rental
    assert rental is not None
    assert job.arguments.on == "runpod"
    assert (rental.gpus, rental.hours, rental.cap) == (["NVIDIA GeForce RTX 4090", "NVIDIA A40"], 2.0, 3.0)

    left = ledger.intend("NVIDIA A40", "0.4")
    ledger.created(left, RunpodApi(KEY, runpod.base).create_pod(PodRequest(left, "image", "NVIDIA A40")).id)
    page.goto(planted.address)
    page.get_by_text("A rented GPU costs money, and no job uses it: end it in the Doctor.").wait_for()
    assert errors == []
    page.close()
