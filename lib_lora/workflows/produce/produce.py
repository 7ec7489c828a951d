"""Paints a production: each picture is judged while the next ones are painted, and painted again where it fails.

Where the painter computes on this machine's processor, painting waits for the judging instead: side by side their
threads take the cores from each other, and both wait, which takes longer than one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.grid.cells import Painter
from lib_lora.pictures import Cell, save_picture
from lib_lora.workflows.produce.picture_check import Checked
from lib_lora.workflows.produce.production import PaintedTry, Progress, cell_of, file_name, plain
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.lora_tags import LoraTags
from lib_lora.workflows.produce.prompts.wildcards import Wildcards

TOGETHER = 8  # pictures that a painter is asked for at once
Check = Callable[[Path], Checked]
_Try = tuple[int, int]  # item and attempt


@dataclass(frozen=True)
class Producer:
    """Paints and judges what of a production is not there yet.

    Attributes:
        folder: of the production.
        lora: its checkpoint.
        painter: gives who paints; asked only where something has to be painted.
        check: gives who judges; asked only where something has to be judged.
        wildcards: fills the prompts.
        tags: take further LoRAs out of them; None = the painter does that.
        emit: gets ``production`` events with done, total, painted, kept and failed.
        stopping: asked after each picture; true = end as soon as what is painted is judged.
        together: pictures that the painter is asked for at once.
        in_turn: whether the painter waits while a picture is judged; asked once the painter is there.
    """

    folder: ProductionFolder
    lora: Path
    painter: Callable[[], Painter]
    check: Callable[[], Check]
    wildcards: Wildcards
    emit: Callable[..., None]
    stopping: Callable[[], bool] = lambda: False
    together: int = TOGETHER
    tags: LoraTags | None = None
    in_turn: Callable[[], bool] = lambda: False

    def run(self) -> Progress:
        """Do it; what has become of the production.

        Raises:
            UserError: the painter or the disk fails; what is there is kept.
            StoppedByUser: `stopping` said so.
        """
        line = _Line(self)
        if not line.left and not line.todo:
            return line.progress
        # both are asked for before the first picture, so that whatever is wrong with models or photos is said at once
        check, painter = self.check(), self.painter() if line.todo else None
        with ThreadPoolExecutor(1, "sameface-judge") as judge:
            line.begin(judge, check)
            try:
                while line.settle():
                    painter = painter or self.painter()
                    line.paint(painter)
            finally:
                line.finish()
        return line.progress


class _Line:
    """The tries of a production on their way: still to be painted (`todo`), painted and not judged yet (`left`).

    All but `_judged` runs in one thread.
    """

    def __init__(self, producer: Producer) -> None:
        self._asked = producer
        self._decided = producer.folder.decisions_mark()
        self.progress = producer.folder.progress()
        self.left = producer.folder.unjudged(self.progress)
        self.todo = deque(self._next_ones({item for item, _ in self.left}))
        self._waiting: deque[tuple[int, Future[PaintedTry]]] = deque()  # with their items
        self._kept, self._failed = self.progress.done, len(self.progress.given_up())
        self._painted = self.progress.painted
        self._report()

    def begin(self, judge: ThreadPoolExecutor, check: Check) -> None:
        """From now on `judge` judges, by `check`; first what an earlier program has painted and not judged."""
        self._judge, self._check = judge, check
        for one in self.left:
            self._hand_over(one, self._cell(one))

    def settle(self) -> bool:
        """Note what is judged by now, and put what has failed before what is new; where nothing else is to be done,
        wait for all of it. Whether something is to be painted."""
        while self._waiting and (not self.todo or self._waiting[0][1].done()):
            self._note_judged()
        self._take_decisions()
        return bool(self.todo)

    def _take_decisions(self) -> None:
        """What the user has decided meanwhile counts at once: for what is kept, and for what is painted next."""
        mark = self._asked.folder.decisions_mark()
        if mark == self._decided:
            return
        with suppress(UserError):  # another program holds the file; the next batch looks again
            self.progress.decisions = self._asked.folder.decisions()
            self._decided = mark
            self.todo = deque(self._next_ones({item for item, _ in self._waiting}))
            self._kept, self._failed = self.progress.done, len(self.progress.given_up())
            self._report()

    def paint(self, painter: Painter) -> None:
        """Paint the next few."""
        batch = [self.todo.popleft() for _ in range(min(self._asked.together, len(self.todo)))]
        cells = [self._cell(one) for one in batch]
        in_turn = self._asked.in_turn()

        def each(number: int, picture: Image.Image) -> None:
            one, cell = batch[number], cells[number]
            path = self._asked.folder.pictures / file_name(*one)
            save_picture(path, picture, cell, str(picture.info.get("parameters", "")))
            self._hand_over(one, cell)
            if in_turn:
                wait([self._waiting[-1][1]])
            if self._asked.stopping():
                raise StoppedByUser("Stopped; finished pictures are kept.", code="painting-stopped")

        painter.paint(cells, each)

    def finish(self) -> None:
        """Note what is painted, whatever has ended it."""
        while self._waiting:
            self._note_judged()

    def _next_ones(self, without: set[int]) -> Sequence[_Try]:
        """The next try of each item that needs one; those that were tried before first."""
        found = [
            (item, attempt)
            for item in range(1, self.progress.plan.count + 1)
            if item not in without and (attempt := self.progress.next_attempt(item))
        ]
        return sorted(found, key=lambda one: (one[1] == 1, one[0]))

    def _cell(self, one: _Try) -> Cell:
        asked = self._asked
        return cell_of(self.progress.plan, *one, asked.lora, asked.wildcards, asked.tags)

    def _hand_over(self, one: _Try, cell: Cell) -> None:
        self._waiting.append((one[0], self._judge.submit(self._judged, one, cell)))

    def _judged(self, one: _Try, cell: Cell) -> PaintedTry:
        """A picture with what was found of it; runs beside the painting."""
        name = file_name(*one)
        found = self._check(self._asked.folder.pictures / name)
        score = found.score
        return PaintedTry(
            item=one[0],
            attempt=one[1],
            file=name,
            seed=cell.seed,
            prompt=cell.prompt,
            kept=not found.reason,
            reason=found.reason,
            likeness=plain(score.likeness),
            face_px=score.face.px if score.face else None,
            hash="" if found.hash is None else f"{found.hash:016x}",
            nearest=score.nearest,
            said=str(found.said),
        )

    def _note_judged(self) -> None:
        """Note the next picture once it is judged, and with it those that follow and are judged by now: the disk is
        waited for once."""
        judged = [self._waiting.popleft()[1].result()]
        while self._waiting and (next_one := self._waiting[0][1]).done() and not next_one.exception():
            judged.append(next_one.result())
            self._waiting.popleft()
        self._asked.folder.note(*judged)
        for one in judged:
            self._count(one)

    def _count(self, one: PaintedTry) -> None:
        self.progress.note(one)
        self._painted += 1
        attempt = self.progress.next_attempt(one.item)
        if attempt:
            self.todo.appendleft((one.item, attempt))
        kept = [other for other in self.progress.tried[one.item] if self.progress.is_kept(other)]
        self._kept += kept == [one]  # the user may have kept an earlier one meanwhile
        self._failed += not kept and not attempt
        self._report(one)

    def _report(self, one: PaintedTry | None = None) -> None:
        more = {"file": one.file, "ok": one.kept, "reason": one.reason, "likeness": one.likeness} if one else {}
        self._asked.emit(
            "production",
            done=self._kept + self._failed,
            total=self.progress.plan.count,
            painted=self._painted,
            kept=self._kept,
            failed=self._failed,
            folder=str(self._asked.folder.path),
            **more,
        )
