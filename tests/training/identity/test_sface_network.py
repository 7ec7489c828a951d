"""SFace in torch is OpenCV's, and gradients through it are those of finite differences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from faults import misfit

from lib_lora.character.photo_files import open_photo
from lib_lora.faces import align
from lib_lora.faces.engines.onnx_reader import OnnxGraph, Operation
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.training.identity.aligned_face import aligned
from lib_lora.training.identity.sface_network import SFaceNetwork, chain_of

PERSONAS = Path(__file__).parents[2] / "data" / "personas"


@pytest.fixture(scope="module")
def network():
    return SFaceNetwork()


@pytest.fixture(scope="module")
def faces():
    engine = SFaceEngine()
    pictures = [open_photo(PERSONAS / name / "00.jpg") for name in ("mara", "tomas")]
    return [(picture, engine.faces(picture)[0]) for picture in pictures]


def _tensor(pixels):
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()


def test_it_says_what_opencv_says(network, faces):
    crops = torch.cat([_tensor(face.crop) for _, face in faces])
    found = network(crops).numpy()
    for ours, (_, face) in zip(found, faces, strict=True):
        assert np.abs(ours - face.embedding).max() < 1e-4
    assert float(found[0] @ found[1]) < 0.5
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_aligned_face_is_that_of_the_engine(network, faces):
    for picture, face in faces:
        for side in (640, 160):  # shrunk by averages first, and not
            small = picture.resize((side, side))
            points = (face.points.astype(np.float64) + 0.5) * side / 640 - 0.5
            matrix = align.similarity(points)
            ours = aligned(_tensor(small), matrix)
            theirs = _tensor(align.crop(np.asarray(small), points))
            assert (ours - theirs).abs().mean() < 1.5
            assert float(network(ours)[0] @ network(theirs)[0]) > 0.99


def test_beyond_the_picture_an_aligned_face_is_black():
    found = aligned(torch.full((1, 3, 40, 40), 200.0), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 72.0]]))
    assert found[..., :71, :].abs().max() == 0
    assert found[..., 41:].abs().max() == 0
    torch.testing.assert_close(found[..., 73:, :39], torch.full((1, 3, 39, 39), 200.0))


def test_its_gradient_is_that_of_finite_differences(faces):
    network = SFaceNetwork().double()
    picture, face = faces[0]
    pixels, matrix = _tensor(picture.resize((160, 160))).double(), align.similarity((face.points + 0.5) / 4 - 0.5)
    wanted = torch.from_numpy(faces[1][1].embedding).double()

    def likeness(values):
        return network(aligned(values, matrix))[0] @ wanted

    leaf = pixels.clone().requires_grad_()
    likeness(leaf).backward()
    for seed in range(2):
        way = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        step = 1e-6  # PReLU has kinks, which a longer one crosses
        with torch.no_grad():
            measured = (likeness(pixels + step * way) - likeness(pixels - step * way)) / (2 * step)
        assert float((leaf.grad * way).sum()) == pytest.approx(float(measured), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("Pool", [Operation("Pool", ("x",), ("y",))]),
        ("Flatten", [Operation("Dropout", ("x",), ("y",)), Operation("Flatten", ("x",), ("z",))]),
    ],
    ids=["unknown", "branching"],
)
def test_another_kind_of_network_is_refused(name, operations):
    with misfit("graph", name):
        chain_of(OnnxGraph(operations, {}))
