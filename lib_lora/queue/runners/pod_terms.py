"""Knows on what terms pods are rented for a run: the user's account, what its limits leave, the GPU that it needs.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lib_lora.errors import typed
from lib_lora.queue.job_types import Rental
from lib_lora.remote import api_key_store
from lib_lora.remote.gpu_providers import USUAL, GpuProvider
from lib_lora.remote.renting import money, run_limits
from lib_lora.remote.renting.gpu_offers import GpuWishes
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.renting.rental_api import RentalApi, RentalRefused, account_at
from lib_lora.remote.renting.run_limits import LeftToRent
from lib_lora.remote.renting.user_currency import rate_of
from lib_lora.training.plan.memory_fitting import GpuNeed, gpu_need, painting_memory
from lib_lora.training.plan.presets import asked_beside
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import Workspace


def account(root: Path, provider: GpuProvider = USUAL) -> RentalApi:
    """The user's account at a provider of GPUs.

    Args:
        root: the data folder.
        provider: which.

    Raises:
        UserError: there is no API key for it.
    """
    key = api_key_store.load(root, provider.name)
    if key is None:
        raise RentalRefused(
            f"There is no {provider.title} API key; create one in its console under Settings, then run: "
            f"{typed('key', 'set', provider.name)}",
            code="runpod-key-missing",
            refusal="no key",
        )
    return account_at(provider, key)


def terms_of(rental: Rental, public_key: str = "") -> RentTerms:
    """The terms on which a pod is rented.

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


def left_for(
    root: Path,
    slug: str,
    run: str,
    rental: Rental,
    queued: float,
    painting: bool = False,
    so_far: bool = False,
) -> LeftToRent:
    """What may still be rented for a run.

    Args:
        root: the data folder.
        slug: folder of its character.
        run: its identifier.
        rental: what the job allows.
        queued: when the job was queued, unix seconds.
        painting: it is for pictures, not for the training.
        so_far: see `run_limits.left_of`.

    Raises:
        UserError: there is no such run, or its file cannot be read.
    """
    ledger, given = PodLedger(root), queued if rental.anew else None
    made = _made_at(load_run(Workspace(root).character_at(slug).run(run).path))
    limits = run_limits.limits_of(ledger, f"{slug}/{run}", money.exact(rental.cap), rental.hours, given, made=made)
    return replace(run_limits.left_of(ledger, limits, so_far=so_far), painting=painting)


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
    """Like `need_of`.

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


def painting_need(run: Run) -> GpuNeed | None:
    """How large a GPU must be to paint a run's pictures; None = not known, as with a small model for tests.

    Raises:
        UserError: its base model is gone, or none.
    """
    model = run.model()
    return None if model.narrow else painting_memory(model.family, run.file.settings)
