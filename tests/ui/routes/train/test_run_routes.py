"""Runs and their test grids: what is told of them, their pictures, and the buttons that follow the verdict."""

import json
from dataclasses import replace

import pytest
from PIL import Image
from planting import plant_grid, plant_run
from report_toys import facts_by_name

from lib_lora.likeness.verdict.facts import Facts, flat
from lib_lora.likeness.verdict.verdict import judge
from lib_lora.likeness.verdict.verdict_tone import verdict_tone
from lib_lora.messages.message import Message
from lib_lora.runs.events import EventLog
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_history import RunHistory, history_of, thinned
from lib_lora.runs.records.run_records import GridRecord
from lib_lora.typed_settings import to_dict
from lib_lora.ui.routes.pictures.grid_routes import POLICY
from lib_lora.ui.views import advice_buttons, translatable_texts
from lib_lora.ui.views.advice_buttons import TestedPoint, buttons


@pytest.fixture
def run(page):
    return plant_run(page.character("Mara 名前", photos=1), steps=100, saved=[50, 100])


SLUG = "mara-%E5%90%8D%E5%89%8D"
RUNS = f"/characters/{SLUG}/runs"


def test_runs_are_listed_the_newest_first(page, run):
    plant_run(page.character("Mara 名前"), number=10, steps=400, saved=[40])
    damaged = run.parent / "011"
    damaged.mkdir()
    (damaged / "run.yaml").write_text("[")
    newest, oldest = page.got(RUNS)
    assert (newest["id"], newest["steps"], newest["total"], newest["resumable"]) == ("010", 40, 400, True)
    assert (oldest["id"], oldest["trained"], oldest["checkpoints"], oldest["resumable"]) == (
        "001",
        100,
        [50, 100],
        False,
    )
    assert (oldest["base"], oldest["base_path"]) == ("base.safetensors", "/models/base.safetensors")
    assert (oldest["created"], oldest["preset"], oldest["job"]) == (1714979289.0, "sd15-face", None)
    assert page.get(f"{RUNS}/011").status_code == 400
    assert page.get(f"{RUNS}/012").status_code == 404


def test_the_last_saved_step_is_in_the_answer(page, run):
    plant_run(page.character("Mara 名前"), number=2, saved=[])
    assert [one["saved"] for one in page.got(RUNS)] == [0, 100]


def judged(number, kind="consistent", retention=0.9, made="2024-05-06", real=True):
    return GridRecord(f"{number:03d}", 100, 1.0, kind, "", False, real, retention, made)


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([], None),
        ([[]], None),
        ([[judged(1, real=False)], [judged(2, retention=None)]], None),  # nothing could be judged
        ([[judged(1, retention=0.5), judged(2, retention=0.8)]], "002"),
        ([[judged(1, retention=0.5)], [judged(2, retention=0.8)]], "001"),  # both hold: the newer run's
        ([[judged(1, "undertrained", 0.9)], [judged(2, retention=0.5)]], "002"),  # the one that holds
        ([[judged(1, "undertrained", 0.3)], [judged(2, "overtrained", 0.5)]], "002"),  # none holds: the most alike
        ([[judged(2, retention=0.8), judged(1, retention=0.8)]], "002"),  # the newest of equal ones
        ([[judged(1, "drift", 0.4, "2024-05-06")], [judged(2, "drift", 0.4, "2024-05-07")]], "002"),
    ],
)
def test_the_test_that_all_runs_speak_for(runs, wanted):
    best = run_records.best([(None, grids) for grids in runs])
    assert (best.id if best else None) == wanted


def test_the_best_test_is_named_in_its_run_alone(page, run):
    plant_grid(plant_run(page.character("Mara 名前"), number=2, saved=[100]))
    plant_grid(run)
    assert [one["best"] for one in page.got(RUNS)] == ["001", ""]


@pytest.mark.parametrize(
    ("kind", "real", "tone"),
    [
        ("consistent", True, "good"),
        ("slightly undertrained", True, "warn"),
        ("overtrained", True, "warn"),
        ("undertrained", True, "bad"),
        ("not this person", True, "bad"),
        ("consistent", False, "none"),
    ],
)
def test_how_a_verdict_sounds(kind, real, tone):
    assert verdict_tone(kind, real) == tone


