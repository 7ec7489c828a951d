"""Writes checkpoints and full states to disk, in a thread beside the training where that gains time.

For a GPU a LoRA of Stable Diffusion 1.5 and its state mean a second or more of hashing and writing, ten times a run;
so all numbers are copied, and a thread writes them while the next steps are done. On a CPU the thread would take the
cores, and the copy the memory, that training needs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from lib_lora.errors import UserError
from lib_lora.lora.file.tensors import NothingLearnedError
from lib_lora.models.fast.memory import free_bytes
from lib_lora.training import state as states
from lib_lora.training.export import write_checkpoint
from lib_lora.training.session import Emit, Session

_COPIES = 20  # times the adapter: LoRA, adapter, two or more of the optimizer, and all of the state again as a file


def worth_a_thread(device: torch.device) -> bool:
    """Whether training on `device` leaves the processor idle enough to write meanwhile."""
    return device.type != "cpu"


class Saver:
    """Writes what a step leaves, one step after the other; at the end of the block all that was taken is written.

    Events about it are emitted, and errors raised, by its methods alone, in the thread that calls them.

    Args:
        session: what is trained.
        emit: called as ``emit(kind, **fields)``.
    """

    def __init__(self, session: Session, emit: Emit) -> None:
        self.session, self.emit = session, emit
        self._pool = ThreadPoolExecutor(1, "saving")
        self._going: Future[None] | None = None
        self._heard: list[dict[str, Any]] = []  # events of the thread
        self.useless: list[Path] = []  # states that the next one replaces

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()  # whatever ends the training, what was being written is worth having
        try:
            self.settle()
        except Exception as lost:
            if error is None:
                raise
            self.emit("warning", code="save-failed", text=str(lost))  # beside what ends the training

    def take(self, step: int, loss_average: float | None) -> None:
        """Save the checkpoint and the state as they are now, after `step` steps.

        Raises:
            UserError: the file could not be written. If only the last save failed, that is a warning.
        """
        lost = None
        try:
            self.settle()
        except Exception as error:  # this step must be saved all the more
            lost = error
        if lost is None and self._aside():
            left = [self.session.exported(), states.copied(self._state(step, loss_average))]
            self._going = self._pool.submit(self._write_aside, step, left)
            return
        self._write_lora(step, self.session.exported(), lambda event: self.emit(**event))
        self._write_state(self._state(step, loss_average))
        if lost is not None:
            self.emit("warning", code="save-failed", text=f"{lost} Step {step} was saved.")

    def failed(self) -> bool:
        """Whether the last save has failed by now; if it has ended well, its events are emitted."""
        if self._going is None or not self._going.done():
            return False
        if self._going.exception() is not None:
            return True
        self.settle()
        return False

    def settle(self) -> None:
        """Wait until the last save is written.

        Raises:
            UserError: its file could not be written.
        """
        going = self._going
        if going is None:
            return
        error = going.exception()  # waits
        self._going = None
        heard, self._heard = self._heard, []
        for event in heard:
            self.emit(**event)
        if error is not None:
            raise error

    def _aside(self) -> bool:
        """Whether to use the thread now: what it is given takes memory until it is written."""
        adapter = sum(parameter.nbytes for parameter in self.session.parameters)
        cpu = torch.device("cpu")
        return worth_a_thread(self.session.device) and free_bytes(cpu) > _COPIES * adapter

    def _state(self, step: int, loss_average: float | None) -> states.State:
        session, scaler = self.session, self.session.accelerator.scaler
        return states.State(
            step=step,
            adapter=session.adapter.state(),
            optimizer=session.optimizer.state_dict(),
            ema=session.ema.state_dict() if session.ema else None,
            scaler=scaler.state_dict() if scaler else None,
            loss_average=loss_average,
        )

    def _write_aside(self, step: int, left: list[Any]) -> None:
        """Write the two that `left` holds, and let go of each as soon as that is done."""
        try:
            self._write_lora(step, left.pop(0), self._heard.append)
            self._write_state(left.pop(0))
        except UserError as error:  # its traceback would keep all those numbers
            raise error.with_traceback(None) from None

    def _write_lora(self, step: int, tensors: dict[str, torch.Tensor], tell: Callable[[dict[str, Any]], None]) -> None:
        try:
            path = write_checkpoint(self.session, step, tensors)
            tell({"kind": "checkpoint", "step": step, "file": path.name})
        except NothingLearnedError as error:
            if step == self.session.total:
                raise
            tell({"kind": "warning", "code": error.code, "text": f"Step {step}: no checkpoint yet. {error}"})

    def _write_state(self, state: states.State) -> None:
        states.save(self.session.run.states, state, self.session.run.file.settings.keep_states, self.useless)
        self.useless = []
