"""Says which pods of SameFace live and cost now, and ends them.

Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError, typed
from lib_lora.queue.runners import pod_terms, pods_in_use, rented_pod
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.remote.renting.pod_ledger import LivingPod, PodLedger
from lib_lora.remote.renting.rental_api import RentalApi


@dataclass(frozen=True)
class CostingPod:
    """A pod of SameFace that lives.

    Attributes:
        living: what is known of it.
        job: the job that uses it; `pods_in_use.COMMAND` = a command that paints; None = nothing of this data folder.
    """

    living: LivingPod
    job: int | None

    @property
    def name(self) -> str:
        """Its name at the provider."""
        return self.living.pod.name

    def values(self) -> dict[str, Any]:
        """The pod as plain values, for programs."""
        pod = self.living.pod
        hourly = None if pod.cost is None else float(pod.cost)
        return {"name": pod.name, "gpu": pod.gpu, "status": pod.status, "hourly": hourly, "job": self.job}

    def line(self, rate: ExchangeRate) -> str:
        """The pod in words for people, with how to end it in a terminal.

        Args:
            rate: in which the price is said.
        """
        pod = self.living.pod
        if self.job == pods_in_use.COMMAND:
            use = "a command that paints uses it"
        elif self.job is not None:
            use = f"job {self.job} uses it"
        elif self.living.entry is None:
            use = f"another data folder or computer has rented it; end it with: {typed('pods', 'end', pod.name)}"
        else:
            use = f"no job uses it; end it with: {typed('pods', 'end', pod.name)}"
        return f"{pod.name}  {self.words(rate)}; {use}"

    def words(self, rate: ExchangeRate) -> str:
        """What it is, and what it costs."""
        pod = self.living.pod
        price = "price not said" if pod.cost is None else f"{rate.shown(pod.cost)} an hour"
        return f"{pod.gpu or 'GPU not said'}, {price}, {pod.status.lower()}"


def costing_pods(root: Path, api: RentalApi | None = None) -> list[CostingPod]:
    """The pods of SameFace in the user's account that live, and cost.

    Args:
        root: the data folder.
        api: of the account; None = of the key that is kept.

    Raises:
        UserError: the provider cannot be asked.
    """
    used = pods_in_use.pods_in_use(root)
    return [CostingPod(one, used.get(one.pod.name)) for one in PodLedger(root).living(api or pod_terms.account(root))]


def end_pods(
    root: Path, name: str | None, patience: float = rented_pod.DELETING, api: RentalApi | None = None
) -> list[CostingPod]:
    """Delete a pod, or all of them, and wait until the provider confirms that they are gone.

    Args:
        root: the data folder.
        name: of the pod; None = all.
        patience: seconds to wait for each, after which an error says that it may still be there.
        api: see `costing_pods`.

    Returns:
        Those that were deleted.

    Raises:
        UserError: there is none of that name, or one may still be there.
    """
    api = api or pod_terms.account(root)
    living = costing_pods(root, api)
    ending = [one for one in living if name in (None, one.name)]
    if name is not None and not ending:
        there = ", ".join(one.name for one in living) or "none"
        raise UserError(
            f"There is no pod called {name[:80]!r} at {USUAL.title}; there is {there}.", code="pod-not-found"
        )
    ledger, failed = PodLedger(root), list[UserError]()
    for one in ending:
        try:
            ledger.end(api, one.living.pod, patience)
        except UserError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return ending
