"""Renting a GPU in the tab, in a browser: key, offers, limits, and what a job is given. RunPod is a stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from fake_runpod import KEY, FakeRunpod
from in_page import go, refresh, until
from planted_page import Planted, planted_page
from planting import MINI, plant_run
from visitor import ROOT

from lib_lora.queue.job_types import ChooseArguments, ProduceArguments, Rental, TestArguments, TrainArguments
from lib_lora.queue.runners import pod_terms
from lib_lora.remote import api_key_store
from lib_lora.remote.renting.pod_ledger import Painted, PodLedger, RunLimits
from lib_lora.remote.renting.user_currency import set_rate
from lib_lora.remote.runpod.runpod_answers import PodRequest
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.runs.lent_run import Loan, lend, returned
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.judge.painting.painting_quote import of_grid
from lib_lora.workflows.produce import production_request

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


def _page_of_lena(chromium: Any, planted: Planted, step: str = "train") -> tuple[Any, list[str]]:
    """A new page at a step, and what its scripts raise."""
    errors: list[str] = []
    page = chromium.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(20_000)
    page.goto(planted.address)
    until(page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")
    refresh(page)
    go(page, step, "lena")
    return page, errors


def test_from_the_key_to_the_job(chromium: Any, planted: Planted, runpod: FakeRunpod) -> None:
    folder = planted.character("Lena")
    for photo in MARA[:8]:
        shutil.copy(photo, folder.photos)
    set_rate(planted.root, "GBP", 0.5)
    ledger = PodLedger(planted.root)
    left = ledger.intend("NVIDIA A40", "0.4")
    ledger.created(left, RunpodApi(KEY, runpod.base).create_pod(PodRequest(left, "image", "NVIDIA A40")).id)

    page, errors = _page_of_lena(chromium, planted)
    page.get_by_label("Where to train").select_option("runpod")
    start = page.get_by_role("button", name="Start training")
    assert start.is_disabled()  # without a key
    page.get_by_label("API key of RunPod").fill(KEY)
    page.get_by_role("button", name="Save the API key").click()
    page.locator(".sf-offer", has_text="RTX 4090").click()
    page.locator(".sf-offer", has_text="48 GB").click()
    page.get_by_label("Maximum hours").fill("2")
    page.get_by_label("Maximum cost (GBP)").fill("1.5")
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


def test_a_run_goes_on_with_new_limits(chromium: Any, planted: Planted, runpod: FakeRunpod) -> None:
    """One whose limits are used up, and which ended as failed; and a finished one gets more steps there."""
    api_key_store.save(planted.root, KEY)
    folder = planted.character("Lena")
    run = plant_run(folder, saved=[50], base=str(MINI))
    (run / "state" / "000050.pt").write_bytes(b"state")
    asked = TrainArguments(run=run.name, on="runpod", rental=Rental(hours=2.0, cap=1.0))
    failed = planted.queue.add("Lena", asked)
    planted.queue.take("remote", "somebody")
    planted.queue.note_run(failed.id, run.name)
    planted.queue.end(failed.id, "failed", "The rented pod has reached the limit of time or money of its run.")
    ledger, limits = PodLedger(planted.root), RunLimits(f"lena/{run.name}", Decimal(1), 2.0)
    name = ledger.intend("NVIDIA A40", "0.4", limits)
    ledger.created(name, "pod1")
    ledger.cost(name, "lena", Decimal(1), 4.0, 118.0)
    ledger.ended(name, "pod1")
    more = plant_run(planted.character("Mara"), saved=[50, 100], base=str(MINI))
    lend(run, Loan("desk", "lena@desk.example:SameFace", "0123456789abcdef", failed.id))

    page, errors = _page_of_lena(chromium, planted)
    page.get_by_text("The steps up to 50 are saved").wait_for()  # so the runs are known
    fold = page.locator("details", has_text="Continue elsewhere, or with other limits").first
    assert not fold.is_visible()  # another machine has the run
    returned(run)
    go(page, "train", "mara")
    page.get_by_text("Run 001 is trained").wait_for()
    go(page, "train", "lena")
    fold.locator("summary").first.click()
    fold.get_by_label("Where to continue").select_option("runpod")
    begin = fold.get_by_role("button", name="Continue there")
    fold.get_by_text("0.00 USD and 2 min are left after 1 pod, which is too little to continue").wait_for()
    fold.get_by_text("New time and cost limits start now").wait_for()
    assert begin.is_disabled()  # nothing can be had within its limits
    fold.get_by_label("Maximum cost (USD)").fill("1.5")
    fold.get_by_text("costs 0.51 USD at most: after 2 hours").wait_for()
    assert fold.get_by_label("Maximum hours").input_value() == "2"  # the run's own, as nobody has written others
    fold.get_by_label("Maximum hours").fill("3")
    fold.get_by_text("Starting rents a GPU (RTX A4000) and costs 0.77 USD at most: after 3 hours").wait_for()
    begin.click()
    page.get_by_text("The training continues.").wait_for()
    job = max(planted.queue.jobs(), key=lambda one: one.id)
    assert isinstance(job.arguments, TrainArguments)
    rental = job.arguments.rental
    assert rental is not None
    assert (job.id > failed.id, job.arguments.run, job.arguments.on) == (True, run.name, "runpod")
    assert (rental.hours, rental.cap, rental.anew) == (3.0, 1.5, True)

    go(page, "train", "mara")
    fold = page.locator("details", has_text="Train more steps").first
    fold.locator("summary").first.click()
    fold.get_by_label("Where to continue").select_option("runpod")
    fold.get_by_label("Maximum hours").fill("3")
    fold.get_by_text("at most: after 3 hours it is deleted").wait_for()
    fold.get_by_label("More steps", exact=True).fill("10")
    fold.get_by_text("How long 10 steps take").wait_for()
    given = []
    for _ in range(2):  # limits that are written are given once
        fold.get_by_role("button", name="Train more steps").click()
        until(page, "() => shared.app.state.queue.jobs.some((one) => one.slug === 'mara' && one.open)")
        job = max(planted.queue.jobs(), key=lambda one: one.id)
        assert isinstance(job.arguments, TrainArguments)
        assert (job.arguments.run, job.arguments.on, job.arguments.steps) == (more.name, "runpod", 110)
        assert job.arguments.rental is not None
        given.append((job.arguments.rental.hours, job.arguments.rental.anew))
        planted.queue.wish(job.id, "stop")
        refresh(page)
        fold.get_by_label("Where to continue").select_option("runpod")
        fold.get_by_label("More steps", exact=True).fill("10")
        fold.get_by_text("How long 10 steps take").wait_for()
    assert given == [(3.0, True), (6.0, False)]
    assert errors == []
    page.close()


def test_pictures_on_a_rented_gpu(
    chromium: Any, planted: Planted, runpod: FakeRunpod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test, a search and a production: what it may cost is said before, and the job is given it."""
    monkeypatch.setattr(production_request, "check_base", lambda run: None)
    monkeypatch.setattr(production_request, "check_whole", lambda path: None)
    api_key_store.save(planted.root, KEY)
    side = of_grid(load_run(plant_run(planted.character("Lena"), saved=[50, 100], base=str(MINI)))).side
    ledger = PodLedger(planted.root)
    before = ledger.intend("NVIDIA A40", "0.4")
    ledger.cost(before, "lena", Decimal("0.1"), 4.0, 10.0, Painted("sd1", side, 1000, 500.0))

    page, errors = _page_of_lena(chromium, planted, "test")
    test = page.locator(".sf-panel-test")
    test.get_by_text("A rented GPU at RunPod").click()
    test.get_by_text("How long a test of 44 pictures takes on the RTX A4000 is not known").wait_for()
    test.locator(".sf-offer", has_text="48 GB").click()
    test.get_by_text("A test of 44 pictures takes about 11 min there and costs about 0.08 USD.").wait_for()
    test.get_by_text("Starting rents a GPU (A40) and costs 2.43 USD at most: after 6 hours it is deleted").wait_for()
    test.get_by_text("Sent to a GPU that is rented at RunPod: the prompts, the base model, and the LoRA").wait_for()
    test.get_by_role("button", name="Paint 20 test pictures and judge").last.click()
    page.get_by_text("The test begins.").wait_for()
    test.get_by_text("Test another step or weight").click()
    test.get_by_label("Maximum hours").fill("1")
    test.get_by_text("and costs 0.41 USD at most: after 1 hours").wait_for()
    test.get_by_role("button", name="Find the best step and weight").last.click()
    page.get_by_text("The search begins.").wait_for()

    go(page, "produce", "lena")
    made = page.locator(".sf-panel-produce")
    made.locator(".sf-prompts").fill("in a café")
    made.get_by_text("A rented GPU at RunPod").click()
    made.get_by_text("How long the pictures take on the RTX A4000 is not known").wait_for()
    made.locator(".sf-button-main").last.click()
    page.get_by_text("The production begins.").wait_for()

    asked = [job.arguments for job in sorted(planted.queue.jobs(), key=lambda job: job.id)]
    assert [type(one) for one in asked] == [TestArguments, ChooseArguments, ProduceArguments]
    rentals = [one.rental for one in asked if isinstance(one, TestArguments | ChooseArguments | ProduceArguments)]
    assert {getattr(one, "on", "") for one in asked} == {"runpod"}
    assert [(one.gpus, one.hours, one.anew) for one in rentals if one] == [
        (["NVIDIA A40"], 6.0, False),
        (["NVIDIA A40"], 1.0, True),
        ([], 6.0, False),
    ]
    assert errors == []
    page.close()
