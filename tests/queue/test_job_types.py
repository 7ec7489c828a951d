"""Arguments of jobs: what cannot be done is said when the job is put in line, not hours later."""

from __future__ import annotations

import pytest
from faults import raises

from lib_lora.queue.job_types import KINDS, arguments_of, lane_of


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("probe", "invent")])
def test_all_arguments_but_a_base_can_be_left_out(kind):
    assert isinstance(arguments_of(kind, {}), KINDS[kind])


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("paint", {}, ("job-type-unknown", "'paint'")),
        ("test", {"wieght": 1}, ("setting-unknown", "did you mean 'weight'")),
        ("test", {"grid_steps": 0}, ("setting-invalid", "0 sampling steps")),
        ("test", {"grid_steps": -3}, ("setting-invalid", "-3 sampling steps")),
        ("test", {"grid_steps": 1000}, ("setting-invalid", "1000 sampling steps")),
        ("test", {"weight": 99}, ("setting-invalid", "weight is 99")),
        ("test", {"side": 100}, ("setting-invalid", "100 pixels")),
        ("test", {"side": 0}, ("setting-invalid", "0 pixels")),
        ("test", {"side": 4096}, ("setting-invalid", "4096 pixels")),
        ("test", {"first_seed": -1}, ("setting-invalid", "first seed is -1")),
        ("test", {"cfg": 0.5}, ("setting-invalid", "guidance is 0.5")),
        ("choose", {"weights": []}, ("setting-invalid", "no weight")),
        ("choose", {"weights": [1, 3]}, ("setting-invalid", "weight is 3")),
        ("choose", {"grid_steps": 0}, ("setting-invalid", "0 sampling steps")),
        ("probe", {}, ("setting-missing",)),
        ("invent", {"describe": "x"}, ("setting-missing",)),
        ("invent", {"describe": "x" * 401, "base": "b"}, ("setting-invalid", "at most 400 characters")),
        ("invent", {"describe": "x", "base": "b", "seed": -1}, ("setting-invalid", "seed is -1")),
        ("more", {"count": 0}, ("setting-invalid", "0 pictures cannot be kept")),
        ("more", {"budget": 5001}, ("setting-invalid", "5001 pictures cannot be painted")),
    ],
)
def test_what_cannot_be_done_is_said_at_once(kind, values, said):
    with raises(said[0], has=said[1:]):
        arguments_of(kind, values)


def test_light_jobs_run_beside_a_training():
    assert {kind for kind in KINDS if lane_of(kind) == "light"} == {"audit", "fill"}
