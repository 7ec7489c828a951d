"""The study of the advice: what counts as help, what is left to do, whose photos are for what. Trains nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.verdict import advice as study
from bench.verdict import followed_advice as followed
from lib_lora.captions.slots import TURNED
from lib_lora.character.photo_files import open_photo
from lib_lora.grid.prompts import PROMPTS
from lib_lora.likeness.verdict.rules import RULES
from lib_lora.likeness.verdict.verdict import Verdict
from lib_lora.pictures import Cell, parameters, parameters_of, save_picture
from lib_lora.workflows.judge.grid_run import GridRequest


def side(first: list[float], second: list[float] | None = None, holds: bool = False, **more: list[float]) -> Any:
    """One side of a row: values of each picture."""
    return {"holds": holds, "kept": 0.5, "pictures": {"first": first, "second": second or first, **more}}


def row(rule: str, before: Any, after: Any, person: str = "mara") -> Any:
    """A row of the results."""
    told = {"state": "40 steps", "rule": rule, "advice": "?", "done": "20 more steps"}
    return {"case": "short", "person": person, **told, "before": {"step": 20, **before}, "after": after}


def test_a_rise_within_its_standard_error_is_no_help():
    before = side([0.1, 0.1, 0.1, 0.1])
    assert study.helped(row("undertrained", before, side([0.2, 0.3, 0.2, 0.3])))
    assert not study.helped(row("undertrained", before, side([0.9, -0.7, 0.1, 0.2])))  # +0.025, error 0.33
    assert not study.helped(row("undertrained", before, before))


def test_both_recognisers_count_alike():
    before = side([0.1, 0.1, 0.1], [0.5, 0.5, 0.5])
    assert not study.helped(row("undertrained", before, side([0.3, 0.3, 0.3], [0.2, 0.2, 0.2])))
    assert study.helped(row("undertrained", before, side([0.3, 0.3, 0.3], [0.4, 0.4, 0.4])))


def test_variety_at_the_cost_of_the_face_is_no_help_unless_the_face_holds():
    before = side([0.8, 0.8, 0.8], variety=[10, 11, 12])
    worse = [0.5, 0.5, 0.4]
    assert study.helped(row("collapsed", before, side([0.8, 0.8, 0.8], variety=[14, 15, 17])))
    assert not study.helped(row("collapsed", before, side(worse, variety=[14, 15, 17])))
    assert study.helped(row("collapsed", before, side(worse, holds=True, variety=[14, 15, 17])))
    assert not study.helped(row("collapsed", before, side([0.9, 0.9, 0.9], variety=[10, 11, 12])))


def test_of_burnt_faces_less_is_better():
    before = side([0.8, 0.8, 0.8], burnt=[0.9, 0.8, 1.0])
    assert study.helped(row("burnt", before, side([0.8, 0.8, 0.8], burnt=[0.2, 0.3, 0.2])))
    assert not study.helped(row("burnt", before, side([0.8, 0.8, 0.8], burnt=[1.2, 1.3, 1.2])))


def test_of_a_leak_less_is_better_unless_the_face_is_lost():
    before = side([0.8, 0.8, 0.8], leak=[0.7, 0.6, 0.8])
    assert study.helped(row("leak, not preserved", before, side([0.8, 0.8, 0.8], leak=[0.1, 0.2, 0.1])))
    assert not study.helped(row("leak, not preserved", before, side([0.8, 0.8, 0.8], leak=[0.7, 0.9, 0.8])))
    assert not study.helped(row("leak, not preserved", before, side([0.2, 0.3, 0.2], leak=[0.1, 0.2, 0.1])))


class Place(followed.Workplace):
    """Notes what would be done, and does nothing."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def test(self, run: Any, request: Any, again: bool = False) -> Any:
        self.done.append(("test", request.weight))

    def score(self, tested: Any) -> Any:
        self.done.append("score")

    def caption(self) -> None:
        self.done.append("caption")

    def _anew(self, tested: Any, changes: dict[str, Any], fresh: bool = False) -> Any:
        self.done.append((changes, fresh))


def follow(name: str) -> tuple[Any, list[Any]]:
    """What is said to be done where a rule decides, and what is done."""
    rule, place = next(rule for rule in RULES if rule.name == name), Place()
    value = rule.value if isinstance(rule.value, float) else 0.5
    verdict = Verdict(rule.kind, name, "", "", rule.advice, rule.action, value, drift=False, judged=True)
    report = SimpleNamespace(
        verdict=verdict, facts=SimpleNamespace(training=SimpleNamespace(midway=1, usable_step=None))
    )
    request = GridRequest(60, weight=0.3, steps=followed.SAMPLING)
    tested = followed.TestedGrid(SimpleNamespace(), request, followed.ROOT, report)  # type: ignore[arg-type]
    return place.follow(tested), place.done


