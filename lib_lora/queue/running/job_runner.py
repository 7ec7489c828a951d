"""Runs one attempt at a job: starts its worker, reads its messages, stops it on request, and interprets its end.

Imports nothing heavy: what is heavy happens in the worker.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained, read_json
from lib_lora.job_host import JobHost
from lib_lora.queue.crash_reasons import WEBUI_CLOSED, ended_from_outside, explain
from lib_lora.queue.job_types import (
    ChooseArguments,
    CombineArguments,
    ProduceArguments,
    TestArguments,
    lane_of,
    place_in,
)
from lib_lora.queue.queue import RESULT, Job, Queue
from lib_lora.queue.queue_rows import State
from lib_lora.queue.running.gpu_lease import GpuLease
from lib_lora.queue.running.parent_pipe import answer
from lib_lora.queue.running.runner_protocol import MachineGone, Runner, WorkerHandle
from lib_lora.queue.running.timing import Clock, Timeouts
from lib_lora.queue.running.worker_pipe import patient
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.runs.events import EventLog, events_after, pace_of
from lib_lora.workspace.workspace import Workspace

_REFUSALS: dict[str, dict[str, Any]] = {  # what a host that has given its GPU away answers
    "paint": {"error": "The webui gave its GPU away for this job, so it cannot paint; choose the worker as painter."},
    "reconstruct": {"done": True, "file": None},
}


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state, error, result, code: see `queue.queue.Job`.
        reported: the worker itself has said so in its events.
        left: it has not ended: the worker goes on without this program, which takes it up again when it is back.
    """

    state: State
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    reported: bool = False
    left: bool = False
    code: str = ""


