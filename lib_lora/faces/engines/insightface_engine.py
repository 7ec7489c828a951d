"""Runs the optional face engine, a model pack of InsightFace, with the package `insightface`, 0.7.3 to 2.x.

The pack is a folder that the user already has; nothing is ever downloaded. InsightFace's models may be used for
research that is not commercial (`licences`). The package decodes the detector's output and prepares the networks'
inputs; the sizes at which the detector looks (`detection`) and the crop from the full-resolution picture (`align`) are
SFaceEngine's, because a fixed 640 x 640, as 0.7.3 has it, misses a face that fills the picture.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import math
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.faces import align
from lib_lora.faces.array_types import Array, Box, Pixels
from lib_lora.faces.engines.detection import find
from lib_lora.faces.engines.opencv_engine import describe
from lib_lora.faces.engines.yunet import YuNet
from lib_lora.faces.face import Face
from lib_lora.files import digest_of, read_json, sha256

PROCEDURE = 2  # raise it whenever the same picture may give another embedding; 2: tilted heads
MODULES = ("detection", "recognition", "genderage")
LEAST_SCORE = 0.5  # InsightFace's own; weaker detections are dropped
SURE = 0.55  # InsightFace's own application calls a score below this low; YuNet's limit would doubt good faces
MANIFEST = "manifest.json"
_MULTIPLE = 32  # the detector's coarsest stride
_ATTRIBUTE_FACE = 128  # pixels; the age model sees 96 x 96 around one and a half times the face


class InsightFaceEngine:
    """A detector and a recogniser of InsightFace. Safe to share: the networks are loaded once, at the first picture."""

    def __init__(self, folder: Path, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        """Hashes the pack's files (300 MB: about a second); the package is not imported before `load`.

        Args:
            folder: of the pack, or the folder that its zip file was unpacked into.
            providers: onnxruntime's names of what runs the networks.

        Raises:
            UserError: there is no such folder, or it holds no model files.
        """
        self._folder = pack_folder(folder).resolve()
        self._id = f"insightface-{PROCEDURE}:{_digest(self._folder)}"
        self._providers = list(providers)
        self._lock = threading.Lock()
        self._models: _Models | None = None

    @property
    def id(self) -> str:
        return self._id

    @property
    def licence(self) -> str:
        return "InsightFace's models: non-commercial research only, unless you hold a licence from InsightFace"

    def load(self) -> None:
        """Load the networks now, so that what is wrong is said before any picture is painted.

        Raises:
            UserError: the package is missing, or cannot run this pack.
        """
        self._loaded()

    def faces(self, image: Image.Image) -> list[Face]:
        """All faces of an upright picture, the largest first.

        Raises:
            UserError: as `load`.
        """
        pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
        models = self._loaded()
        found = find(cast(YuNet, models.detector), pixels)  # it has the one method that `find` calls
        faces = [replace(face, sure=SURE) for row in found if (face := describe(pixels, row, self.embed)) is not None]
        if models.attributes is not None:
            faces = [models.attributes.with_attributes(face, pixels) for face in faces]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def embed(self, aligned: Pixels) -> Array:
        """Unit embedding of an aligned 112 x 112 RGB crop: itself plus its mirror image, normalised."""
        return _embed(self._loaded().recogniser, aligned)

    def _loaded(self) -> _Models:
        with self._lock:
            if self._models is None:
                self._models = _load(self._folder, self._providers)
            return self._models


class Detector:
    """InsightFace's detector with the shape of `YuNet`: it looks once, at the size of the picture it is given."""

    def __init__(self, model: Any) -> None:
        """`model`: an SCRFD or RetinaFace object of insightface."""
        self._model = model
        sides = [side for side in model.input_shape[2:4] if isinstance(side, int) and side > 0]
        self._fixed = max(sides, default=0)

    def detect(self, pixels: Pixels) -> Array:
        """Faces of an RGB picture, best first, as rows of 15 numbers (`YuNet.detect`).

        The picture is put into a corner of a black square that the network takes as it is, so that no version of the
        package resizes it; only a network of one size sees a larger picture shrunk (and never a smaller one enlarged).
        """
        height, width = pixels.shape[:2]
        side = max(2 * _MULTIPLE, self._fixed, math.ceil(max(height, width) / _MULTIPLE) * _MULTIPLE)
        square = np.zeros((side, side, 3), np.uint8)
        square[:height, :width] = pixels[..., ::-1]
        size = tuple(self._model.input_shape[3:1:-1]) if self._fixed else (side, side)
        boxes, points = self._model.detect(square, input_size=size)
        boxes = np.asarray(boxes, np.float32).reshape(-1, 5)
        points = np.asarray(points, np.float32).reshape(-1, 10)
        rows = np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2], points, boxes[:, 4:]], 1)
        return np.asarray(rows[np.argsort(-rows[:, 14], kind="stable")], np.float32)


