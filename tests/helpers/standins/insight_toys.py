"""What stands in for the package insightface and its models, built from SameFace's own networks.

`install_fake` puts a package of that name in place whose two generations differ as the real ones do; behind it are
YuNet and SFace. `build_pack` makes the same two into ONNX files of the shapes that the real package expects: YuNet's
outputs are those of SCRFD but for a few operations, and SFace passes for ArcFace as it is.
"""

from __future__ import annotations

import sys
import threading
import types
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_lora.faces.engines import model_pack
from lib_lora.faces.engines.opencv_engine import MODELS
from lib_lora.faces.engines.yunet import YuNet
from lib_lora.faces.face import Face

ROLES = {b"detector": "detection", b"recogniser": "recognition", b"age": "genderage", b"landmarks": "landmark_2d_106"}


def close_up(image: Image.Image, face: Face) -> Image.Image:
    """Face and little else: its box and a tenth of it around, enlarged to 900 pixels."""
    left, top, width, height = face.box
    part = image.crop(
        (round(left - width / 10), round(top - height / 10), round(left + width * 1.1), round(top + height * 1.1))
    )
    return part.resize((round(900 * part.width / part.height), 900), Image.Resampling.BICUBIC)


def cosine(one: Face, other: Face) -> float:
    return float(one.embedding @ other.embedding)


def fake_pack(folder: Path, *, names: tuple[str, ...] = ("a_det", "b_rec", "c_age"), extra: bytes = b"") -> Path:
    """A folder of files that only the fake package can read: each says what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, role in zip(names, ROLES):
        (folder / f"{name}.onnx").write_bytes(role + b"|" + extra)
    return folder


class FakeDetector:
    """YuNet behind insightface's interface; like SCRFD it sees the picture at the size that it is told."""

    taskname, use_kps = "detection", True

    def __init__(self, fixed: int = 0) -> None:
        self.input_shape = [1, 3, fixed or "?", fixed or "?"]
        self.sizes: list[tuple[int, int]] = []
        self._lock = threading.Lock()  # OpenCV's networks need one, onnxruntime's do not
        self._yunet = YuNet(model_pack.rebuild(MODELS / "yunet_2023mar.npz"))

    def prepare(self, ctx_id: int, **kwargs: Any) -> None:
        assert ctx_id == -1

    def detect(self, img: np.ndarray, input_size: Any = None, max_num: int = 0, metric: str = "default") -> Any:
        print("set det-size:", input_size)
        self.sizes.append(input_size)
        width, height = input_size
        scale = min(width / img.shape[1], height / img.shape[0])
        small = cv2.resize(img, (int(img.shape[1] * scale), int(img.shape[0] * scale)))
        with self._lock:
            rows = self._yunet.detect(np.ascontiguousarray(small[..., ::-1]))
        rows[:, :14] /= scale
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 14:]], 1)
        return corners, rows[:, 4:14].reshape(-1, 5, 2)


@cache
def _sface() -> tuple[cv2.dnn.Net, threading.Lock]:
    """Read once for all packages that are made: it takes longer than what most tests ask of it."""
    model = np.frombuffer(model_pack.rebuild(MODELS / "sface_2021dec.npz"), np.uint8)
    return cv2.dnn.readNetFromONNX(model), threading.Lock()


class FakeRecogniser:
    """SFace behind ArcFaceONNX's interface."""

    taskname = "recognition"

    def __init__(self, side: int = 112) -> None:
        self.input_size = (side, side)
        self._net, self._lock = _sface()

    def prepare(self, ctx_id: int) -> None:
        pass

    def get_feat(self, imgs: np.ndarray) -> np.ndarray:
        with self._lock:
            self._net.setInput(cv2.dnn.blobFromImages([imgs], 1.0, self.input_size, swapRB=True))
            return np.array(self._net.forward())


class FakeAttribute:
    """Says "male" where the face's middle is redder than blue, and how many pixels wide its box is as the age."""

    taskname = "genderage"

    def prepare(self, ctx_id: int) -> None:
        pass

    def get(self, img: np.ndarray, face: Any) -> tuple[int, int]:
        left, top, right, bottom = face.bbox
        blue, _, red = img[int((top + bottom) / 2), int((left + right) / 2)].astype(int)
        face["gender"], face["age"] = int(red > blue), round(float(right - left))
        return face["gender"], face["age"]


class FakeFace(dict[str, Any]):
    def __init__(self, bbox: np.ndarray) -> None:
        self.bbox = bbox


