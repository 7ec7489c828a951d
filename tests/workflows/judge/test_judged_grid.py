"""What a painted grid is judged by beside its faces: paintings, a base model that loses faces, the command to type."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lib_lora.likeness.report.report import Tested, load
from lib_lora.runs.events import read_events
from lib_lora.runs.reopen import reopen
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge import grid_run
from lib_lora.workflows.judge.grid_report import next_command, proposed_steps, training_of
from lib_lora.workflows.judge.grid_run import GridRequest
from lib_lora.workflows.judge.test_grid import paint_and_score
from lib_lora.workflows.photos.forget_faces import without_photos
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import RunFolder

pytestmark = pytest.mark.once("what is told of a grid; painting and measuring are repeated where they are done")

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
OTHERS = ("clara", "lena", "viktor", "tomas")


@pytest.fixture
def run(judgeable) -> Run:
    return judgeable


@pytest.fixture
def paint(monkeypatch, fake_painter):
    """paint(who): with the LoRA and the trigger the cells show that person, or other strangers, else strangers. With
    "nobody" the LoRA changes nothing."""

    def use(who: str, reconstruct=lambda image: None) -> None:
        class Painter(fake_painter):
            def picture(self, cell):
                known = cell.lora is not None and "mrxa" in cell.prompt and who != "nobody"
                shift = 1 if known and who == "strangers" else 0
                other = (OTHERS[(cell.seed + shift) % 4], cell.seed % 2)
                name, number = (who, 12 + cell.seed % 8) if known and not shift else other
                with Image.open(PERSONAS / name / f"{number:02d}.jpg") as photo:
                    return photo.convert("RGB").resize((160, 160))

            def reconstruct(self, image):
                return reconstruct(image)

        monkeypatch.setattr(grid_run, "DiffusersPainter", Painter)

    return use


def _judged(run, eye, step=3, again=True):
    return paint_and_score(run, GridRequest(step, 1.0, 5), lambda kind, **fields: None, again, engine=eye)


def test_a_picture_asked_for_as_a_painting_does_not_count(run, eye, paint):
    paint("mara")
    report = _judged(run, eye).report
    (painting,) = [row for row in report.of("lora") if row.asked.prompt == "painting"]
    assert painting.status == "suspect"
    assert painting.score.likeness is not None
    assert painting.score.reason == "asked for as a painting, which photos cannot be compared with"
    assert (report.facts.pictures.count, report.facts.pictures.counted) == (20, 19)
    assert report.verdict.kind == "consistent"


def test_the_report_says_what_was_asked_and_not_given_and_shows_the_photos(run, eye, paint):
    """mara smiles in all her photos, and looks ahead."""
    paint("mara")
    judged = _judged(run, eye)
    said = {one.what: one for one in judged.report.missed}
    assert said["turned head"].text.startswith("Asked to turn the head 4 times: looks ahead 4 times. Without the LoRA:")
    assert said["serious"].text.startswith("Asked to be serious twice: smiles twice.")
    assert "smiling" not in said
    assert "Not as prompted:\n  - Asked to turn the head 4 times" in judged.text
    assert "asked to be serious, smiles" in judged.text
    page = judged.folder / "report.html"
    assert page.read_text(encoding="utf-8").count('alt="photo ') == 20
    assert without_photos(run.folder.parent) == [page]
    assert 'alt="photo ' not in page.read_text(encoding="utf-8")
    assert without_photos(run.folder.parent) == []


def test_a_base_model_that_loses_the_faces_gets_no_verdict(run, eye, paint):
    """No LoRA can show what its VAE does not let through, so that training on is no advice."""
    paint("viktor", lambda image: Image.new("RGB", image.size, "grey"))
    verdict = _judged(run, eye).report.verdict
    assert (verdict.kind, verdict.rule, verdict.judged) == ("base too coarse", "base loses faces", False)
    assert "loses the face in 100% of the photos" in verdict.because
    assert verdict.action == "paint_larger"


def test_the_advice_comes_with_the_command_that_follows_it(run, eye, paint, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sameface"])
    paint("nobody")
    earlier = _judged(run, eye, step=2)
    assert (earlier.report.verdict.action, earlier.report.verdict.value) == ("test_step", 3.0)
    (line,) = [line for line in earlier.text.splitlines() if line.startswith("To do that: ")]
    assert re.search(r"^To do that: sameface grid .*Mara.* --run 001 --step 3 --weight 1 --data .*umgezogen", line)
    training = replace(earlier.report.facts.training, weight=2.0)
    strong = replace(earlier.report, facts=replace(earlier.report.facts, training=training))
    assert "--step 3 --weight 1 " in next_command(RunFolder(run.folder), strong)  # a later step, as the advice says
    sooner = replace(strong, verdict=replace(strong.verdict, value=1.0))
    assert "--step 1 --weight 2 " in next_command(RunFolder(run.folder), sooner)
    last = _judged(run, eye)
    assert (last.report.verdict.action, last.report.verdict.value) == ("train_more", 10.0)
    (line,) = [line for line in last.text.splitlines() if line.startswith("To do that: ")]
    assert re.search(r"^To do that: sameface resume .*001.* --steps 13$", line)
    again = _judged(run, eye, step=2)  # step 3 shows the same
    assert again.report.verdict.advice.endswith("train 10 more steps after step 3.")
    (line,) = [line for line in again.text.splitlines() if line.startswith("To do that: ")]
    reopened = reopen(run.folder, steps=int(re.search(r"--steps (\d+)$", line)[1]))
    assert reopened.file.settings.steps == 13


def test_a_grid_is_judged_again_only_when_other_steps_would_be_advised(run, eye, paint):
    """Of three checkpoints, the one after the next is what the first is compared with once the next was tested."""
    paint("nobody")
    shutil.copy(run.checkpoint(3), run.checkpoint(4))
    _judged(run, eye)
    first = _judged(run, eye, step=2)
    assert first.report.facts.training.later == 4
    assert _judged(run, eye, step=2, again=False).report.made == first.report.made
    shutil.copy(run.checkpoint(3), run.checkpoint(13))
    assert _judged(run, eye, step=2, again=False).report.facts.training.last == 13


def test_where_no_command_follows_the_advice_none_is_shown(run, eye, paint):
    paint("mara")
    assert "To do that" not in _judged(run, eye).text


def test_what_the_run_was_trained_with_and_where_it_was_continued_is_known_to_the_verdict(run, eye, paint):
    paint("nobody")
    earlier = _judged(run, eye, step=2).report.facts.identity.retention
    continued = replace(run, file=replace(run.file, restart=2))
    report = _judged(continued, eye).report
    assert report.facts.training.gained == pytest.approx(report.facts.identity.retention - earlier)
    assert report.verdict.kind == "no longer learning"  # the same strangers as before
    settings = replace(run.file.settings, class_photos="women")
    continued = replace(continued, file=replace(continued.file, settings=settings))
    assert _judged(continued, eye).report.facts.training.class_photos


def test_what_the_training_cost_is_in_the_report(run, eye, paint):
    paint("mara")
    judged = _judged(run, eye)
    report = judged.report
    steps = [event for event in read_events(run.events) if event["kind"] == "step"]
    size = run.checkpoint(3).stat().st_size
    assert (report.subject.cost.steps, report.subject.cost.bytes) == (len(steps), size)
    assert report.subject.cost.seconds == pytest.approx(sum(one["seconds"] for one in steps), abs=0.06)
    assert report.subject.cost.memory == max(one["peak_memory"] for one in steps) > 1e8
    assert load(judged.folder / REPORT_FILE).subject == report.subject
    assert f"whole training {len(steps)} steps in " in judged.text
    assert "without preservation" not in judged.text
    settings = replace(run.file.settings, preservation_weight=1.0, preservation_share=0.5)
    preserved = replace(run, file=replace(run.file, settings=settings))
    assert "(about 2.0 times as long as without preservation)" in " ".join(_judged(preserved, eye).text.split())
    run.events.unlink()
    assert _judged(run, eye).report.subject.cost is None


def test_other_faces_than_the_base_models_that_are_no_more_like_the_photos_are_spoiled(run, eye, paint):
    paint("strangers")
    assert _judged(run, eye).report.verdict.rule == "spoiled, earlier step"


def test_a_leak_is_answered_by_the_same_training_with_preservation(run, eye, paint):
    paint("mara")
    photos = [replace(one, caption=f"{one.caption}, tag {n}") for n, one in enumerate(run.file.photos)]
    settings = replace(run.file.settings, preservation_weight=0.5, identity_loss_weight=0.1)
    named = replace(run, file=replace(run.file, photos=photos, settings=settings))
    plain, report = _judged(run, eye).report, _judged(named, eye).report
    known = [(one.facts.training.named, one.facts.training.preserved) for one in (plain, report)]
    others = [replace(one, of="Tomas", caption=f"photo of toxm man, tag {n}") for n, one in enumerate(photos * 2)]
    together = replace(run, file=replace(run.file, photos=[*run.file.photos, *others]))
    assert not training_of(together, 3, 1.0, [], [], "sface").named
    assert known == [(False, False), (True, True)]
    assert [one.facts.training.judge_trained for one in (plain, report)] == [False, True]
    leaking = replace(plain, verdict=replace(plain.verdict, action="train_again", value=1.0))
    command = next_command(RunFolder(run.folder), leaking)
    assert re.search(r"train .*Mara.* --base .*safetensors.* --set preservation_weight=1.0( |$)", command)
    assert f"--set steps={run.file.settings.steps}" in command


def test_a_step_counts_as_tested_at_a_higher_weight_by_its_own_tests_alone(run):
    def higher(*tests):
        return training_of(run, 3, 1.0, [Tested(*one, 0.9) for one in tests], [], "sface").higher_tested

    assert higher((3, 1.2))
    assert not higher((3, 1.0), (3, 0.85), (2, 1.2))


def test_what_is_proposed_for_a_run_that_was_made_shorter_is_as_many_steps_as_the_views_of_its_photos_make(run):
    def proposed(settings=None, **more):
        return proposed_steps(replace(run, file=replace(run.file, settings=settings or short, **more)))

    short = replace(run.file.settings, steps=3, passes=40, batch_size=2)
    assert proposed() == 80  # four photos
    assert proposed(photos=[*run.file.photos, replace(run.file.photos[0], prior=True)]) == 80
    told = replace(run, file=replace(run.file, settings=short))
    assert training_of(told, 3, 1.0, [], [], "sface").proposed == 80
    assert [proposed(**{name: 2}) for name in ("ended", "best_step", "restart")] == [0, 0, 0]
    assert proposed(replace(short, steps=0)) == 3  # as its events say, whatever the number of processes
