"""Trains on a GPU that is rented at RunPod for one job: it is rented, used as `ssh_runner` uses a machine, and deleted.

What is rented is written into the job's folder before it is asked for, so that this program or computer may die and the
job goes on with the same pod. Whatever happens to a job, its pod is deleted before the job has ended; where RunPod
cannot be reached then, the pod's own watchdog deletes it (`remote.runpod.pod_watchdog`). Imports nothing heavy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, TypeVar

from lib_lora import typed_settings
from lib_lora.errors import StoppedByUser, UserError, typed
from lib_lora.files import explained, read_json, write_json
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import Rental
from lib_lora.queue.queue import Job, Queue
from lib_lora.queue.runner_protocol import MachineGone
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.ssh_runner import SshRunner, SshWorker
from lib_lora.remote import api_key_store, places
from lib_lora.remote.runpod import money, pod_rental, run_limits
from lib_lora.remote.runpod.gpu_offers import GpuOffer, GpuWishes
from lib_lora.remote.runpod.money import RentEstimate
from lib_lora.remote.runpod.pod_ledger import PodLedger, RunLimits
from lib_lora.remote.runpod.pod_rental import RentTerms
from lib_lora.remote.runpod.run_limits import LeftToRent
from lib_lora.remote.runpod.runpod_answers import ERROR, EXITED, TERMINATED, GpuType, Pod
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.remote.runpod.user_currency import rate_of
from lib_lora.runs.events import EventLog, events_after
from lib_lora.runs.lent_run import loan_of, returned
from lib_lora.training.plan.memory_fitting import GpuNeed, gpu_need
from lib_lora.training.plan.presets import asked_beside
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import Workspace

LOOK = 3.0  # seconds between two looks at a pod that is being prepared
DELETING = 180.0  # seconds for which the deletion of a pod is tried
_ASK_AGAIN = 10.0  # seconds between two questions to RunPod whether a pod is still there
_ENDED = -15  # the exit status of a worker whose end was not seen
_AWAY = ("runpod-unreachable", "runpod-asked-often")  # errors that pass
_WORDS = ("runpod-not-found", "runpod-key-missing")  # errors that say how things are

T = TypeVar("T")


def account(root: Path) -> RunpodApi:
    """The user's account at RunPod.

    Args:
        root: the data folder.

    Raises:
        UserError: there is no API key for it.
    """
    key = api_key_store.load(root)
    if key is None:
        raise UserError(
            f"There is no API key of RunPod; make one in its console under Settings, and give it to "
            f"{typed('key', 'set', 'runpod')}",
            code="runpod-key-missing",
        )
    return RunpodApi(key)


def terms_of(rental: Rental, public_key: str = "") -> RentTerms:
    """On what terms a pod is rented.

    Args:
        rental: what the user allows.
        public_key: that is let in.
    """
    dearest = None if rental.dearest is None else money.exact(rental.dearest)
    wishes = GpuWishes(dearest=dearest, cloud=rental.cloud, regions=tuple(rental.regions), order=tuple(rental.gpus))
    return RentTerms(public_key, rental.hours, money.exact(rental.cap), wishes)


def terms_here(
    root: Path, rental: Rental, need: GpuNeed | None, public_key: str = "", left: LeftToRent | None = None
) -> RentTerms:
    """As `terms_of`, with the user's currency, the memory that a training needs, and what is left of its run's limits.

    A GPU that the user has named may be as small as the settings can be made to fit; otherwise none is taken for which
    they would have to be changed.

    Args:
        root: the data folder.
        rental: what the user allows.
        need: of the training; None = not known.
        public_key: that is let in.
        left: see `left_for`; None = there is no run yet.
    """
    terms = terms_of(rental, public_key)
    memory = 0 if need is None else need.least if rental.gpus else need.whole
    terms = replace(terms, wishes=replace(terms.wishes, memory=memory), rate=rate_of(root))
    return terms if left is None else replace(terms, hours=left.hours, cap=left.cap, left=left)


def left_for(root: Path, slug: str, run: str, rental: Rental, queued: float) -> LeftToRent:
    """What may still be rented for a run.

    Args:
        root: the data folder.
        slug: folder of its character.
        run: its identifier.
        rental: what the job allows.
        queued: when the job was queued, unix seconds.

    Raises:
        UserError: there is no such run, or its file cannot be read.
    """
    ledger, given = PodLedger(root), queued if rental.anew else None
    made = _made_at(load_run(Workspace(root).character_at(slug).run(run).path))
    limits = run_limits.limits_of(ledger, f"{slug}/{run}", money.exact(rental.cap), rental.hours, given, made=made)
    return run_limits.left_of(ledger, limits)


def _made_at(run: Run) -> float:
    """When a run was made, unix seconds; 0 = its file does not tell, so that nothing spent is overlooked."""
    try:
        return datetime.fromisoformat(run.file.created).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def need_of(run: Run) -> GpuNeed | None:
    """How large a GPU a run needs; None = not known, as with a small model for tests.

    Raises:
        UserError: its base model is gone, or none.
    """
    model, train = run.model(), run.file.settings
    return need_for(model.family, model.narrow, train, asked_beside(train, model.family, model.narrow))


def need_for(family: str, narrow: bool, train: TrainSettings, given: Collection[str]) -> GpuNeed | None:
    """As `need_of`.

    Args:
        family, narrow: of the base model.
        train: the settings.
        given: which of them somebody asked for, by dotted key.
    """
    if narrow:
        return None
    need = gpu_need(family, train, given)
    # settings whose precision is settled are not made to fit there (`workflows.train.prepare.settle`)
    return need if train.precision == "auto" else GpuNeed(need.whole, need.whole)


def pods_of_jobs(root: Path) -> dict[str, int]:
    """The pods of the jobs that have not ended, or of which something is on a pod alone, by name: each job's number."""
    workspace, queue = Workspace(root), Queue(root)
    jobs = [*queue.open(), *(job for job in queue.ended() if workspace.job(job.id).remote.is_file())]
    files = {job.id: workspace.job(job.id).pod for job in jobs}
    return {name: number for number, path in files.items() if (memo := _read(path)) for name in memo.names}