def test_preservation_is_tried_where_a_rule_names_it_after_captions_where_these_are_plain():
    assert {*followed.LEAKS} == {rule.name for rule in RULES if "output preservation" in rule.advice}
    found, done = follow("leak, not preserved")
    assert (found[1], done) == (followed.PRESERVED, [({"preservation_weight": 1.0}, False)])
    assert follow("leak, plain captions")[1] == ["caption", ({"preservation_weight": 1.0}, True)]
    assert follow("leak") == (None, [])  # to keep the LoRA


ELSEWHERE = ["no effect, outside a run", "weak, outside a run", "slightly under, outside a run"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_pictures_from_elsewhere_are_scored_again_at_weight_1(name):
    assert [rule.name for rule in RULES if rule.name.endswith(followed.OUTSIDE)] == ELSEWHERE
    assert follow(name)[1] == [("test", 1.0), "score"]


def test_with_photos_alone_the_base_model_is_named_and_then_weight_1_tried_where_that_is_advised():
    class Alone(Place):
        def train(self, overrides: dict[str, Any], anew: bool = False) -> Any:
            return SimpleNamespace()

        def test(self, run: Any, request: Any, again: bool = False) -> Any:
            return request

        def measured(self, tested: Any) -> dict[str, Any]:
            return {}

        def score_alone(self, tested: Any, base: Path | None = None) -> Any:
            assert base in (None, followed.BASE)
            advice = "Use weight 1." if tested.weight == 0.3 else "Keep it."
            verdict = SimpleNamespace(rule="origin unknown" if base is None else "weak", kind="", advice=advice)
            return SimpleNamespace(report=SimpleNamespace(verdict=verdict))

    rows = list(study.photos_alone(Alone()))
    assert [(row["rule"], row["done"]) for row in rows] == [
        ("origin unknown", "base model named"), ("weak", "weight 1, from elsewhere"), ("weak", ""), ("weak", "")
    ]  # fmt: skip
    assert [row["after"] for row in rows] == [{}, {}, None, None]


def test_a_copy_calls_the_lora_by_a_name_that_no_run_has(tmp_path):
    cell = Cell("photo of mrxa woman", "", 7, Path("mara-000060.safetensors"), 0.3)
    save_picture(tmp_path / "cell.png", Image.new("RGB", (8, 8)), cell)
    copy = followed._called_otherwise(tmp_path / "cell.png", tmp_path / "copy.png")
    text = parameters_of(copy)
    assert text == parameters(cell).replace("<lora:mara-000060:", "<lora:somebody:")
    assert "somebody" in text
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match="does not say"):
        followed._called_otherwise(tmp_path / "plain.png", tmp_path / "copy.png")


def test_every_measure_is_of_a_rule():
    for name in study.MEASURES:
        assert any(rule.name.startswith(name) for rule in RULES), name
    for name in followed.ANEW:
        assert any(rule.name == name for rule in RULES), name


def test_what_rules_say_for_a_new_run_can_be_followed():
    said = [rule.advice for rule in RULES if "for a new run" in rule.advice and "learning rate" in rule.advice]
    assert said
    for advice in said:
        assert sum(f"for a new run {words}" in advice for words in followed.NEW_RUN) == 1, advice
    for words in followed.NEW_RUN:
        assert any(f"for a new run {words}" in advice for advice in said), words


def test_what_is_in_the_results_is_not_done_again():
    rows = [row("undertrained", side([0.1, 0.2]), None)]
    left = study.planned(["short", "hot"], ["mara", "ines"], rows)
    assert [(job.case, job.person) for job in left] == [("short", "ines"), ("hot", "mara"), ("hot", "ines")]


