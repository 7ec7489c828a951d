"""One short run on the small base that paints faces: what is trained is more like the photos than what was not."""

import json
import shutil
from pathlib import Path

import pytest

from lib_lora.runs.records.run_history import history_of
from lib_lora.training import loop

pytestmark = [
    pytest.mark.long,
    pytest.mark.once("how much of a face is learned; that training computes the same is test_loop.py's"),
]

DATA = Path(__file__).parents[2] / "data"
MINI = DATA / "mini-face" / "mini-face.safetensors"
EARLY, LATE = 6, 12
PHOTOS = 12
# At a constant rate the second half teaches as much as the first; a cosine would leave a sixth of it to do.
HOW = {"save_every": EARLY, "samples": 0, "likeness_curve": "true", "lr_schedule": "constant"}


def _trained(main, photos, root):
    return main(
        *("run", photos, "--base", MINI, "--name", "lena", "--trigger", "lxna", "--class", "woman"),
        *("--consent", "fictional", "--data", root / "data", "--out", root / "out", "--grid-steps", "0"),
        *("--steps", LATE, *(word for name, value in HOW.items() for word in ("--set", f"{name}={value}"))),
    )


@pytest.fixture(scope="module")
def grids(main, tmp_path_factory):
    """The reports of the quick grid at two steps of one run, by step."""
    root = tmp_path_factory.mktemp("face")
    photos = root / "photos"
    photos.mkdir()
    for path in sorted((DATA / "personas" / "lena").glob("*.jpg"))[:PHOTOS]:
        shutil.copy(path, photos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "PROBE_ITEMS", 1)  # the check loss is of one photo
        trained = _trained(main, photos, root)
    assert trained.status == 0, trained.err
    assert "mini-face" in (root / "data/characters/lena/runs/001/run.yaml").read_text(encoding="utf-8")
    found = {}
    for step in (EARLY, LATE):
        said = main("grid", "lena", "--data", root / "data", "--quick", "--step", step, "--grid-steps", 5, "--json")
        assert said.status in (0, 3), said.err
        found[step] = json.loads(said.out)
    found["run"] = root / "data" / "characters" / "lena" / "runs" / "001"
    return found


def test_retention_rises(grids):
    """Measured once: 0.16 and 0.31."""
    early, late = (grids[step]["facts"]["retention"] for step in (EARLY, LATE))
    assert early < 0.25
    assert late > early + 0.1


def test_the_curve_of_the_training_rises_too(grids, main):
    """Measured once: identity 0.05 and 0.37."""
    curve = history_of(grids["run"] / "events.jsonl").likeness
    assert [one["step"] for one in curve] == [EARLY, LATE]
    first, last = curve[0], curve[-1]
    assert last["identity"] > first["identity"] + 0.15
    assert all(one["faces"] >= 5 for one in curve)
    assert None not in last.values()
    shown = [path.name for path in (grids["run"] / "samples").iterdir()]
    assert len(shown) == 6 + 2 * 9


def test_the_one_that_was_hardly_trained_is_found_undertrained(grids):
    verdict = grids[EARLY]["verdict"]
    assert (verdict["kind"], verdict["drift"], verdict["judged"]) == ("undertrained", True, True)
    assert (verdict["action"], verdict["value"]) == ("train_more", 160)  # 56 views of 12 photos, in batches of 4


def test_without_the_lora_there_are_strangers(grids):
    late = grids[LATE]
    scores = [item["score"]["likeness"] for item in late["pictures"] if item["role"] == "base"]
    assert len(scores) == 8
    assert max(scores) < late["calibration"]["lines"]["same"]
