"""Which step and weight: what must hold, what is traded, no more training than needed, no winner by luck."""

from __future__ import annotations

import random as chance
from dataclasses import replace

import numpy as np
import pytest
from faults import misfit
from hypothesis import given, settings
from hypothesis import strategies as st
from report_toys import full, row

from lib_lora.likeness.comparing.choice import (
    WEIGHTS,
    Candidate,
    candidate,
    choose,
    geometric,
    least_broken,
    surely_worse,
    to_confirm,
    with_front,
)
from lib_lora.likeness.report.report import Report
from lib_lora.likeness.verdict.facts import Asked, from_flat


def report(**facts) -> Report:
    """Of a grid of twenty on which everything is well."""
    usual = {
        "step": 800, "weight": 1.0, "pictures": 20, "read": 20, "counted": 20, "retention": 0.9, "retention_best": 0.9,
        "retention_low": 0.85, "retention_high": 0.95, "variety_ratio": 0.8,
    }  # fmt: skip
    return replace(full(), facts=from_flat({**usual, **facts}))


def cell(step: int, weight: float, retention: float | None, error: float = 0.02, **more) -> Candidate:
    """A candidate whose only measured part is the identity."""
    usual = {"utility": min(1.0, retention or 0.0), "feasible": retention is not None}
    return Candidate(step, weight, retention, error, **{**usual, **more})


# -- one grid


def test_a_good_grid_by_hand():
    found = candidate(report(adherence=-0.01))
    assert (found.step, found.weight, found.retention, found.pictures) == (800, 1.0, 0.9, 20)
    assert (found.feasible, found.broken, found.front) == (True, [], False)
    assert found.utility == pytest.approx(0.9**0.5 * (2 / 3) ** 0.3 * 0.8**0.2)
    assert found.error == pytest.approx(0.1 / 2 / 2.093, rel=1e-3)  # Student's t of 19 degrees of freedom


def test_without_clip_its_weight_goes_to_the_others():
    found = candidate(report())
    assert found.adherence is None
    assert found.utility == pytest.approx(0.9 ** (5 / 7) * 0.8 ** (2 / 7))
    assert candidate(report(variety_ratio=None)).utility == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("facts", "utility"),
    [
        ({"retention_best": 1.3, "variety_ratio": 1.7, "adherence": 0.02}, 1.0),
        ({"retention_best": -0.2}, 0.0),
        ({"adherence": -0.03}, 0.0),
        ({"adherence": -0.5}, 0.0),
        ({"variety_ratio": 0.0}, 0.0),
    ],
)
def test_no_part_counts_beyond_its_end(facts, utility):
    assert candidate(report(**facts)).utility == pytest.approx(utility)


@pytest.mark.parametrize(
    ("facts", "broken"),
    [
        ({"no_face": 2}, []),
        ({"no_face": 3}, ["no face"]),
        ({"copies": 1}, []),
        ({"copies": 2}, ["copies"]),
        ({"lost": 1}, []),
        ({"lost": 2}, ["lost"]),
        ({"lost": 2, "copies": 2, "no_face": 3}, ["no face", "copies", "lost"]),
        ({"pictures": 8, "read": 8, "counted": 8, "no_face": 1, "copies": 1, "lost": 1}, []),
        ({"pictures": 8, "read": 8, "counted": 8, "no_face": 2}, ["no face"]),
        ({"pictures": 60, "read": 60, "counted": 60, "no_face": 6, "copies": 3, "lost": 3}, []),
        ({"pictures": 60, "read": 60, "counted": 60, "copies": 4}, ["copies"]),
        ({"retention": None, "retention_best": None}, ["not measurable"]),
        ({"read": 0, "counted": 0, "retention_best": None}, ["not measurable"]),
    ],
)
def test_what_breaks_a_limit_is_named(facts, broken):
    found = candidate(report(**facts))
    assert found.broken == broken
    assert found.feasible is not bool(broken)


