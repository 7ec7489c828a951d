"""Checkpoints and full states on their way to the disk, beside the training where that gains something.

For a GPU a LoRA of Stable Diffusion 1.5 and its state mean a second or more of hashing and writing, ten times a run;
so all numbers are copied, and a thread writes them while the next steps are done. On a CPU the thread would take the
cores, and the copy the memory, that training needs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch

from lib_lora.lora.file import NothingLearnedError
from lib_lora.training import state as states
from lib_lora.training.export import write_checkpoint
from lib_lora.training.session import Emit, Session


def worth_a_thread(device: torch.device) -> bool:
    """Whether training on `device` leaves the processor idle enough to write meanwhile."""
    return device.type != "cpu"


class Saver:
    """Writes what a step leaves, one step after the other; at the end of the block all that was taken is written.

    Events about it are emitted, and errors raised, by `take` and `settle` alone, in the thread that calls them.

    Args:
        session: what is trained.
        emit: called as ``emit(kind, **fields)``.
    """

    def __init__(self, session: Session, emit: Emit) -> None:
        self.session, self.emit = session, emit
        self.aside = worth_a_thread(session.device)
        self._pool = ThreadPoolExecutor(1, "saving")
        self._going: Future[None] | None = None
        self._heard: list[dict[str, Any]] = []  # events of the thread

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()  # whatever ends the training, what was being written is worth having

    def take(self, step: int, loss_average: float | None) -> None:
        """Save the checkpoint and the state as they are now, after `step` steps.

        Raises:
            UserError: the file of this or of the last save could not be written.
        """
        self.settle()
        session, scaler = self.session, self.session.accelerator.scaler
        tensors = session.exported()
        state = states.State(
            step=step,
            adapter=session.adapter.state(),
            optimizer=session.optimizer.state_dict(),
            ema=session.ema.state_dict() if session.ema else None,
            scaler=scaler.state_dict() if scaler else None,
            loss_average=loss_average,
        )
        if self.aside:
            self._going = self._pool.submit(self._write, tensors, states.copied(state), self._heard.append)
        else:
            self._write(tensors, state, lambda event: self.emit(**event))

    def settle(self, wait: bool = True) -> None:
        """See what became of the last save.

        Args:
            wait: until it is written; else nothing happens while it is not.

        Raises:
            UserError: its file could not be written.
        """
        going = self._going
        if going is None or not (wait or going.done()):
            return
        self._going = None
        error = going.exception()  # waits
        for event in self._heard:
            self.emit(**event)
        self._heard.clear()
        if error:
            raise error

    def _write(
        self, tensors: dict[str, torch.Tensor], state: states.State, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        session, step = self.session, state.step
        try:
            path = write_checkpoint(session, step, tensors)
            tell({"kind": "checkpoint", "step": step, "file": path.name})
        except NothingLearnedError as error:
            if step == session.total:
                raise
            tell({"kind": "warning", "text": f"Step {step}: no checkpoint yet. {error}"})
        states.save(session.run.states, state, session.run.file.settings.keep_states)
