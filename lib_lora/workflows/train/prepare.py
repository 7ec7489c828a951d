"""Prepares a run that can be trained from what the user gives: the character's folder, captions, settings, hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora.character.store import consent_of, load
from lib_lora.errors import UserError
from lib_lora.models.families.identify import identify, inspect_checkpoint
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.runs.reopen import check_out
from lib_lora.training.plan.memory_fitting import AS_IT_IS, fitted
from lib_lora.training.plan.presets import asked_beside, preset
from lib_lora.training.plan.run_file import IdentifiedBase, Run, create_run, save_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.plan.trigger_check import check_trigger
from lib_lora.typed_settings import by_dotted_key
from lib_lora.workflows.library.base_terms import base_terms
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workflows.train.training_set import class_files, others_of, photos_of, training_set, weight_is_asked
from lib_lora.workspace.workspace import Workspace


def start_run(
    root: Path,
    name: str,
    request: TrainingRequest,
    seen: SeenRequest | None = None,
) -> Run:
    """Make the folder of a new run; nothing is trained yet.

    Args:
        root: the data folder.
        name: of the character.
        request: the base model, the settings, and what should follow.
        seen: what `asked_for` said of the request, where it was asked already.

    Raises:
        UserError: anything missing or unfit, before time is spent.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    consent_of(character)
    if request.out:
        check_out(request.out)
    seen = seen or asked_for(request)
    see_that_it_may_be_used(root, request.base)  # before torch is loaded, where its hash is known already
    check_trigger(character, seen.train)
    for place, one in [(folder, character), *others_of(folder, character, seen.train.together)]:
        photos_of(place, one, request.few)
    if not request.elsewhere:
        from lib_lora.training import loop  # noqa: F401 - loads torch and all: what fails there leaves no run behind

    info, train = plan(request, seen)
    if request.fit and not request.elsewhere:
        train = _for_this_gpu(info, train, request.overrides)
    digest = cached_sha256(request.base, Workspace(root).hashes)
    see_that_it_may_be_used(root, request.base, digest)
    base = IdentifiedBase(info, digest, base_terms(root, request.base, digest))
    asked = weight_is_asked(info, train)
    found = training_set(folder, character, train, request.few, asked)
    return create_run(folder.runs, character, base, train, found, request.out, request.grid_steps)


def _for_this_gpu(info: ModelInfo, train: TrainSettings, overrides: dict[str, Any]) -> TrainSettings:
    """`for_gpu` with this machine's, whose sentence is printed; `train` as it is where there is none."""
    from lib_lora.models.fast.memory import free_bytes, whole_bytes
    from lib_lora.training import distributed

    device = distributed.device()
    whole = whole_bytes(device)
    if whole is None:
        return train
    fitting, said = for_gpu(info, train, overrides, whole, free_bytes(device))
    if said:
        print(said)
    return fitting


@dataclass(frozen=True)
class SeenRequest:
    """What the first look at a request gives.

    Attributes:
        info: the base model.
        certain: whether its weights could not say otherwise (`models.families.identify.inspect_checkpoint`).
        train: the settings that are asked for, on such a base model.
    """

    info: ModelInfo
    certain: bool
    train: TrainSettings


def plan(request: TrainingRequest, seen: SeenRequest | None = None) -> tuple[ModelInfo, TrainSettings]:
    """The base model and the settings that a request asks for.

    Args:
        request: what is asked for.
        seen: see `start_run`.

    Raises:
        UserError: the base is no model that can be trained on, or a setting does not fit it.
    """
    if seen and seen.certain:
        return seen.info, settings_for(seen.info, seen.train, request.elsewhere)
    info = identify(request.base, request.prediction)
    train = preset(request.preset, info.family, request.overrides, narrow=info.narrow)
    return info, settings_for(info, train, request.elsewhere)


def settings_for(info: ModelInfo, train: TrainSettings, elsewhere: bool = False) -> TrainSettings:
    """The settings of a run on a base model, on this device, as far as a preset leaves them open.

    Args:
        info: the base model.
        train: the settings.
        elsewhere: leave open what the device says; see `settle`.

    Raises:
        UserError: a setting does not fit the base model.
    """
    if info.small_side and not train.resolution:
        train = replace(train, resolution=info.small_side)  # the run should not depend on the .yaml later
    train.objective.check(info.prediction)
    if elsewhere:
        return train
    from lib_lora.training import distributed
    from lib_lora.training.precision import resolve

    return replace(train, precision=resolve(train.precision, distributed.device()))


def settle(run: Run) -> Run:
    """A run that was made on another machine, for this one: its precision, and what its GPU's memory asks for.

    What differs from the preset was asked for, and stays. A run that was settled already stays as it is.

    Raises:
        UserError: a setting does not fit this machine, or the run's file cannot be written.
    """
    train = run.file.settings
    if train.precision != "auto":
        return run
    info = run.model()
    given = asked_beside(train, info.family, info.narrow)
    settings = _for_this_gpu(info, settings_for(info, train), given)
    settled = replace(run, file=replace(run.file, settings=settings))
    save_run(settled)
    return settled


def asked_for(request: TrainingRequest) -> SeenRequest:
    """See that there is a base model that these settings fit. Loads no torch, so what is wrong is said at once.

    Raises:
        UserError: as `plan`, less what only the weights and the device can tell.
    """
    info, certain = inspect_checkpoint(request.base, request.prediction)
    train = preset(request.preset, info.family, request.overrides, narrow=info.narrow)
    if certain:
        train.objective.check(info.prediction)
    if request.elsewhere and train.stop_early:
        raise UserError(
            "stop_early works on this computer only, where faces are compared; leave it out to train elsewhere.",
            code="stop-early-elsewhere",
        )
    class_files(train)
    return SeenRequest(info, certain, train)


def for_gpu(
    info: ModelInfo, train: TrainSettings, overrides: dict[str, Any], whole: int | None, free: int | None
) -> tuple[TrainSettings, str]:
    """What the memory of a GPU makes of settings that a person gave in part; what was given stays as it is.

    Args:
        info: the base model.
        train: the settings.
        overrides: which of them were given.
        whole, free: bytes of the GPU, see `training.plan.memory_fitting.fitted`; of several, of the first.

    Returns:
        The settings with it, and a sentence for the user: empty where there is nothing to say.
    """
    if info.narrow:
        return train, ""
    found, said = fitted(info.family, whole, train, by_dotted_key(overrides), free)
    return found, "" if AS_IT_IS in said else said
