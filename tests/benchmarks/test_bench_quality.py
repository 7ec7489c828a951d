"""The bench of quality: its arithmetic, its variants and people, nothing done twice. Trains and paints nothing."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.training import (
    quality,
    quality_goals,
    quality_ingredients,
    quality_people,
    quality_pictures,
    quality_table,
)
from bench.training.quality_people import Material
from bench.training.quality_pictures import ASKED, PAIRS, WITHOUT, WORDS, Seen
from lib_lora.character.store import Character
from lib_lora.models.families.sd1 import NARROW
from lib_lora.training import session
from lib_lora.training.plan.preserved_captions import captions_needed
from lib_lora.training.plan.presets import merged, preset
from tools.mini import captions


def seen(likeness=0.5, **measured):
    """A picture whose cosine to the template (1, 0) is `likeness`."""
    plain = {"yaw": 0.0, "smile": 0.8, "background": 100.0, "chroma": 0.0, "hair": 80.0}
    vector = np.array([likeness, (1 - likeness**2) ** 0.5])
    return Seen(vector, captions.Measured(**{**plain, **measured}), 80.0, second=np.array([likeness, 0.0]))


def row(variant="today", person="mara", seed=1, **more):
    """A line of results of a LoRA that keeps 0.6 of 0.8, where the base's strangers have 0.2."""
    alike = {"ours": 0.6, "base": 0.2, "faces": 4, "of": 4, "recognised": 3, "base_recognised": 0}
    leaked = {kind: {**alike, "ours": 0.3, "recognised": 1, "second": -0.7, "second_base": -0.8} for kind in WITHOUT}
    shares = {"ours": 0.75, "base": 1.0, "unasked": 0.5, "base_unasked": 0.5}
    spread = {"yaw": 0.1, "smile": 0.02, "background": 20.0, "faces": 0.3}
    return {
        "variant": variant, "person": person, "seed": seed, "group": quality_people.group_of(person),
        "identity": {**alike, "second": -0.5, "second_base": -0.8}, "without": leaked, "ceiling": 0.8, "vae": 0.7,
        "words": 0.35,
        "second_ceiling": -0.4, "obeyed": dict.fromkeys(WORDS, shares), "varied": spread, "base_varied": spread,
        "photos_varied": spread, "seconds": 100.0, "peak": 9e8, "bytes": 2_000_000, "notes": [], **more,
    }  # fmt: skip


def test_numbers_of_a_run_are_shares_of_what_photos_and_base_reach():
    one = row()
    assert quality_table.identity(one) == pytest.approx(0.6 / 0.8)
    assert quality_table.identity_of_vae(one) == pytest.approx(0.6 / 0.7)
    assert quality_table.kept(one) == pytest.approx(0.4 / 0.6)
    assert quality_table.kept_by_second(one) == pytest.approx(0.3 / 0.4)
    assert quality_table.leak(one) == pytest.approx(0.1)
    assert quality_table.leak_by_second(one) == pytest.approx(0.1 / 0.4)
    others = {kind: {**found, "ours": 0.5} for kind, found in one["without"].items() if kind in quality_table.UNTRAINED}
    assert quality_table.leak_in_new_words(row(without={**one["without"], **others})) == pytest.approx(0.3)
    assert quality_table.obeyed(one) == pytest.approx(0.75)
    assert quality_table.words_work(one) == pytest.approx(0.5)
    assert quality_table.with_words(one) == pytest.approx(0.35 / 0.7)
    assert quality_table.with_words(row(words=None)) is None


@pytest.mark.parametrize(("own", "other"), [*quality_pictures.OTHER.items()])
def test_the_prompts_that_are_called_new_are_no_captions_of_output_preservation(own, other):
    trained = captions_needed([f"photo of mrxa {own}"], [Character("mara", "mrxa", own)])
    asked = {kind: text.format(own=own, other=other) for kind, text in WITHOUT.items()}
    assert [kind for kind, text in asked.items() if text not in trained] == [*quality_table.UNTRAINED]


def test_what_was_not_measured_is_absent():
    alike = {"ours": None, "base": 0.2, "faces": 0, "of": 4, "recognised": 0, "base_recognised": 0}
    lost = row(identity=alike, without=dict.fromkeys(WITHOUT, alike))
    assert quality_table.identity(lost) is None
    assert quality_table.kept_by_second(lost) is None
    assert quality_table.leak(lost) is None
    assert "| today | 1, 1 | - | - | - | - | - | - | 0 of 4 | 0 of 20 (0) |" in quality_table.tables(
        [lost], ["today"], "today"
    )


