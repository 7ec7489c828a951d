"""Measures on another machine what a training will take there: a few steps of a run that is sent and thrown away."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.remote import base_addresses, places, transfers
from lib_lora.remote.ray_cluster.connecting import connect
from lib_lora.runs import sent_run
from lib_lora.runs.foreign_events import plain_text
from lib_lora.training.plan.estimate import remember
from lib_lora.training.plan.run_file import Run
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.train.speed_probe import MEASURED, throwaway_run
from lib_lora.workspace.workspace import Workspace

Emit = Callable[..., None]
_PROBING = "probing"  # begins the names of the folders of probes
_PRECISIONS = ("fp32", "fp16", "bf16")
_MOST = 1e9  # of a measured number


def probe_on(
    root: Path,
    on: str,
    name: str,
    request: TrainingRequest,
    part: str,
    emit: Emit,
    stopping: Callable[[], bool] = lambda: False,
) -> StepMeasurement:
    """Do some steps of a training of a character on another machine, and throw them away.

    What is sent is what a training sends (`places.sent_sentence`); all but the base model is deleted there.

    Args:
        root: the data folder.
        on: names the place, as ``--on`` does.
        name: of the character.
        request: the base model and the settings.
        part: names this probe, apart from other jobs of this data folder: letters, digits and "-".
        emit: gets ``progress`` events.
        stopping: asked meanwhile; true = end.

    Returns:
        As `speed_probe.probe`, with "on".

    Raises:
        UserError: there is no such place, it cannot be reached, or what would stop the training too.
        StoppedByUser: `stopping` said so.
    """
    place = places.named(root, on)
    if place is None or place == places.RENTED:
        raise UserError(
            "No GPU is rented to measure on; its first steps are measured when it trains.", "on", code="probe-rented"
        )
    workspace = Workspace(root)
    key, folder = remote_job.key_of(workspace, 0, f"-{part}"), workspace.remote_work(_PROBING, part)

    def say(text: str) -> None:
        emit("progress", done=0, total=0, text=text)

    job = RemoteJob(workspace, key, connect(root, place), folder, say, asked=stopping)
    try:
        remote_job.own(job)
        for other in map(str, job.ask("jobs")["jobs"]):
            if remote_job.is_left(job, other, _PROBING):
                job.ask("erase", job=other)
        with throwaway_run(root, name, replace(request, elsewhere=True)) as (run, wanted):
            measured = _measured(job, run, stopping)
    finally:
        _erase(job, emit)
    measured = replace(measured, on=on)
    remember(root, request.base, wanted, measured)
    return measured


def _erase(job: RemoteJob, emit: Emit) -> None:
    """Delete what was sent, and look. Where that fails the user is told, and the next probe deletes it."""
    try:
        left = job.there.ask("erase", job=job.key)["left"]
        text = f"On {job.place.name} some files could not be deleted: {plain_text(str(left[0]), 300)}" if left else ""
    except (UserError, StoppedByUser) as error:
        text = f"What was sent to {job.place.name} could not be deleted; the next measurement does that: {error}"
    if text:
        emit("warning", code="remote-not-erased", text=text)
    else:
        job.tidy()
    job.there.close()


def _measured(job: RemoteJob, run: Run, stopping: Callable[[], bool]) -> StepMeasurement:
    version, base = job.install(), run.file.base
    path = Path(base.path)
    name = remote_job.plain_name(path.name)
    address = base_addresses.known(job.workspace.root, base.sha256)
    there = job.share({name: replace(transfers.sent(path, base.sha256), address=address)})[name]
    data = Workspace(job.folder / "data")
    with explained(data.root):
        file_permissions.make_folder(data.root)
    sent_run.stage(run, data.root, there)
    staged = [one for one in sorted(data.root.rglob("*")) if one.is_file() and not one.name.endswith(".tmp")]
    files = {one.relative_to(data.root).as_posix(): transfers.sent(one) for one in staged}
    job.start(version, ["rehearse", "--data", job.send(files)])
    job.say(f"Measuring on {job.place.name}")

    def check() -> None:
        if stopping():
            job.wish = "stop"

    job.follow(check)
    job.check_stop()
    return _checked(job)


def _checked(job: RemoteJob) -> StepMeasurement:
    """What the other machine has measured, once it is plain numbers.

    Raises:
        UserError: it says why it could not measure, or nothing that can be.
    """
    content, found = job.read(MEASURED), None
    with suppress(ValueError, RecursionError):
        found = json.loads(content)
    if isinstance(found, dict) and isinstance(found.get("error"), str) and found["error"]:
        raise UserError(plain_text(found["error"], 400), code="probe-failed-there", place=job.place.name)
    values = found.get("measured") if isinstance(found, dict) else None
    try:
        assert isinstance(values, dict)
        device, peak = values["device"], values["peak_memory"]
        assert isinstance(device, str) and values["precision"] in _PRECISIONS
        return StepMeasurement(
            device=plain_text(device, 100),
            seconds_per_step=_number(values["seconds_per_step"]),
            peak_memory=None if peak is None else int(_number(peak * 1e-6) * 1e6),
            load_seconds=_number(values["load_seconds"]),
            steps=int(_number(values["steps"])),
            precision=values["precision"],
            others=_number(values["others"]),
        )
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
        log = job.read("").decode("utf-8", "replace").strip().splitlines()
        last = plain_text((log or ["nothing"])[-1], 300)
        raise UserError(
            f"{job.place.name} could not measure; it said last: {last}", code="probe-unreadable", place=job.place.name
        ) from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(value)
    if not 0 <= value <= _MOST:
        raise ValueError(value)
    return float(value)
