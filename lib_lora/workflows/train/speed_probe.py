"""Measures by a few steps how long a training will take and how much memory it needs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch

from lib_lora.character.store import consent_of, load
from lib_lora.errors import UserError
from lib_lora.models.fast.cpu_load import Others
from lib_lora.models.fast.memory import is_out_of_memory, peak_bytes, release
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.training import distributed
from lib_lora.training.distributed import device_name
from lib_lora.training.loop import rehearse
from lib_lora.training.plan.estimate import remember
from lib_lora.training.plan.memory_fitting import lower
from lib_lora.training.plan.presets import preset as settings_of
from lib_lora.training.plan.run_file import IdentifiedBase, Run, create_run
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.session import open_session
from lib_lora.workflows.train.prepare import plan
from lib_lora.workflows.train.scratch_run import scratch_folder
from lib_lora.workflows.train.training_set import training_set, weight_is_asked
from lib_lora.workspace.workspace import Workspace

MEASURED = "done/measured.json"  # by which a worker on another machine gives what was measured

Emit = Callable[..., None]

STEPS = 4
_MOST = 12  # steps that are counted
_WARM = 1  # steps at the start that are slower: libraries choose their ways, memory is taken for the first time


def probe(
    root: Path,
    name: str,
    request: TrainingRequest,
    emit: Emit,
    steps: int | None = None,
) -> StepMeasurement:
    """Prepare a run of a character, do some of its steps, and throw it away.

    Photos and captions that are encoded stay in the character's cache, where the run itself will find them. What was
    measured is kept too, and read by `training.plan.estimate.last_measurement`.

    Args:
        root: the data folder.
        name: of the character.
        request: the base model and the settings; nothing follows.
        emit: gets ``progress`` events.
        steps: how many of each part, at least 2; the first is not counted. None = `steps_to_measure`.

    Raises:
        UserError: what would stop the run too; or memory does not suffice, with what to make smaller.
    """
    with throwaway_run(root, name, request) as (run, wanted):
        measured = measure_run(run, emit, steps)
    remember(root, request.base, wanted, measured)
    return measured


@contextmanager
def throwaway_run(root: Path, name: str, request: TrainingRequest) -> Iterator[tuple[Run, TrainSettings]]:
    """A run of a character that is gone after the block, and the settings as they were asked for.

    Args:
        root, name, request: see `probe`.

    Raises:
        UserError: what would stop the run too.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    consent_of(character)
    info, train = plan(request)
    found = training_set(folder, character, train, few=True, weight_asked=weight_is_asked(info, train))
    base = IdentifiedBase(info, cached_sha256(request.base, Workspace(root).hashes))
    wanted = settings_of(request.preset, info.family, request.overrides, narrow=info.narrow)
    with scratch_folder(folder) as place:
        yield create_run(place, character, base, train, found), wanted


@dataclass(frozen=True)
class MeasuredPart:
    """A part of a run whose steps do the same work.

    Attributes:
        steps: those that are done to know what one takes; the first of them is not counted.
        share: of all steps of the run, 0 to 1.
        middle: gives the typical one of the seconds of several steps.
    """

    steps: range
    share: float
    middle: Callable[[Sequence[float]], float]


def parts_to_measure(train: TrainSettings, total: int, steps: int | None = None) -> list[MeasuredPart]:
    """The parts of a run, in their order: where there is an identity loss, before it begins and from then on.

    Args:
        train: the settings.
        total: steps of the run, at least 1.
        steps: how many are done in each part; None = `steps_to_measure`.
    """
    begins = min(train.identity_loss_begins(total), total) if train.identity_turns else total
    parts = []
    for first, end, turns in ((0, begins, 0.0), (begins, total, train.identity_turns)):
        if first < end:
            count = steps or steps_to_measure(train, turns)
            # steps that differ in their work have no typical one
            middle = statistics.fmean if train.preservation_turns or turns else statistics.median
            parts.append(MeasuredPart(range(first, first + count), (end - first) / total, middle))
    return parts


def steps_to_measure(train: TrainSettings, identity_turns: float = 0.0) -> int:
    """How many steps say what a step takes: where not every step has its part of a preservation, as many as have their
    share of it; with an identity loss, which not every photo has, the most.

    Args:
        train: the settings.
        identity_turns: the share of the timesteps at which there is one; 0 = none in these steps.
    """
    if identity_turns:
        return _WARM + _MOST
    turns = train.preservation_turns * train.batch_size * train.accumulation  # in a step
    if not 0 < turns < 1:
        return STEPS
    return _WARM + min(math.ceil(math.ceil((STEPS - _WARM) * turns) / turns), _MOST)


def measure_run(run: Run, emit: Emit, steps: int | None = None) -> StepMeasurement:
    """Do some steps of a run; see `probe`.

    Raises:
        UserError: memory does not suffice, with what to make smaller.
    """
    try:
        return _measured(run, steps, emit)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"There is too little memory on {device_name()} to train {Path(run.file.base.path).name} with these "
            f"settings; use {lower(run.file.settings)}.",
            code="memory-too-small",
        ) from error
    finally:
        release()


def _measured(run: Run, steps: int | None, emit: Emit) -> StepMeasurement:
    train, device = run.file.settings, distributed.device()
    total = train.total_steps(len(run.file.photos))  # roughly, until the model is loaded
    count = sum(len(part.steps) for part in parts_to_measure(train, total, steps))
    emit("progress", done=0, total=count + 1, text="Loading the model and encoding the photos")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    session = open_session(run, lambda kind, **fields: emit(kind, **fields) if kind == "warning" else None)
    loaded = time.perf_counter() - began
    parts = parts_to_measure(train, session.total, steps)
    count = sum(len(part.steps) for part in parts)

    def each(done: int) -> None:
        emit("progress", done=done + 1, total=count + 1, text=f"Step {done} of {count}")

    emit("progress", done=1, total=count + 1, text="Loaded")
    beside = Others()
    seconds = iter(rehearse(session, chain.from_iterable(part.steps for part in parts), each))
    typical = [part.share * part.middle(list(islice(seconds, len(part.steps)))[_WARM:]) for part in parts]
    return StepMeasurement(
        device=device_name(),
        seconds_per_step=sum(typical),
        peak_memory=peak_bytes(device),
        load_seconds=loaded,
        steps=session.total,
        precision=train.precision,
        others=round(beside.share(), 2),
    )
