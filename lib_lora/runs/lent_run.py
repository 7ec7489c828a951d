"""Notes in a run's folder that another machine is at work on it, so that nobody else trains it meanwhile.

Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from lib_lora import typed_settings
from lib_lora.errors import UserError, typed
from lib_lora.files import read_json, write_json
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import USUAL
from lib_lora.remote.renting.pod_ledger import PREFIX
from lib_lora.workspace.workspace import RunFolder


@dataclass(frozen=True)
class Loan:
    """Where a run is trained.

    Attributes:
        place: name of the machine (`remote.places`).
        where: its address and the folder there; the name may be given to another machine later.
        key: of the job there.
        job: its number here.
        step: the last step that was saved when it was sent there; -1 = none.
    """

    place: str
    where: str
    key: str
    job: int
    step: int = -1


def lend(folder: Path, loan: Loan) -> None:
    """Note it, before anything is started there."""
    write_json(RunFolder(folder).loan, asdict(loan))


def loan_of(folder: Path) -> Loan | None:
    """Where a run is trained; None = nowhere else.

    Raises:
        UserError: the note is damaged.
    """
    path = RunFolder(folder).loan
    return typed_settings.from_dict(Loan, read_json(path), str(path)) if path.is_file() else None


def returned(folder: Path) -> None:
    """Note that all of it is here again."""
    RunFolder(folder).loan.unlink(missing_ok=True)


def see_that_it_is_here(folder: Path) -> None:
    """
    Raises:
        UserError: another machine is at work on the run, or has what it made of it.
    """
    if loan := loan_of(folder):
        on = (
            USUAL.name
            if loan.place.startswith(PREFIX)
            else f"{places.RAY if places.is_ray_address(loan.where) else places.SSH}{loan.place}"
        )
        again = typed("resume", str(folder), "--on", on)
        raise UserError(
            f"{loan.place} is working on {folder}, or still has its results; stop or resume job {loan.job}, or type "
            f"{again}. If that machine is gone for good, delete {RunFolder(folder).loan}.",
            code="run-elsewhere",
            folder=folder,
            place=loan.place,
        )
