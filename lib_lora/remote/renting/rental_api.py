"""Defines the interface of a provider that rents out GPUs: what it is asked, what it answers, and how it refuses.

A rented machine is called a pod, whichever provider it comes from. Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Literal, Protocol, cast

from lib_lora.errors import UserError
from lib_lora.remote.gpu_providers import GpuProvider

SECURE, COMMUNITY = "SECURE", "COMMUNITY"  # data centres that the provider has vetted; other people's machines
RUNNING, ERROR, EXITED, TERMINATED = "RUNNING", "ERROR", "EXITED", "TERMINATED"
POD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Refusal = Literal[
    "absent", "no key", "key", "forbidden", "no money", "busy", "unreachable", "request", "status", "other"
]


class RentalRefused(UserError):
    """A provider refuses, or cannot be asked.

    Attributes:
        refusal: why, whoever the provider is: "absent" (there is no such pod), "no key" (the user has given none),
            "key" (it is not accepted), "forbidden" (not this GPU), "no money", "busy" (asked too often), "unreachable",
            "request" (not understood), "status" (whatever else it says), or "other".
    """

    def __init__(
        self, sentence: str, field: str = "", *, code: str, refusal: Refusal = "other", **parameters: object
    ) -> None:
        super().__init__(sentence, field, code=code, **parameters)
        self.refusal = refusal


class NoCapacity(RentalRefused):
    """This GPU cannot be had now; another may.

    Attributes:
        certain: no pod was made. Else the answer to an earlier try was lost, and one may still turn up.
    """

    certain = True


@dataclass(frozen=True)
class DataCenterStock:
    """How many of a GPU a data centre has.

    Attributes:
        id: such as ``EU-RO-1``.
        availability: NONE, LOW, MEDIUM or HIGH; empty = not said.
    """

    id: str
    availability: str = ""


@dataclass(frozen=True)
class GpuType:
    """A GPU that a provider rents out.

    Attributes:
        id: for a request.
        name: for people.
        memory: GB.
        prices: USD an hour for one, by cloud; a cloud that does not have it is left out.
        most: that one pod may have, by cloud.
        availability: in all data centres together; see `DataCenterStock`.
        data_centers: that have it.
        cuda_versions: of machines that are free now; empty = not said.
        disk_monthly: USD a GB of a running pod's disk.
    """

    id: str
    name: str
    memory: int
    prices: Mapping[str, Decimal]
    most: Mapping[str, int]
    availability: str = ""
    data_centers: tuple[DataCenterStock, ...] = ()
    cuda_versions: tuple[str, ...] = ()
    disk_monthly: Decimal = Decimal(0)


@dataclass(frozen=True)
class SshEndpoint:
    """Where a pod's SSH server listens."""

    host: str
    port: int
    user: str


@dataclass(frozen=True)
class Pod:
    """A rented machine.

    Attributes:
        id: the provider's.
        name: that it was given.
        status: PROVISIONING, STARTING, RUNNING, EXITED, ERROR, TERMINATED, or one that is not known yet.
        cost: USD an hour now; None = not said.
        ssh: where it can be reached; None = not yet.
        gpu, count, cloud, data_center: what it is and where; empty and 0 = not said.
    """

    id: str
    name: str
    status: str
    cost: Decimal | None = None
    ssh: SshEndpoint | None = None
    gpu: str = ""
    count: int = 0
    cloud: str = ""
    data_center: str = ""


@dataclass(frozen=True)
class PodBill:
    """What a pod has cost so far, in USD. A provider may add to a bill every few minutes only.

    Attributes:
        total: all of it.
        gpu, disk: parts of it.
    """

    total: Decimal
    gpu: Decimal = Decimal(0)
    disk: Decimal = Decimal(0)


@dataclass(frozen=True)
class PodLife:
    """How long a pod may live; what watches there over it holds to that, whatever becomes of this computer.

    Attributes:
        seconds: that it may live.
        price: USD an hour that it may cost.
        cap: USD that it may cost.
        silent, fetched, unfetched: seconds; see `runpod.pod_watchdog.Limits`.
        created: unix time at which it was asked for, by the provider's clock.
        folder: of the agent there.
        start: the program that starts the SSH server of its image; empty = as usual in the provider's image.
    """

    seconds: float
    price: float
    cap: float
    silent: float
    fetched: float
    unfetched: float
    created: float
    folder: str
    start: tuple[str, ...] = ()


@dataclass(frozen=True)
class PodWish:
    """What SameFace asks a provider.

    Attributes:
        name: unique, so that the pod is found again if the answer is lost.
        gpu: the id of its GPU.
        count: of GPUs.
        cloud: SECURE or COMMUNITY.
        data_centers: where it may be; empty = anywhere.
        disk: GB.
        public_key: that is let in; a line as OpenSSH writes it.
        life: how long it may live.
        image: of its container; empty = the provider's usual one.
        min_cuda: the oldest CUDA that its driver may have, such as "12.8"; empty = what the usual image needs.
    """

    name: str
    gpu: str
    count: int
    cloud: str
    data_centers: tuple[str, ...]
    disk: int
    public_key: str
    life: PodLife
    image: str = ""
    min_cuda: str = ""


class RentalApi(Protocol):
    """An account at a provider. Every call raises `RentalRefused` where it refuses, or cannot be asked.

    Attributes:
        title: the provider's name, as people write it.
        min_cuda: that its usual image needs, see `PodWish`.
    """

    title: str
    min_cuda: str

    @property
    def time(self) -> float:
        """Unix time by its clock, since this computer's may be wrong."""
        ...

    def hurried(self) -> RentalApi:
        """The same account, asked once and for seconds only: somebody looks at a page meanwhile."""
        ...

    def gpus(self, cloud: str = SECURE, count: int = 1, min_cuda: str = "") -> list[GpuType]:
        """What it lets."""
        ...

    def rent(self, wish: PodWish) -> Pod:
        """Rent a pod that ends by itself (`PodLife`).

        Raises:
            NoCapacity: that GPU cannot be had now.
            RentalRefused: nothing was rented, or, where the refusal is "other", that is not known.
        """
        ...

    def pod(self, identifier: str) -> Pod:
        """A pod by its id; "absent" where there is none."""
        ...

    def pods(self) -> list[Pod]:
        """All pods of the account."""
        ...

    def delete_pod(self, identifier: str) -> None:
        """Delete a pod with all that is on it; it is no error where it is already gone."""
        ...

    def terminate_pod(self, identifier: str) -> None:
        """Like `delete_pod`, but in another way, where the provider has one."""
        ...

    def bill(self, identifier: str) -> PodBill:
        """What a pod has cost so far."""
        ...


def account_at(provider: GpuProvider, key: str) -> RentalApi:
    """The account of an API key at a provider.

    Raises:
        UserError: that can be none.
    """
    module, name = provider.client
    make = cast("Callable[[str], RentalApi]", getattr(import_module(module), name))
    return make(key)
