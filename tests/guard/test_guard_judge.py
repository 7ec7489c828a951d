"""The guard's judge: it agrees with a production, loads things once, and sees that photos have changed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from faults import raises
from guarded_character import guarded_character, portraits
from PIL import Image
from planting import MINI
from shared import Shared

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.guard.guard_judge import GuardJudge
from lib_lora.guard.guard_settings import GuardSettings
from lib_lora.guard.guard_words import finding_of, under_gallery
from lib_lora.likeness.measure.refusals import REFUSALS
from lib_lora.pictures import Cell, parameters, save_picture
from lib_lora.workflows.produce.picture_check import PictureCheck
from lib_lora.workspace.workspace import Workspace

pytestmark = pytest.mark.once("one judgement is compared with another; what is measured is repeated in faces")

SIZE = (512, 512)
SETTINGS = GuardSettings(True, "mara")


@pytest.fixture
def root(shared: Shared, tmp_path: Path) -> Path:
    import shutil

    made = shared.made("guarded", lambda folder: guarded_character(folder, MINI, [SIZE]))
    return Path(shutil.copytree(made, tmp_path / "data"))


def shown(path: Path, size: tuple[int, int] = SIZE) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize(size)


def test_guard_and_production_say_the_same_of_one_picture(root: Path, tmp_path: Path) -> None:
    judge, folder = GuardJudge(lambda: root), Workspace(root).character("mara")
    check = PictureCheck(folder, "mara", SFaceEngine(), str(MINI))
    cell, seen = Cell("a woman", "blurry", 7, width=512, height=512), set()
    for name in ("mara", "ines", "tomas"):
        image, path = shown(portraits(name)[0]), tmp_path / f"{name}.png"
        save_picture(path, image, cell, parameters(cell, MINI.stem))
        here = judge(image, parameters(cell, MINI.stem), SETTINGS)
        there = check(path)
        assert (here.reason, here.score.likeness, here.hash) == (there.reason, there.score.likeness, there.hash)
        seen.add(here.reason)
    assert {"", "lost"} <= seen


def test_a_size_that_no_grid_has_is_judged_by_the_nearest(root: Path) -> None:
    judge, text = GuardJudge(lambda: root), parameters(Cell("a", "", 1), MINI.stem)
    found = judge(shown(portraits("mara")[0], (768, 768)), text, SETTINGS)
    assert (found.reason, found.lines_of) == ("", SIZE)
    other = judge(shown(portraits("mara")[0]), text.replace(MINI.stem, "another-base"), SETTINGS)
    assert (other.reason, other.lines_of) == ("not judged", None)
    assert other.score.likeness is not None


def test_why_a_picture_is_not_judged_is_said_in_the_language_of_the_webui(root: Path) -> None:
    text = parameters(Cell("a", "", 1), MINI.stem).replace(MINI.stem, "another-base")
    found = finding_of("mara", GuardJudge(lambda: root)(shown(portraits("mara")[0]), text, SETTINGS))
    words = {REFUSALS["no-grid-of-base"][0]: "gemalt{with}, ohne Testraster", " with {base}": " mit {base}"}
    [_, line] = under_gallery([found], lambda message: message.translated(words))
    assert line == "Not judged: gemalt mit another-base, ohne Testraster."
    assert under_gallery([found])[1].endswith(": no test grid was painted with it.")


def test_one_engine_for_all_threads_and_a_change_of_photos_is_seen(root: Path) -> None:
    made: list[SFaceEngine] = []

    def engine() -> SFaceEngine:
        made.append(SFaceEngine())
        return made[-1]

    judge, text = GuardJudge(lambda: root, engine), parameters(Cell("a", "", 1), MINI.stem)
    image, found = shown(portraits("mara")[0]), []
    threads = [threading.Thread(target=lambda: found.append(judge(image, text, SETTINGS))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len({one.score.likeness for one in found}) == 1
    assert len(made) == 1
    sorted(Workspace(root).character("mara").photos.glob("*.jpg"))[0].unlink()
    assert judge(image, text, SETTINGS).score.likeness != found[0].score.likeness


def test_whom_it_should_be_is_said_or_clear(root: Path, tmp_path: Path) -> None:
    judge = GuardJudge(lambda: root)
    assert (judge.names(), judge.name(""), judge.name("ines")) == (["mara"], "mara", "ines")
    with raises("guard-without-character"):
        GuardJudge(lambda: tmp_path / "nothing").name("")
    with raises("character-not-found"):
        judge(Image.new("RGB", SIZE), "", GuardSettings(True, "nobody at all"))