@dataclass(frozen=True)
class _PodMemo:
    """What is remembered of a job's pod, in the job's folder.

    Attributes:
        names: that pods were asked for by; the last one is the pod.
        gpu, hourly: what was asked for: the GPU's id, USD an hour as a text.
        since: when, unix seconds.
        id: RunPod's; empty = it is not known whether there is one.
        hours, cap: that it may live, and USD that it may cost, of what its run is allowed; 0 = all of that.
        first: when the first step was seen, unix seconds; 0 = none was yet.
        code: the worker's exit status, once all came home and the pod is to be deleted.
        result: of the job then.
    """

    names: list[str]
    gpu: str
    hourly: str
    since: float
    id: str = ""
    hours: float = 0.0
    cap: float = 0.0
    first: float = 0.0
    code: int | None = None
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names[-1]


def _read(path: Path) -> _PodMemo | None:
    with suppress(UserError):
        if path.is_file():
            memo = typed_settings.from_dict(_PodMemo, read_json(path), str(path))
            return memo if memo.names else None
    return None


class PodRunner(SshRunner):
    """See `queue.runner_protocol.Runner`; a pod for each job."""

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
        self._remote.gone = self._see_pod
        self._ledger = _NotingLedger(root, self._asked_for, self._made_as)
        self._pod = _read(self._files.pod)
        self._allowed = (0.0, 0.0)  # hours and USD of the pod that is rented next
        self._asked_at = 0.0
        self._at_limit = False
        self._foretold = False  # what it will cost in all was said
        self._kept = False  # the pod has the only copy of what was made, and is not deleted here

    # -------------------------------------------------------------------------------------------------- the whole way

    def _done(self) -> int | None:
        """As at any machine over SSH, with a pod rented before and deleted after."""
        account(self.workspace.root)  # without its key a pod cannot be deleted either, so it stays remembered
        if self._pod is not None and self._pod.code is not None:  # only the pod's end is missing
            if self._pod.result:
                write_json(self._files.result, self._pod.result)
            code = self._pod.code
            self._give_back()
            return code
        if self._pod is None:
            self._run()  # before anything costs
            self._remote.check_stop()
        try:
            self._reach_pod()
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
            if self._pod is not None and self._pod.code is not None:
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
        if self._pod is not None:
            self._pod = replace(self._pod, code=code, result=result if isinstance(result, dict) else {})
            with suppress(UserError):  # the disk may be full; the pod is deleted all the same
                self._write(self._pod)

    def _reach_pod(self) -> None:
        """Connect to the job's pod, or to one that is rented now."""
        api = account(self.workspace.root)
        begun = self._begun()
        pod = self._patient(lambda: self._found(api), begun) if self._pod else None
        if pod is None and self._pod is not None:
            if begun:
                raise self._vanished()
            self._say(f"The rented pod {self._pod.name} is gone before anything began there; another one is rented.")
            minutes, counted = self._counted(self._pod)
            self._ledger.cost(self._pod.name, self.job.slug, counted, None, float(minutes))
            self._forget_pod()
        if pod is None:
            pod = self._rent(api)
        rented = pod
        try:
            running = self._patient(
                lambda: pod_rental.ready(api, rented, self._say, self._remote.stopping, look=LOOK), begun
            )
        except UserError as error:
            if error.code == "runpod-not-found":
                raise self._vanished() from error
            raise
        assert self._pod
        offer = GpuOffer(GpuType(self._pod.gpu, self._pod.gpu, 0, {}, {}), Decimal(self._pod.hourly))
        if wrong := pod_rental.unlike(running, offer, terms_here(self.workspace.root, self._rental, None)):
            raise UserError(
                f"RunPod gave another pod than was asked for: {wrong}. It is deleted; resume the job to rent another.",
                code="pod-not-as-asked",
                pod=running.id,
            )
        place = pod_rental.place_of(replace(running, name=self._pod.name), self._key, self._folder_there())
        self._move_to(self._connect(self.workspace.root, place))
        self._let_in(begun)

    def _let_in(self, begun: bool) -> None:
        """See that the pod can be used. Its SSH server may listen before it knows the key."""
        until = time.monotonic() + remote_job.PATIENCE
        while True:
            try:
                self._remote.ask("state", waiting=begun, job=self._remote.key)
                return
            except UserError as error:
                if error.code != "ssh-login-refused" or time.monotonic() > until:
                    raise
            self._remote.check_stop()
            self._remote.pause(LOOK)

    def _rent(self, api: RunpodApi) -> Pod:
        run, root, rental = self._run(), self.workspace.root, self._rental
        left = left_for(root, self.job.slug, run.file.id, rental, self.job.created)
        self._allowed = (left.hours, float(left.cap))
        terms = terms_here(root, rental, need_of(run), pod_rental.fresh_key(self._key), left)
        offers = pod_rental.find(api, terms)
        self._remote.check_stop()
        pod, offer = pod_rental.rent(api, self._ledger, offers, terms)
        price, most = terms.rate.shown(offer.hourly), terms.rate.shown(pod_rental.longest_cost(offer, terms))
        self._tell_cost(float(offer.hourly), float(pod_rental.longest_cost(offer, terms)))
        text = f"Rented: {offer.gpu.name} at {price} an hour ({pod.name}), which can cost {most} at most."
        self._say(f"{text} {left.sentence(terms.rate)}".rstrip())
        return pod

    def _tell_cost(self, hourly: float, cap: float, text: str = "") -> None:
        """Let those who follow the job know what it costs; 0 USD an hour = nothing any more."""
        since = self._pod.since if self._pod else 0.0
        with suppress(UserError):
            EventLog(self._files.events)("cost", hourly=hourly, cap=cap, since=since, text=text)

    def _bring_events(self, run: Run) -> None:
        super()._bring_events(run)
        if self._pod is None or self._foretold or not self._remote.pace:
            return
        now, since = time.time(), self._pod.since
        if not self._pod.first:
            said = [event.get("t") for event in events_after(self._files.events)[0] if event["kind"] == "step"]
            began = next((one for one in said if isinstance(one, (int, float))), now)  # perhaps seen long after
            self._write(replace(self._pod, first=min(max(began, since), now)))  # by the pod's own clock
        left = Follower(self._files.events).read().seconds_left
        if left is None:
            return
        self._foretold = True
        hourly = float(self._pod.hourly)
        hours, cap = self._limits(self._pod)
        most = min(cap, hourly * hours)
        cost = money.running_cost(hourly, most, min(now - since, hours * 3600), left)
        self._tell_cost(hourly, most, cost.sentence(rate_of(self.workspace.root)))

    def _folder_there(self) -> str:
        return terms_of(self._rental).folder

    @property
    def _rental(self) -> Rental:
        return self._asked.rental or Rental()

    @property
    def _name(self) -> str:
        """Of the pod; its place has that name only once it was reached."""
        return self._pod.name if self._pod else self.place.name

    def _limits(self, memo: _PodMemo) -> tuple[float, float]:
        """Hours that a pod may live, and USD that it may cost."""
        return memo.hours or self._rental.hours, memo.cap or self._rental.cap

    @property
    def _key(self) -> Path:
        return self._files.path / "pod-key"

    def _patient(self, ask: Callable[[], T], waiting: bool) -> T:
        """What RunPod says; while it cannot be reached it is asked again, see `RemoteJob.reach`. So it is for a while
        where it refuses to say how a pod is on which something may run: that is no word of the pod."""
        began, said = time.monotonic(), False
        while True:
            try:
                return ask()
            except UserError as error:
                late = time.monotonic() - began > remote_job.PATIENCE
                away = error.code in _AWAY and not (late and not waiting)
                refused = waiting and not late and error.code.startswith("runpod-") and error.code not in _WORDS
                if not (away or refused):
                    raise
                if self._remote.left.is_set():
                    raise StoppedByUser("This program ends; the pod goes on.") from None
                self._remote.check_stop()
                if not said:
                    said = True
                    self._say(f"{str(error).rstrip('.')}. It is asked again meanwhile; what runs there goes on.")
                self._remote.pause(remote_job.AGAIN)

    # ------------------------------------------------------------------------------------------------ whether it lives

    def _begun(self) -> bool:
        """Whether the worker may have been started on the pod."""
        return self._pod is not None and self._files.remote.is_file()

    def _found(self, api: RunpodApi) -> Pod | None:
        """The pod that is remembered; None = it is no more, or works no more."""
        assert self._pod
        name = self._pod.name
        if not self._pod.id:  # the answer was never seen
            pods = [one.pod for one in self._ledger.living(api) if one.pod.name == name]
            if not pods:
                return None
            self._made_as(name, pods[0].id)
        try:
            pod = api.pod(self._pod.id)
        except UserError as error:
            if error.code == "runpod-not-found":
                self._ledger.ended(name, self._pod.id)
                return None
            raise
        return None if pod.status in (TERMINATED, EXITED, ERROR) else pod

    def _see_pod(self) -> None:
        """Called while the pod cannot be reached.

        Raises:
            MachineGone: RunPod says that it is no more.
        """
        if time.monotonic() - self._asked_at < _ASK_AGAIN or not (self._pod and self._pod.id):
            return
        found: Pod | None = None
        try:
            found = self._found(account(self.workspace.root))
        except UserError:
            return
        finally:
            self._asked_at = time.monotonic()
        if found is None:
            raise self._vanished()

    def _vanished(self) -> MachineGone:
        assert self._pod
        return MachineGone(
            f"The rented pod {self._pod.name} is gone: RunPod, its own limits or somebody ended it. What had come home "
            "is kept; resume the job to rent another one and go on from there.",
            code="pod-vanished",
            pod=self._pod.name,
        )

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
        hours = terms_of(self._rental).unfetched / 3600
        price = rate_of(self.workspace.root).shown(Decimal(self._pod.hourly)) if self._pod else ""
        return (
            f"the rented pod {self._name} alone, which is kept for it and goes on costing {price} an hour, "
            f"for {hours:.0f} hours after this computer was last connected at most, and never beyond its own limits"
        )

    def _take_result(self, run: Run, content: bytes) -> None:
        super()._take_result(run, content)
        # its watchdog asks the job to save and to pause shortly before it deletes the pod
        self._at_limit = bool(content) and json.loads(content).get("state") == "paused" and not self._remote.wish

    # ------------------------------------------------------------------------------------------------------- afterwards

    def _give_back(self) -> None:
        """Delete the pod, look until it is gone, and write down what it has cost. Raises nothing."""
        memo = self._pod
        assert memo
        self._remote.there.close()
        try:
            api = account(self.workspace.root)
            pods = {memo.name: Pod(memo.id, memo.name, "")} if memo.id else {}
            with suppress(UserError):  # also what was asked for and whose answer was lost
                pods |= {one.pod.name: one.pod for one in self._ledger.living(api) if one.pod.name in memo.names}
            for pod in pods.values():
                self._ledger.end(api, pod, DELETING)
            if memo.id:
                self._tell_cost(0.0, 0.0)
                self._say(f"The rented pod {memo.name} is deleted.")
                self._note_bill(api, memo)
        except Exception as error:
            said = " ".join(str(error).split())[:500]
            text = f"{said} Its own watchdog deletes it too; {typed('pods', 'list')} shows whether it is gone."
            with suppress(UserError):
                EventLog(self._files.events)("warning", code="pod-not-deleted", text=text)
                minutes, counted = self._counted(memo)
                self._ledger.cost(memo.name, self.job.slug, counted, None, float(minutes))
        self._forget_pod()

    def _counted(self, memo: _PodMemo) -> tuple[Decimal, Decimal]:
        """For how many minutes a pod was rented, and what that costs in USD, as far as it is seen from here: its own
        limits end it, however late it is looked for."""
        hours, cap = self._limits(memo)
        minutes = money.exact(min(max(0.0, time.time() - memo.since), hours * 3600)) / 60
        cost = (Decimal(memo.hourly) * minutes / 60).quantize(money.CENT, ROUND_CEILING)
        return minutes, min(cost, money.exact(cap))

    def _note_bill(self, api: RunpodApi, memo: _PodMemo) -> None:
        """Write the bill beside what was counted here into the job's events and its result."""
        hourly, (minutes, counted) = Decimal(memo.hourly), self._counted(memo)
        estimated = RentEstimate(minutes, hourly, counted, money.exact(self._limits(memo)[1]))
        preparing = (memo.first - memo.since) / 60 if memo.first > memo.since else None
        try:
            check = money.compared(api.bill(memo.id).total, estimated)
        except UserError as error:
            self._say(f"What it has cost cannot be asked now: {error}")
            self._ledger.cost(memo.name, self.job.slug, counted, preparing, float(minutes))
            return
        usd, lived = money.known_cost(check.billed, counted, hourly, minutes)
        self._ledger.cost(memo.name, self.job.slug, usd, preparing, float(lived))
        shown = rate_of(self.workspace.root).shown
        self._say(
            f"RunPod's bill so far: {shown(check.billed)}; counted here: {round(minutes)} min at {shown(hourly)} an "
            f"hour, {shown(counted)}. RunPod adds to a bill every few minutes."
        )
        rent = {
            "pod": memo.name,
            "gpu": memo.gpu,
            "hourly": float(hourly),
            "minutes": round(float(minutes), 2),
            "counted": float(counted),
            "billed": float(check.billed),
        }
        with suppress(UserError):
            stored = read_json(self._files.result) if self._files.result.is_file() else None
            if isinstance(stored, dict) and isinstance(stored.get("result"), (dict, type(None))):
                write_json(self._files.result, {**stored, "result": {**(stored.get("result") or {}), "rent": rent}})

    def _forget_pod(self) -> None:
        """Let go what is remembered of the pod."""
        memo, self._pod = self._pod, None
        with suppress(OSError, UserError):
            for path in (self._files.pod, self._key, self._key.with_name(f"{self._key.name}.pub"), self._files.remote):
                path.unlink(missing_ok=True)
            run = self._asked.run or self._queue.get(self.job.id).run
            folder = self.workspace.character_at(self.job.slug).run(run).path if run else None
            if folder and (loan := loan_of(folder)) and loan.key == self._remote.key:
                returned(folder)
            if memo is not None:
                places.known_hosts(self.workspace.root, replace(self.place, name=memo.name)).unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------ what the ledger is told

    def _asked_for(self, name: str, gpu: str, hourly: str) -> None:
        before = self._pod.names if self._pod else []
        hours, cap = self._allowed
        self._write(_PodMemo([*before, name], gpu, hourly, time.time(), hours=hours, cap=cap))

    def _made_as(self, name: str, identifier: str) -> None:
        if self._pod and self._pod.name == name:  # the ledger may find another job's
            self._write(replace(self._pod, id=identifier))

    def _write(self, memo: _PodMemo) -> None:
        self._pod = memo
        with explained(self._files.path):
            write_json(self._files.pod, typed_settings.to_dict(memo))


class _NotingLedger(PodLedger):
    """Passes on what is written down, so that the job's folder knows it too."""

    def __init__(self, root: Path, intended: Callable[[str, str, str], None], made: Callable[[str, str], None]) -> None:
        super().__init__(root)
        self._intended, self._made = intended, made

    def intend(self, gpu: str, hourly: str, limits: RunLimits | None = None) -> str:
        name = super().intend(gpu, hourly, limits)
        self._intended(name, gpu, hourly)
        return name

    def created(self, name: str, identifier: str) -> None:
        super().created(name, identifier)
        self._made(name, identifier)