def test_a_cell_that_follows_no_prompt_is_never_chosen():
    made = report()
    found = candidate(replace(made, verdict=replace(made.verdict, kind="follows no prompt")))
    assert (found.broken, found.feasible) == (["no prompt"], False)


def test_the_error_grows_with_the_ceiling_as_the_retention_does():
    """Against the ceiling the same scatter is a larger share."""
    plain, scaled = candidate(report()), candidate(report(retention=0.45, retention_best=0.9))
    assert scaled.error == pytest.approx(2 * plain.error)
    assert candidate(report(retention_low=None, retention_high=None)).error == 0.0


def test_a_report_of_no_run_is_refused():
    with misfit("report"):
        candidate(report(step=None))


PARTS = st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(0, 1), min_size=1)


@given(PARTS)
def test_the_mean_lies_between_its_parts(parts):
    assert min(parts.values()) - 1e-9 <= geometric(parts) <= max(parts.values()) + 1e-9
    assert geometric(dict.fromkeys(WEIGHTS, 0.7)) == pytest.approx(0.7)


# -- the front


def test_the_front_holds_what_nothing_beats():
    cells = [
        cell(100, 1.0, 0.5, variety=0.9),
        cell(200, 1.0, 0.8, variety=0.7),
        cell(300, 1.0, 0.8, variety=0.6),  # beaten in variety by 200
        cell(400, 1.0, 0.9, variety=0.5),
        cell(500, 1.0, 0.99, variety=0.99, feasible=False),  # beats all, but breaks a limit
    ]
    found = with_front(cells)
    assert [one.step for one in found if one.front] == [100, 200, 400]
    assert [replace(one, front=False) for one in found] == cells


def test_equal_cells_and_those_beyond_one_do_not_beat_each_other():
    assert all(one.front for one in with_front([cell(100, 1.0, 0.8), cell(200, 1.0, 0.8)]))
    assert all(one.front for one in with_front([cell(100, 1.0, 1.02), cell(200, 1.0, 1.3)]))
    assert with_front([]) == []


def test_what_one_cell_lacks_is_not_compared():
    found = with_front([cell(100, 1.0, 0.8, adherence=-0.02), cell(200, 1.0, 0.9)])
    assert [one.front for one in found] == [False, True]


