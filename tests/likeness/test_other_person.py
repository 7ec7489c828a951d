"""Pictures of one other person are more like one another than like the photos; hard pictures of the person are not."""

import numpy as np
import pytest
import simulated
from simulated import unit

from lib_lora.likeness.measure.other_person import LIKER, together
from lib_lora.likeness.verdict.metrics import facts_of
from lib_lora.likeness.verdict.verdict import judge

MEAN = np.eye(4)[0]
PROMPTS = ["a", "b", "c", "d"]


def face(likeness: float, direction: int, share: float = 1.0) -> np.ndarray:
    """A face with this cosine to `MEAN`; what is left points `direction`, or a `share` of it does and the rest 3."""
    away = share * np.eye(4)[direction] + np.sqrt(1 - share**2) * np.eye(4)[3]
    return likeness * MEAN + np.sqrt(1 - likeness**2) * away


def test_by_hand():
    """Two in one direction are alike, the third is in another, and the fourth lies above the line."""
    faces = [face(0.4, 1), face(0.5, 1), face(0.4, 2), face(0.8, 1)]
    likenesses = np.array([one @ MEAN for one in faces])
    assert together(likenesses, faces, PROMPTS, keep=0.6).tolist() == [True, True, False, False]
    assert not together(likenesses, faces, PROMPTS, keep=0.3).any()


def test_just_more_than_the_limit_is_needed():
    for more in (-0.01, 0.01):
        share = np.sqrt(((0.5 + LIKER + more - 0.25) / 0.75 + 1) / 2)  # of two at 0.5: 0.25 + 0.75 (2 share^2 - 1)
        one, other = face(0.5, 1, share), face(0.5, 1, share) * [1, 1, 1, -1]
        cosine = float(one @ other)
        assert cosine == pytest.approx(0.5 + LIKER + more)
        found = together(np.array([0.5, 0.5]), [one, other], ["a", "b"], keep=0.6)
        assert found.tolist() == [more > 0] * 2


def test_pictures_of_one_prompt_are_not_compared_and_an_unknown_face_is_like_nobody():
    faces = [face(0.4, 1), face(0.5, 1)]
    likenesses = np.array([0.4, 0.5])
    assert not together(likenesses, faces, ["a", "a"], keep=0.6).any()
    assert not together(likenesses, [faces[0], None], ["a", "b"], keep=0.6).any()
    assert together(np.zeros(0), [], [], keep=0.6).tolist() == []


def grid(person: int, near: int, random: np.random.Generator) -> tuple:
    """20 pictures of a person, `near` of them of the one who is most like them; the verdict and its facts."""
    people = simulated.people()
    order = random.permutation(60)
    template = simulated.template_of(people[person][order[:24]])
    others = [one for number, one in enumerate(people) if number != person]
    nearest = max(others, key=lambda one: float((one @ template.array).mean()))
    pictures = [*people[person][order[24 : 44 - near]], *nearest[random.permutation(60)[:near]]]
    facts = facts_of(simulated.shown(pictures, template), template, simulated.lines_of(template))
    return judge(facts), facts


def test_three_pictures_of_the_most_similar_person_are_drift_and_none_are_not():
    """`python bench/likeness.py --simulate` says how often of more grids, and for people that no limit was set by."""
    random = np.random.default_rng(11)
    found = [grid(person, 3, random) for person in range(16) for _ in range(4)]
    assert np.mean([verdict.drift for verdict, _ in found]) >= 0.85
    assert np.mean([facts.identity.one_other == 3 for _, facts in found]) >= 0.8
    alone = [grid(person, 0, random) for person in range(16) for _ in range(4)]
    assert not any(verdict.drift for verdict, _ in alone)


def test_a_few_pictures_that_look_like_themselves_do_not_shift_a_set_of_one_persons_own():
    """Hard pictures of the person are hard in different ways."""
    random = np.random.default_rng(12)
    for person in simulated.people()[:8]:
        order = random.permutation(60)
        template = simulated.template_of(person[order[:24]])
        blurred = [unit(one + 0.06 * random.normal(size=128)).astype(np.float32) for one in person[order[24:44]]]
        facts = facts_of(simulated.shown(blurred, template), template, simulated.lines_of(template))
        assert facts.identity.under_keep >= 2
        assert facts.identity.one_other == 0
