"""Which GPUs of a catalogue will do, in which order, and what is said where none will."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from fake_runpod import CATALOG, gpu
from faults import raises

from lib_lora.remote.renting.gpu_offers import GpuWishes, affordable, lies_in, offers
from lib_lora.remote.renting.money import HOURS_A_MONTH
from lib_lora.remote.runpod import runpod_answers
from lib_lora.remote.runpod.runpod_answers import DISK_MONTHLY

DISK = DISK_MONTHLY * 40 / HOURS_A_MONTH


def catalog(*rows):
    parsed = (runpod_answers.parsed(json.dumps(row).encode()) for row in rows or CATALOG)
    return [found for row in parsed if (found := runpod_answers.gpu_type(row))]


def names(found):
    return [offer.gpu.name for offer in found]


def test_the_cheapest_comes_first():
    found = offers(catalog(), GpuWishes(), "RunPod")
    assert names(found) == ["RTX A4000", "A40", "RTX 4090"]
    assert [offer.hourly - DISK for offer in found] == [Decimal("0.25"), Decimal("0.4"), Decimal("0.44")]
    assert {offer.data_centers for offer in found} == {()}


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"memory": 20}, ["A40", "RTX 4090"]),
        ({"memory": 48.0}, ["A40"]),
        ({"dearest": Decimal("0.42")}, ["RTX A4000", "A40"]),
        ({"cloud": "COMMUNITY"}, ["RTX A4000", "RTX 4090"]),
        ({"order": ("rtx  4090", "NVIDIA A40", "H100")}, ["RTX 4090", "A40"]),
        ({"order": ("RTX 4090", "RTX A4000"), "memory": 20}, ["RTX 4090"]),
        ({"count": 8, "memory": 20}, ["A40", "RTX 4090"]),
        ({"count": 4, "cloud": "COMMUNITY", "memory": 20}, ["RTX 4090"]),
        ({"regions": ("EU",)}, ["RTX A4000", "A40", "RTX 4090"]),
    ],
)
def test_what_is_wished_is_kept_to(wishes, expected):
    assert names(offers(catalog(), GpuWishes(**wishes), "RunPod")) == expected


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ({"memory": 200}, "memory"),
        ({"dearest": Decimal("0.1")}, "costs more"),
        ({"order": ("H100",)}, "listed"),
        ({"regions": ("AP",)}, "regions"),
        ({"count": 9}, "number"),
        ({"memory": 40, "cloud": "COMMUNITY"}, "memory"),
        ({"dearest": Decimal("0.3"), "memory": 20}, "costs more"),
    ],
)
def test_where_none_will_do_the_nearest_reason_is_said(wishes, why):
    with raises("rent-no-gpu-fits", has=why):
        offers(catalog(), GpuWishes(**wishes), "RunPod")


def test_of_an_empty_catalogue():
    with raises("rent-no-gpu-fits"):
        offers([], GpuWishes(), "RunPod")


def test_what_is_taken_is_left_out_and_that_is_said():
    taken = catalog(gpu("A", 24, 0.3, availability="NONE"), gpu("B", 24, 0.4))
    assert names(offers(taken, GpuWishes(), "RunPod")) == ["B"]
    with raises("rent-no-gpu-fits", has="taken"):
        offers(taken[:1], GpuWishes(), "RunPod")


def test_regions_give_data_centres_the_best_stocked_first():
    centers = [("EU-CZ-1", "LOW"), ("US-KS-2", "HIGH"), ("EUR-IS-1", "HIGH"), ("EU-RO-1", "NONE"), ("EUROPA-1", "HIGH")]
    row = gpu("A", 24, 0.3, dataCenters=[{"id": one, "name": one, "availability": level} for one, level in centers])
    (found,) = offers(catalog(row), GpuWishes(regions=("eu",)), "RunPod")
    assert found.data_centers == ("EUR-IS-1", "EU-CZ-1")
    (found,) = offers(catalog(row), GpuWishes(regions=("US", "EU-CZ-1")), "RunPod")
    assert found.data_centers == ("US-KS-2", "EU-CZ-1")
    assert not lies_in("EU-RO-10", ["EU-RO-1"])


def test_the_price_of_a_pod_is_that_of_all_its_gpus_and_its_disk():
    (found,) = offers(catalog(gpu("A", 24, 0.5)), GpuWishes(count=2, disk=730), "RunPod")
    assert found.hourly == Decimal("1.1")


def test_what_may_cost_more_than_is_allowed_is_not_tried():
    found = offers(catalog(), GpuWishes(disk=0), "RunPod")
    assert names(affordable(found, 10, Decimal(4))) == ["RTX A4000", "A40"]
    with raises("rent-above-limit", has=("2.50", "2.49")):
        affordable(found, 10, Decimal("2.49"))
