"""Paints pictures on a GPU that is rented for them, and deleted afterwards.

It is rented when the first picture is asked for, within what the limits of the run leave. Whatever ends this process,
the pod ends too: by `PodPainter.close`, by its own watchdog soon after nobody asks any more, or by the next painter of
the data folder.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.pictures import Cell
from lib_lora.queue.job_types import Rental
from lib_lora.queue.runners import pod_terms, pods_in_use, remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.queue.runners.rented_pod import PodOrder, RentedPod
from lib_lora.remote import places
from lib_lora.remote.connection import Connection
from lib_lora.remote.renting import pod_rental, run_limits
from lib_lora.remote.renting.pod_ledger import Painted
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.place_painter import PlacePainter
from lib_lora.workspace.workspace import Workspace

_FORGOTTEN = 600.0  # seconds without a question after which the worker there ends; a pod costs while it waits
_ENDING = 660.0  # seconds before its end in which a pod's watchdog may have asked its worker to end
_TOGETHER = 0.5  # seconds between pictures that come together
_FEW = 4  # pictures that are too few to say how long one takes


@dataclass(frozen=True)
class PaintingRent:
    """What may be rented to paint.

    Attributes:
        rental: what the user allows; of the run's limits that is left which its pods have not used.
        asked: when the user said so, unix seconds.
        emit: for events: what it costs.
    """

    rental: Rental
    asked: float
    emit: Callable[..., None]


class PodPainter(PlacePainter):
    """See `PlacePainter`.

    Args:
        job: on the pod, once there is one.
        run, stopping: see `PlacePainter`.
        rent: what may be rented.
    """

    def __init__(self, job: RemoteJob, run: Run, stopping: Callable[[], bool], rent: PaintingRent) -> None:
        super().__init__(job, run, stopping)
        self.forgotten = _FORGOTTEN
        slug = run.character_folder.path.name
        need = partial(pod_terms.painting_need, run)
        self._rented_for = PodOrder(slug, run.file.id, rent.rental, rent.asked, need, keeps=False)
        self._pod = RentedPod(job, job.folder, lambda: self._rented_for, rent.emit)
        self._pod.kept = "The pictures received so far are kept; start it again to rent another one for the others."
        job.gone = self._pod.check
        self._paces = _Paces(run)

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """See `PlacePainter.paint`. At first a pod is rented.

        Raises:
            UserError: none is available, the limits of the run are used up, or it could not paint.
            StoppedByUser: see `PlacePainter.paint`.
        """
        self._paces.begin()

        def come(place: int, picture: Image.Image) -> None:
            memo = self._pod.memo
            if memo is not None and not memo.first:
                with suppress(UserError):
                    self._pod.note(first=time.time())
            self._paces.came(cells[place])
            if each:
                each(place, picture)

        try:
            return super().paint(cells, come)
        except UserError as error:
            if self._at_limit():
                raise UserError(
                    "The rented GPU has reached the limit of time or money of its run. The pictures received so far "
                    f"are kept; {run_limits.TO_PAINT_ON}",
                    code="painting-at-limit",
                ) from error
            raise

    def close(self) -> None:
        """End the worker on the pod, delete it, and write down what it has cost. Where it cannot be deleted now, its
        watchdog does that, and the next painter looks after it."""
        if self._pod.memo is None:
            super().close()
            return
        self._erased()
        if self._pod.give_back(self._paces.painted()):
            self._pod.forget()
            self._job.tidy()
        self._job.there.close()

    @property
    def bill(self) -> dict[str, Any] | None:
        """What the pod has cost, once it is deleted; None = nothing was rented, or it is not known."""
        return self._pod.bill

    def _begin(self) -> None:
        """Rent a pod, and do there what is done on any place."""
        root = self._job.workspace.root
        remote_job.own(self._job)
        pods_in_use.end_left(root, self._job.say)
        self._job.there = Connection(root, self._pod.reach(False))
        self._pod.let_in(False)
        super()._begin()

    def _waits(self) -> bool:
        """See `PlacePainter._waits`. At the limit of the run no other one is begun: its error says so."""
        return super()._waits() or self._at_limit()

    def _at_limit(self) -> bool:
        """Whether the pod has lived, or cost, about as much as it may."""
        memo = self._pod.memo
        if memo is None or not memo.id:
            return False
        hours, cap = self._pod.limits(memo)
        price = float(memo.hourly) * float(pod_rental.DEARER)
        longest = 3600 * (min(hours, cap / price) if price > 0 else hours)
        return time.time() - memo.since > longest - min(_ENDING, longest / 8)


class _Paces:
    """Measures how long pictures take that come one after the other.

    Args:
        run: whose they are.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seconds, self._pictures, self._steps = 0.0, 0, 0
        self._first = self._last = 0.0  # 0 = none of this plan came yet
        self._sides: set[int] = set()

    def begin(self) -> None:
        """Another plan begins: what was before its first picture tells nothing."""
        self._first = self._last = 0.0

    def came(self, cell: Cell) -> None:
        """A picture came; those that come with the first one were not waited for."""
        now = time.monotonic()
        self._sides.add(round((cell.width * cell.height) ** 0.5))
        self._first = self._first or now
        if now - self._first > _TOGETHER:
            self._seconds += now - self._last
            self._pictures += 1
            self._steps += cell.steps
        self._last = now

    def painted(self) -> Painted | None:
        """How long they took; None = they were too few to say."""
        if self._pictures < _FEW or not self._seconds:
            return None
        return Painted(self._run.model().family, min(self._sides), self._steps, round(self._seconds, 2))


def pod_painter(
    root: Path, run: Run, part: str, stopping: Callable[[], bool], say: Callable[[str], None], rent: PaintingRent
) -> PodPainter:
    """A painter on a pod that is rented for it.

    Args:
        root: the data folder.
        run, stopping: see `PlacePainter`.
        part: names what is painted, as ``job-7``: letters, digits and "-".
        say: is told what goes on, for the user.
        rent: what may be rented.
    """
    workspace = Workspace(root)
    part = f"{part}-{uuid.uuid4().hex[:8]}"  # what a killed painter of the same job has left stays apart
    key = remote_job.key_of(workspace, 0, f"-{part}")
    folder = workspace.remote_work(pods_in_use.PAINTING, part)
    return PodPainter(RemoteJob(workspace, key, Connection(root, places.RENTED), folder, say), run, stopping, rent)
