"""Identifies a checkpoint file by the names and shapes of its tensors: its family and every dimension.

What tensors cannot tell, the prediction type and the size of the pictures, may stand in a ``.yaml`` beside it. Nothing
is guessed from the file's name. A toy with narrow layers and the real 2 GB file go the same way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lib_lora.errors import UserError
from lib_lora.models.families.model_family import ModelFamily, ModelInfo, Prediction
from lib_lora.models.families.registry import families
from lib_lora.models.families.stable_diffusion import problem
from lib_lora.models.reading.weights import TensorFile, open_tensors

_SMALL_CELLS = range(8, 64, 8)  # of a latent's side, which a UNet halves three times


def identify(path: Path, prediction: Prediction | None = None) -> ModelInfo:
    """Say what the checkpoint at `path` is.

    Args:
        path: a ``.safetensors``, ``.ckpt`` or ``.pt`` file.
        prediction: overrides what the file says of itself.

    Raises:
        UserError: one sentence that says what the file is instead.
    """
    info, certain = inspect_checkpoint(path, prediction)
    if certain:
        return info
    return replace(info, prediction=info.model_family.probe_prediction(info))


def inspect_checkpoint(path: Path, prediction: Prediction | None = None) -> tuple[ModelInfo, bool]:
    """As `identify`, from the file's table alone, which takes no time and no torch.

    Returns:
        What it is, and whether its prediction is known: only the weights of an SD2 can tell theirs.

    Raises:
        UserError: as `identify`.
    """
    file = open_tensors(path)
    family = _family(file)
    found, source = (prediction, "user") if prediction in family.predictions else _prediction(file, family)
    info = ModelInfo(
        path=path,
        model_family=family,
        prediction=found or family.predictions[0],
        zero_terminal_snr="ztsnr" in file.keys(),
        prediction_from=source,
        context_dim=family.context_dim(file),
        small_side=_small_side(file),
    )
    return info, found is not None


def _family(file: TensorFile) -> ModelFamily:
    for family in families():
        if family.recognises(file):
            return family
    why = problem(file)
    assert why is not None, "a whole Stable Diffusion checkpoint is of one of its families"
    raise why


def _prediction(file: TensorFile, family: ModelFamily) -> tuple[str | None, str]:
    """The prediction type and where it was read; None where only the weights themselves can tell (SD2)."""
    if len(family.predictions) == 1:
        return family.predictions[0], "family"
    if "v_pred" in file.keys():
        return "v", "marker"
    said = file.metadata.get("modelspec.prediction_type", "").lower()
    if said in ("v", "epsilon"):
        return said, "metadata"
    text = str(_yaml_beside(file).get("parameterization", ""))
    if text in ("v", "eps"):
        return ("v" if text == "v" else "epsilon"), "yaml"
    return (None, "probe") if family.prediction_in_weights else (family.predictions[0], "family")


def _small_side(file: TensorFile) -> int | None:
    try:
        cells = _yaml_beside(file).get("image_size")
    except UserError:
        return None  # the size is no reason to refuse a model whose yaml is not needed otherwise
    # the real families write 64 at least (Stable Diffusion 2 writes 64 for 768 pixels too)
    return cells * 8 if type(cells) is int and cells in _SMALL_CELLS else None


def _yaml_beside(file: TensorFile) -> dict[str, Any]:
    """``model.params`` of an original config file, which A1111 reads beside a checkpoint; empty where there is none."""
    path = file.path.with_suffix(".yaml")
    if not path.is_file():
        return {}
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["params"]
        return dict(params)
    # beside its own errors, PyYAML lets through those of values that only look right: !!timestamp x, !!int ""
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())  # YAML's errors have several lines
        raise UserError(
            f"{path.name} beside the checkpoint cannot be read as a model config: {why}.",
            code="model-config-unreadable",
            file=path.name,
        ) from error