NUMBER = st.floats(0, 1.2)
CELLS = st.lists(
    st.builds(
        lambda step, weight, retention, error, variety, ok: cell(
            step, weight, retention, error, variety=variety, feasible=ok,
            utility=geometric({"identity": min(1.0, retention), "variety": min(1.0, variety)}),
        ),
        st.integers(1, 2000), st.sampled_from([0.6, 0.8, 1.0]), NUMBER, st.floats(0, 0.1), NUMBER, st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=100)
@given(CELLS)
def test_there_is_a_front_wherever_something_is_feasible(cells):
    found = with_front(cells)
    assert any(one.front for one in found) is any(one.feasible for one in cells)
    assert not any(one.front and not one.feasible for one in found)


# -- the one-standard-error rule


def test_within_one_standard_error_the_smaller_step_is_taken():
    cells = [cell(300, 1.0, 0.80), cell(600, 1.0, 0.885), cell(900, 1.0, 0.90)]
    assert choose(cells).step == 600
    assert choose([cells[0], replace(cells[1], utility=0.87), cells[2]]).step == 900
    assert choose([cells[0], cells[1], replace(cells[2], error=0.001)]).step == 900


def test_no_error_gives_up_more_than_three_percent():
    cells = [cell(300, 1.0, 0.80), cell(600, 1.0, 0.871), cell(700, 1.0, 0.874), cell(900, 1.0, 0.90, error=0.11)]
    assert choose(cells).step == 700


def test_at_one_step_the_smaller_weight_is_taken():
    cells = [cell(600, 1.0, 0.90), cell(600, 0.6, 0.70), cell(600, 0.8, 0.89), cell(900, 0.6, 0.90)]
    assert (choose(cells).step, choose(cells).weight) == (600, 0.8)


def test_a_smaller_step_beats_a_smaller_weight():
    assert (choose(both := [cell(600, 0.6, 0.9), cell(300, 1.0, 0.9)]).step, len(both)) == (300, 2)


def test_without_error_only_the_best_is_taken():
    assert choose([cell(300, 1.0, 0.899), cell(600, 1.0, 0.90, error=0.0)]).step == 600


def test_what_breaks_a_limit_is_never_taken():
    cells = [cell(300, 1.0, 0.99, feasible=False), cell(600, 1.0, 0.7), cell(900, 1.0, None)]
    assert choose(cells).step == 600
    assert choose([cells[0], cells[2]]) is None
    assert choose([]) is None


def test_variety_can_outweigh_a_little_identity():
    """0.95 kept but all pictures alike, or 0.90 with the base model's variety."""
    stiff, free = report(step=900, retention_best=0.95, variety_ratio=0.3), report(retention_best=0.9, variety_ratio=1)
    assert choose([candidate(stiff), candidate(free)]).step == 800


def test_the_slack_is_what_one_standard_error_of_the_identity_costs():
    best = candidate(report(step=900, retention_best=0.9, variety_ratio=0.8))
    lower = candidate(report(step=300, retention_best=0.9 - best.error, variety_ratio=0.8))
    assert choose([best, replace(lower, utility=lower.utility + 1e-9)]).step == 300
    assert choose([best, replace(lower, utility=lower.utility - 1e-6)]).step == 900


@settings(max_examples=100)
@given(CELLS, st.randoms())
def test_the_choice_does_not_depend_on_the_order_and_is_never_worse_than_allowed(cells, shuffler):
    found = choose(cells)
    shuffled = list(cells)
    shuffler.shuffle(shuffled)
    again = choose(shuffled)
    if found is None:
        assert not any(one.feasible for one in cells)
        assert again is None
        return
    best = max(one.utility for one in cells if one.feasible)
    assert found.feasible
    errors = [one.error for one in cells if one.feasible and one.utility == best]
    if len(errors) == 1:  # of equally useful ones with unequal errors, the first one's error counts
        assert again is not None
        assert (found.step, found.weight) == (again.step, again.weight)
    assert all(
        (found.step, found.weight) <= (one.step, one.weight) for one in cells if one.feasible and one.utility == best
    )


# -- fresh seeds


def test_what_is_painted_again_is_the_most_useful():
    cells = [cell(300, 1.0, 0.70), cell(600, 1.0, 0.885), cell(800, 1.0, 0.91, feasible=False), cell(900, 1.0, 0.90),
             cell(1000, 1.0, 0.895)]  # fmt: skip
    assert [one.step for one in to_confirm(cells)] == [900, 1000, 600]
    assert [one.step for one in to_confirm(cells, 9)] == [900, 1000, 600, 300, 800]
    assert to_confirm([cells[2]]) == [cells[2]]


def test_a_single_good_one_is_painted_again_with_others_to_compare_it_with():
    cells = [
        cell(300, 1.0, 0.7),
        cell(600, 1.0, 0.9, feasible=False, broken=["lost", "copies"]),
        cell(900, 1.0, 0.8, feasible=False, broken=["lost"]),
        cell(900, 0.6, 0.5, feasible=False, broken=["lost"]),
    ]
    assert [(one.step, one.weight) for one in to_confirm(cells)] == [(300, 1.0), (900, 1.0), (900, 0.6)]
    assert to_confirm(cells[:1]) == cells[:1]


def test_where_all_break_a_limit_the_least_broken_are_painted_again():
    cells = [
        cell(300, 1.0, None, feasible=False, broken=["not measurable"], counted=4),
        cell(600, 1.0, 0.9, feasible=False, broken=["lost", "copies"]),
        cell(900, 1.0, 0.5, feasible=False, broken=["lost"]),
        cell(900, 0.6, None, feasible=False, broken=["not measurable"], counted=3),
    ]
    assert [(one.step, one.weight) for one in to_confirm(cells)] == [(900, 1.0), (600, 1.0), (300, 1.0)]
    assert least_broken([cells[0], cells[3]]) is cells[0]


def test_fresh_seeds_take_the_luck_out_of_the_winner():
    """Twelve cells that are all as good as each other: the screening's best looks better than it is, the
    confirmation of what was chosen does not, on average."""
    draw = chance.Random(1)
    screened_best, chosen_screened, confirmed = [], [], []
    for _ in range(300):
        screened = [cell(100 * n, 1.0, draw.gauss(0.7, 0.05), 0.05) for n in range(1, 13)]
        screened_best.append(max(one.retention for one in screened))
        tries = to_confirm(screened, 1)
        chosen_screened.append(tries[0].retention)
        fresh = [replace(one, retention=(value := draw.gauss(0.7, 0.05)), utility=value) for one in tries]
        confirmed.append(choose(fresh).retention)
    assert np.mean(screened_best) > 0.77
    assert np.mean(confirmed) == pytest.approx(0.7, abs=0.01)
    assert np.mean(chosen_screened) > 0.72


def test_a_lucky_cell_falls_back_when_it_is_confirmed():
    screened = [cell(300, 1.0, 0.97), cell(600, 1.0, 0.90), cell(900, 1.0, 0.90)]
    assert choose(screened).step == 300
    confirmed = [
        replace(one, retention=value, utility=value) for one, value in zip(to_confirm(screened), (0.7, 0.9, 0.9))
    ]
    assert choose(confirmed).step == 600


# -- how sure


def painted(likenesses: list[float], step: int = 800) -> Report:
    """A grid with these likenesses on the same prompts and seeds."""
    rows = [
        replace(row("lora", f"cells/{n:02d}", "ok", value), asked=Asked(f"prompt {n}", seed=n))
        for n, value in enumerate(likenesses)
    ]
    return replace(report(step=step), pictures=rows)


GRID = [float(value) for value in np.random.default_rng(4).normal(0.8, 0.05, 12)]
NOISE = np.random.default_rng(5).normal(0, 0.01, (3, 12))


def test_how_surely_the_others_are_worse():
    best = painted(GRID)
    worse, same = painted([float(v) for v in GRID + NOISE[0] - 0.05]), painted([float(v) for v in GRID + NOISE[1]])
    found = surely_worse([worse, best, same], best)
    assert found[0] < 0.01
    assert found[1] == 1.0
    assert found[2] > 0.05


def test_the_winner_itself_is_no_test_that_the_others_pay_for():
    """One other: nothing to correct for. 2 / 2^6 = 0.031 would be 0.0625 if the winner counted as a second test."""
    best, worse = painted(GRID[:6]), painted([value - 0.05 - n / 1000 for n, value in enumerate(GRID[:6])])
    assert surely_worse([best, worse], best) == [1.0, pytest.approx(0.03125)]


def test_one_that_is_surely_better_is_not_surely_worse():
    """The smaller step wins within one standard error although another keeps a little more of the face."""
    best, better = painted(GRID), painted([float(v) for v in GRID + NOISE[2] + 0.03])
    assert surely_worse([best, better], best)[1] == 1.0
    assert surely_worse([best, better], better)[0] < 0.01


def test_many_cells_make_it_harder():
    best = painted(GRID)
    worse = [painted([float(v) for v in GRID + noise * 3 - 0.02]) for noise in NOISE]
    alone = [surely_worse([best, one], best)[1] for one in worse]
    together = surely_worse([best, *worse], best)[1:]
    assert all(many >= one for one, many in zip(alone, together))
    assert min(together) == pytest.approx(min(1.0, 3 * min(alone)))


def test_too_few_pairs_say_nothing():
    best = painted(GRID)
    assert surely_worse([best, painted(GRID[:3])], best) == [1.0, 1.0]
    assert surely_worse([], best) == []