def test_intervals_are_over_people_and_seeds_of_one_are_put_together():
    def kept(variant, person, seed, value):
        return row(variant, person, seed, identity={**row()["identity"], "ours": value})

    rows = [
        kept("today", "mara", 1, 0.5), kept("today", "mara", 2, 0.7), kept("today", "ines", 1, 0.6),
        kept("few", "mara", 1, 0.4), kept("few", "ines", 1, 0.5), kept("few", "ines", 2, 0.9),
    ]  # fmt: skip
    assert quality_table.by_person(rows, "today", quality_table.kept) == pytest.approx(
        {"mara": 0.4 / 0.6, "ines": 0.4 / 0.6}
    )
    apart = quality_table.apart(rows, "few", "today", quality_table.kept)
    assert apart == pytest.approx({"mara": -0.1 / 0.6, "ines": -0.1 / 0.6})  # ines' second seed has no pair
    assert quality_table.told({"a": 1.0, "b": 2.0, "c": 3.0}, True) == "2.00 (-0.48 to 4.48)"
    assert quality_table.told({"a": 1.0}, True) == "1.00"


def test_costs_are_of_the_same_person_and_seed():
    rows = [
        row(seconds=100.0),
        row(person="ines", seconds=50.0),
        row("few", seconds=60.0, peak=1e9),
        row("few", seed=2),
    ]
    assert quality_table.cost(rows, "few", "today") == (0.6, 1e9, 2_000_000)
    assert quality_table.cost([row(peak=None)], "today", "today") == (1.0, None, 2_000_000)
    beside = [row(), row("few", seconds=None)]  # trained beside other programs: its seconds were not kept
    assert quality_table.cost(beside, "few", "today")[0] is None
    assert "| few | - | - | 900 MB | 2.0 MB |" in quality_table.tables(beside, ["today", "few"], "today")


def test_a_variant_is_on_the_front_unless_another_is_nowhere_worse():
    def rows(variant, leaks, people=("mara", "ines", "tomas")):
        without = {kind: {**found, "ours": 0.2 + leaks} for kind, found in row()["without"].items()}
        return [row(variant, person, without=without) for person in people]

    def obeyed(some, ours):
        words = {word: {**row()["obeyed"][word], "ours": ours} for word in WORDS}
        return [{**one, "obeyed": words} for one in some]

    more, less, few = rows("today", 0.4), rows("words", 0.2), rows("few", 0.1, ("mara", "ines"))
    every = [*more, *less, *few]
    names = ["today", "words", "few"]
    assert [quality_table.beaten(every, names, name) for name in names] == [True, False, False]
    assert not quality_table.beaten([*obeyed(more, 0.9), *less], names[:2], "today")  # it obeys better
    shown = [{**one, "words": 0.5} for one in more]
    assert not quality_table.beaten([*shown, *less], names[:2], "today")  # it shows the person with words too
    assert not quality_table.beaten([*more, *rows("words", 0.4)], names[:2], "today")  # neither is better
    lines = quality_table.tables(every, names, "today").splitlines()
    front = [line for line in lines if line.startswith(("| words | 3, 3 | 0.20", "| today | 3, 3 | 0.40"))]
    assert [line.endswith("| yes |") for line in front] == [True, False]
    assert not [line for line in lines if line.startswith("| few | 2, 2 | 0.10 |")]


def coloured(**places):
    """What a row has of the colours of the plain prompt's pictures; the photos' lie (20, 0, 0) and (0, 20, 20) away."""
    base, photos = (
        {"background": [50, 0, 0], "clothes": [30, 0, 0]},
        {"background": [70, 0, 0], "clothes": [30, 20, 20]},
    )
    return {"colours": {**base, **places}, "base_colours": base, "photos_colours": photos}