@dataclass(frozen=True)
class Attributes:
    """InsightFace's guess of age and sex. `model`: its Attribute object; `face_class`: what that is to be given."""

    model: Any
    face_class: Any

    def with_attributes(self, face: Face, pixels: Pixels) -> Face:
        """`face` with its age and sex. A large face is shrunk by averages first: the package picks single pixels."""
        small, box = _shrunk(pixels, face.box)
        corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], np.float32)
        sex, age = self.model.get(np.ascontiguousarray(small[..., ::-1]), self.face_class(bbox=corners))
        return replace(face, age=float(age), sex="male" if int(sex) == 1 else "female")


@dataclass(frozen=True)
class _Models:
    detector: Detector
    recogniser: Any
    attributes: Attributes | None


def pack_folder(folder: Path) -> Path:
    """The folder that holds the .onnx files: `folder`, or the only one in it that does (so unpacks antelopev2.zip).

    Raises:
        UserError: there is none, or there are several.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}; give the folder of an InsightFace model pack that you have.",
            code="face-pack-folder-missing",
            folder=folder,
        )
    if _files(folder):
        return folder
    nested = [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and _files(inner)]
    if len(nested) == 1:
        return nested[0]
    if nested:
        names = ", ".join(inner.name for inner in nested)
        raise UserError(
            f"{folder} contains several model packs ({names}); give the folder of one of them.",
            code="face-pack-ambiguous",
            folder=folder,
        )
    raise UserError(
        f"{folder} contains no .onnx files; give the folder of an InsightFace model pack that you have "
        "(SameFace downloads none).",
        code="face-pack-empty",
        folder=folder,
    )


def _files(folder: Path) -> list[Path]:
    """A pack's model files in the order in which insightface looks at them: of two for one task it takes the first."""
    inside = folder.rglob if (folder / MANIFEST).is_file() else folder.glob
    return sorted(path for path in inside("*.onnx") if path.is_file() and not path.name.startswith("."))


def _digest(folder: Path) -> str:
    """A key of what is in the pack, whatever its files are called: their contents, and their order."""
    files = [folder / MANIFEST] * (folder / MANIFEST).is_file() + _files(folder)
    return digest_of(*(sha256(path) for path in files))


