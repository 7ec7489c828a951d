"""Manages the pod that is rented for one job: requests it, waits for it, watches it, deletes it and notes the bill.

What is rented is written into a folder before it is asked for, so that this program or computer may die and the pod is
found again. Where the provider cannot be reached at the end, the pod's own watchdog
deletes it. Knows nothing of what is done there. Imports nothing heavy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, TypeVar

from lib_lora import typed_settings
from lib_lora.errors import StoppedByUser, UserError, typed
from lib_lora.files import explained, read_json, write_json
from lib_lora.queue.job_types import Rental
from lib_lora.queue.runners import pod_terms, remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.queue.running.runner_protocol import MachineGone
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting import money, pod_rental
from lib_lora.remote.renting.gpu_offers import GpuOffer
from lib_lora.remote.renting.money import RentEstimate
from lib_lora.remote.renting.pod_ledger import Painted, PodLedger, RunLimits
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.renting.rental_api import ERROR, EXITED, TERMINATED, GpuType, Pod, RentalApi, RentalRefused
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.memory_fitting import GpuNeed
from lib_lora.workspace.workspace import JobFolder, Workspace

POLL = 3.0  # seconds between two checks at a pod that is being prepared
DELETING = 180.0  # seconds for which the deletion of a pod is tried
RENTING = "rent.lock"  # in a run's folder: held from the look at what is left of its limits until a pod is written down
_WAIT = 180.0  # seconds to wait for it
_ASK_AGAIN = 10.0  # seconds between two questions to the provider whether a pod is still there
_AWAY = ("unreachable", "busy")  # refusals that pass
_WORDS = ("absent", "no key")  # refusals that say how things are

T = TypeVar("T")


def _refusal(error: UserError) -> str:
    """Why a provider refuses; empty = it is no refusal of one's."""
    return error.refusal if isinstance(error, RentalRefused) else ""


@dataclass(frozen=True)
class PodOrder:
    """What a pod is rented for.

    Attributes:
        slug: folder of the character.
        run: identifier of its run.
        rental: what the user allows.
        asked: when the user asked for it, unix seconds.
        need: gives how large its GPU must be; None = not known.
        keeps: what is made there is on it alone until it was fetched, so it waits for that.
    """

    slug: str
    run: str
    rental: Rental
    asked: float
    need: Callable[[], GpuNeed | None] = lambda: None
    keeps: bool = True


