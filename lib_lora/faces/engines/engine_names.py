"""Gives the face engine for the name by which a user calls it."""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.faces.engines import licences
from lib_lora.faces.engines.insightface_engine import InsightFaceEngine
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine

DEFAULT = "sface"
INSIGHTFACE = "insightface"
KNOWN = (DEFAULT, f"{INSIGHTFACE}:FOLDER")


def engine_of(name: str, root: Path, accept_licence: bool = False) -> FaceEngine:
    """The engine called `name`, ready for its first picture.

    Args:
        name: "sface", or "insightface:" and the folder of a model pack.
        root: the data folder, where it is kept that the licence was confirmed.
        accept_licence: the user agrees to `licences.NOTICE` now.

    Raises:
        UserError: no engine has that name; the licence is not confirmed; the engine cannot be loaded.
    """
    kind, _, folder = name.partition(":")
    if name == DEFAULT:
        return SFaceEngine()
    if kind != INSIGHTFACE or not folder:
        raise UserError(
            f"There is no face engine {name!r}; known are {' and '.join(KNOWN)}.",
            code="face-engine-unknown",
            engine=name,
        )
    engine = InsightFaceEngine(Path(folder).expanduser())
    if not licences.is_confirmed(root, engine.id):
        if not accept_licence:
            raise UserError(
                f"{licences.NOTICE}\nIf you agree, give the same command with --accept-licence once.",
                code="licence-not-accepted",
            )
        licences.confirm(root, engine.id)
    engine.load()
    return engine
