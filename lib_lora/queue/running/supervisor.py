"""Runs the jobs of a data folder, light ones beside heavy ones, each in a worker process of its own.

Those on other machines run beside each other, as many as their machines take. One process does so for a data folder;
others wait for their turn. Imports nothing heavy.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import get_args

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import (
    Lane,
    TestArguments,
    TrainArguments,
    asked_place,
    lane_of,
    production_in,
    run_in,
)
from lib_lora.queue.queue import Job, Queue
from lib_lora.queue.running import leftovers, worker_processes
from lib_lora.queue.running.gpu_lease import GpuLease
from lib_lora.queue.running.job_runner import JobRunner, Outcome, cleaned, outcome_of_worker, run_of
from lib_lora.queue.running.runner_protocol import Runner
from lib_lora.queue.running.timing import Clock, SystemClock, Timeouts
from lib_lora.queue.running.worker_pipe import patient
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.runs.events import EventLog, events_after, pace_of
from lib_lora.runs.records import run_records
from lib_lora.runs.run_lock import only_process
from lib_lora.workspace import preferences
from lib_lora.workspace.workspace import Workspace

__all__ = ["Supervisor", "Timeouts"]

_OTHERWISE = "it runs the jobs, and this one takes over when that one has ended"
# jobs at once that have pictures painted elsewhere and judge them here, each in a process that needs a core or two
JUDGES = max(2, (os.cpu_count() or 1) // 2)
_NOT_STARTED = "The queue has not been started; restart the webui."
_NOT_WRITTEN = "The result of this job could not be stored; the webui's log says why."
_log = logging.getLogger(__name__)


class Supervisor:
    """Runs the jobs of a data folder from `start` to `close`.

    Args:
        root: the data folder.
        host: the program around SameFace; may be replaced while jobs run.
        runner: starts the workers.
        patience: see `Timeouts`; None = as they stand there.
        clock: by which is waited; None = the machine's.
        lanes: whose jobs it runs.

    Attributes:
        host: see there.
        active: whether this process runs the jobs.
        reason: why not; or, while it does, what is in its way or should be known of the queue. Or empty.
    """

    def __init__(
        self,
        root: Path,
        host: JobHost,
        runner: Runner,
        patience: Timeouts | None = None,
        clock: Clock | None = None,
        lanes: Sequence[Lane] = get_args(Lane),
    ) -> None:
        self.root = root.absolute()
        self.active = False
        self._why = _NOT_STARTED
        self._troubles: dict[str, str] = {}  # of a lane; "" = of the queue's file
        self.host = host
        self._runner = runner
        self._patience = patience or Timeouts()
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wakes = {lane: threading.Event() for lane in lanes}
        self._watcher: threading.Thread | None = None
        self._owner = ""
        self._lease: GpuLease | None = None

    @property
    def reason(self) -> str:
        """See the class."""
        return self._why or next(filter(None, self._troubles.values()), "")

    def start(self) -> None:
        """Begin, in threads of its own; where it has begun already, nothing happens."""
        with self._lock:
            if self._watcher and self._watcher.is_alive() and not self._closing.is_set():
                return
            self._closing = threading.Event()
            self._owner = worker_processes.owner_name(uuid.uuid4().hex[:8])
            self._watcher = self._thread("watch", self._watch, self._closing)

    def wake(self) -> None:
        """Say that the queue has changed, so that a job starts at once."""
        for event in self._wakes.values():
            event.set()

    def close(self) -> None:
        """End: what runs is asked to save, and becomes "interrupted". Returns once that is done, or took too long."""
        with self._lock:
            self._closing.set()
            watcher = self._watcher
        self.wake()
        if watcher:
            watcher.join(self._patience.close + 30)

    def _thread(self, name: str, work: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"sameface-{name}", args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    def _watch(self, closing: threading.Event) -> None:
        """Become the one that runs the jobs, as soon as no other process does."""
        folder = Workspace(self.root).jobs
        while not closing.is_set():
            try:
                with explained(folder):
                    file_permissions.make_folder(folder)
                with only_process(folder, _OTHERWISE):
                    self._run_lanes(closing)
            except UserError as error:
                self._why = str(error)
            except Exception as error:
                _log.exception("SameFace: the queue cannot be run")
                self._why = f"The queue cannot be run ({error}); the log says more."
            self._clock.wait(closing, self._patience.again)
        self._why = _NOT_STARTED

    def _run_lanes(self, closing: threading.Event) -> None:
        queue = Queue(self.root)
        with queue.kept_open():
            self._run_both(queue, closing)

    def _run_both(self, queue: Queue, closing: threading.Event) -> None:
        leftovers.sweep(self.root)
        left = [job for lane in self._wakes for job in queue.abandoned(self._alive, lane)]
        self._troubles = {"": queue.notice()}
        lanes = [
            self._thread(lane, self._lane, lane, queue, closing, [one for one in left if _lane_of(one) == lane])
            for lane in self._wakes
        ]
        self.active, self._why = True, ""
        try:
            closing.wait()
        finally:
            closing.set()
            for lane in lanes:
                lane.join(self._patience.close + 20)
            self.active, self._why = False, _NOT_STARTED

    def _alive(self, owner: str) -> bool:
        """Whether a job's supervisor is there. An earlier one of this very process would hold the lock if it were."""
        return owner == self._owner or worker_processes.owner_alive(owner)

    def _lane(self, lane: Lane, queue: Queue, closing: threading.Event, left: list[Job]) -> None:
        """Run the jobs of a lane, one after the other; those on other machines beside each other."""
        for job in left:
            try:
                self._settle(job, queue, closing)
            except Exception as error:
                self._trouble(lane, queue, error)
        beside: list[threading.Thread] = []  # that run a job each
        while not closing.is_set():
            self._wakes[lane].clear()
            if closing.is_set():  # between the two lines above
                break
            beside = [one for one in beside if one.is_alive()]
            try:
                taken = queue.take(lane, self._owner, _may_start if lane == "remote" else None)
                self._troubles[lane] = ""
                # none of this lane runs here where nothing is beside
                alive = self._alive if beside else worker_processes.owner_alive
                if taken and lane == "remote":
                    beside.append(self._thread(f"job-{taken.id}", self._run_beside, taken, queue, closing))
                elif taken:
                    self._run(taken, queue, closing)
                elif gone := queue.abandoned(alive, lane):
                    for job in gone:
                        self._settle(job, queue, closing)
                else:
                    self._clock.wait(self._wakes[lane], self._patience.again)
            except Exception as error:
                self._trouble(lane, queue, error)
                self._clock.wait(closing, self._patience.again)
        for one in beside:
            one.join(self._patience.close + 10)

    def _run_beside(self, job: Job, queue: Queue, closing: threading.Event) -> None:
        """Run a job in a thread of its own."""
        try:
            self._run(job, queue, closing)
        except Exception as error:
            self._trouble("remote", queue, error)
        finally:
            self._wakes["remote"].set()  # there may be room for another one

    def _trouble(self, lane: str, queue: Queue, error: Exception) -> None:
        if isinstance(error, UserError):
            self._troubles[lane] = str(error)
        else:
            _log.exception("SameFace: a job could not be run")
            self._troubles[lane] = f"A job could not be run ({error}); the log of the webui says more."
        with suppress(UserError):
            self._troubles[""] = queue.notice()

    def _run(self, job: Job, queue: Queue, closing: threading.Event) -> None:
        attempt = JobRunner(
            job, queue, lambda: self.host, self._runner, self._patience, self._clock, closing, self._take_gpu
        )
        with ExitStack() as held:
            try:
                outcome = attempt.run(held)
            except UserError as error:
                outcome = Outcome("failed", cleaned(str(error)), code=error.code)
            except Exception as error:
                _log.exception("SameFace: job %d could not be run", job.id)
                said = f"The job could not be run ({error}); the log of the webui says more."
                outcome = Outcome("failed", cleaned(said), code="job-not-run")
            if outcome.left:
                queue.put_back(job.id)
                return
            self._say_end(job, outcome, queue)
            ended = self._ended(job, outcome, queue)
        while not ended and not self._clock.wait(closing, self._patience.again):  # without the GPU: it may take long
            ended = self._ended(job, outcome, queue)

    @property
    def holds(self) -> bool:
        """Whether a job keeps the host from painting now."""
        return self._lease is not None and self._lease.held

    def _take_gpu(self) -> GpuLease:
        self._lease = GpuLease(self.host, preferences.load(self.root).allow_painting, self._lease)
        return self._lease

    def _settle(self, job: Job, queue: Queue, closing: threading.Event) -> None:
        """See to the end of a worker that a dead supervisor has left: two must not work on one run."""
        events = Workspace(self.root).job(job.id).events
        patience = patient(self._patience.close, pace_of(events_after(events)[0]))
        self._runner.end_left_behind(job, patience, closing.is_set)
        run = run_of(events_after(events)[0])
        if run and not job.run:
            queue.note_run(job.id, run)
        reported = outcome_of_worker(queue.folder(job.id))
        if reported and reported.state in ("finished", "failed"):
            while not self._ended(job, reported, queue) and not self._clock.wait(closing, self._patience.again):
                pass

    def _say_end(self, job: Job, outcome: Outcome, queue: Queue) -> None:
        """Write the end into the job's events, where its worker has not."""
        if outcome.reported:
            return
        with suppress(UserError):  # the disk may be full
            emit = EventLog(Workspace(self.root).job(job.id).events)
            if outcome.error:
                emit("error", code=outcome.code, text=outcome.error)
            emit("state", state=outcome.state)

    def _ended(self, job: Job, outcome: Outcome, queue: Queue) -> bool:
        """Write into the queue how a job ended; False = try again, since it would hold up all others."""
        try:
            try:
                if isinstance(run := outcome.result.get("run"), str):
                    queue.note_run(job.id, run)
                self._add_test(job, outcome, queue)
                queue.end(job.id, outcome.state, outcome.error, outcome.result, outcome.code)
            except UserError:
                raise
            except Exception:  # to try that again would change nothing
                _log.exception("SameFace: the end of job %d could not be written", job.id)
                queue.end(job.id, "failed", _NOT_WRITTEN, code="end-not-written")
        except Exception as error:
            self._trouble(_lane_of(job), queue, error)
            return False
        return True

    def _add_test(self, job: Job, outcome: Outcome, queue: Queue) -> None:
        """After a training: its test grid, before anything else. Added first, so that a kill between loses nothing."""
        run = outcome.result.get("run")
        asked = job.arguments
        if not isinstance(asked, TrainArguments) or not asked.then_test:
            return
        if outcome.state != "finished" or not isinstance(run, str) or not run:
            return
        if any(test.run == run for test in _tests(job.slug, queue.open())):
            return
        ended = (one for one in queue.ended() if one.state == "finished")
        last = next(_tests(job.slug, ended), TestArguments())  # painted alike, the two tests can be compared
        test = TestArguments(
            run=run,
            grid_steps=last.grid_steps,
            sampler=last.sampler,
            cfg=last.cfg,
            side=last.side,
            quick=last.quick,
            first_seed=last.first_seed,
            painter="webui" if (asked.on == LOCAL or is_rented(asked.on)) and self._paints(job.slug, run) else "worker",
            on=LOCAL if is_rented(asked.on) else asked.on,  # the rented GPU is gone by then
        )
        queue.add(job.character, test, first=True)

    def _paints(self, slug: str, run: str) -> bool:
        family, vectors = "", False
        with suppress(UserError):  # a run that cannot be read; its test says so
            record = run_records.run(Workspace(self.root).character_at(slug).runs / run)
            family, vectors = record.family, record.settings.trigger_vectors > 0
        try:
            if not self.host.paints() or (vectors and not self.host.reads_vectors()):
                return False
            return not (family and self.host.refuses(family))
        except Exception:  # a webui in disorder; the worker paints
            _log.exception("SameFace: the webui does not say whether it paints")
            return False


def _lane_of(job: Job) -> Lane:
    return lane_of(job.kind, job.arguments)


def _may_start(job: Job, running: Sequence[Job]) -> bool:
    """Whether a job on another machine may start: that machine takes one more, nobody works on its run or production,
    and where the pictures are judged here, this computer takes one more too."""
    place, run, production = asked_place(job.arguments), _run_in(job), production_in(job.arguments)
    if sum(asked_place(one.arguments) == place for one in running) >= places.jobs_at_once(place):
        return False
    if run and any(one.slug == job.slug and _run_in(one) == run for one in running):
        return False
    if production and any(one.slug == job.slug and production_in(one.arguments) == production for one in running):
        return False
    return _trains(job) or sum(not _trains(one) for one in running) < JUDGES


def _run_in(job: Job) -> str:
    return job.run or run_in(job.arguments) or ""


def _trains(job: Job) -> bool:
    return isinstance(job.arguments, TrainArguments)


def _tests(slug: str, jobs: Iterable[Job]) -> Iterator[TestArguments]:
    """What the tests of a character among these jobs were asked for."""
    return (job.arguments for job in jobs if job.slug == slug and isinstance(job.arguments, TestArguments))
