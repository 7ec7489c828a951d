"""What the scripts' types say of the routes' answers is there in the answers, and of that type."""

import shutil
from pathlib import Path

import pytest
from planting import MINI, plan_audit, plant_combined, plant_grid, plant_invented, plant_production, plant_run, tried
from script_types import ScriptTypes

from lib_lora.queue.job_types import TrainArguments
from lib_lora.runs.events import EventLog
from lib_lora.ui.views import caption_checks
from lib_lora.workspace.workspace import RunFolder

pytestmark = pytest.mark.once("the names of our own answers depend on no package")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "javascript" / "types"
TYPES = ScriptTypes(*(FOLDER / f"{name}.d.ts" for name in ("answers", "routes", "page")))
PHOTOS = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))[:2]


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


def test_what_the_scripts_read_is_in_the_answer_and_of_its_type(answers):
    found = {name: TYPES.misfits(answer, name) for name, answer in answers.items()}
    assert {name: misfits for name, misfits in found.items() if misfits} == {}
    assert sum(len(TYPES.needed(name)) for name in answers) > 250


def test_what_must_be_there_comes_from_what_is_extended_too():
    assert TYPES.needed("RunDetails") > TYPES.needed("RunRecord") > {"id", "base_there"}
    assert "notes" not in TYPES.needed("Combined")


SOME = """
type Lane = 'light' | 'heavy'; // a comment: {
/** Another: '. */
interface Part {
  step: number;
  name: string | null;
}
interface Base {
  id: number;
}
interface Whole extends Base {
  kind: 'train';
  open: boolean;
  note?: string;
  maybe: number | null;
  rows: (number)[][];
  part: (Omit<Part, 'name'> & { more?: string }) | null;
  words: Record<string, string>;
  lanes: Record<Lane, number>;
  half: Partial<Part>;
  less: Omit<Part, 'name'>;
}
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"more": 1, "maybe": 2.5, "note": "x"}, []),
        ({"id": "1"}, ["Whole.id is '1', not number"]),
        ({"id": True}, ["Whole.id is True, not number"]),
        ({"kind": "dance"}, ["Whole.kind is 'dance', not 'train'"]),
        ({"open": 1}, ["Whole.open is 1, not boolean"]),
        ({"note": 4}, ["Whole.note is 4, not string"]),
        ({"rows": None}, ["Whole.rows is None, not a list"]),
        ({"rows": [[1, "x"]]}, ["Whole.rows[0][1] is 'x', not number"]),
        ({"part": {}}, ["Whole.part.step is not there"]),
        ({"part": []}, ["Whole.part is [], not a table"]),
        ({"words": {"a": 3}}, ["Whole.words.a is 3, not string"]),
        ({"lanes": {"light": 1}}, ["Whole.lanes.heavy is not there"]),
        ({"half": {"step": "1"}}, ["Whole.half.step is '1', not number"]),
        ({"less": {}}, ["Whole.less.step is not there"]),
    ],
)
def test_an_answer_that_does_not_fit_would_be_found(tmp_path, change, said):
    (tmp_path / "some.d.ts").write_text(SOME, encoding="utf-8")
    value = {
        "id": 1,
        "kind": "train",
        "open": True,
        "maybe": None,
        "rows": [[1.5]],
        "part": None,
        "words": {"a": "b"},
        "lanes": {"light": 1, "heavy": 2},
        "half": {},
        "less": {"step": 1},
    }
    assert ScriptTypes(tmp_path / "some.d.ts").misfits({**value, **change}, "Whole") == said
