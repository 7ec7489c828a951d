"""Rents a pod that will end by itself, waits until it can be reached, and gives it as a place to train on.

It is reached with a key that is made for it alone; the account's own SSH keys are not touched.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained
from lib_lora.remote import openssh, places
from lib_lora.remote.places import Place
from lib_lora.remote.renting import gpu_offers, money
from lib_lora.remote.renting.gpu_offers import GpuOffer, GpuWishes
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.rental_api import (
    ERROR,
    EXITED,
    RUNNING,
    TERMINATED,
    NoCapacity,
    Pod,
    PodLife,
    PodWish,
    RentalApi,
    RentalRefused,
)
from lib_lora.remote.renting.run_limits import LEAST, LeftToRent

DEARER = Decimal("1.05")  # times its price that a pod may cost, since prices move
_PATIENCE = 20 * 60.0  # seconds until a pod runs; its image may have to be loaded first
_POLL = 3.0
_SURELY_NOT = ("forbidden", "key", "no money", "absent", "request", "status", "busy")  # after which there is no pod


@dataclass(frozen=True)
class RentTerms:
    """The terms on which a pod is rented.

    Attributes:
        public_key: that is let in; a line as OpenSSH writes it.
        hours: that it may live.
        cap: USD that it may cost.
        wishes: what its GPU must be, and where.
        image, min_cuda: see `PodWish`.
        silent, fetched, unfetched, folder, start: see `PodLife`.
        rate: in which money is spoken of.
        left: what is left of the limits of the run that goes on, which `hours` and `cap` are; None = it is for no run.
    """

    public_key: str
    hours: float
    cap: Decimal
    wishes: GpuWishes = field(default_factory=GpuWishes)
    image: str = ""
    min_cuda: str = ""
    silent: float = 900.0
    fetched: float = 120.0
    unfetched: float = 4 * 3600.0
    folder: str = places.FOLDER
    start: tuple[str, ...] = ()
    rate: ExchangeRate = money.USD_ITSELF
    left: LeftToRent | None = None

    def longest(self, hourly: Decimal) -> float:
        """Hours that a pod may live at a price."""
        return self.hours if self.left is None else self.left.longest(hourly)


def fresh_key(path: Path) -> str:
    """Make a pair of keys for one pod.

    Args:
        path: of the private one, in a folder that is made; one that is there is replaced.

    Returns:
        The public one, as a line.

    Raises:
        UserError: OpenSSH is not installed, or the file cannot be written.
    """
    public = path.with_name(f"{path.name}.pub")
    with explained(path):
        file_permissions.make_folder(path.parent)
        for one in (path, public):
            one.unlink(missing_ok=True)
        making = [openssh.program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "sameface", "-f", str(path)]
        done = subprocess.run(making, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode or not public.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
            raise UserError(
                f"No SSH key could be made at {path}; ssh-keygen said: {said[0][:300]}", code="key-not-made"
            )
        return public.read_text(encoding="ascii").strip()


def find(api: RentalApi, terms: RentTerms) -> list[GpuOffer]:
    """What is available now on some terms, in the order in which it is tried, with prices to be shown.

    Raises:
        UserError: nothing is available, or could cost more than it may; or the provider cannot be asked.
    """
    wishes = terms.wishes
    offers = gpu_offers.offers(api.gpus(wishes.cloud, wishes.count, terms.min_cuda or api.min_cuda), wishes, api.title)
    return _affordable(offers, terms)


def _affordable(offers: Sequence[GpuOffer], terms: RentTerms) -> list[GpuOffer]:
    """The offers that cannot cost more than they may. Where a run goes on, each may live as long as its money lasts.

    Raises:
        UserError: there is none.
    """
    left = terms.left
    if left is None or not left.pods:
        return gpu_offers.affordable(offers, terms.hours, terms.cap, terms.rate)
    fit = [offer for offer in offers if left.longest(offer.hourly) >= LEAST]
    if not fit:
        raise left.used_up(terms.rate)
    return fit


def rent(api: RentalApi, ledger: PodLedger, offers: Sequence[GpuOffer], terms: RentTerms) -> tuple[Pod, GpuOffer]:
    """Rent the first of some offers that are available.

    Args:
        api: of the user's account.
        ledger: in which each pod is written down before it is asked for.
        offers: in the order in which they are tried; see `find`.
        terms: what it may cost, and how it ends.

    Returns:
        The pod, which does not run yet, and the offer.

    Raises:
        UserError: none is available, or the provider refuses. Uncertain pods stay in the ledger: `PodLedger.living`.
    """
    said = f"{api.title} offers none"
    limits = None if terms.left is None else terms.left.limits
    for offer in _affordable(offers, terms) if offers else []:
        name = ledger.intend(offer.gpu.id, str(offer.hourly), limits)
        try:
            pod = api.rent(_wish(name, offer, terms, api))
        except RentalRefused as error:
            if (isinstance(error, NoCapacity) and error.certain) or error.refusal in _SURELY_NOT:
                ledger.refused(name)
            if not isinstance(error, NoCapacity) and error.refusal != "forbidden":
                raise
            said = str(error).rstrip(".")
            continue
        try:
            ledger.created(name, pod.id)
        except BaseException:  # whatever it is, nobody will look after this pod
            with suppress(UserError):
                api.delete_pod(pod.id)
            raise
        wrong = unlike(pod, offer, terms)
        if not wrong:
            return replace(pod, name=name), offer
        ledger.end(api, pod)
        said = f"{api.title} provided a different pod from the one requested: {wrong}"
    raise UserError(
        f"None of the GPUs that will do can be had now; of the last one this is known: {said}. Try again later, or "
        "allow other GPUs, regions or prices.",
        code="rent-nothing-free",
    )


def unlike(pod: Pod, offer: GpuOffer, terms: RentTerms) -> str:
    """How a pod differs from what was asked for; empty = not at all, as far as the provider says.

    To be looked at again once it runs, since its data centre may only be known then.
    """
    regions = terms.wishes.regions
    if pod.cloud and pod.cloud != terms.wishes.cloud:
        return f"it is in the cloud {pod.cloud}"
    if pod.data_center and regions and not gpu_offers.lies_in(pod.data_center, regions):
        return f"it is in the data centre {pod.data_center}"
    if pod.gpu and pod.gpu != offer.gpu.id:
        return f"its GPU is {pod.gpu}"
    if pod.cost is not None and pod.cost > offer.hourly * DEARER:
        return f"it costs {terms.rate.shown(pod.cost)} an hour"
    return ""


def ready(
    api: RentalApi,
    pod: Pod,
    say: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    patience: float = _PATIENCE,
    poll: float = _POLL,
) -> Pod:
    """Wait until a pod runs and says where it can be reached. Its SSH server may need some seconds more.

    Args:
        api: of its account.
        pod: which.
        say: is told what goes on, for the user.
        stop: asked meanwhile; true = give up. The pod lives on.
        patience: seconds.
        poll: seconds between two checks.

    Raises:
        UserError: it failed, is gone, or takes too long. It may live on.
        StoppedByUser: `stop` said so.
    """
    until = time.monotonic() + patience
    while True:
        found = api.pod(pod.id)
        if found.status == RUNNING and found.ssh is not None:
            return found
        if found.status in (ERROR, EXITED, TERMINATED):
            raise UserError(
                f"The pod {pod.name} has failed ({found.status}) before it could be used; rent another one.",
                code="pod-failed",
                pod=pod.id,
            )
        if time.monotonic() > until:
            raise UserError(
                f"The pod {pod.name} is not ready after {patience / 60:.0f} minutes; rent another one, of another GPU.",
                code="pod-not-ready",
                pod=pod.id,
            )
        say(f"Waiting for the rented {pod.gpu or 'GPU'}: {found.status.lower() or 'no word'}")
        then = time.monotonic() + poll
        while time.monotonic() < then:
            if stop():
                raise StoppedByUser("Stopped while a rented GPU was being prepared.", code="pod-start-stopped")
            time.sleep(min(0.05, poll))


def place_of(pod: Pod, key: Path, folder: str = places.FOLDER) -> Place:
    """A pod that is ready as a place to train on, by a name of its own, so that its host key is its own too.

    Raises:
        UserError: it does not say where it can be reached.
    """
    if pod.ssh is None:
        raise UserError(f"The pod {pod.name} does not say where it can be reached.", code="pod-without-address")
    fields = {"user": pod.ssh.user, "port": pod.ssh.port, "key": str(key), "folder": folder}
    return typed_settings.from_dict(Place, {"name": pod.name, "host": pod.ssh.host, **fields}, "the rented pod")


def _wish(name: str, offer: GpuOffer, terms: RentTerms, api: RentalApi) -> PodWish:
    life = PodLife(
        seconds=terms.longest(offer.hourly) * 3600,
        price=float(offer.hourly * DEARER),
        cap=float(terms.cap),
        silent=terms.silent,
        fetched=terms.fetched,
        unfetched=terms.unfetched,
        created=api.time,
        folder=terms.folder,
        start=terms.start,
    )
    return PodWish(
        name=name,
        gpu=offer.gpu.id,
        count=terms.wishes.count,
        cloud=terms.wishes.cloud,
        data_centers=offer.data_centers,
        disk=terms.wishes.disk,
        public_key=terms.public_key,
        life=life,
        image=terms.image,
        min_cuda=terms.min_cuda,
    )


def longest_cost(offer: GpuOffer, terms: RentTerms) -> Decimal:
    """USD that a pod may cost at most: the cap, or what it costs for as long as it may live."""
    return min(terms.cap, offer.hourly * money.exact(terms.longest(offer.hourly)))