def test_a_goal_is_reached_by_people_who_chose_nothing_and_with_every_prompt():
    kinds = row()["without"]
    worst = {**kinds, "other words": {**kinds["other words"], "ours": 0.6}}
    rows = [
        row(person="unseen1", without={kind: {**found, "ours": 0.2} for kind, found in kinds.items()}),
        row(person="unseen1", without=worst),  # the same seed again: not counted
        row(person="unseen2", without=worst, varied={"yaw": 0.05, "smile": 0.08, "background": 20.0}),
        row(person="mara"),  # settings were chosen on her
        row("other", person="unseen8"),
    ]
    text = quality_goals.table(rows, "today")
    assert "| unseen1 | 0.86 | 0.00 | 0.00 (class word) | 0.75 | 1.00 | leak, variety |" in text
    assert "| unseen2 | 0.86 | 0.16 | 0.40 (other words) | 0.75 | 0.50 | none |" in text
    assert "Of 2 people (2 runs) reach: identity 0, leak 1, obeyed 0, variety 1, all 0." in text
    assert "| mouth, of the photos' | 2.50 " in text
    assert "| mouth, at most 1 for each person | 1.00 " in text
    assert not any(person in text for person in ("mara", "unseen8"))
    assert quality_goals.reached(0.95, 0.05, 0.9, 0.85) == dict.fromkeys(
        ("identity", "leak", "obeyed", "variety"), True
    )
    assert not any(quality_goals.reached(0.94, 0.06, 0.89, 0.84).values())


def test_a_colour_is_learned_as_far_as_it_lies_on_the_way_to_the_photos():
    background, clothes = (quality_table.learned(place) for place in quality_table.PLACES)
    half = row(**coloured(background=[60, 7, 0], clothes=[50, 20, 20]))  # what lies beside the way does not count
    assert background(half) == pytest.approx(0.5)
    assert clothes(half) == pytest.approx(1.0)
    assert background(row(**coloured())) == 0
    assert background(row(**coloured(background=[40, 0, 0]))) == pytest.approx(-0.5)
    assert background(row()) is None  # rows of before
    assert background({**half, "photos_colours": {**half["photos_colours"], "background": [54, 0, 0]}}) is None
    text = quality_table.tables([half, row("few")], ["today", "few"], "today")
    assert "| today | 0.50 | 1.00 |" in text
    assert "| few | - | - |\n" not in text
    assert "colours learned" not in quality_table.tables([row()], ["today"], "today")


def test_colours_are_those_of_the_corners():
    pixels = np.full((100, 100, 3), 255, np.uint8)
    pixels[:12, :12] = pixels[:12, -12:] = (255, 0, 0)
    pixels[-12:, :12] = pixels[-12:, -12:] = (0, 0, 0)
    found = quality_pictures.colours([Image.fromarray(pixels)] * 2)
    assert found["background"] == pytest.approx([53.24, 80.09, 67.2], abs=0.1)  # sRGB's red in CIE L*a*b*
    assert found["clothes"] == pytest.approx([0, 0, 0], abs=0.01)


def test_the_tables_name_groups_and_broken_runs():
    rows = [row(), row("few"), row(person="unseen2"), {**row("few", "ines"), "error": "The loss is no number."}]
    del rows[-1]["identity"]
    text = quality_table.tables(rows, [*quality.VARIANTS], "today")
    assert "choosing: mara" in text
    assert "never used for choosing: unseen2" in text
    assert "all people: mara, unseen2" in text
    assert "| few | +0.00 | +0.00 | +0.00 | +0.00 | +0.00 | +0.00 |" in text
    assert "- few (1 times): The loss is no number." in text
    assert "75, 50 (100)" in text


def test_the_document_has_the_columns_that_are_printed():
    document = (quality.ROOT / "docs" / "quality.md").read_text(encoding="utf-8").splitlines()
    rows = [row(variant, person, **coloured()) for variant in ("today", "few") for person in ("mara", "ines", "tomas")]
    lines = quality_table.tables(rows, [*quality.VARIANTS], "today").splitlines()
    heads = {head for head, below in itertools.pairwise(lines) if below.startswith("|---")}
    assert len(heads) == 8
    assert heads <= {*document}


def test_contrast_is_the_mean_of_four_pairs_and_has_a_column_where_it_was_measured():
    pairs = dict.fromkeys(PAIRS, 0.5)
    assert quality_table.contrast(row(contrast={**pairs, "yaw": 0.9})) == pytest.approx(0.6)
    assert quality_table.contrast(row()) is None
    assert quality_table.contrast(row(contrast={"yaw": 0.9})) is None  # no picture of the other words has a face
    three = [row(person=person, contrast=pairs) for person in ("mara", "ines", "tomas")]
    heads = [line.split(" | ") for line in quality_table.tables(three, ["today"], "today").splitlines()]
    assert ["contrast" in head for head in heads if "in new words" in head] == [True]
    assert ["contrast (95 %)" in head for head in heads if "looking left" in head] == [True]
    without = quality_table.tables([row(person=one["person"]) for one in three], ["today"], "today")
    assert "contrast" not in without


