"""Says what renting a GPU at RunPod will cost before anything is rented, and which pods live and cost now.

Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError, typed
from lib_lora.queue.job_types import Rental
from lib_lora.queue.runners import pod_runner
from lib_lora.remote.runpod import money, pod_rental
from lib_lora.remote.runpod.money import ExchangeRate
from lib_lora.remote.runpod.pod_ledger import LivingPod, PodLedger

_SHOWN = 5  # offers


@dataclass(frozen=True)
class CostingPod:
    """A pod of SameFace that lives.

    Attributes:
        living: what is known of it.
        job: the job that uses it; None = none of this data folder does.
    """

    living: LivingPod
    job: int | None

    @property
    def name(self) -> str:
        """Its name at RunPod."""
        return self.living.pod.name

    def values(self) -> dict[str, Any]:
        """For programs."""
        pod = self.living.pod
        hourly = None if pod.cost is None else float(pod.cost)
        return {"name": pod.name, "gpu": pod.gpu, "status": pod.status, "hourly": hourly, "job": self.job}

    def line(self) -> str:
        """For people."""
        pod = self.living.pod
        price = "price not said" if pod.cost is None else f"{ExchangeRate().shown(pod.cost)} an hour"
        if self.job is not None:
            use = f"job {self.job} uses it"
        elif self.living.entry is None:
            use = f"another data folder or computer has rented it; end it with: {typed('pods', 'end', pod.name)}"
        else:
            use = f"no job uses it; end it with: {typed('pods', 'end', pod.name)}"
        return f"{pod.name}  {pod.gpu or 'GPU not said'}, {price}, {pod.status.lower()}; {use}"


def costing_pods(root: Path) -> list[CostingPod]:
    """The pods of SameFace in the user's account that live, and cost.

    Raises:
        UserError: RunPod cannot be asked.
    """
    used = pod_runner.pods_of_jobs(root)
    return [CostingPod(one, used.get(one.pod.name)) for one in PodLedger(root).living(pod_runner.account(root))]


def end_pods(root: Path, name: str | None) -> list[CostingPod]:
    """Delete a pod, or all of them, and look until they are gone.

    Args:
        root: the data folder.
        name: of the pod; None = all.

    Returns:
        Those that were deleted.

    Raises:
        UserError: there is none of that name, or one may still be there.
    """
    living = costing_pods(root)
    ending = [one for one in living if name in (None, one.name)]
    if name is not None and not ending:
        there = ", ".join(one.name for one in living) or "none"
        raise UserError(f"There is no pod called {name[:80]!r} at RunPod; there is {there}.", code="pod-not-found")
    api, ledger, failed = pod_runner.account(root), PodLedger(root), list[UserError]()
    for one in ending:
        try:
            ledger.end(api, one.living.pod)
        except UserError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return ending


def before_renting(root: Path, rental: Rental) -> str:
    """What is shown before a GPU is rented: pods that nobody uses, the offers, and what the first can cost at most.

    Args:
        root: the data folder.
        rental: what may be rented.

    Raises:
        UserError: nothing can be had, or could cost more than it may; or RunPod cannot be asked.
    """
    lines = [f"This pod still costs: {one.line()}" for one in costing_pods(root) if one.job is None]
    terms = pod_runner.terms_of(rental)
    found = pod_rental.find(pod_runner.account(root), terms)
    shown = ExchangeRate().shown
    lines.append("RunPod offers now, with the disk:")
    for offer in found[:_SHOWN]:
        stock = f", stock {offer.gpu.availability.lower()}" if offer.gpu.availability else ""
        lines.append(f"  {offer.gpu.name}, {offer.gpu.memory} GB: {shown(offer.hourly)} an hour{stock}")
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    first = found[0]
    whole = first.hourly * money.exact(rental.hours)
    lines.append(
        f"The {first.gpu.name} is tried first: {shown(first.hourly)} an hour for {rental.hours:g} hours at most is "
        f"{shown(whole)}. Where it is taken, the next is tried. None may cost more than {shown(terms.cap)} "
        "(--max-cost), or live longer than --max-hours; it is deleted as soon as the training has ended."
    )
    return "\n".join(lines)
