"""What the scripts' types say of the routes' answers is there in the answers."""

import re
import shutil
from pathlib import Path

import pytest
from planting import MINI, plan_audit, plant_combined, plant_grid, plant_invented, plant_production, plant_run, tried

from lib_lora.queue.job_types import TrainArguments
from lib_lora.runs.events import EventLog
from lib_lora.ui.views import caption_checks
from lib_lora.workspace.workspace import RunFolder

pytestmark = pytest.mark.once("the names of our own answers depend on no package")

ROOT = Path(__file__).parents[2]
TYPES = (ROOT / "javascript" / "types" / "answers.d.ts").read_text(encoding="utf-8")
PHOTOS = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))[:2]
INTERFACE = re.compile(r"^interface (\w+)(?:<\w+>)?(?: extends (\w+))? \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^  (\w+): ", re.MULTILINE)  # one that may be left out has a question mark


def needed(name: str) -> set[str]:
    """The fields that an answer of this type must have."""
    blocks = {found[1]: found for found in INTERFACE.finditer(TYPES)}
    block = blocks[name]
    return {*FIELD.findall(block[3])} | (needed(block[2]) if block[2] else set())


@pytest.fixture
def answers(page, monkeypatch):
    """An answer for each type, of a character with all that there can be."""
    monkeypatch.setattr(caption_checks, "problems", lambda snapshot, wait=False: [])
    mara, nova = page.character("Mara"), page.character("Nova")
    for photo in PHOTOS:
        shutil.copy(photo, mara.photos / photo.name)
    plan_audit(mara)
    run = plant_run(mara, steps=400, saved=[400])
    with_samples = EventLog(RunFolder(run).events)
    (RunFolder(run).samples).mkdir(exist_ok=True)
    (RunFolder(run).samples / "a.png").write_bytes(b"a picture")
    with_samples("sample", step=400, file="a.png", prompt="a woman")
    plant_grid(run, step=400)
    plant_combined(run, 1)
    production = plant_production(mara, tried(1, 1))
    plant_invented(nova, picked=1, more=["", "near copy"])
    page.queue.add("Mara", TrainArguments(base=str(MINI)))
    page.host.models = []
    state = page.got("/state")
    details = page.got("/characters/mara/runs/001")
    grid = page.got("/characters/mara/runs/001/grids/001")
    photos = page.got("/characters/mara/photos")
    captions = page.got("/characters/mara/captions")
    invention = page.got("/characters/nova/invention")
    produced = page.got(f"/characters/mara/productions/{production.id}")
    library, doctor = page.got("/library"), page.got("/doctor")
    return {
        "PageState": state,
        "HostFacts": state["host"],
        "QueueState": state["queue"],
        "Character": state["characters"][0],
        "Said": state["characters"][0]["photos"],
        "Job": state["queue"]["jobs"][0],
        "Photo": photos["photos"][0],
        "PhotosView": photos,
        "Caption": captions["captions"][0],
        "CaptionsView": captions,
        "Captioner": page.got("/captioners")[0],
        "TriggerWord": page.got("/triggers?name=Mara")["triggers"][0],
        "InventionView": invention,
        "InventedPicture": invention["more"][0],
        "InventionRound": invention["rounds"]["without"],
        "RunRecord": page.got("/characters/mara/runs")[0],
        "RunDetails": details,
        "GridEntry": details["grids"][0],
        "SamplePicture": details["samples"][0],
        "Grid": grid,
        "GridRow": grid["rows"][0],
        "PictureMark": grid["rows"][0]["mark"],
        "Verdict": grid["verdict"],
        "QualityNumber": grid["numbers"][0],
        "Combined": page.got("/characters/mara/combined")[0],
        "CombinedPoint": page.got("/characters/mara/combined")[0]["points"][0],
        "ProductionEntry": page.got("/characters/mara/productions")[0],
        "Production": produced,
        "ProducedPicture": produced["pictures"][0],
        "Library": library,
        "CivitaiSettings": library["civitai"],
        "StarterModel": library["starters"][0],
        "RunpodAccount": page.got("/runpod"),
        "DoctorView": doctor,
        "DoctorCheck": doctor["checks"][0],
        "Preferences": page.got("/settings"),
    }


def test_every_field_that_the_scripts_read_is_in_the_answer(answers):
    lacking = {name: sorted(needed(name) - {*answer}) for name, answer in answers.items()}
    assert {name: fields for name, fields in lacking.items() if fields} == {}
    assert sum(len(needed(name)) for name in answers) > 250


def test_a_field_that_no_answer_has_would_be_found(answers):
    assert needed("RunDetails") > needed("RunRecord") > {"id", "base_there"}
    assert needed("Job") - {*answers["Character"]}