def test_a_case_is_planned_for_those_who_are_in_it():
    assert [job.person for job in study.planned(["turned"], None, [])] == [*study.TURNED_ORDER, *study.CONFIRMING]
    assert [job.person for job in study.planned(["strong"], None, [])] == [*study.ORDER, *study.CONFIRMING]
    assert [job.person for job in study.planned(["short"], None, [])] == [*study.ORDER]
    left = study.planned(["short", "turned"], ["mara", "unseen2", "unseen27"], [])
    assert [(job.case, job.person) for job in left] == [
        ("short", "mara"), ("short", "unseen2"), ("turned", "unseen2"), ("turned", "unseen27")
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*study.TURNED_ORDER, *study.CONFIRMING])
def test_heads_are_turned_to_both_sides_in_the_photos_that_are_added(name):
    """By the limit at which the verdict counts them, in 3 to 5 photos as it asks for; those trained on look ahead."""
    person = followed.frontal_first({**study.everybody(), **study.confirming_people()}[name])
    yaws = [followed._engine().faces(open_photo(path))[0].yaw for path in person.turned]
    assert 3 <= sum(abs(yaw) >= TURNED for yaw in yaws) <= len(yaws) <= 5
    assert min(abs(yaw) for yaw in yaws) > 0.33  # JPEG moves a nose's tip a little
    assert min(yaws) < 0 < max(yaws)
    assert not {*person.turned} & {*person.photos}
    ahead = [abs(followed._engine().faces(open_photo(path))[0].yaw) for path in person.photos]
    assert max(ahead[: followed.TRAINED]) <= min(ahead[followed.TRAINED :])
    assert max(ahead[: followed.TRAINED]) < TURNED


def test_photos_of_turned_heads_are_added_where_they_are_asked_for_and_there():
    class Turned(Place):
        def __init__(self, photos: list[Path]) -> None:
            super().__init__()
            self.person = followed.AdvisedPerson("mara", "woman", [], photos)

        def add(self, photos: Any) -> None:
            self.done.append([path.name for path in photos])

    rule = next(rule for rule in RULES if rule.name == "angles")
    for name in ("angles", "angles, no longer rising", "drift, few turned photos"):
        assert followed.wants_turned_heads(next(rule.advice for rule in RULES if rule.name == name))
    verdict = Verdict(rule.kind, rule.name, "", "", rule.advice, rule.action, None, drift=True, judged=True)
    request = GridRequest(112, steps=followed.SAMPLING)
    report: Any = SimpleNamespace(verdict=verdict)
    run: Any = SimpleNamespace()
    tested = followed.TestedGrid(run, request, followed.ROOT, report)
    place = Turned([Path("turned-00.jpg"), Path("turned-01.jpg")])
    found = place.follow(tested)
    assert found is not None
    assert found[1] == "2 photos of turned heads, trained again"
    assert place.done == [["turned-00.jpg", "turned-01.jpg"], ({}, True)]
    assert Turned([]).follow(tested) is None


def test_the_first_test_that_asks_for_turned_heads_is_followed_and_checked_on_other_seeds():
    class Turning(Place):
        def train(self, overrides: dict[str, Any], anew: bool = False) -> Any:
            return "front"

        def test(self, run: Any, request: Any, again: bool = False) -> Any:
            self.done.append((run, request.count, request.first_seed))
            rule = "angles" if request.count == len(PROMPTS) else "consistent"
            report = SimpleNamespace(verdict=SimpleNamespace(rule=rule, kind="drift", advice="Add photos."))
            return SimpleNamespace(run=run, request=request, report=report)

        def follow(self, tested: Any) -> Any:
            return SimpleNamespace(run="turned too", request=tested.request), "5 photos"

        def measured(self, tested: Any) -> Any:
            return tested.run

    place = Turning()
    rows = list(study.turned(place))
    assert [row["after"] for row in rows] == [None, "turned too"]
    assert rows[1]["fresh"] == {"before": "front", "after": "turned too"}
    seed = study.FRESH_SEED
    assert [run for run, _, first in place.done if first == seed] == ["front", "turned too"]
    assert seed not in {first for _, first in study.TURNED_TESTS}


