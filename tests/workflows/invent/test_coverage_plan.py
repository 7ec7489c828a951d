"""Which pictures are asked for next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.workflows.invent.coverage_plan import (
    COUNTED,
    HOPED,
    HOPELESS,
    KINDS,
    SIDE_HOPELESS,
    SIDES,
    Covered,
    Tried,
    coverage,
    expected,
    is_enough,
    is_good,
    next_side,
    next_wish,
    phrases_of,
    prompt_of,
)
from lib_lora.workflows.invent.generation_strategies import (
    FOREIGN_STRATEGIES,
    STRATEGIES,
    Strategy,
    next_start,
    next_strategy,
    next_variation,
)

WHO = "a woman with short red hair, 30 years old"
wishes = st.fixed_dictionaries({kind: st.sampled_from([one.name for one in values]) for kind, values in KINDS.items()})
attempts = st.lists(st.builds(Tried, wishes, st.none() | wishes), max_size=25)


def _all_kept(count: int) -> list[Tried]:
    tried: list[Tried] = []
    for _ in range(count):
        wish = next_wish(tried, count)
        tried.append(Tried(wish, wish))
    return tried


@pytest.mark.parametrize("kind", KINDS)
def test_the_shares_of_a_kind_are_the_whole(kind):
    assert sum(one.share for one in KINDS[kind]) == pytest.approx(1)


def _fronts_alone(every: int, count: int, budget: int) -> list[Tried]:
    """What is tried of a face of which each so many-th picture from the front is kept, and no side ever."""
    tried: list[Tried] = []
    while len(tried) < budget and not is_enough(
        sum(one.shown is not None for one in tried), coverage(tried, count), count
    ):
        wish = next_wish(tried, count)
        comes = wish["angle"] == "ahead" and len(tried) % every == 0
        tried.append(Tried(wish, {**wish, "framing": "close"} if comes else None))
    return tried


def test_a_side_that_never_comes_leaves_most_pictures_to_the_front_until_enough_are_kept():
    tried = _fronts_alone(1, 20, 100)
    assert sum(one.shown is not None for one in tried[:60]) >= 20
    asked = Counter(one.asked["angle"] for one in _fronts_alone(15, 30, 300))
    assert all(300 / HOPED - 2 <= asked[side] <= 300 / HOPED + 2 for side in SIDES)


def test_a_side_is_given_up_for_good():
    tried = _fronts_alone(4, 30, 900)
    assert len(tried) < 400
    assert Counter(one.asked["angle"] for one in tried)["left"] == SIDE_HOPELESS
    assert is_good([one for one in coverage(tried, 30) if one.kind == "angle"])
    assert is_good([one for one in coverage([*tried, *tried], 30) if one.kind == "angle"])


@given(st.lists(st.none() | st.booleans(), max_size=60))
def test_noise_is_turned_further_after_copies_and_back_after_other_faces(copies):
    varied = next_variation(copies)
    assert 0.1 <= varied <= 0.4
    assert next_variation([*copies, None]) == varied
    assert next_variation([*copies, False]) <= varied <= next_variation([*copies, True])


def test_noise_is_turned_as_far_as_it_may_where_all_are_copies():
    assert next_variation([]) == 0.1
    assert next_variation([True] * 20) == 0.4
    assert next_variation([True] * 20 + [False] * 7) == 0.1


@given(attempts, st.integers(1, 60))
def test_there_is_always_a_whole_wish(tried, count):
    wish = next_wish(tried, count)
    assert {kind: wish[kind] in {one.name for one in values} for kind, values in KINDS.items()} == dict.fromkeys(
        KINDS, True
    )
    assert WHO in prompt_of(wish, WHO)
    assert "{" not in prompt_of(wish, WHO)


def test_where_all_is_kept_every_value_comes_to_its_goal():
    tried = _all_kept(30)
    assert is_good(coverage(tried, 30))
    for one in coverage(tried, 30):
        assert abs(one.have - one.goal) <= 2, one


def test_coverage_is_not_good_as_long_as_a_view_is_missing():
    ahead = [Tried(one.asked, {**one.asked, "angle": "ahead"}) for one in _all_kept(30)]
    assert not is_good(coverage(ahead[:5], 30))
    assert not is_good(coverage(_all_kept(30)[:3], 30))


def test_what_a_painter_cannot_show_is_asked_for_a_few_times_and_then_no_more():
    tried: list[Tried] = []
    for _ in range(100):
        wish = next_wish(tried, 30)
        tried.append(Tried(wish, {**wish, "framing": "close"}))  # whatever was asked for, it is a close-up
    asked = Counter(one.asked["framing"] for one in tried)
    assert 1 <= asked["full"] <= HOPELESS
    assert 1 <= asked["half"] <= HOPELESS
    assert asked["close"] >= 100 - 2 * HOPELESS
    assert is_good(coverage(tried, 30))


def test_a_value_is_not_given_up_while_nothing_at_all_succeeds():
    tried: list[Tried] = []
    for _ in range(60):
        tried.append(Tried(next_wish(tried, 30), None))
    assert not any(one.hopeless for one in coverage(tried, 30))
    asked = Counter(one.asked["angle"] for one in tried)
    assert min(asked[one.name] for one in KINDS["angle"]) >= 10


@pytest.mark.parametrize(
    ("kept", "missing", "enough"),
    [(29, "", False), (30, "", True), (30, "full", False), (39, "full", False), (40, "full", True),
     (40, "left", False), (90, "right", False)],
)  # fmt: skip
def test_painting_goes_on_for_a_missing_view_and_for_a_framing_only_while_not_many_are_kept(kept, missing, enough):
    covered = [Covered(kind, value.name, 0 if value.name == missing else 9, 9, False)
               for kind in COUNTED for value in KINDS[kind]]  # fmt: skip
    assert is_enough(kept, covered, 30) == enough


def test_how_many_it_will_take_is_told_by_what_is_slowest():
    plain = {"framing": "close", "angle": "ahead"}
    assert expected([], 30) is None
    assert expected([Tried(plain, plain)] * 5, 30) is None  # no view from a side came so far
    tried = [*_all_kept(30), *[Tried(LEFT, None)] * 30]
    assert expected(tried, 30) == 60  # there is enough
    assert expected(tried, 60) == 120
    lefts = [number for number, one in enumerate(tried) if one.shown and one.shown["angle"] == "left"]
    fewer = [one for number, one in enumerate(tried) if number not in lefts[1:]]
    assert expected(fewer, 20) == len(fewer) * 4  # one view from the left where four are enough


def test_only_what_is_allowed_is_asked_for():
    tried: list[Tried] = []
    for _ in range(20):
        wish = next_wish(tried, 30, {"angle": SIDES})
        tried.append(Tried(wish, wish))
    assert {one.asked["angle"] for one in tried} == set(SIDES)


def test_what_is_missing_comes_first():
    tried = [one for one in _all_kept(30) if one.asked["angle"] != "left"]
    assert next_wish(tried, 30)["angle"] == "left"


def test_views_are_what_coverage_counts():
    assert set(COUNTED) < set(KINDS)


def test_prompts_are_phrases_with_who_in_the_first():
    wish = {"outfit": "coat", "framing": "half", "angle": "left"}
    assert prompt_of(wish, "nvxa woman") == "upper body photo of nvxa woman, looking left, wearing a black coat"
    assert prompt_of({"light": "warm", "unheard": "of"}, "nvxa woman") == "photo of nvxa woman, warm light"
    assert list(phrases_of(wish)) == ["framing", "angle", "outfit"]


@given(st.lists(st.tuples(st.sampled_from([way.name for way in STRATEGIES]), st.booleans()), max_size=40))
def test_there_is_always_a_way(tried):
    assert next_strategy(tried, STRATEGIES) in STRATEGIES
    assert next_strategy(tried, FOREIGN_STRATEGIES) in FOREIGN_STRATEGIES


def test_the_way_that_brings_most_is_taken_most_and_the_others_are_still_tried():
    chance = {"good": 2, "poor": 10}  # one of so many is kept
    ways = (Strategy("seed", 0.1), Strategy("own", 0.9))
    names = dict(zip((way.name for way in ways), chance))
    tried: list[tuple[str, bool]] = []
    for number in range(100):
        name = next_strategy(tried, ways).name
        tried.append((name, number % chance[names[name]] == 0))
    used = Counter(name for name, _ in tried)
    assert used[ways[0].name] > 4 * used[ways[1].name] > 0


def test_a_way_has_a_name_for_people():
    assert [way.name for way in (Strategy("text"), Strategy("own", 0.65), Strategy("seed", 0.1))] == [
        "text",
        "own 0.65",
        "seed 0.1",
    ]


def test_the_start_that_succeeds_is_taken_and_left_once_it_only_fails():
    fits, near = {"picked": True, "kept": True}, {"picked": 1.0, "kept": 0.8}
    assert next_start([("picked", True)] * 3, fits, near) == "picked"
    assert next_start([("picked", True)] * 3 + [("picked", False)] * 8, fits, near) == "kept"
    assert next_start([("kept", True)], fits, near) == "kept"


def test_what_is_near_the_picked_face_is_gone_out_from_first():
    fits = {"picked": True, "near": True, "far": True}
    near = {"picked": 1.0, "near": 0.5, "far": 0.1}
    assert next_start([], fits, near) == "picked"
    assert next_start([("picked", False)] * 3, fits, near) == "near"


def test_a_start_that_looks_where_the_wish_wants_it_is_preferred():
    near = {"picked": 1.0, "kept": 0.9}
    assert next_start([("picked", True)], {"picked": False, "kept": True}, near) == "kept"
    assert next_start([("kept", False)] * 3, {"picked": False, "kept": True}, near) == "picked"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30),
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.booleans(), st.floats(0, 1)), min_size=1),
)
def test_there_is_always_a_start(tried, there):
    fits, near = ({one: values[place] for one, values in there.items()} for place in (0, 1))
    assert next_start(tried, fits, near) in fits


LEFT, RIGHT = {"angle": "left"}, {"angle": "right"}


def test_both_sides_are_asked_for_by_turns_also_when_one_of_them_succeeded():
    tried = [*[Tried(RIGHT, RIGHT)] * 3, *[Tried(LEFT, None)] * 3]
    assert next_wish(tried, 30, {"angle": SIDES})["angle"] == "right"  # where more is to be gained
    asked = []
    for _ in range(6):
        asked.append(next_side(tried, 30))
        tried.append(Tried({"angle": asked[-1]}, RIGHT if asked[-1] == "right" else None))
    assert asked in (["left", "right"] * 3, ["right", "left"] * 3)


def test_a_side_that_has_its_goal_or_cannot_be_shown_waits():
    assert next_side([*[Tried(RIGHT, RIGHT)] * 9, *[Tried(LEFT, None)] * 11], 30) == "left"
    assert next_side([*[Tried(RIGHT, RIGHT)] * 9, *[Tried(LEFT, None)] * HOPELESS], 30) == "right"
    assert next_side([*[Tried(RIGHT, RIGHT)] * 9, *[Tried(LEFT, LEFT)] * 20], 30) == "right"  # both have it