def _load(folder: Path, providers: list[str]) -> _Models:
    app, face_class, version = _package()
    if glob.escape(str(folder)) != str(folder):
        raise UserError(
            f"insightface cannot read a folder with *, ? or [ in its path; rename {folder}.",
            code="face-pack-path-unusable",
            folder=folder,
        )
    if _has_manifest(folder) and int(version.split(".")[0]) < 2:
        raise UserError(
            f"The model pack in {folder} needs insightface 2 or newer, but {version} is installed; update it.",
            code="insightface-outdated",
            version=version,
        )
    try:
        # 0.7.3 and 1.0 print what they load, and would be read as part of a command's answer
        with contextlib.redirect_stdout(sys.stderr):
            # An absolute path counts as a pack's name in every version, because its folder exists: nothing is
            # downloaded. From 2.0 on one network serves all sizes instead of a copy for each; before, that is ignored.
            analysis = app.FaceAnalysis(
                name=str(folder), allowed_modules=list(MODULES), providers=providers, static_shape_sessions=False
            )
            cpu = providers == ["CPUExecutionProvider"]
            analysis.prepare(ctx_id=-1 if cpu else 0, det_thresh=LEAST_SCORE, det_size=(640, 640))
            models = dict(analysis.models)
            _check(models, folder)
            attributes = Attributes(models["genderage"], face_class) if "genderage" in models else None
            loaded = _Models(Detector(models["detection"]), models["recognition"], attributes)
            loaded.detector.detect(np.zeros((64, 64, 3), np.uint8))
            _embed(loaded.recogniser, np.full((align.SIZE, align.SIZE, 3), 128, np.uint8))
    except UserError:
        raise
    except AssertionError as error:  # how insightface says that it found no detector
        raise UserError(
            f"insightface {version} finds no face detector in {folder}; give another pack.",
            code="face-detector-missing",
            folder=folder,
        ) from error
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(
            f"insightface {version} cannot run the models in {folder} ({error}).",
            code="face-pack-not-runnable",
            folder=folder,
        ) from error
    return loaded


def _package() -> tuple[Any, Any, str]:
    """insightface.app, its Face class, and the package's version."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # 0.7.3 imports albumentations, which asks the network
    try:
        package = importlib.import_module("insightface")
        app = importlib.import_module("insightface.app")
        face_class = importlib.import_module("insightface.app.common").Face
    except ModuleNotFoundError as error:
        raise UserError(
            f"The Python package {error.name} is missing; run `python -m pip install insightface onnxruntime` in an "
            "environment of its own in which SameFace is installed, not in the webui's: it brings packages that the "
            "webui's protobuf is too old for, so SameFace never installs it itself.",
            code="insightface-missing",
            package=error.name,
        ) from error
    except Exception as error:  # packages that do not match fail in many ways at import
        raise UserError(
            f"insightface is installed but cannot be imported ({error}); reinstall it with onnxruntime, in an "
            "environment of its own.",
            code="insightface-broken",
        ) from error
    return app, face_class, str(package.__version__)


def _has_manifest(folder: Path) -> bool:
    """Whether the pack is described by a manifest of version 2, which insightface before 2.0 would not heed."""
    path = folder / MANIFEST
    content = read_json(path) if path.is_file() else None
    return isinstance(content, dict) and content.get("manifest_version") == 2


def _check(models: dict[str, Any], folder: Path) -> None:
    if "recognition" not in models:
        raise UserError(
            f"insightface finds no recognition model in {folder}; give another pack.",
            code="face-recognition-missing",
            folder=folder,
        )
    if not models["detection"].use_kps:
        raise UserError(
            f"The detector in {folder} does not give five landmarks; give a pack whose detector does.",
            code="face-landmarks-missing",
            folder=folder,
        )
    size = tuple(models["recognition"].input_size)
    if size != (align.SIZE, align.SIZE):
        raise UserError(
            f"The recognition model in {folder} expects faces of {size} pixels; only 112 x 112 is supported.",
            code="face-size-unsupported",
            folder=folder,
            size=size,
        )


def _embed(recogniser: Any, aligned: Pixels) -> Array:
    swapped = aligned[..., ::-1]  # insightface takes BGR
    # one by one: some packs' networks have a batch of one
    both = [recogniser.get_feat(np.ascontiguousarray(crop)).reshape(-1) for crop in (swapped, swapped[:, ::-1])]
    total = np.sum(both, 0, dtype=np.float64)
    return np.asarray(total / np.linalg.norm(total), np.float32)


def _shrunk(pixels: Pixels, box: Box) -> tuple[Pixels, Box]:
    """The picture with its face no larger than `_ATTRIBUTE_FACE` asks for, and the face's box in it."""
    scale = _ATTRIBUTE_FACE / max(box[2:])
    if scale >= 1:
        return pixels, box
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    across, down = width / pixels.shape[1], height / pixels.shape[0]
    small = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return small, (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