def test_a_lora_is_measured_against_the_base():
    base = {
        ASKED: [seen(0.1), None],
        **{word: [seen(0.1)] for word in WORDS},
        **{kind: [seen(0.2)] for kind in WITHOUT},
    }
    left = seen(0.7, yaw=-0.3, smile=0.9)
    ours = {
        ASKED: [left, seen(0.5)],
        **{word: [left] for word in WORDS},
        **{kind: [seen(0.6), None] for kind in WITHOUT},
    }
    yard = quality.QualityYardstick(np.array([1.0, 0.0]), 0.55, np.array([1.0, 0.0]), base, {})
    found = quality.figures(ours, yard)
    assert found["identity"] == {
        "ours": 0.6, "base": 0.1, "faces": 2, "of": 2, "recognised": 1, "base_recognised": 0, "second": -0.4,
        "second_base": -0.9,
    }  # fmt: skip
    assert found["without"]["any person"]["ours"] == 0.6
    assert (found["without"]["any person"]["faces"], found["without"]["any person"]["of"]) == (1, 2)
    assert found["words"] == 0.7
    assert found["obeyed"]["looking left"] == {"ours": 1.0, "base": 0.0, "unasked": 0.5, "base_unasked": 0.0}
    assert found["obeyed"]["serious"] == {"ours": 0.0, "base": 1.0, "unasked": 0.5, "base_unasked": 0.5}
    assert found["varied"] == {}  # too few have no spread
    json.dumps(found, allow_nan=False)


def test_spreads_are_of_faces_that_were_found():
    some = [seen(0.6, yaw=0.1 * number, background=90.0) for number in range(5)]
    found = quality_pictures.spreads([*some, None])
    assert found == pytest.approx({"yaw": 0.1581, "smile": 0.0, "background": 0.0, "faces": 0.0}, abs=1e-4)


def test_distances_to_the_mean_of_the_others():
    assert quality.apart_from_others([np.array([0.0]), np.array([1.0]), np.array([2.0])]) == [-1.5, 0.0, -1.5]


def test_every_word_can_be_judged_and_every_prompt_is_asked_once():
    for word in WORDS:
        captions.obeys(seen().measured, word)
    asked = quality_pictures.questions("mrxa woman", "woman")
    assert len({one.seed for one in asked}) == len(asked)
    assert {one.kind for one in asked} == {ASKED, *WORDS, *WITHOUT}
    without = [one.prompt for one in asked if one.kind in WITHOUT]
    assert not any("mrxa" in prompt for prompt in without)
    assert all("mrxa" in one.prompt for one in asked if one.kind not in WITHOUT)
    base = quality_pictures.questions("woman", "woman")
    assert [one.seed for one in base] == [one.seed for one in asked]
    assert [one.prompt for one in base if one.kind in WITHOUT] == without


@pytest.mark.parametrize("person", quality_people.CLASS_WORDS)
def test_photos_are_there_and_those_held_out_are_never_trained_on(person):
    photos = quality_people.photos_of(person)
    trained, held_out = quality_people.shared_out(photos)
    assert (len(photos), len(trained), len(held_out)) == (24, 16, 8)
    assert not {*trained} & {*held_out}
    fewer, same = quality_people.shared_out(photos, 2)
    assert len(fewer) == 8
    assert {*fewer} < {*trained}
    assert same == held_out


@pytest.mark.parametrize("variant", quality.VARIANTS.values(), ids=[*quality.VARIANTS])
def test_variants_are_valid_settings_of_at_most_336_steps(variant, tmp_path):
    more = quality_people.overrides_of(variant.material, "mara", tmp_path)
    train = preset(NARROW, "sd1", merged(dict(variant.settings), dict(more)), narrow=True)
    photos = 16 // variant.material.thin // (2 if variant.material.half else 1)
    assert train.total_steps(photos * (2 if variant.material.class_pictures else 1)) <= 336
    assert bool(train.class_photos) == bool(variant.material.class_pictures)


def test_class_pictures_are_asked_for_in_words_that_never_are_a_trigger():
    assert {*quality_people.class_prompts("plain", "woman")} == {"photo of woman"}
    worded = quality_people.class_prompts("worded", "woman")
    assert worded == quality_people.class_prompts("worded", "woman")
    assert len({*worded}) > 40
    triggers = {quality_people.trigger_of(person) for person in quality_people.CLASS_WORDS}
    assert not triggers & {word for prompt in worded for word in prompt.split()}


