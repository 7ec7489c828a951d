"""The reader of ONNX files, on the recogniser that is bundled and on bytes that are none."""

import numpy as np
import pytest
from faults import misfit

from lib_lora.faces.engines.model_pack import rebuild
from lib_lora.faces.engines.onnx_reader import read_graph
from lib_lora.faces.engines.opencv_engine import RECOGNISER


@pytest.fixture(scope="module")
def sface():
    return rebuild(RECOGNISER)


def test_operations_and_weights_are_read(sface):
    graph = read_graph(sface)
    assert [one.name for one in graph.operations[:5]] == ["Sub", "Mul", "Conv", "BatchNormalization", "PRelu"]
    first = graph.operations[2]
    assert first.settings["strides"] == [1, 1]
    assert first.settings["group"] == 1
    assert graph.weights[first.inputs[1]].shape == (32, 3, 3, 3)
    assert graph.operations[3].settings["epsilon"] == pytest.approx(1e-3)
    last = graph.operations[-1]
    assert (last.name, last.outputs) == ("BatchNormalization", ("fc1",))
    assert sum(one.name == "Conv" for one in graph.operations) == 27
    weights = graph.weights["pre_fc1_weight_dequantized"]
    assert weights.shape == (128, 50176)
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:5000], lambda b: b"\xff" * 20, lambda b: b"\x3a\x7f"])
def test_what_is_no_model_is_refused(sface, damage):
    with misfit("model"):
        read_graph(damage(sface))
