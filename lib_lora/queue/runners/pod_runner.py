"""Trains on a GPU that is rented for one job: it is rented, used as `ssh_runner` uses a machine, and deleted.

What is rented is written into the job's folder before it is asked for, so that this program or computer may die and the
job goes on with the same pod. Whatever happens to a job, its pod is deleted before the job has ended; where the
provider cannot be reached then, the pod's own watchdog deletes it. Imports nothing heavy.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from lib_lora.errors import StoppedByUser, UserError, typed
from lib_lora.files import read_json, write_json
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import Rental
from lib_lora.queue.queue import Job
from lib_lora.queue.runners import pod_terms, remote_job
from lib_lora.queue.runners.rented_pod import PodOrder, RentedPod
from lib_lora.queue.runners.ssh_runner import SshRunner, SshWorker
from lib_lora.queue.running.runner_protocol import MachineGone
from lib_lora.remote import places
from lib_lora.remote.renting import money, run_limits
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.runs.events import EventLog, events_after
from lib_lora.runs.lent_run import loan_of, returned
from lib_lora.training.plan.run_file import Run

_ENDED = -15  # the exit status of a worker whose end was not seen


class PodRunner(SshRunner):
    """See `queue.running.runner_protocol.Runner`; a pod for each job."""

    def _worker(self, job: Job, place: places.Place) -> PodWorker:
        return PodWorker(self.root, job, self._connect(self.root, place), self._local, self._connect)


class PodWorker(SshWorker):
    """See `SshWorker`.

    Args:
        root, job, there, local: see `SshWorker`; `there` is never asked anything.
        connect: see `SshRunner`.
    """

    def __init__(self, root: Path, job: Job, there: Any, local: Any, connect: Any) -> None:
        super().__init__(root, job, there, local)
        self._connect = connect
        self._pod = RentedPod(self._remote, self._files.path, self._order, self._emit)
        self._remote.gone = self._pod.check
        self._at_limit = False
        self._foretold = False  # what it will cost in all was said
        self._kept = False  # the pod has the only copy of what was made, and is not deleted here

    def _emit(self, kind: str, **fields: Any) -> None:
        EventLog(self._files.events)(kind, **fields)

    def _order(self) -> PodOrder:
        run = self._run()
        return PodOrder(self.job.slug, run.file.id, self._rental, self.job.created, partial(pod_terms.need_of, run))

    # -------------------------------------------------------------------------------------------------- the whole way

    def _done(self) -> int | None:
        """Do the job as on any machine over SSH, with a pod that is rented before and deleted after."""
        pod_terms.account(self.workspace.root)  # without its key a pod cannot be deleted either: it stays remembered
        memo = self._pod.memo
        if memo is not None and memo.code is not None:  # only the pod's end is missing
            if memo.result:
                write_json(self._files.result, memo.result)
            self._give_back()
            return memo.code
        if memo is None:
            self._run()  # before anything costs
            self._remote.check_stop()
        try:
            begun = self._begun()
            place = self._pod.reach(begun)
            self._move_to(self._connect(self.workspace.root, place))
            self._pod.let_in(begun)
            code_or_none = super()._done()
            if self._at_limit:
                raise MachineGone(
                    f"The rented pod {self._name} has reached the limit of time or money of its run. What was trained "
                    f"is saved and here; {run_limits.to_go_on(f'{self.job.slug}/{self._run().file.id}')}",
                    code="pod-at-limit",
                    pod=self._name,
                )
            if code_or_none is not None:
                self._settle(code_or_none)
            return code_or_none
        except BaseException as error:
            if self._remote.left.is_set() or self._kept:
                raise
            if isinstance(error, Exception) and self._has_only_copy(error):
                raise self._left_there(remote_job.explained_failure(error, self.place)) from error
            self._settle(_ENDED)
            raise
        finally:
            if self._pod.memo is not None and self._pod.memo.code is not None:
                self._give_back()

    def _has_only_copy(self, error: Exception) -> bool:
        """Whether a fault, of this computer or of ours, leaves on the pod what is nowhere else; it is kept then."""
        ended = isinstance(error, (MachineGone, StoppedByUser)) or self._remote.stopping()
        refused = isinstance(error, UserError) and error.code == "pod-not-as-asked"
        return self._begun() and not (ended or refused)

    def _settle(self, code: int) -> None:
        """Remember that the pod is to be deleted, and what the job came to."""
        result: Any = {}
        with suppress(UserError):
            result = read_json(self._files.result) if self._files.result.is_file() else {}
        with suppress(UserError):  # the disk may be full; the pod is deleted all the same
            self._pod.note(code=code, result=result if isinstance(result, dict) else {})

    def _begun(self) -> bool:
        """Whether the worker may have been started on the pod."""
        return self._pod.memo is not None and self._files.remote.is_file()

    def _bring_events(self, run: Run) -> None:
        super()._bring_events(run)
        memo = self._pod.memo
        if memo is None or self._foretold or not self._remote.pace:
            return
        now, since = time.time(), memo.since
        if not memo.first:
            said = [event.get("t") for event in events_after(self._files.events)[0] if event["kind"] == "step"]
            began = next((one for one in said if isinstance(one, (int, float))), now)  # perhaps seen long after
            self._pod.note(first=min(max(began, since), now))  # by the pod's own clock
        left = Follower(self._files.events).read().seconds_left
        if left is None:
            return
        self._foretold = True
        hourly = float(memo.hourly)
        hours, cap = self._pod.limits(memo)
        most = min(cap, hourly * hours)
        cost = money.running_cost(hourly, most, min(now - since, hours * 3600), left)
        self._pod.tell_cost(hourly, most, cost.sentence(rate_of(self.workspace.root)))

    @property
    def _rental(self) -> Rental:
        return self._asked.rental or Rental()

    @property
    def _name(self) -> str:
        """The name of the pod, which its place has only once it was reached."""
        return self._pod.memo.name if self._pod.memo else self.place.name

    # -------------------------------------------------------------------------------------- what is on the pod alone

    def _left_there(self, error: UserError) -> UserError:
        """See `SshWorker`. The pod lives on, since all else that was made would be lost: its own limits end it."""
        self._kept = True
        return UserError(
            f"{error} What was made is on {self._kept_until()}. Resume the job soon to fetch it, or give it up: "
            f"{typed('pods', 'end', self._name)}",
            code="pod-not-fetched",
            place=self._name,
        )

    def _kept_for(self) -> str:
        return f"What was made is on {self._kept_until()}."

    def _kept_until(self) -> str:
        hours = pod_terms.terms_of(self._rental).unfetched / 3600
        memo = self._pod.memo
        price = rate_of(self.workspace.root).shown(Decimal(memo.hourly)) if memo else ""
        return (
            f"the rented pod {self._name} alone, which is kept for it and keeps costing {price} an hour, "
            f"for {hours:.0f} hours after this computer was last connected at most, and never beyond its own limits"
        )

    def _take_result(self, run: Run, content: bytes) -> None:
        super()._take_result(run, content)
        # its watchdog asks the job to save and to pause shortly before it deletes the pod
        self._at_limit = bool(content) and json.loads(content).get("state") == "paused" and not self._remote.wish

    # ------------------------------------------------------------------------------------------------------- afterwards

    def _give_back(self) -> None:
        """Delete the pod, write down what it has cost, and let go what is remembered of it. Raises nothing."""
        self._pod.give_back()
        with suppress(UserError):
            stored = read_json(self._files.result) if self._pod.bill and self._files.result.is_file() else None
            if isinstance(stored, dict) and isinstance(stored.get("result"), (dict, type(None))):
                result = {**(stored.get("result") or {}), "rent": self._pod.bill}
                write_json(self._files.result, {**stored, "result": result})
        self._pod.forget()
        with suppress(OSError, UserError):
            self._files.remote.unlink(missing_ok=True)
            run = self._asked.run or self._queue.get(self.job.id).run
            folder = self.workspace.character_at(self.job.slug).run(run).path if run else None
            if folder and (loan := loan_of(folder)) and loan.key == self._remote.key:
                returned(folder)
