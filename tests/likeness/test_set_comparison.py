"""Two reports against each other: pairs where there are any, heaps where not, and no winner by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from faults import raises
from report_toys import full, row

from lib_lora.likeness.comparing.set_comparison import compare
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.report.report import Report, Subject
from lib_lora.likeness.verdict.facts import Asked

NAMES = ("one", "other")


def report(
    likenesses: Sequence[float | None], prompts: Sequence[str] | None = None, first_seed: int | None = 1000, **more
) -> Report:
    """A report of pictures with these likenesses, each of its own prompt and seed; None = no face."""
    prompts = [f"prompt {number}" for number in range(len(likenesses))] if prompts is None else prompts
    rows = [
        replace(
            row("lora", f"cells/{number:02d}", "ok", likeness, "" if likeness is not None else "no face found"),
            asked=Asked(prompt, seed=None if first_seed is None else first_seed + number),
        )
        for number, (likeness, prompt) in enumerate(zip(likenesses, prompts))
    ]
    return replace(full(), pictures=rows, **more)


def better_by(values: Sequence[float], gain: float, scatter: float = 0.02) -> list[float]:
    noise = np.random.default_rng(1).normal(0, scatter, len(values))
    return [float(value + gain + each) for value, each in zip(values, noise)]


ONE = [float(value) for value in np.random.default_rng(2).normal(0.7, 0.1, 12)]


def test_pairs_of_one_prompt_and_seed_by_hand():
    a, b = report([0.5, 0.6, 0.7, 0.8, 0.9, 0.4]), report([0.6, 0.7, 0.9, 0.9, 0.8, 0.5])
    found = compare(a, b, NAMES)
    gains = np.array([0.1, 0.1, 0.2, 0.1, -0.1, 0.1])
    assert found.paired
    assert (found.n, found.b_better) == (6, 5)
    assert found.difference == pytest.approx(gains.mean())
    assert found.p == pytest.approx(intervals.paired_p(np.array([y - x for x, y in zip(_of(a), _of(b))])))
    assert found.low < found.difference < found.high
    assert found.better == ""
    assert (found.a, found.b, found.kind_a, found.retention_a) == ("one", "other", "consistent", 0.8)


def _of(made: Report) -> list[float]:
    return [item.score.likeness for item in made.pictures]


@pytest.mark.parametrize(("gain", "better"), [(0.05, "b"), (-0.05, "a"), (0.0, "")])
def test_a_sure_difference_names_the_winner(gain, better):
    found = compare(report(ONE), report(better_by(ONE, gain)), NAMES)
    assert found.better == better
    if better:
        assert found.p < 0.01
        assert found.sentence.startswith(f"{NAMES['ab'.index(better)]} keeps more of the face (0.0")
        assert "12 pairs of one prompt and seed" in found.sentence
        assert (found.low > 0) is (gain > 0)
        assert (found.high < 0) is (gain < 0)
    else:
        assert found.sentence.startswith("No sure difference between one and other (")
        assert found.sentence.endswith("12 pairs of one prompt and seed).")
        assert found.low < 0 < found.high


def test_turned_round_it_says_the_opposite():
    a, b = report(ONE), report(better_by(ONE, 0.05))
    there, back = compare(a, b, NAMES), compare(b, a, NAMES[::-1])
    assert (there.better, back.better) == ("b", "a")
    assert back.difference == pytest.approx(-there.difference)
    assert back.p == pytest.approx(there.p)
    assert back.b_better == there.n - there.b_better
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.005)


def test_a_set_against_itself_is_equal():
    found = compare(report(ONE), report(ONE), NAMES)
    assert (found.difference, found.p, found.better, found.b_better) == (0.0, 1.0, "", 0)


def test_the_order_of_the_pictures_does_not_matter():
    a, b = report(ONE), report(better_by(ONE, 0.05))
    shuffled = replace(b, pictures=b.pictures[::-1])
    found, known = compare(a, shuffled, NAMES), compare(a, b, NAMES)
    assert (found.n, found.p, found.b_better) == (known.n, pytest.approx(known.p), known.b_better)
    assert found.difference == pytest.approx(known.difference)


def test_pairs_need_both_faces():
    other = [*better_by(ONE, 0.05)]
    a = report([None, *ONE[1:]])
    b = report([*other[:-1], None])
    assert compare(a, b, NAMES).n == 10


def test_a_face_in_doubt_is_no_half_of_a_pair():
    b = report(better_by(ONE, 0.05))
    doubted = replace(b.pictures[0], score=replace(b.pictures[0].score, reason="the face is blurred"))
    assert compare(report(ONE), replace(b, pictures=[doubted, *b.pictures[1:]]), NAMES).n == 11


def test_one_prompt_on_another_seed_is_no_pair():
    found = compare(report(ONE), report(better_by(ONE, 0.2), first_seed=5000), NAMES)
    assert not found.paired
    assert found.b_better is None
    assert found.better == "b"
    assert "two sets of at least 12 pictures" in found.sentence
    assert found.difference == pytest.approx(np.mean(better_by(ONE, 0.2)) - np.mean(ONE))
    assert found.low < found.difference < found.high


def test_heaps_of_other_sizes_with_unnamed_pictures():
    a, b = report(ONE, [""] * 12, None), report([value + 0.3 for value in ONE[:6]], [""] * 6, None)
    found = compare(a, b, NAMES)
    assert (found.paired, found.n, found.better) == (False, 6, "b")
    assert found.p == pytest.approx(intervals.unpaired_p(np.array(ONE), np.array(ONE[:6]) + 0.3))


def test_the_pictures_without_the_lora_do_not_count():
    a, b = report(ONE), report(better_by(ONE, 0.05))
    plain = [replace(item, role="base", score=replace(item.score, likeness=0.1)) for item in b.pictures]
    assert compare(a, replace(b, pictures=[*plain, *b.pictures]), NAMES) == compare(a, b, NAMES)


def test_five_pairs_among_more_pictures_are_heaps():
    """The smallest p that five pairs can have is 2 / 2^5 = 0.0625: nobody could ever win."""
    a, b = report(ONE), report(ONE, [f"prompt {n}" if n < 5 else f"new {n}" for n in range(12)])
    assert not compare(a, b, NAMES).paired
    assert compare(a, report(ONE, [f"prompt {n}" if n < 6 else f"new {n}" for n in range(12)]), NAMES).n == 6


def test_two_heaps_of_five_can_tell():
    found = compare(report(ONE[:5]), report([value + 0.5 for value in ONE[:5]]), NAMES)
    assert (found.n, found.b_better, found.better) == (5, None, "b")
    assert found.p == pytest.approx(2 / 252)


def test_pictures_of_one_name_and_no_seed_pair_once():
    """01.jpg and 01.png in one folder: nobody knows which of them belongs to the other folder's 01.jpg."""
    prompts = [f"{number:02d}" for number in range(7)]
    a = report([*ONE[:7], 0.99], [*prompts, "00"], None)
    b = report([value + 0.01 for value in ONE[:7]], prompts, None)
    found = compare(a, b, NAMES)
    assert found.n == 6
    assert found.difference == pytest.approx(0.01)
    found = compare(b, a, NAMES)
    assert found.n == 6
    assert found.difference == pytest.approx(-0.01)


# -- nothing to compare


def test_another_engine_or_character_is_refused():
    with raises("compare-other-engines"):
        compare(report(ONE), report(ONE, engine="another"), NAMES)
    with raises("compare-other-characters"):
        compare(report(ONE), report(ONE, subject=Subject("Ines")), NAMES)


@pytest.mark.parametrize(("a", "b"), [([], []), (ONE, ONE[:4]), (ONE[:4], ONE), ([None] * 8, ONE)])
def test_too_few_faces_are_refused(a, b):
    count = [sum(value is not None for value in values) for values in (a, b)]
    with raises("compare-too-few-faces", has=(str(count[0]), str(count[1]), "5")):
        compare(report(a), report(b), NAMES)


def test_two_sets_without_difference_seldom_get_a_winner():
    random = np.random.default_rng(3)
    winners = 0
    for _ in range(100):
        prompts = random.normal(0.7, 0.1, 12)
        a, b = (report([float(value) for value in prompts + random.normal(0, 0.03, 12)]) for _ in "ab")
        winners += compare(a, b, NAMES).better != ""
    assert winners <= 11
