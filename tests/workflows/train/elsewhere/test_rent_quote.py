"""What is said of time and money before a GPU is rented, with a stand-in for RunPod and runs that were planted."""

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from fake_runpod import KEY, FakeRunpod, gpu
from faults import raises
from planting import PERSONAS, plant_run

from lib_lora import cli
from lib_lora.character.store import Character, Consent, create
from lib_lora.queue.job_types import Rental, TrainArguments
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.places import Graphics, Machine, Place
from lib_lora.remote.renting.pod_ledger import Painted, PodLedger
from lib_lora.remote.renting.user_currency import rate_of, set_rate
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.runs.events import EventLog
from lib_lora.runs.records.paces import pace_on
from lib_lora.training.plan import estimate
from lib_lora.training.plan.memory_fitting import fitted
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.typed_settings import to_dict
from lib_lora.workflows.train.elsewhere.rent_quote import (
    PlannedTraining,
    before_renting,
    quote,
    spent,
    time_there,
    training_of,
)
from lib_lora.workspace.workspace import Workspace

PRESET = preset(None, "sdxl")
XL = replace(PRESET, samples=0)
LARGE = fitted("sdxl", 24 << 30, XL)[0]  # as it is trained on a GPU of 24 GB
A4090 = "NVIDIA GeForce RTX 4090"