def test_what_is_in_the_file_is_not_done_again(tmp_path):
    options = quality._options([*("--work", str(tmp_path)), *("--variants", "today", "few"), *("--people", "all")])
    assert len(quality.planned(options, [])) == 14
    left = quality.planned(options, [row("today", "mara", 1), row("few", "mara", 2)])
    assert quality.StudyJob("today", "mara", 1) not in left
    assert quality.StudyJob("few", "mara", 1) in left
    assert len(left) == 13


def test_a_lora_that_is_painted_at_other_weights_has_a_row_for_each(tmp_path):
    few = [*("--variants", "today"), *("--people", "mara")]
    options = quality._options([*("--work", str(tmp_path)), *few, *("--weights", "0.85", "0.7")])
    rows = [row(), row("today at 0.85", weight=0.85)]
    assert quality.planned(options, rows) == [quality.StudyJob("today", "mara", 1)]
    rows.append(row("today at 0.7", weight=0.7))
    assert quality.planned(options, rows) == []
    assert quality.names_in([*reversed(rows), row("few")]) == ["today", "today at 0.85", "today at 0.7", "few"]
    assert quality.painted_at("today", 1.0) == "today"
    assert all(quality.trained_as(one["variant"]) == "today" for one in rows)
    assert not [name for name in quality.VARIANTS if quality.trained_as(name) != name]
    lines = quality_table.tables(rows, quality.names_in(rows), "today").splitlines()
    assert len([line for line in lines if line.startswith("| today at 0.7 |")]) == 6


def test_material_of_one_kind_shares_a_data_folder(tmp_path):
    assert quality_people.root_of(tmp_path, Material("words")) == quality_people.root_of(
        tmp_path, Material("words", class_pictures="plain")
    )
    assert quality_people.root_of(tmp_path, Material(thin=2)) != quality_people.root_of(tmp_path, Material())


def test_half_of_the_photos_by_the_directions_of_the_heads():
    photos = [Path(f"{number}.jpg") for number in range(6)]
    yaws = [0.0, 0.5, 0.02, -0.4, 0.03, 0.2]
    assert quality_people.half_of(photos, yaws, "alike") == [photos[0], photos[2], photos[4]]
    assert quality_people.half_of(photos, yaws, "varied") == [photos[1], photos[3], photos[5]]
    assert quality_people.half_of(photos[:5], yaws[:5], "varied") == [photos[1], photos[3]]


def test_lora_plus_gives_each_up_a_rate_of_its_own(monkeypatch):
    monkeypatch.setattr(session, "make_optimizer", lambda _name, groups, **_more: groups)
    made = [{"params": ["down", "up"], "lr": 2.0}, {"params": ["a", "b"], "lr": 1.0}]
    with quality_ingredients.laid_over({"lora_plus": 4.0, "text_decay": 1.0}):
        groups = session.make_optimizer("adamw", made)
    rates = [(one["params"], one["lr"]) for one in groups]
    assert rates == [(["down"], 2.0), (["up"], 8.0), (["a"], 1.0), (["b"], 4.0)]
    assert session.make_optimizer("adamw", []) == []  # and nothing stays


@pytest.mark.parametrize("base", [torch.nn.Linear(8, 12), torch.nn.Conv2d(8, 12, 1)])
def test_a_lokr_layer_adds_its_kronecker_product_and_is_written_as_a_lora(base):
    layer = quality_ingredients.LokrLayer(base, 4)
    torch.nn.init.normal_(layer.large)
    x = torch.randn(2, 8) if isinstance(base, torch.nn.Linear) else torch.randn(2, 8, 3, 3)
    change = torch.kron(layer.small, layer.large)
    assert change.shape == base.weight.shape[:2]
    moved = torch.movedim(torch.movedim(x, 1, -1) @ change.t(), -1, 1)
    assert torch.allclose(layer(x) - base(x), moved, atol=1e-5)
    up, down = quality_ingredients.factors(layer)
    assert torch.allclose((up.flatten(1) @ down.flatten(1)), change, atol=1e-5)
    layer.enabled = False
    assert torch.equal(layer(x), base(x))


def test_captions_are_said_in_words_that_the_base_was_taught():
    said = quality_people.taught("photo of maxr woman, close-up, looking at the camera, slight smile, dark background")
    assert said == "photo of maxr woman, close-up, looking ahead, smiling, dark background"
    assert {*quality_people.TAUGHT.values()} <= {*captions.ALL}
