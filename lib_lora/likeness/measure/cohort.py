"""Loads the anonymous cohort: faces of people who do not exist, to measure how alike a character is to strangers.

Only embeddings are shipped, one of each of some hundreds of generated adults (``tools/cohort.py`` makes them). They
belong to the default engine; another engine has no cohort. Like every set of faces from one generator they are
somewhat alike among themselves.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from lib_lora.errors import UserError
from lib_lora.faces.array_types import Array, Numbers
from lib_lora.faces.engines.opencv_engine import MODELS
from lib_lora.faces.robust_mean import unit
from lib_lora.files import explained

FILE = MODELS / "cohort.npz"


def cohort(engine_id: str) -> Array | None:
    """The cohort for an engine.

    Args:
        engine_id: as `FaceEngine.id` gives it; compared to the letter, because embeddings of different engines or
            procedures cannot be compared.

    Returns:
        n x 128, unit length, read-only; None for an engine that the cohort was not made with.

    Raises:
        UserError: the file is missing or damaged.
    """
    made_with, embeddings = _load(FILE)
    return embeddings if engine_id == made_with else None


@cache
def _load(path: Path) -> tuple[str, Array]:
    """The engine's id and the embeddings, once a process."""
    with explained(path, "read"), open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                made_with, stored = str(archive["engine"]), archive["embeddings"].astype(np.float64)
        except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path) from error
    if not (stored.ndim == 2 and len(stored) and stored.shape[1] == 128 and _is_unit(stored)):
        raise _damaged(path)
    embeddings: Array = unit(stored).astype(np.float32)
    embeddings.flags.writeable = False
    return made_with, embeddings


def _is_unit(rows: Numbers) -> bool:
    """Whether every row has length 1, as well as half precision holds it."""
    return bool((np.abs(np.linalg.norm(rows, axis=1) - 1) < 0.01).all())


def _damaged(path: Path) -> UserError:
    return UserError(
        f"The cohort of faces {path.name} is damaged; install SameFace again ({path}).",
        code="cohort-damaged",
        file=path,
    )
