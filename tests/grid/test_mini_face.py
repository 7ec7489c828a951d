"""The small base model paints faces: what the loop on it rests on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.models.families.identify import identify
from lib_lora.pictures import Cell

pytestmark = pytest.mark.once("what a model of ours paints; what each version does, test_diffusers_painter.py compares")

MINI = Path(__file__).parents[1] / "data" / "mini-face" / "mini-face.safetensors"
PROMPTS = ("photo of a person, looking left", "photo of a person, looking right", "photo of a person, smiling",
           "photo of a person, dark background")  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    painter = DiffusersPainter(identify(MINI), torch.device("cpu"), torch.float32, 1)
    return painter.paint([Cell(prompt, "", 100 + n, None, 1.0, 128, 128, 15, 3.0) for n, prompt in enumerate(PROMPTS)])


def test_every_picture_shows_one_face_and_each_another_person(pictures):
    engine = SFaceEngine()
    faces = [engine.faces(picture) for picture in pictures]
    assert [len(found) for found in faces] == [1] * len(PROMPTS)
    for n, (one,) in enumerate(faces):
        assert one.score > 0.8
        for (other,) in faces[n + 1 :]:
            assert float(one.embedding @ other.embedding) < 0.6


def test_it_looks_where_it_is_asked_to(pictures):
    from lib_lora.faces.face import yaw_proxy

    engine = SFaceEngine()
    left, right = (yaw_proxy(engine.faces(picture)[0].points) for picture in pictures[:2])
    assert left < 0 < right


def test_it_is_found_to_be_stable_diffusion_1_of_its_own_size():
    info = identify(MINI)
    assert (info.family, info.resolution) == ("sd1", 128)
    assert MINI.stat().st_size < 40_000_000
