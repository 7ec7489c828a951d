"""Spreads one plan over several painters, each on a machine of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.pictures import Cell
from lib_lora.remote import places
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.place_painter import PlacePainter, painter_on
from lib_lora.workflows.judge.painting.pod_painter import PaintingRent, pod_painter

LEAST = 4  # pictures for which a painter is worth its start


class SplitPainter:
    """See `grid.cells.Painter`. What one of them could not paint is painted by the others.

    Args:
        painters: at least one; a painter that is never given anything to paint never starts.
        stop: makes all of them stop when it is set.
    """

    def __init__(self, painters: Sequence[PlacePainter], stop: threading.Event) -> None:
        self._painters, self._stop = list(painters), stop
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._painters)

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets them, one after the other, as they come.

        Raises:
            UserError: none of the painters could paint what is left.
            StoppedByUser: it was stopped.
        """
        pictures: dict[int, Image.Image] = {}
        failure: UserError | None = None

        def come(place: int, picture: Image.Image) -> None:
            with self._lock:
                if place not in pictures:  # one that failed may have sent it
                    pictures[place] = picture
                    if each:
                        each(place, picture)

        while self._painters and len(pictures) < len(cells):
            left = [place for place in range(len(cells)) if place not in pictures]
            for painter, error in self._paint_round(cells, shares(cells, left, len(self._painters)), come):
                failure = error
                self._painters.remove(painter)
                painter.close()
        if len(pictures) < len(cells):
            raise failure or UserError("There is nobody to paint.", code="painters-gone")
        return [pictures[place] for place in range(len(cells))]

    def _paint_round(
        self, cells: Sequence[Cell], parts: Sequence[Sequence[int]], come: Callable[[int, Image.Image], None]
    ) -> list[tuple[PlacePainter, UserError]]:
        """Let each painter paint its share; those that could not, and why."""

        painting = self._painters[: len(parts)]

        def work(painter: PlacePainter, part: Sequence[int]) -> UserError | None:
            try:
                painter.paint([cells[place] for place in part], lambda number, picture: come(part[number], picture))
                if not all(one.at_work for one in painting):
                    painter.close()  # another one may be waiting for its machine
            except UserError as error:
                return error
            except BaseException:  # stopped, or a fault of ours, which would be another one's too
                self._stop.set()
                raise
            return None

        with ThreadPoolExecutor(len(parts), "sameface-painter") as pool:
            tasks = [(painter, pool.submit(work, painter, part)) for painter, part in zip(painting, parts, strict=True)]
            try:
                return [(painter, error) for painter, task in tasks if (error := task.result())]
            except BaseException:  # Ctrl+C too
                self._stop.set()
                raise

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """See `PlacePainter.reconstruct`."""
        return self._painters[0].reconstruct(image) if self._painters else None

    def close(self) -> None:
        """Close all of them."""
        for painter in self._painters:
            with suppress(UserError, StoppedByUser):
                painter.close()


def shares(cells: Sequence[Cell], left: Sequence[int], painters: int) -> list[list[int]]:
    """Which painter paints which of the cells that are left: as many each, those of one LoRA and weight together.

    Args:
        cells: all of them.
        left: places of those that are still to be painted.
        painters: how many there are; fewer paint where there are fewer than `LEAST` cells for each.

    Returns:
        Their places, a list for each painter that paints.
    """
    together = sorted(left, key=lambda place: (str(cells[place].lora or ""), cells[place].weight, place))
    count = max(1, min(painters, len(left) // LEAST))
    ends = [len(left) * number // count for number in range(count + 1)]
    return [together[begin:end] for begin, end in pairwise(ends)]


def painters_on(
    root: Path,
    on: str,
    run: Run,
    part: str,
    stopping: Callable[[], bool],
    say: Callable[[str], None],
    rent: PaintingRent | None = None,
) -> PlacePainter | SplitPainter:
    """Who paints on a place: several, where it is a cluster that was said to have room for them.

    Args:
        root, on, run, part, stopping, say: see `place_painter.painter_on`.
        rent: where `on` is a provider of GPUs, what may be rented.

    Raises:
        UserError: there is no such place.
    """
    place = places.named(root, on)
    if place == places.RENTED:
        if rent is None:
            raise ValueError("nothing may be rented")
        return pod_painter(root, run, part, stopping, say, rent)
    count = place.ray.painters if place and place.ray else 1
    if count == 1:
        return painter_on(root, on, run, part, stopping, say)
    stop = threading.Event()

    def stops() -> bool:
        return stop.is_set() or stopping()

    return SplitPainter([painter_on(root, on, run, f"{part}-{n}", stops, say) for n in range(1, count + 1)], stop)