@dataclass(frozen=True)
class PodMemo:
    """What is remembered of a pod.

    Attributes:
        names: that pods were asked for by; the last one is the pod.
        gpu, hourly: what was asked for: the GPU's id, USD an hour as a text.
        since: when, unix seconds.
        id: the provider's; empty = it is not known whether there is one.
        hours, cap: that it may live, and USD that it may cost, of what its run is allowed; 0 = all of that.
        first: when the first step, or picture, was seen, unix seconds; 0 = none was yet.
        code: the worker's exit status, once all came back and the pod is to be deleted.
        result: of the job then.
        slug: folder of the character that it is for; empty = as the job says.
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
    slug: str = ""

    @property
    def name(self) -> str:
        """Ours, of the pod."""
        return self.names[-1]


def read_memo(path: Path) -> PodMemo | None:
    """What is remembered of a pod in a file; None = nothing, or nothing that can be read."""
    with suppress(UserError):
        if path.is_file():
            memo = typed_settings.from_dict(PodMemo, read_json(path), str(path))
            return memo if memo.names else None
    return None


class RentedPod:
    """A pod, from the request to the bill.

    Args:
        job: that is done on it; says what the user wants meanwhile.
        folder: in which it is remembered, with the keys to it.
        order: says for what it is rented; asked when it is.
        emit: for events: what it costs, and that it could not be deleted.

    Attributes:
        memo: what is remembered of it; None = there is none.
        bill: beside what was counted here, once it has ended; None = it is not known.
        kept: what is said of what was made, where the pod is gone.
    """

    def __init__(self, job: RemoteJob, folder: Path, order: Callable[[], PodOrder], emit: Callable[..., None]) -> None:
        self._job, self._folder, self._order, self._emit = job, folder, order, emit
        self._root = job.workspace.root
        self._ledger = _NotingLedger(self._root, self._asked_for, self._made_as)
        self.memo = read_memo(self._file)
        self.bill: dict[str, Any] | None = None
        self.kept = "What was transferred is kept; resume the job to rent another one and continue from there."
        self._allowed = (0.0, 0.0)  # hours and USD of the pod that is rented next
        self._asked_at = 0.0

    @property
    def key(self) -> Path:
        """The private key to it."""
        return self._folder / "pod-key"

    @property
    def _file(self) -> Path:
        return JobFolder(self._folder).pod

    # -------------------------------------------------------------------------------------------- until it can be used

    def reach(self, begun: bool) -> places.Place:
        """The pod as a place, or one that is rented now.

        Args:
            begun: something may run on it already.

        Raises:
            MachineGone: the pod on which something had begun is no more.
            UserError: none is available, or it is not what was asked for; it may live on.
            StoppedByUser: it was stopped.
        """
        api = pod_terms.account(self._root)
        pod = self.patient(lambda: self.found(api), begun) if self.memo else None
        if pod is None and self.memo is not None:
            if begun:
                raise self.vanished()
            self._job.say(f"The rented pod {self.memo.name} is gone; another one is rented.")
            minutes, counted = self.counted(self.memo)
            self._ledger.cost(self.memo.name, self._slug(self.memo), counted, None, float(minutes))
            if not self.memo.id:  # the provider lists none of these
                for name in self.memo.names:
                    self._ledger.ended(name, "")
            self.forget()
        rented = pod or self._rent(api)
        try:
            running = self.patient(
                lambda: pod_rental.ready(api, rented, self._job.say, self._job.stopping, poll=POLL), begun
            )
        except UserError as error:
            if _refusal(error) == "absent":
                raise self.vanished() from error
            raise
        assert self.memo
        rental = self._order().rental
        offer = GpuOffer(GpuType(self.memo.gpu, self.memo.gpu, 0, {}, {}), Decimal(self.memo.hourly))
        if wrong := pod_rental.unlike(running, offer, pod_terms.terms_here(self._root, rental, None)):
            raise UserError(
                f"{api.title} provided a different pod from the one requested: {wrong}. It is deleted; start it again "
                "to rent another.",
                code="pod-not-as-asked",
                pod=running.id,
            )
        return pod_rental.place_of(replace(running, name=self.memo.name), self.key, pod_terms.terms_of(rental).folder)

    def let_in(self, begun: bool) -> None:
        """See that it can be used, once the job is connected to it. Its SSH server may listen before it knows the key.

        Args:
            begun: see `reach`.
        """
        until = time.monotonic() + remote_job.PATIENCE
        while True:
            try:
                self._job.ask("state", waiting=begun, job=self._job.key)
                return
            except UserError as error:
                if error.code != "ssh-login-refused" or time.monotonic() > until:
                    raise
            self._job.check_stop()
            self._job.pause(POLL)

    def _rent(self, api: RentalApi) -> Pod:
        order = self._order()
        folder = Workspace(self._root).character_at(order.slug).run(order.run).path
        with only_process(folder, "it rents a GPU for this run; try again once it has one", _WAIT, RENTING):
            return self._rent_within(api, order)

    def _rent_within(self, api: RentalApi, order: PodOrder) -> Pod:
        """Rent one within what is left of the run's limits, which no other process can take meanwhile."""
        given = (self._root, order.slug, order.run, order.rental, order.asked, not order.keeps)
        left = pod_terms.left_for(*given)
        if left.living:  # one may have ended unseen
            self._ledger.living(api)
            left = pod_terms.left_for(*given)
        self._allowed = (left.hours, float(left.cap))
        terms = pod_terms.terms_here(self._root, order.rental, order.need(), pod_rental.fresh_key(self.key), left)
        if not order.keeps:
            terms = replace(terms, unfetched=terms.fetched)
        offers = pod_rental.find(api, terms)
        self._job.check_stop()
        pod, offer = pod_rental.rent(api, self._ledger, offers, terms)
        self._say_rented(pod, offer, terms)
        return pod

    def _say_rented(self, pod: Pod, offer: GpuOffer, terms: RentTerms) -> None:
        most = pod_rental.longest_cost(offer, terms)
        self.tell_cost(float(offer.hourly), float(most))
        price, cap = terms.rate.shown(offer.hourly), terms.rate.shown(most)
        left = terms.left.sentence(terms.rate) if terms.left else ""
        text = f"Rented: {offer.gpu.name} at {price} an hour ({pod.name}), which can cost {cap} at most."
        self._job.say(f"{text} {left}".rstrip())

    def tell_cost(self, hourly: float, cap: float, text: str = "") -> None:
        """Let those who follow the job know what it costs; 0 USD an hour = nothing any more."""
        since = self.memo.since if self.memo else 0.0
        with suppress(UserError):
            self._emit("cost", hourly=hourly, cap=cap, since=since, text=text)

    # ------------------------------------------------------------------------------------------------ whether it lives

    def patient(self, ask: Callable[[], T], waiting: bool) -> T:
        """What it says; while it cannot be reached it is asked again, see `RemoteJob.reach`. So it is for a while where
        it refuses to say how a pod is on which something may run: that is no word of the pod."""
        began, said = time.monotonic(), False
        while True:
            try:
                return ask()
            except UserError as error:
                late = time.monotonic() - began > remote_job.PATIENCE
                away = _refusal(error) in _AWAY and not (late and not waiting)
                refused = waiting and not late and isinstance(error, RentalRefused) and error.refusal not in _WORDS
                if not (away or refused):
                    raise
                if self._job.left.is_set():
                    raise StoppedByUser("This program ends; the pod keeps running.", code="pod-left-running") from None
                self._job.check_stop()
                if not said:
                    said = True
                    self._job.say(f"{str(error).rstrip('.')}. Requests are being repeated; the work there continues.")
                self._job.pause(remote_job.AGAIN)

    def found(self, api: RentalApi) -> Pod | None:
        """The pod that is remembered; None = it no longer exists, or works no more."""
        assert self.memo
        name = self.memo.name
        if not self.memo.id:  # the answer was never seen
            pods = [one.pod for one in self._ledger.living(api) if one.pod.name == name]
            if not pods:
                return None
            self._made_as(name, pods[0].id)
        try:
            pod = api.pod(self.memo.id)
        except UserError as error:
            if _refusal(error) == "absent":
                self._ledger.ended(name, self.memo.id)
                return None
            raise
        return None if pod.status in (TERMINATED, EXITED, ERROR) else pod

    def check(self) -> None:
        """Called while the pod cannot be reached.

        Raises:
            MachineGone: the provider says that it no longer exists.
        """
        if time.monotonic() - self._asked_at < _ASK_AGAIN or not (self.memo and self.memo.id):
            return
        found: Pod | None = None
        try:
            found = self.found(pod_terms.account(self._root))
        except UserError:
            return
        finally:
            self._asked_at = time.monotonic()
        if found is None:
            raise self.vanished()

    def vanished(self) -> MachineGone:
        """The error where it no longer exists."""
        assert self.memo
        return MachineGone(
            f"The rented pod {self.memo.name} is gone: {USUAL.title}, its own limits or somebody ended it. {self.kept}",
            code="pod-vanished",
            pod=self.memo.name,
        )

    def limits(self, memo: PodMemo) -> tuple[float, float]:
        """Hours that a pod may live, and USD that it may cost."""
        rental = self._order().rental if not (memo.hours and memo.cap) else Rental()
        return memo.hours or rental.hours, memo.cap or rental.cap

    # ------------------------------------------------------------------------------------------------------- afterwards

    def give_back(self, painted: Painted | None = None) -> bool:
        """Delete the pod, wait until it is gone, and record what it has cost. Raises nothing.

        Args:
            painted: how long pictures took there.

        Returns:
            Whether it is gone.
        """
        memo = self.memo
        assert memo
        self._job.there.close()
        try:
            api = pod_terms.account(self._root)
            pods = {memo.name: Pod(memo.id, memo.name, "")} if memo.id else {}
            with suppress(UserError):  # also what was asked for and whose answer was lost
                pods |= {one.pod.name: one.pod for one in self._ledger.living(api) if one.pod.name in memo.names}
            for pod in pods.values():
                self._ledger.end(api, pod, DELETING)
            if pods:
                self.tell_cost(0.0, 0.0)
                self._job.say(f"The rented pod {memo.name} is deleted.")
            known = self.memo
            if known and known.name in pods:  # whoever rented it may have been killed before it was noted here
                known = replace(known, id=pods[known.name].id)
            if known and known.id:
                self._note_bill(api, known, painted)
        except Exception as error:
            said = " ".join(str(error).split())[:500]
            text = f"{said} Its own watchdog deletes it too; {typed('pods', 'list')} shows whether it is gone."
            with suppress(UserError):
                self._emit("warning", code="pod-not-deleted", text=text)
                _, counted = self.counted(memo)
                self._ledger.cost(memo.name, self._slug(memo), counted, None)  # it may live on, and cost more
            return False
        return True

    def counted(self, memo: PodMemo) -> tuple[Decimal, Decimal]:
        """For how many minutes a pod was rented, and what that costs in USD, as far as it is seen from here: its own
        limits end it, however late it is looked for."""
        hours, cap = self.limits(memo)
        minutes = money.exact(min(max(0.0, time.time() - memo.since), hours * 3600)) / 60
        cost = (Decimal(memo.hourly) * minutes / 60).quantize(money.CENT, ROUND_CEILING)
        return minutes, min(cost, money.exact(cap))

    def _note_bill(self, api: RentalApi, memo: PodMemo, painted: Painted | None) -> None:
        """Write the bill beside what was counted here."""
        hourly, (minutes, counted) = Decimal(memo.hourly), self.counted(memo)
        estimated = RentEstimate(minutes, hourly, counted, money.exact(self.limits(memo)[1]))
        preparing = (memo.first - memo.since) / 60 if memo.first > memo.since else None
        slug = self._slug(memo)
        try:
            check = money.compared(api.bill(memo.id).total, estimated)
        except UserError as error:
            self._job.say(f"What it has cost cannot be asked now: {error}")
            self._ledger.cost(memo.name, slug, counted, preparing, float(minutes), painted)
            return
        usd, lived = money.known_cost(check.billed, counted, hourly, minutes)
        self._ledger.cost(memo.name, slug, usd, preparing, float(lived), painted)
        shown = rate_of(self._root).shown
        self._job.say(
            f"{api.title}'s bill so far: {shown(check.billed)}; counted here: {round(minutes)} min at {shown(hourly)} "
            f"an hour, {shown(counted)}. {api.title} adds to a bill every few minutes."
        )
        self.bill = {
            "pod": memo.name,
            "gpu": memo.gpu,
            "hourly": float(hourly),
            "minutes": round(float(minutes), 2),
            "counted": float(counted),
            "billed": float(check.billed),
        }

    def forget(self) -> None:
        """Let go what is remembered of it."""
        memo, self.memo = self.memo, None
        with suppress(OSError, UserError):
            for path in (self._file, self.key, self.key.with_name(f"{self.key.name}.pub")):
                path.unlink(missing_ok=True)
            if memo is not None:
                places.known_hosts(self._root, replace(places.RENTED, name=memo.name)).unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------------- what is remembered

    def note(self, **values: Any) -> None:
        """Remember something else of it.

        Args:
            values: fields of `PodMemo`.

        Raises:
            UserError: it cannot be written; it is remembered in this process all the same.
        """
        if self.memo:
            self._write(replace(self.memo, **values))

    def _slug(self, memo: PodMemo) -> str:
        return memo.slug or self._order().slug

    def _asked_for(self, name: str, gpu: str, hourly: str) -> None:
        before = self.memo.names if self.memo else []
        (hours, cap), slug = self._allowed, self._order().slug
        self._write(PodMemo([*before, name], gpu, hourly, time.time(), hours=hours, cap=cap, slug=slug))

    def _made_as(self, name: str, identifier: str) -> None:
        if self.memo and self.memo.name == name:  # the ledger may find another job's
            self._write(replace(self.memo, id=identifier))

    def _write(self, memo: PodMemo) -> None:
        self.memo = memo
        with explained(self._folder):
            write_json(self._file, typed_settings.to_dict(memo))


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