def install_fake(
    monkeypatch: pytest.MonkeyPatch, version: str, *, fixed: int = 0, side: int = 112, detector: Any = None
) -> list[dict[str, Any]]:
    """A package insightface of that version; returns the arguments of every FaceAnalysis that is made.

    Args:
        fixed: side in pixels of a detector that sees one size only.
        side: of the recogniser's crops.
        detector: instead of a FakeDetector.
    """
    calls: list[dict[str, Any]] = []
    modern = int(version.split(".")[0]) >= 2

    class FaceAnalysis:
        def __init__(self, name: str, root: str = "~/.insightface", allowed_modules: Any = None, **kwargs: Any) -> None:
            calls.append({"name": name, "allowed_modules": allowed_modules, **kwargs})
            folder = Path(name) if modern else Path(root).expanduser() / "models" / name
            if not folder.is_dir():
                raise ConnectionError("it would be downloaded now")
            made = {
                "detection": lambda: detector or FakeDetector(fixed),
                "recognition": lambda: FakeRecogniser(side),
                "genderage": FakeAttribute,
            }
            self.models: dict[str, Any] = {}
            for path in sorted(folder.glob("*.onnx")):
                role = ROLES.get(path.read_bytes().partition(b"|")[0])
                if role is None:
                    raise ValueError("INVALID_PROTOBUF")
                if role in allowed_modules and role not in self.models:
                    if not modern:
                        print("find model:", path)
                    self.models[role] = made[role]()
            assert "detection" in self.models
            self.det_model = self.models["detection"]

        def prepare(self, ctx_id: int, det_thresh: float = 0.5, det_size: Any = None) -> None:
            assert det_size is not None
            for name, model in self.models.items():
                if name == "detection":
                    model.prepare(ctx_id, input_size=det_size, det_thresh=det_thresh)
                else:
                    model.prepare(ctx_id)

    package, app, common = (types.ModuleType(f"insightface{tail}") for tail in ("", ".app", ".app.common"))
    package.__version__, package.app, app.common = version, app, common  # type: ignore[attr-defined]
    app.FaceAnalysis, common.Face = FaceAnalysis, FakeFace  # type: ignore[attr-defined]
    for module in (package, app, common):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def build_pack(folder: Path, fixed: int = 0) -> Path:
    """A pack for the real package: YuNet as det.onnx, SFace as rec.onnx, and age.onnx, which says the mean colour.

    Args:
        fixed: side in pixels of a detector that sees one size only; 0 for one that sees any.
    """
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_scrfd(onnx, model_pack.rebuild(MODELS / "yunet_2023mar.npz"), fixed), str(folder / "det.onnx"))
    # its first nodes are called _minusscalar0 and _mulscalar0, by which insightface knows that it scales by itself
    (folder / "rec.onnx").write_bytes(model_pack.rebuild(MODELS / "sface_2021dec.npz"))
    onnx.save(_mean_colour(onnx), str(folder / "age.onnx"))
    return folder


def _scrfd(onnx: Any, yunet: bytes, fixed: int) -> Any:
    """YuNet with the nine outputs of SCRFD: score, four distances and five points at two anchors a cell, three strides.

    A cell's box: its size is exp(b) and its centre a, in strides from the cell; SCRFD wants the distances from the cell
    to the four edges. The points are the same. The second anchor repeats the first.
    """
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    model = onnx.load_model_from_string(yunet)
    graph = model.graph
    (given,) = graph.input
    inner = given.name
    for name, values in {
        "std": np.float32(128),
        "mean": np.float32(127.5),
        "bgr": np.array([2, 1, 0]),
        "half": np.float32(0.5),
        "zero": np.float32(0),
        "one": np.float32(1),
        **{f"to_{end}": np.array([end]) for end in (0, 2, 4)},
        "last": np.array([2]),
        **{f"by_{width}": np.array([-1, width]) for width in (1, 4, 10)},
    }.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    before = [  # blob (x - 127.5) / 128 in RGB -> 0..255 in BGR
        helper.make_node("Mul", ["blob", "std"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mean"], ["shifted"]),
        helper.make_node("Gather", ["shifted", "bgr"], [inner], axis=1),
    ]
    after, outputs = [], []

    def node(kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        after.append(helper.make_node(kind, inputs, [result], name=result, **attributes))
        return result

    parts: dict[str, list[str]] = {"score": [], "box": [], "points": []}
    for stride in (8, 16, 32):
        kinds = [
            node("Clip", [f"{kind}_{stride}", "zero", "one"], f"{kind}_clipped_{stride}") for kind in ("cls", "obj")
        ]
        product = node("Mul", kinds, f"product_{stride}")
        parts["score"].append(node("Sqrt", [product], f"raw_score_{stride}"))
        centre = node("Slice", [f"bbox_{stride}", "to_0", "to_2", "last"], f"centre_{stride}")
        size = node("Slice", [f"bbox_{stride}", "to_2", "to_4", "last"], f"size_{stride}")
        half = node("Mul", [node("Exp", [size], f"whole_{stride}"), "half"], f"half_{stride}")
        near = node("Sub", [half, centre], f"near_{stride}")
        far = node("Add", [half, centre], f"far_{stride}")
        parts["box"].append(node("Concat", [near, far], f"raw_box_{stride}", axis=2))
        parts["points"].append(f"kps_{stride}")
    for (kind, names), width in zip(parts.items(), (1, 4, 10)):
        for name, stride in zip(names, (8, 16, 32)):
            twice = node("Concat", [name, name], f"twice_{kind}_{stride}", axis=2)
            result = node("Reshape", [twice, f"by_{width}"], f"{kind}_{stride}")
            outputs.append(helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, ["n", width]))
    nodes = [*before, *graph.node, *after]
    shape = [1, 3, fixed or "height", fixed or "width"]
    del graph.input[:], graph.output[:], graph.node[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("blob", onnx.TensorProto.FLOAT, shape))
    graph.output.extend(outputs)
    return model


def _mean_colour(onnx: Any) -> Any:
    """1 x 3 x 96 x 96 -> the mean red, green and blue: "male" where green is above red, the age from blue."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["data"], ["mean"]), helper.make_node("Flatten", ["mean"], ["out"])],
        "age",
        [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [1, 3, 96, 96])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
