"""Chooses among the GPUs that a provider offers: which are suitable, what each costs an hour, which to try first.

Pure: the catalogue is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from lib_lora.errors import UserError
from lib_lora.remote.renting import money
from lib_lora.remote.renting.money import ExchangeRate
from lib_lora.remote.renting.rental_api import SECURE, GpuType

NONE = "NONE"
EUROPE = "EU"
_ALSO = {EUROPE: ("EUR",)}  # RunPod's names of data centres in Europe begin with EU- or EUR-
_STOCK = {"HIGH": 0, "MEDIUM": 1, "LOW": 2, "": 3}
STOCK_WORDS = {"HIGH": "many are free", "MEDIUM": "some are free", "LOW": "few are free", NONE: "none is free"}


@dataclass(frozen=True)
class GpuWishes:
    """What a GPU must be.

    Attributes:
        memory: GB that one must have at least.
        dearest: USD an hour that the whole pod may cost; None = any price.
        cloud: SECURE, or COMMUNITY for other people's machines.
        regions: beginnings of data centres' names, such as EU or EU-RO-1; empty = anywhere.
        order: GPUs by id or name, the one wanted most first, and no other; empty = all, the cheapest first.
        count: of GPUs.
        disk: GB of the pod.
    """

    memory: float = 0.0
    dearest: Decimal | None = None
    cloud: str = SECURE
    regions: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    count: int = 1
    disk: int = 40


@dataclass(frozen=True)
class GpuOffer:
    """A GPU that will do.

    Attributes:
        gpu: what the provider says of it.
        hourly: USD of the whole pod, with its disk.
        data_centers: where it may be, the best stocked first; empty = anywhere.
    """

    gpu: GpuType
    hourly: Decimal
    data_centers: tuple[str, ...] = ()


def offers(catalog: Iterable[GpuType], wishes: GpuWishes, at: str) -> list[GpuOffer]:
    """The GPUs that will do, in the order in which they are to be tried.

    Args:
        catalog: what a provider offers.
        wishes: what it must be.
        at: the provider, as people write it.

    Raises:
        UserError: none will; the sentence says what most of them lack.
    """
    found, lacks = [], []
    for gpu in catalog:
        lack = _lack(gpu, wishes)
        if lack:
            lacks.append(lack)
        else:
            hourly = money.hourly(gpu.prices[wishes.cloud], wishes.count, wishes.disk, gpu.disk_monthly)
            found.append(GpuOffer(gpu, hourly, _data_centers(gpu, wishes.regions)))
    if not found:
        why = max(lacks, key=lambda lack: (_CLOSENESS.index(lack), lacks.count(lack))) if lacks else f"{at} lets none"
        if why == _MEMORY:
            why = f"none has the {wishes.memory:g} GB of memory that are needed"
        raise UserError(f"No GPU at {at} will do now: {why}.", code="rent-no-gpu-fits", why=why)
    if wishes.order:
        return sorted(found, key=lambda offer: place_in(wishes.order, offer.gpu))
    return sorted(found, key=lambda offer: (offer.hourly, _STOCK.get(offer.gpu.availability, 3), offer.gpu.id))


def affordable(
    found: Sequence[GpuOffer], hours: float, cap: Decimal, rate: ExchangeRate = money.USD_ITSELF
) -> list[GpuOffer]:
    """The offers that cannot cost more than they may.

    Args:
        found: offers in their order.
        hours: that a pod may live.
        cap: USD that it may cost.
        rate: in which money is spoken of.

    Raises:
        UserError: each can.
    """
    fit = [offer for offer in found if offer.hourly * money.exact(hours) <= cap]
    if not fit:
        money.check_cap(min(offer.hourly for offer in found), hours, cap, rate)
    return fit


_LISTED, _CLOUD, _MEMORY, _COUNT, _PRICE, _REGION, _STOCKED = _CLOSENESS = (  # the last is nearest to what is wished
    "none of those listed is let there",
    "this kind of cloud has none",
    "none has enough memory",
    "none comes in that number",
    "each costs more than is allowed",
    "none is free in these regions",
    "those that would do are all taken",
)


def _lack(gpu: GpuType, wishes: GpuWishes) -> str:
    """Why a GPU will not do; empty = it will."""
    price = gpu.prices.get(wishes.cloud)
    dear = wishes.dearest
    if wishes.order and place_in(wishes.order, gpu) >= len(wishes.order):
        return _LISTED
    if price is None:
        return _CLOUD
    if gpu.memory < wishes.memory:
        return _MEMORY
    if gpu.most.get(wishes.cloud, 1) < wishes.count:
        return _COUNT
    if dear is not None and money.hourly(price, wishes.count, wishes.disk, gpu.disk_monthly) > dear:
        return _PRICE
    if gpu.availability == NONE:
        return _STOCKED
    if wishes.regions and not _data_centers(gpu, wishes.regions):
        return _REGION
    return ""


def _data_centers(gpu: GpuType, regions: Sequence[str]) -> tuple[str, ...]:
    """Where a GPU is free in some regions; nothing where any place will do."""
    if not regions:
        return ()
    there = [one for one in gpu.data_centers if one.availability != NONE and lies_in(one.id, regions)]
    return tuple(one.id for one in sorted(there, key=lambda one: _STOCK.get(one.availability, 3)))


def lies_in(data_center: str, regions: Sequence[str]) -> bool:
    """Whether a data centre lies in one of the regions.

    >>> lies_in("EUR-IS-1", ["EU"]), lies_in("EU-RO-1", ["EU-RO-1"]), lies_in("US-KS-2", ["EU"])
    (True, True, False)
    """
    beginnings = [one for region in regions for one in (region.upper(), *_ALSO.get(region.upper(), ()))]
    return any(data_center == one or data_center.startswith(f"{one}-") for one in beginnings)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def place_in(order: Sequence[str], gpu: GpuType) -> int:
    """Where a GPU stands in a list of ids and names; its length where it does not."""
    names = (_plain(gpu.id), _plain(gpu.name))
    return next((place for place, one in enumerate(order) if _plain(one) in names), len(order))