@pytest.fixture
def runpod(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(tmp_path / "pods").running() as server:
        server.catalog.append(gpu("NVIDIA RTX A2000", 6, 0.12))
        yield server


def asked(train=XL, given=(), steps=1200):
    return PlannedTraining(Path("/models/xl.safetensors"), "sdxl", False, train, given, steps)


def quoted(root, runpod, training=None, **rental):
    api = RunpodApi(KEY, runpod.base, timeout=5, attempts=1)
    return quote(root, training or asked(), Rental(**rental), api)


def trained(root, device, pace, train=LARGE, steps=40, number=1, family="sdxl"):
    """An earlier run, with the events of its training."""
    folder = (
        create(root, Character("Lena", "lnxa", "woman", Consent("fictional", "2024-05-06"))) if number == 1 else None
    )
    run = plant_run(folder or Workspace(root).character("Lena"), number)
    values = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    values |= {"settings": to_dict(train), "base": {**values["base"], "family": family}}
    values["created"] = f"2024-05-0{number}T07:08:09+00:00"
    (run / "run.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (run / "events.jsonl").unlink(missing_ok=True)
    emit = EventLog(run / "events.jsonl")
    emit("state", state="preparing", device="cuda", device_name=device)
    for step in range(1, steps + 1):
        emit("step", step=step, total=steps, seconds_per_step=pace)


def test_a_gpu_that_is_too_small_is_not_among_the_offers(tmp_path, runpod):
    found = quoted(tmp_path, runpod)
    assert (found.need.whole, found.need.least) == (9, 8)
    assert [one.offer.gpu.memory for one in found.offers] == [16, 48, 24]  # by price, and not the cheapest, with 6 GB
    assert "9 GB" in found.need_sentence()


def test_one_that_is_named_may_be_as_small_as_the_settings_can_be_made(tmp_path, runpod):
    runpod.catalog.append(gpu("NVIDIA Small", 8, 0.10))
    [one] = quoted(tmp_path, runpod, gpus=["Small"]).offers
    assert "8 GB" in one.changed
    assert [one.offer.gpu.name for one in quoted(tmp_path, runpod).offers] == ["RTX A4000", "A40", "RTX 4090"]
    with raises("rent-no-gpu-fits", has=("8 GB",)):
        quoted(tmp_path, runpod, gpus=["RTX A2000"])


def test_what_somebody_asked_for_is_not_changed_to_fit(tmp_path, runpod):
    large = replace(XL, batch_size=8, gradient_checkpointing=False)
    training = asked(large, ("batch_size", "gradient_checkpointing"))
    need = training.need()
    assert need.whole > 24
    with raises("rent-no-gpu-fits"):
        quoted(tmp_path, runpod, training, gpus=["RTX 4090"])
    settled = asked(replace(XL, precision="bf16"))
    assert settled.need().least == settled.need().whole  # nothing of a run is changed once its precision is settled


def test_without_a_run_there_no_time_is_made_up(tmp_path, runpod):
    trained(tmp_path, A4090, 0.5, family="sd1")  # another family
    trained(tmp_path, A4090, 0.5, replace(LARGE, resolution=512), number=2)
    trained(tmp_path, A4090, 0.5, steps=5, number=3)  # too few to tell
    trained(tmp_path, "NVIDIA A40", 0.9, number=4)
    found = quoted(tmp_path, runpod, gpus=["RTX 4090"])
    assert found.offers[0].estimate is None
    assert "not known" in found.time_sentence(found.offers[0])
    assert "min" not in found.time_sentence(found.offers[0])


def test_the_pace_of_an_own_run_on_that_gpu_gives_minutes_and_a_sum(tmp_path, runpod):
    trained(tmp_path, A4090, 9.0)
    trained(tmp_path, A4090, 0.5, replace(LARGE, precision="bf16"), number=2)  # the newest of the same work counts
    found = quoted(tmp_path, runpod, gpus=["RTX 4090"])
    [one] = found.offers
    assert (one.minutes, one.estimate.minutes) == (Decimal(10), Decimal(22))  # and 12 to prepare it
    assert one.estimate.total == Decimal("0.17")  # 22 min at 0.44 USD and the disk
    said = found.time_sentence(one)
    assert all(part in said for part in ("lena/002", "10 min", "a guess", "0.17 USD", "5.00 USD")), said
    PodLedger(tmp_path).cost("sameface-0123456789abcdef", "lena", Decimal("0.2"), 30.0)
    assert quoted(tmp_path, runpod).preparing == 30.0
    assert "a guess" not in quoted(tmp_path, runpod, gpus=["RTX 4090"]).time_sentence(one)


def test_the_sample_pictures_are_painted_there_too_and_cost(tmp_path, runpod):
    """As many steps as take as long; the likeness curve is not measured there."""
    trained(tmp_path, A4090, 0.5)
    train = replace(PRESET, samples=2, sample_steps=30, batch_size=1, accumulation=1, save_every=500)
    assert train.likeness_curve
    training = asked(train)
    assert training.work == 1200 + 3 * 2 * 20  # 30 sampling steps take as long as 20 of training
    assert replace(training, steps=700, done=500).work == 700 + 2 * 2 * 20
    assert replace(training, steps=0, done=1200).work == 0
    costly = asked(replace(train, batch_size=XL.batch_size, accumulation=XL.accumulation))
    [one] = quoted(tmp_path, runpod, costly, gpus=["RTX 4090"]).offers
    assert one.minutes == Decimal("0.5") * Decimal(str(costly.work)) / 60 > 10
    assert one.estimate.minutes == one.minutes + 12
    said = quoted(tmp_path, runpod, costly, gpus=["RTX 4090"]).time_sentence(one)
    assert "1,200 steps with their sample pictures take about" in said


def test_what_measure_found_on_the_user_s_own_gpu_counts_too(tmp_path, runpod):
    base = tmp_path / "xl.safetensors"
    base.write_bytes(b"x")
    estimate.remember(tmp_path, base, XL, StepMeasurement(A4090, 1.0))
    found = quoted(tmp_path, runpod, replace(asked(), base=base), gpus=["RTX 4090"])
    assert found.offers[0].minutes == Decimal(20)
    assert "Measure" in found.time_sentence(found.offers[0])


def test_a_run_of_another_machine_is_found_by_its_gpu(tmp_path):
    trained(tmp_path, "NVIDIA GeForce RTX 4090", 0.5)
    assert pace_on(tmp_path, "RTX 4090", "sdxl", LARGE).seconds == 0.5
    assert pace_on(tmp_path, "RTX 4080", "sdxl", LARGE) is None


def test_with_an_identity_loss_that_begins_later_a_run_s_pace_is_that_of_all_its_steps(tmp_path):
    """Its last steps take longer than its first ones; one that has not ended has too few of either."""
    late = replace(LARGE, identity_loss_weight=0.1, identity_loss_from=0.5)
    trained(tmp_path, A4090, 0.5, late)
    run = tmp_path / "characters" / "lena" / "runs" / "001"
    assert pace_on(tmp_path, A4090, "sdxl", late).seconds == 0.5
    emit = EventLog(run / "events.jsonl")
    for step in range(41, 81):
        emit("step", step=step, total=80, loss_average=1.0, seconds=1.0, seconds_per_step=1.0)
    assert pace_on(tmp_path, A4090, "sdxl", late).seconds == pytest.approx(0.75)
    emit("step", step=81, total=200, loss_average=1.0, seconds=1.0, seconds_per_step=1.0)
    assert pace_on(tmp_path, A4090, "sdxl", late) is None


def test_a_machine_over_ssh_says_its_time_by_own_runs_too(tmp_path, toy):
    folder = create(tmp_path, Character("Mara", "mrxa", "woman", Consent("fictional", "2024-05-06")))
    for number in range(8):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", folder.photos)
    asked = TrainArguments(base=str(toy("sdxl")), on="ssh:workshop")
    machine = Machine(0.0, "3.12.1", "linux", 16, None, 1 << 30, [Graphics(A4090, 24 << 30)])
    place = Place("workshop", "gpu.example.org", machine=machine)
    assert time_there(tmp_path, "Mara", asked, place) == ""
    trained(tmp_path, A4090, 0.6)
    assert "800 steps with their sample pictures take about 9 min" in time_there(tmp_path, "Mara", asked, place)
    assert time_there(tmp_path, "Mara", asked, replace(place, machine=None)) == ""


def test_before_renting_in_a_terminal(tmp_path, toy, runpod, monkeypatch):
    folder = create(tmp_path, Character("Mara", "mrxa", "woman", Consent("fictional", "2024-05-06")))
    for number in range(8):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", folder.photos)
    monkeypatch.setattr(pod_terms, "account", lambda _: RunpodApi(KEY, runpod.base, timeout=5, attempts=1))
    PodLedger(tmp_path).cost("sameface-0123456789abcdef", "mara", Decimal("0.2"), 20.0)
    asked = TrainArguments(base=str(toy("sdxl")), on="runpod", rental=Rental(gpus=["RTX 4090"], hours=2.0))
    trained(tmp_path, A4090, 0.6)
    said = before_renting(tmp_path, "Mara", asked)
    assert "test grid" not in said
    said = before_renting(tmp_path, "Mara", asked, grid_steps=20)
    assert "44 pictures of the test grid" in said
    assert "how long they take on the RTX 4090 is not known" in said
    ledger = PodLedger(tmp_path)
    side = training_of(tmp_path, "Mara", asked).side
    ledger.cost(ledger.intend(A4090, "0.44"), "mara", Decimal("0.1"), 20.0, 10.0, Painted("sdxl", side, 1000, 300.0))
    said = before_renting(tmp_path, "Mara", asked, grid_steps=20)
    assert "about 4 min on the RTX 4090 and 20 min to prepare it, which is 0.19 USD more" in said
    assert all(
        part in said for part in ("8 GB", "RTX 4090, 24 GB: 0.45 USD", "about 9 min", "20 min to prepare", "0.30 USD")
    )


def test_all_is_said_in_the_user_s_currency(tmp_path, runpod):
    set_rate(tmp_path, "gbp", 0.5)
    found = quoted(tmp_path, runpod, gpus=["RTX 4090"], cap=4.0)
    assert "0.22 GBP an hour" in found.most_sentence()
    assert "2.00 GBP" in found.most_sentence()
    assert "USD" not in found.most_sentence() + found.time_sentence(found.offers[0])
    with raises("rent-above-limit", has=("GBP",)):
        quoted(tmp_path, runpod, cap=0.05)


def test_what_was_spent_is_added_up_for_each_character(tmp_path):
    ledger = PodLedger(tmp_path)
    ledger.cost("sameface-0123456789abcdef", "lena", Decimal("0.2"), None)
    ledger.cost("sameface-0123456789abcdee", "lena", Decimal("0.31"), 11.0)
    ledger.cost("sameface-0123456789abcded", "mara", Decimal("1"), 11.0)
    ledger.cost("sameface-0123456789abcded", "mara", Decimal("1.5"), 11.0)  # a bill that has grown
    with open(ledger.path, "ab") as stream:
        stream.write(b'{"event": "cost", "name": "sameface-0123456789abcde0", "character": "mara", "usd": "NaN"}\n{"ev')
    assert spent(tmp_path) == {"lena": Decimal("0.51"), "mara": Decimal("1.5")}
    assert ledger.entries() == []  # no pod is taken from what it has cost


def test_the_command_about_money(tmp_path, capsys):
    def said(*words):
        status = cli.main(["money", *words, "--data", str(tmp_path)])
        return status, capsys.readouterr()

    PodLedger(tmp_path).cost("sameface-0123456789abcdef", "lena", Decimal("2"), None)
    assert "2.00 USD" in said()[1].out
    with raises("rate-missing", "rate"):
        said("--currency", "GBP")
    assert "1.58 GBP" in said("--currency", "gbp", "--rate", "0.79")[1].out
    assert rate_of(tmp_path).per_usd == Decimal("0.79")
    for wrong in (("--currency", "pounds", "--rate", "1"), ("--rate", "-1")):
        with raises("currency-unusable"):
            said(*wrong)
    with raises("usd-is-usd"):
        said("--currency", "USD", "--rate", "2")
    assert "1.60 GBP" in said("--rate", "0.8")[1].out
    assert "2.00 USD" in said("--currency", "USD")[1].out


def test_a_currency_that_cannot_be_used_is_usd(tmp_path):
    (tmp_path / "settings.json").write_text('{"currency": "euros", "per_usd": 0.9}')
    assert rate_of(tmp_path).currency == "USD"
    (tmp_path / "settings.json").write_text("{")
    assert rate_of(tmp_path).currency == "USD"