@dataclass
class JobRunner:
    """One attempt at `job`.

    Attributes:
        job: as it was taken from `queue`.
        host: gives the program around SameFace as it is now.
        runner: starts the worker.
        patience: see `Timeouts`; by `clock`.
        closing: is set when the host closes.
        take_gpu: gives a turn at the GPU.
        wish: what the worker was asked for by the user; empty = nothing yet.
    """

    job: Job
    queue: Queue
    host: Callable[[], JobHost]
    runner: Runner
    patience: Timeouts
    clock: Clock
    closing: threading.Event
    take_gpu: Callable[[], GpuLease]
    wish: str = ""
    _close_sent: bool = False
    _deadline: float | None = None
    _leave_by: float | None = None
    _killed: bool = False
    _checked_at: float | None = None
    _offset: int = 0
    _pace: float = 0.0

    def run(self, held: ExitStack) -> Outcome:
        """Do it, from start to end.

        Args:
            held: gives the GPU back when it is closed.

        Raises:
            UserError: the worker could not be started, or a file not be written.
        """
        folder = self.queue.folder(self.job.id)
        with explained(folder):
            file_permissions.make_folder(folder)
            (folder / RESULT).unlink(missing_ok=True)
        events = EventLog(Workspace(self.queue.root).job(self.job.id).events)
        self._offset = events.path.stat().st_size if events.path.exists() else 0
        paints = self._host_paints()
        if lane_of(self.job.kind, self.job.arguments) == "heavy" and not paints:
            events("state", state="waiting for the GPU")
            turn = self.take_gpu()
            held.callback(_give_back, turn, events)
            early = self._wait_for(turn)
            if early:
                return early
        events("state", state="starting")
        worker = self.runner.start(self.job)
        try:
            self._follow(worker, paints)
        finally:
            left = worker.outlives and self.closing.is_set() and worker.poll() is None
            if worker.poll() is None and not left:
                worker.kill()
            code = 0 if left else worker.wait()
            worker.close()
        if left:
            return Outcome("interrupted", left=True)
        try:
            worker.fetch_results()
        except MachineGone as error:
            self._read_events()
            return Outcome(
                ("paused" if self.wish == "pause" else "stopped") if self.wish else "interrupted",
                str(error),
                code=error.code,
            )
        self._read_events()
        return self._outcome(code, folder, worker)

    def _host_paints(self) -> bool:
        """Whether the host's own pipeline paints for this job; then it must keep its GPU."""
        asked = self.job.arguments
        painted = (TestArguments, ChooseArguments, CombineArguments, ProduceArguments)
        by_host = isinstance(asked, painted) and asked.painter == "webui"
        return by_host and self.host().paints()

    def _wait_for(self, turn: GpuLease) -> Outcome | None:
        while not turn.wait(self.patience.poll, self.clock):
            self._check()
            if self.closing.is_set():
                return Outcome("interrupted", WEBUI_CLOSED.sentence, code=WEBUI_CLOSED.code)
            if self.wish:
                return Outcome("paused" if self.wish == "pause" else "stopped")
        return Outcome("failed", turn.error, code="gpu-not-lent") if turn.error else None

    def _follow(self, worker: WorkerHandle, paints: bool) -> None:
        """Until the worker has ended."""
        with suppress(UserError):  # its number is only needed if this process is killed
            self.queue.started(self.job.id, worker.pid)

        def check() -> None:
            self._check(worker)
            until = min(one for one in (self._deadline, self._leave_by, math.inf) if one is not None)
            if self.clock.now() > until and not self._killed:
                self._killed = True
                worker.kill()

        def stop() -> bool:
            check()
            return bool(self.wish) or self._close_sent or worker.poll() is not None

        def say(message: dict[str, Any]) -> None:
            if not (self.wish or self._close_sent):  # a worker that should stop must not take the rest for a failure
                worker.send(message)

        while worker.poll() is None and not (worker.outlives and self.closing.is_set()):
            ask = worker.receive(self.patience.poll)
            if ask and not paints and ask.get("ask") in _REFUSALS:
                worker.send({"id": ask.get("id"), **_REFUSALS[ask["ask"]]})
            elif ask and "ask" in ask:
                answer(ask, self.host(), worker, say, stop)
            check()

    def _check(self, worker: WorkerHandle | None = None) -> None:
        """See what the user wants of the job by now, and pass it on; not oftener than it makes sense."""
        now = self.clock.now()
        if self._checked_at is not None and now - self._checked_at < self.patience.poll / 2:
            return
        self._checked_at = now
        wish, closing = "", self.closing.is_set()
        with suppress(UserError):  # a queue that cannot be read for a while is no reason to give a training up
            wish = self.queue.get(self.job.id).wish
        # Only then the events: a step that the worker had said before it was asked to end counts for the patience.
        if worker:
            worker.fetch_events()
        self._read_events()
        if wish and wish != self.wish:
            self.wish = wish
            patience = self.patience.pause if wish == "pause" else self.patience.stop
            if not (worker and worker.outlives):
                self._deadline = now + patient(patience, self._pace)
            if worker:
                worker.stop(wish)
        if worker and worker.outlives:
            return
        if closing and not self._close_sent:
            self._close_sent = True
            until = now + patient(self.patience.close, self._pace)
            self._deadline = min(self._deadline or until, until)
            if worker and not self.wish:
                worker.stop("stop")
        folder = self.queue.folder(self.job.id)
        if worker and self._leave_by is None and (folder / RESULT).exists() and outcome_of_worker(folder):
            self._leave_by = now + self.patience.leave

    def _read_events(self) -> None:
        new, self._offset = events_after(Workspace(self.queue.root).job(self.job.id).events, self._offset)
        self._pace = pace_of(new, self._pace)
        if run := run_of(new):
            with suppress(UserError):
                self.queue.note_run(self.job.id, run)

    def _outcome(self, code: int, folder: Path, worker: WorkerHandle) -> Outcome:
        wished: State = "paused" if self.wish == "pause" else "stopped"
        reported = outcome_of_worker(folder)
        if reported is not None and reported.state not in ("paused", "stopped"):
            return reported
        if reported is not None or self._killed or ended_from_outside(code):
            error, kind = (reported.error, reported.code) if reported else ("", "")
            if self._killed and reported is None:
                error, kind = "It did not end in time and was killed; what was saved before is kept.", "worker-too-slow"
            result = reported.result if reported else {}
            if self.wish:
                return Outcome(wished, error, result, reported is not None, code=kind)
            if self._close_sent:
                return Outcome("interrupted", WEBUI_CLOSED.sentence, result, code=WEBUI_CLOSED.code)
        if reported is not None:
            return reported
        reason, place = explain(worker.log_tail(), code), place_in(self.job.arguments)
        error = reason.sentence
        if place != LOCAL:  # its disk, its memory
            error = f"On {'the rented machine' if is_rented(place) else place.partition(':')[2]}: {error}"
        return Outcome("interrupted" if ended_from_outside(code) else "failed", error, code=reason.code)


def outcome_of_worker(folder: Path) -> Outcome | None:
    """What a worker has written as its result; None where it came to none."""
    try:
        values = read_json(folder / RESULT)
    except UserError:
        return None
    state = values.get("state") if isinstance(values, dict) else None
    if state not in ("finished", "paused", "stopped", "failed"):
        return None
    try:
        result, error, code = (cleaned(values.get(name)) for name in ("result", "error", "code"))
    except RecursionError:  # brackets in hundreds of brackets
        return None
    return Outcome(
        state,
        error if isinstance(error, str) else "",
        result if isinstance(result, dict) else {},
        reported=True,
        code=code if isinstance(code, str) else "",
    )


def cleaned(value: Any) -> Any:
    """`value` in letters that UTF-8 has, so that it can be written: a file's name may hold others."""
    if isinstance(value, dict):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def run_of(events: Iterable[dict[str, Any]]) -> str:
    """The run that a job made or works on, as its last event that tells says; empty where none does."""
    runs = (event.get("run") for event in events if event["kind"] == "run")
    return str(cleaned([run for run in ("", *runs) if isinstance(run, str)][-1]))


def _give_back(turn: GpuLease, events: EventLog) -> None:
    before = turn.error
    turn.leave()
    if turn.error and not before:
        with suppress(UserError):
            events("warning", text=turn.error)
