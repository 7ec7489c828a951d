"""A production whose process is killed again and again: nothing is painted twice, nothing is lost."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from become_true import eventually

from lib_lora.character.store import Character, create
from lib_lora.workflows.produce import production_store
from lib_lora.workflows.produce.production import ProductionPlan, file_name
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow

pytestmark = pytest.mark.once("processes and files")

COUNT, TRIES, KILLS = 40, 2, 6
PROGRAM = """
import sys, time
from pathlib import Path
from PIL import Image
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.workflows.produce.picture_check import Checked
from lib_lora.workflows.produce.produce import Producer
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.wildcards import Wildcards

painted = Path(sys.argv[2])

class Painter:
    def paint(self, cells, each=None):
        for number, cell in enumerate(cells):
            with painted.open("a") as log:
                log.write(f"{cell.seed}\\n")
            time.sleep(0.02)
            each(number, Image.new("RGB", (8, 8), (cell.seed % 256, 0, 0)))

def check(path):
    time.sleep(0.02)
    failed = "lost" if int(path.stem[:5]) % 3 == 0 else ""
    return Checked(failed, "", ImageScore(path.name, 0.5, "", 1), 0)

folder = ProductionFolder(Path(sys.argv[1]))
print("at work", flush=True)
Producer(folder, Path("mara.safetensors"), Painter, lambda: check, Wildcards(), lambda *_, **__: None).run()
"""


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.is_file() else 0


def test_a_production_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = create(tmp_path, Character(name="Mara", trigger="mrxa", class_word="woman"))
    plan = ProductionPlan("001", 100, 1.0, "0" * 64, [PromptRow("in a café")], count=COUNT, tries=TRIES, side=64)
    made, painted = production_store.make(folder, plan), tmp_path / "painted.txt"
    command = [sys.executable, "-c", PROGRAM, str(made.path), str(painted)]
    draw, before = random.Random(4), 0
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"at work"
            begun = _lines(painted)
            more = draw.randint(1, 4)
            eventually(lambda begun=begun, more=more: _lines(painted) >= begun + more)
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
        there = len([*made.pictures.glob("*.png")])
        assert there >= before
        before = there
    assert 0 < before < COUNT
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    progress = made.progress()
    thirds = [item for item in range(1, COUNT + 1) if item % 3 == 0]
    wanted = {file_name(item, 1) for item in range(1, COUNT + 1)} | {file_name(item, 2) for item in thirds}
    assert {path.name for path in made.pictures.iterdir() if path.suffix == ".png"} == wanted
    assert (progress.painted, progress.given_up(), made.unjudged(progress)) == (len(wanted), thirds, [])
    again = Counter(painted.read_text().split())
    # what was being painted when the process was killed was not there yet
    assert sum(again.values()) - len(wanted) <= KILLS
    assert set(again.values()) <= {1, 2, 3}
    assert len(again) == len(wanted)