def test_the_table_sets_prompts_of_turned_heads_apart():
    before = side([0.2, 0.2, 0.2, 0.4], **{"asked to turn": [0, 1, 0, 1]})
    after = side([0.3, 0.4, 0.3, 0.8], **{"asked to turn": [0, 1, 0, 1]})
    found = {**row("angles", before, after, "unseen2"), "fresh": {"before": after, "after": before}}
    assert study.turned_heads(found) == [(0.2, 0.4), (0.4, 0.8)]
    line = next(line for line in study.table([found]).splitlines() if line.startswith("| unseen2"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[3] == "0.25 to 0.45"
    assert (cells[5], cells[8]) == ("0.30 to 0.60", "0.60 to 0.30")
    assert cells[9:] == ["yes", "no"]


def test_photos_of_turned_heads_that_nothing_asked_for_stand_in_a_table_of_their_own():
    asked = {"asked to turn": [1.0, 0.0]}
    sides = {"before": side([0.2, 0.3], **asked), "after": side([0.4, 0.5], **asked)}
    found = {**row("consistent", *sides.values(), "unseen2"), "case": study.ANYWAY, "fresh": sides}
    made = study.table([found]).split("\n\n")
    with_it = [part for part in made if "| unseen2 |" in part]
    assert len(with_it) == 1
    assert with_it[0].startswith("| person |")


def test_no_photo_is_for_two_purposes():
    for person in (*study.everybody().values(), *study.confirming_people().values()):
        kinds = [*person.trained, *person.spare, *person.held_out]
        assert len(kinds) == len({*kinds}) == followed.TRAINED + followed.SPARE + followed.HELD_OUT


def test_pictures_that_are_all_alike_are_not_apart():
    one, other = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 30, np.uint8)
    assert followed.apart([one, one, one]) == [0.0, 0.0, 0.0]
    assert followed.apart([one, one, other]) == [15.0, 15.0, 30.0]


def test_the_table_counts_people_and_cases():
    before = side([0.1, 0.1, 0.1])
    rows = [
        row("undertrained", before, side([0.3, 0.3, 0.4])),
        row("undertrained", before, side([0.1, 0.1, 0.1]), "ines"),
        row("undertrained", before, side([0.5, 0.4, 0.5]), "unseen2"),
        row("consistent", before, None),
    ]
    text = study.table(rows)
    line = next(line for line in text.splitlines() if line.startswith("| undertrained"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:4] == ["at least as many steps again", "3 (1)", "likeness"]
    assert cells[4:6] == ["0.10", "0.30"]
    assert cells[9].startswith("2 of 3 ")
    assert "- consistent: 40 steps (1)" in text
    never = text.split("Never: ")[1].rstrip(".").split("; ")
    assert "undertrained" not in never
    assert "undertrained, later step" in never


@pytest.mark.parametrize("name", study.CASES)
def test_cases_leave_enough_photos(name):
    assert 1 <= study.CASES[name][1] <= followed.TRAINED


def test_rates_are_the_presets_times_a_factor():
    assert study.rates(2.0)["unet_lr"] == pytest.approx(2 * study.rates(1.0)["unet_lr"])


def test_people_are_in_the_order_of_the_study():
    people = study.everybody()
    assert {*study.ORDER, *study.FURTHER} == {*people}
    assert {*study.TURNED_ORDER} == {*study.UNSEEN, *study.FURTHER}
    assert people["mara"].photos[0] == study.PERSONAS / "mara" / "00.jpg"
    assert people["unseen2"].photos[0] == study.UNSEEN_PHOTOS / "unseen2" / "00.jpg"


def test_the_documents_table_is_that_of_the_stored_rows():
    rows = study.read_rows(study.ROOT / "bench" / "results" / "advice" / study.RESULTS)
    document = (study.ROOT / "docs" / "likeness.md").read_text(encoding="utf-8")
    for table in study.table(rows).split("\n\n")[:2]:
        assert table in document


def test_who_keeps_the_better_by_the_report_is_worse_off_only_where_the_report_errs():
    low, high = side([0.1, 0.2, 0.1]), side([0.5, 0.7, 0.6])
    assert not study.worse(row("undertrained", high, low))  # equally good by the report: what was before is kept
    assert not study.worse(row("undertrained", high, {**low, "kept": None}))
    assert study.worse(row("undertrained", high, {**low, "kept": 0.6}))
    assert not study.worse(row("undertrained", low, {**high, "kept": 0.6}))
    assert study._by_advice([row("undertrained", high, {**low, "kept": 0.6})])[2].endswith("| 1 |")


def test_an_advice_is_counted_by_people_whichever_rule_gave_it():
    """Each of whom it must have helped every time; what only leads to a verdict is left out."""
    low, high = side([0.1, 0.2, 0.1]), side([0.5, 0.7, 0.6])
    rows = [
        row("over-baked", low, high),
        row("spoiled, earlier step", low, high, "unseen2"),
        row("LoRA blurs, earlier step", high, low, "unseen2"),
        row("undertrained, later step", low, high),
        row("few photos", side([0.1, 0.1], judged=[0, 0]), side([0.1, 0.1], judged=[1, 1])),
    ]
    for one in rows[:4]:
        one["done"] = "step 50"
    lines = study._by_advice(rows)[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| use an earlier step", "| use a later step"]
    assert lines[0].split(" | ")[1:4] == ["likeness", "2 (1)", "0.25 to 0.48"]
    assert "| 1 of 2 (" in lines[0]
    assert (
        study.advice_of({**row("spoiled", low, high), "done": "0.33 x the rate"}) == "train again with 0.33 x the rate"
    )
    for tested, said in ((2.0, "a lower weight"), (0.5, "weight 1")):
        at_weight = {**row("all alike", {**low, "weight": tested}, high), "done": "weight 1"}
        assert study.advice_of(at_weight) == said