def test_a_run_that_is_worked_on_names_its_job(page, run):
    job = page.done("/jobs", {"kind": "test", "character": "mara-名前", "arguments": {"run": "001"}})
    page.queue.take("heavy", "me")
    page.queue.note_run(job["id"], "001")
    assert page.got(RUNS)[0]["job"] == job["id"]


def test_the_course_of_a_run_is_in_the_answer(page, run):
    emit = EventLog(run / "events.jsonl")
    (run / "samples").mkdir()
    Image.new("RGB", (8, 8)).save(run / "samples" / "000050-1.png")
    emit("sample", step=50, number=1, file="samples/000050-1.png", prompt="a prompt")
    emit("sample", step=99, number=1, file="../../../secret.png", prompt="x")
    emit("sample", step=99, number=2, file="samples/gone.png", prompt="x")
    emit("probe", step=0, loss=0.2)
    emit("warning", text="Slow.")
    emit("warning", text="Slow.")
    told = page.got(f"{RUNS}/001")
    assert told["loss"][0] == [1, 1.0]
    assert told["loss"][-1] == [100, 0.01]
    assert (told["probe"], told["warnings"]) == ([[0, 0.2]], ["Slow."])
    [sample] = told["samples"]
    assert (sample["step"], sample["number"], sample["prompt"]) == (50, 1, "a prompt")
    assert sample["url"].startswith(f"{RUNS}/001/samples/000050-1.png?v=")
    answer = page.get(sample["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "immutable" in answer.headers["cache-control"]
    assert told["settings"]["lora.rank"] == 32
    assert "version" not in told["settings"]
    emit("step", step=101, total=200, loss_average=0.5)
    assert page.got(f"{RUNS}/001")["loss"][-1] == [101, 0.5]


def test_a_long_curve_is_thinned(tmp_path):
    history = RunHistory()
    for step in range(1, 20_001):
        history.take({"kind": "step", "step": step, "total": 20_000, "loss_average": 1.0})
    curve = history.curve()
    assert len(curve) == 400
    assert curve[0][0] < 10
    assert curve[-1][0] > 19_900
    assert thinned([(1, 1.0)], 400) == [(1, 1.0)]


def test_a_run_that_goes_on_from_a_state_goes_back(tmp_path):
    history = RunHistory()
    for step in (1, 2, 3, 2, 3, 4):
        history.take({"kind": "step", "step": step, "total": 9, "loss_average": float(step)})
    assert history.loss == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    for odd in ({"kind": "step"}, {"kind": "probe", "step": 1, "loss": None}, {"kind": "sample"}, {}):
        history.take(odd)


def test_a_history_knows_what_the_steps_took(tmp_path):
    """By each step's own seconds; older runs tell only the mean of the last steps."""
    history = RunHistory()
    for step, seconds in ((1, 10.0), (2, 0.5), (2, 0.5), (3, "odd"), (4, None)):
        told = {"seconds": seconds, "seconds_per_step": 2.0, "peak_memory": 100 * step}
        history.take({"kind": "step", "step": step, "total": 9, **told})
    assert (history.steps, history.seconds, history.memory) == (5, 15.0, 400)
    for odd in ({"seconds": -1.0}, {"peak_memory": 1 << 60}, {"peak_memory": True}, {}):
        history.take({"kind": "step", "step": 5, "total": 9, **odd})
    assert (history.steps, history.seconds, history.memory) == (5, 15.0, 400)


def test_a_history_begins_again_where_the_file_is_another(tmp_path):
    path = tmp_path / "events.jsonl"
    emit = EventLog(path)
    for step in range(1, 9):
        emit("step", step=step, total=9, loss_average=1.0)
    assert history_of(path).step == 8
    path.write_text("")
    EventLog(path)("step", step=1, total=5, loss_average=1.0)
    assert (history_of(path).step, history_of(path).total) == (1, 5)


def test_a_judged_grid_is_sent_whole(page, run):
    plant_grid(run)
    [grid] = page.got(RUNS)[0]["grids"]
    assert grid == {
        "id": "001", "step": 100, "weight": 1.0, "kind": "consistent", "headline": "The face holds", "drift": False,
        "more": [],
        "judged": True, "tone": "good", "retention": 0.9, "made": 1714982400.0,
    }  # fmt: skip
    told = page.got(f"{RUNS}/001/grids/001")
    assert (told["step"], told["weight"], told["verdict"]["kind"]) == (100, 1.0, "consistent")
    assert set(told["verdict"]) == {
        "kind", "headline", "because", "advice", "action", "value", "drift", "judged", "messages", "notes", "tone"
    }  # fmt: skip
    assert told["verdict"]["tone"] == "good"
    assert told["verdict"]["messages"] == {}  # its rule, "keep", is none of today
    assert [row["role"] for row in told["rows"]] == ["lora", "lora", "base", "base", "leak"]
    assert (told["rows"][0]["prompt"], told["rows"][0]["seed"]) == ("photo 0 of mrxa woman", 1000)
    assert told["rows"][2]["name"] == told["rows"][0]["name"] == "prompt 0"
    assert told["photos"][0] | {"file": "00.jpg", "likeness": 0.9} == told["photos"][0]
    assert len(told["photos"][0]["sha256"]) == 64
    assert told["tested"] == [{"step": 100, "weight": 1.0, "retention": 0.9}]
    assert [(one["code"], one["value"], one["tone"]) for one in told["numbers"]] == [
        ("identity", None, "none"), ("only_when_asked", None, "none"), ("obedience", None, "none"),
        ("variety", None, "none"),
    ]  # fmt: skip
    for row in told["rows"]:
        assert page.get(row["url"]).headers["content-type"] == "image/png"


def test_what_was_asked_and_not_given_is_in_the_answer(page, run):
    grid = plant_grid(run)
    assert page.got(f"{RUNS}/001/grids/001")["missed"] == []  # an older report says nothing of it
    report = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    line = "Asked to be serious twice: smiles twice."
    missed = [{"what": "serious", "asked": 2, "measured": 2, "given": 0, "pictures": [], "text": line}]
    (grid / "report.json").write_text(json.dumps({**report, "missed": missed}), encoding="utf-8")
    told = page.got(f"{RUNS}/001/grids/001")
    assert told["missed"] == [line]
    assert [one["code"] for one in told["missed_messages"]] == ["serious"]


def test_a_verdict_of_todays_rules_can_be_translated(page, run):
    grid = plant_grid(run)
    report = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    facts = facts_by_name(step=100, pictures=20, read=20, no_face=18, no_face_share=0.9, base_no_face_share=0.95)
    judged = {"verdict": to_dict(judge(facts)), "facts": flat(facts)}
    (grid / "report.json").write_text(json.dumps({**report, **judged}), encoding="utf-8")
    verdict = page.got(f"{RUNS}/001/grids/001")["verdict"]
    said = verdict["messages"]["because"]
    assert (said["code"], said["values"]) == ("base paints no face", {"no_face": 18, "read": 20})
    assert str(Message(said["template"], said["values"])) == verdict["because"]
    assert said["template"] in translatable_texts.texts()


def test_the_four_numbers_are_sent_with_what_they_mean(page, run):
    grid = plant_grid(run)
    report = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    facts = facts_by_name(keep=0.7, read=20, counted=20, retention_best=0.9, leak=3, leak_cells=4, leak_share=0.75)
    told = {**report, "facts": flat(facts) | {"alarm_at": 3}}  # as an earlier version wrote it
    (grid / "report.json").write_text(json.dumps(told), encoding="utf-8")
    numbers = page.got(f"{RUNS}/001/grids/001")["numbers"]
    assert [set(one) for one in numbers] == [{"code", "label", "value", "tone", "meaning", "why_not"}] * 4
    assert [(one["value"], one["tone"]) for one in numbers] == [
        (0.9, "good"), (0.25, "warn"), (None, "none"), (None, "none")
    ]  # fmt: skip
    assert numbers[1]["meaning"]["values"] == {"leak": 0.75, "seen": 3, "of": 4}
    assert [one["why_not"] and one["why_not"]["template"] for one in numbers] == [
        None, None, "no pictures without the LoRA", "no pictures without the LoRA"
    ]  # fmt: skip
    (grid / "report.json").write_text(json.dumps({**report, "facts": told["facts"] | {"unheard": 1}}), encoding="utf-8")
    assert page.got(f"{RUNS}/001/grids/001")["numbers"] == []


def test_a_grid_s_page_may_run_nothing(page, run):
    plant_grid(run)
    answer = page.get(page.got(f"{RUNS}/001/grids/001")["html"])
    assert answer.headers["content-security-policy"] == POLICY
    assert "script" not in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    sheet = page.get(f"{RUNS}/001/grids/001/sheet.png")
    assert (sheet.status_code, sheet.headers["cache-control"]) == (200, "private, no-cache")


def test_a_grid_that_is_being_painted_shows_what_is_there(page, run):
    plant_grid(run, report=False, weight=0.8)
    assert page.got(RUNS)[0]["grids"] == []
    [grid] = page.got(f"{RUNS}/001")["grids"]
    assert (grid["id"], grid["kind"]) == ("001", "")
    told = page.got(f"{RUNS}/001/grids/001")
    assert (told["verdict"], told["step"], told["weight"], told["buttons"]) == (None, 100, 0.8, [])
    assert [bool(row["url"]) for row in told["rows"]] == [False, False, True, True, False]
    assert page.get(f"{RUNS}/001/grids/001/report.html").status_code == 404


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 0}', '{"version": 1}', '{"version": 1, "verdict": 3}'])
def test_a_damaged_report_is_one_sentence(page, run, text):
    grid = plant_grid(run)
    (grid / "report.json").write_text(text)
    answer = page.get(f"{RUNS}/001/grids/001")
    assert answer.status_code == 400
    assert "report.json" in answer.json()["error"]
    assert page.got(RUNS)[0]["grids"] == []


@pytest.mark.parametrize("retention", ["x", [], True, "0.9"])
def test_a_report_whose_retention_is_not_a_number_is_left_out(page, run, retention):
    plant_grid(run)
    grid = plant_grid(run, number=2)
    report = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    report["facts"]["retention"] = retention
    (grid / "report.json").write_text(json.dumps(report), encoding="utf-8")
    assert [one["id"] for one in page.got(RUNS)[0]["grids"]] == ["001"]


@pytest.mark.parametrize("name", ["../plan.json", "plan.json", "01-lora.png.bak", "x.png", ".png", "01-lora.png\0"])
def test_only_pictures_of_the_grid_are_given(page, run, name):
    grid = plant_grid(run)
    (grid / "cells" / "01-lora.png.bak").write_bytes(b"x")
    assert page.get(f"{RUNS}/001/grids/001/pictures/{name}".replace("\0", "%00")).status_code == 404


def _buttons(action, value, saved=(900,), side=0, weight=1.0, last=None):
    """The buttons below a verdict that advises this, as the page gets them."""
    verdict = replace(judge(Facts()), action=action, value=value)
    return [one.for_programs() for one in buttons(TestedPoint("001", 900, weight, side, last), verdict, saved)]


@pytest.mark.parametrize(
    ("action", "value", "first"),
    [
        ("keep", None, ("Use this LoRA", "use", {"run": "001", "step": 900, "weight": 1.0})),
        ("train_more", 400.0, ("Train 400 more steps", "train_more", {"run": "001", "steps": 1300})),
        (
            "train_again",
            1.0,
            (
                "Train again with output preservation",
                "train_again",
                {"run": "001", "settings": {"preservation_weight": 1.0}},
            ),
        ),
        ("test_step", 450.0, ("Test step 450", "test", {"run": "001", "step": 450, "weight": 1.0})),
        ("use_step", 450.0, ("Use step 450", "use", {"run": "001", "step": 450, "weight": 1.0})),
        ("set_weight", 0.8, ("Test weight 0.8", "test", {"run": "001", "step": 900, "weight": 0.8})),
        ("add_photos", None, ("Add photos", "add_photos", {})),
        ("paint_larger", None, ("Test at 768 pixels", "test", {"run": "001", "step": 900, "weight": 1.0, "side": 768})),
    ],
)
def test_the_advice_is_the_first_button(action, value, first):
    found = _buttons(action, value, (450, 900), 512)
    assert (found[0]["label"], found[0]["do"], found[0]["arguments"]) == first
    assert [one["main"] for one in found] == [True] + [False] * (len(found) - 1)
    assert any(one["do"] == "use" for one in found)
    assert found[-1]["do"] == "choose"


@pytest.mark.parametrize(("step", "weight"), [(1200, 1.0), (450, 2.0)])
def test_a_later_step_is_tested_at_weight_1_an_earlier_one_at_its_own(step, weight):
    found = _buttons("test_step", float(step), (450, 900, 1200), weight=2.0)
    assert found[0]["arguments"] == {"run": "001", "step": step, "weight": weight}


def test_a_step_that_is_gone_cannot_be_used():
    assert [one["label"] for one in _buttons("use_step", 450.0, (900,))] == ["Use this step"]


def test_a_leak_that_may_stay_has_a_second_button():
    use, again, _ = _buttons("keep", 1.0, (450, 900))
    assert (use["do"], use["main"], again["main"]) == ("use", True, False)
    assert (again["do"], again["arguments"]) == (
        "train_again",
        {"run": "001", "settings": {"preservation_weight": 1.0}},
    )


@pytest.mark.parametrize(
    ("last", "saved", "first"),
    [
        (1500, (900, 1500), ("Train 400 more steps", "train_more", {"run": "001", "steps": 1900})),
        (1500, (900, 1500, 1700), ("Train 400 more steps", "train_more", {"run": "001", "steps": 1900})),  # was stopped
        (1500, (900, 1500, 1900), ("Test step 1,900", "test", {"run": "001", "step": 1900, "weight": 1.0})),
        (None, (900, 1500), ("Test step 1,500", "test", {"run": "001", "step": 1500, "weight": 1.0})),
    ],
    ids=["an earlier step was tested", "stopped on the way", "followed", "an earlier version's report"],
)
def test_a_run_is_trained_on_from_the_step_that_was_its_last_when_it_was_judged(last, saved, first):
    """Fewer steps than it has already would be refused; and who has followed the advice gets no further steps by it."""
    found = _buttons("train_more", 400.0, saved, last=last)[0]
    assert (found["label"], found["do"], found["arguments"]) == first
    assert found["main"]


def test_what_was_trained_on_from_a_weight_above_1_is_tested_at_1():
    found = _buttons("train_more", 400.0, (900, 1300), weight=2.0)[0]
    assert found["arguments"] == {"run": "001", "step": 1300, "weight": 1.0}


@pytest.mark.parametrize(("side", "larger"), [(128, [192]), (512, [768]), (1024, [1536]), (1536, []), (0, [])])
def test_larger_is_half_as_large_again_up_to_a_limit(side, larger):
    found = _buttons("paint_larger", None, side=side)
    assert [one["arguments"]["side"] for one in found if "side" in one["arguments"]] == larger


def test_a_weight_can_be_used_at_once():
    found = _buttons("set_weight", 0.8)
    assert [(one["label"], one["arguments"].get("weight")) for one in found] == [
        ("Test weight 0.8", 0.8), ("Use weight 0.8", 0.8)
    ]  # fmt: skip


def test_without_an_advice_nothing_is_the_main_thing():
    found = _buttons("none", None, weight=0.5)
    assert [(one["label"], one["main"]) for one in found] == [("Use this step", False)]


def test_labels_are_messages_too():
    """The tab translates the label's template, which a translator's list holds, and fills in its number."""
    found = _buttons("train_more", 1200)
    assert [str(Message(one["message"]["template"], one["message"]["values"])) for one in found] == [
        one["label"] for one in found
    ]
    assert found[0]["message"]["values"] == {"more": 1200}
    assert {one["message"]["template"] for one in found} <= {*advice_buttons.LABELS}


def test_a_page_that_has_a_run_is_sent_what_has_changed_alone(page, run):
    whole = page.got(f"{RUNS}/001")
    first = page.got(f"{RUNS}/001?since=")
    assert first["changed"] == whole
    assert page.got(f"{RUNS}/001?since={first['mark']}") == {"mark": first["mark"]}
    EventLog(run / "events.jsonl")("probe", step=100, loss=0.1)
    later = page.got(f"{RUNS}/001?since={first['mark']}")
    assert later["changed"] == {"probe": [[100, 0.1]]}
    assert page.got(f"{RUNS}/001?since=unknown")["changed"] == {**whole, "probe": [[100, 0.1]]}


def test_a_page_that_has_a_grid_is_sent_what_has_changed_alone(page, run):
    plant_grid(run, report=False)
    first = page.got(f"{RUNS}/001/grids/001?since=")
    assert first["changed"] == page.got(f"{RUNS}/001/grids/001")
    Image.new("RGB", (8, 8), "red").save(run / "grids" / "001" / "cells" / "01-lora.png")
    assert {*page.got(f"{RUNS}/001/grids/001?since={first['mark']}")["changed"]} == {"rows"}
