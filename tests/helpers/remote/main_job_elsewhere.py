"""The main job on the small base, from photos to a judged grid: done here once, and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from job_fixtures import Said
from PIL import Image
from planting import MINI
from safetensors.numpy import load_file
from shared import Shared

from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.grid_run import GridRequest
from lib_lora.workflows.judge.test_grid import paint_and_score
from lib_lora.workflows.train import main_job

STEPS, NAME = 3, "Mara ü"
PROMPTS = 4  # of the twenty: that a picture comes out alike there, four show as well
_WHO = ("--name", NAME, "--trigger", "mrxa", "--class", "woman", "--consent", "fictional")
_HOW = ("--base", MINI, "--steps", STEPS, "--grid-steps", 2, "--set", "precision=fp32", "--set", "samples=0")


class MainJob:
    """One main job.

    Attributes:
        root, out: the data folder, and where the LoRA goes.
        said: by the command.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.out = folder / "zu Hause ü", folder / "Lora ü"
        self.said: Said | None = None

    def do(self, main: Callable[..., Said], photos: Path, *words: str) -> None:
        """Do it; `words` say where."""
        self.out.mkdir()

        def with_few_prompts(run: Run, request: GridRequest, *rest: Any, **more: Any) -> Any:
            return paint_and_score(run, replace(request, count=PROMPTS), *rest, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(main_job, "paint_and_score", with_few_prompts)
            self.said = main("run", photos, *_WHO, *_HOW, "--data", self.root, "--out", self.out, *words)

    def is_like(self, other: MainJob) -> None:
        """See that both gave the same LoRA, bit for bit, and the same pictures but for two of 255 levels."""
        self.has_the_lora_of(other)
        pictures, of_other = self._pictures(), other._pictures()
        assert len(pictures) >= 2 * PROMPTS  # with the LoRA and without
        assert pictures.keys() == of_other.keys()
        for name, path in pictures.items():
            with Image.open(path) as here, Image.open(of_other[name]) as there:
                first, second = (np.asarray(one.convert("RGB"), np.int16) for one in (here, there))
                assert np.abs(first - second).max() <= 2, name

    def has_the_lora_of(self, other: MainJob) -> None:
        """See that both gave the same LoRA, bit for bit."""
        [ours], [theirs] = (list(one.out.glob("*.safetensors")) for one in (self, other))
        weights, of_theirs = load_file(ours), load_file(theirs)
        assert weights.keys() == of_theirs.keys()
        assert not [name for name in weights if (weights[name] != of_theirs[name]).any()]

    def _pictures(self) -> dict[str, Path]:
        [cells] = self.root.glob("characters/*/runs/001/grids/001/cells")
        return {path.name: path for path in cells.glob("*.png")}


@pytest.fixture(scope="session")
def main_job_here(shared: Shared, main: Callable[..., Said], some_photos: Callable[..., Path]) -> MainJob:
    """The main job as this machine does it, once a run of the tests."""

    def make(folder: Path) -> None:
        job = MainJob(folder)
        job.do(main, some_photos("mara", 8, folder / "Fotos ü"))
        assert job.said is not None
        assert job.said.status in (0, 3, 4), job.said.err

    return MainJob(shared.made("main-job-here", make))
