"""Runs on toys, for the tests of training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter

if TYPE_CHECKING:
    from lib_lora.training.plan.run_file import Run

PHOTOS = Path(__file__).parents[1] / "data" / "personas" / "mara"
QUICK: dict[str, Any] = {
    "samples": 0,
    "likeness_curve": False,
    "steps": 4,
    "batch_size": 1,
    "resolution": 128,
    "precision": "fp32",
    "optimizer": "adamw",
    "lr_schedule": "constant",
    "warmup": 0.0,
    "unet_lr": 1e-3,
    "te_lr": 1e-3,
    "save_every": 2,
    "lora": {"rank": 4, "alpha": 4},
}


@pytest.fixture
def make_run(
    toy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., Run]:
    """make_run(kind, photos=3, **settings): a run that can be trained; of kind "flow" by this process alone.

    Its check loss is of one photo at one timestep: of four at two, as always, it takes longer than the training. Where
    the base model paints, it does so a few times and in a few steps, for the same reason.
    """
    from lib_lora.training import loop, session
    from lib_lora.workflows.photos.new_character import new_character
    from lib_lora.workflows.train.prepare import start_run

    monkeypatch.setattr(loop, "PROBE_ITEMS", 1)
    monkeypatch.setattr(loop, "PROBE_TIMESTEPS", loop.PROBE_TIMESTEPS[:1])
    monkeypatch.setattr(session, "PAINTED", 6)
    monkeypatch.setattr(session, "PAINTING_STEPS", 2)

    def make(kind: str = "sd1", photos: int = 3, trigger: str = "mrxa", **settings: Any) -> Run:
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        for path in sorted(PHOTOS.iterdir())[:photos]:
            shutil.copy(path, source)
        data = tmp_path / "data ü 名前"
        new_character(data, NewCharacter("Mara", trigger, "woman", "fictional"), source)
        lora = {**QUICK["lora"], **settings.pop("lora", {})}
        base = request.getfixturevalue("flow_toy") if kind == "flow" else toy(kind)
        return start_run(data, "Mara", TrainingRequest(base, None, {**QUICK, **settings, "lora": lora}, few=True))

    return make


class Events(list[tuple[str, dict[str, Any]]]):
    """Collects events as (kind, fields)."""

    def __call__(self, kind: str, **fields: Any) -> None:
        self.append((kind, fields))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The fields of all events of a kind."""
        return [fields for found, fields in self if found == kind]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture(params=[False, True], ids=["at once", "aside"])
def aside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways to save: as on a CPU, and as on a GPU."""
    from lib_lora.training import saving

    monkeypatch.setattr(saving, "worth_a_thread", lambda device: request.param)
    return bool(request.param)
