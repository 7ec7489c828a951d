"""Runs the training loop, and nothing else: step, report, save, stop.

Reads from top to bottom: `train` opens the session, goes on from the last state if there is one, and
runs `_Loop.step` until the end. Everything random is a function of seed and step, so a run that was
killed and resumed ends with the same tensors as one that was not.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import torch

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.lora.file.integrity import is_whole
from lib_lora.models.fast.memory import freed_is_kept, is_out_of_memory, peak_bytes, spilled
from lib_lora.training import distributed
from lib_lora.training import state as states
from lib_lora.training.data.batches import batch_for_step
from lib_lora.training.objective.lr import restarted_lr_factor
from lib_lora.training.objective.randomness import python_random
from lib_lora.training.plan.checkpoint_test import CheckpointTest, EarlyStop
from lib_lora.training.plan.memory_fitting import lower
from lib_lora.training.plan.run_file import Run, altered, load_run, save_run, saved_steps
from lib_lora.training.samples import Samples
from lib_lora.training.saving import Saver
from lib_lora.training.session import Emit, Session, class_and_instance_keys, open_session
from lib_lora.training.stopping import StopRequest

PROBE_TIMESTEPS = (200, 600)
PROBE_ITEMS = 4
MAX_SKIPPED = 25  # fp16 steps in a row without a usable gradient: the run is lost


def train(run: Run, emit: Emit, test: CheckpointTest | None = None) -> Path:
    """Train a run to its end, from its last saved state if it has one.

    Args:
        run: from `create_run` or `load_run`.
        emit: called as ``emit(kind, **fields)``, in every process; one that is not the main one may ignore it.
        test: what is painted and measured while it trains; None = only what the settings ask for is painted.

    Returns:
        The LoRA file of the last step.

    Raises:
        UserError: something the user can mend; the last good checkpoint is kept.
        StoppedByUser: Ctrl+C, SIGTERM or the stop file; everything is saved.
    """
    at = _Position()
    try:
        with StopRequest(run.folder) as stop:
            session = open_session(run, emit, words=test.words() if test else ())
            loop = _Loop(session, emit if session.accelerator.is_main_process else _silent, at, test)
            loop.restore()
            with loop.saver:
                return loop.run(stop)
    except UserError as error:
        emit("error", code=error.code, text=str(error), step=at.step)
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        text = (
            f"Out of memory at step {at.step}; what was saved is kept in {run.checkpoints}. "
            "Use batch_size 1, gradient_checkpointing true or a smaller resolution, and start again."
        )
        emit("error", code="out-of-memory", text=text, step=at.step)
        raise UserError(text, code="out-of-memory", step=at.step) from error


def rehearse(session: Session, steps: Iterable[int], each: Callable[[int], None]) -> list[float]:
    """Do some steps of a run without saving anything, to know what they cost.

    Args:
        session: of the run.
        steps: which, counted from 0.
        each: gets the number of steps done.

    Returns:
        The seconds of each step.

    Raises:
        UserError: the loss or the gradient is no longer a number.
    """
    loop = _Loop(session, _silent, _Position())
    loop.encode_all()  # once for all steps, so it does not count
    if session.preservation:
        session.preservation.paint = None  # nor does this; a photo in its place takes as long
    seconds = []
    with freed_is_kept(session.device):
        for number in steps:
            loop.at.step = number
            began = time.perf_counter()
            loop.step()
            seconds.append(time.perf_counter() - began)
            each(len(seconds))
    return seconds


def _note_end(run: Run, ended: int, best: int) -> None:
    """Note the end in the run's file as it is now, which somebody may have edited while it trained."""
    file = load_run(run.folder).file
    save_run(replace(run, file=replace(file, ended=ended, best_step=best)))


class _Position:
    step = 0


def _silent(kind: str, **fields: object) -> None:
    """Ignore the message, in all processes but the main one."""


class _Loop:
    def __init__(self, session: Session, emit: Emit, at: _Position, test: CheckpointTest | None = None) -> None:
        self.session, self.emit, self.at = session, emit, at
        self.train = session.run.file.settings
        self.own, self.prior = class_and_instance_keys(session.items)
        self.every = self.train.checkpoint_interval(session.total)
        self.average: float | None = None
        self.seconds: deque[float] = deque(maxlen=20)
        self.skipped = 0
        self.spilled = False
        self.samples = Samples(session, emit, test)
        self.saver = Saver(session, emit)

    def restore(self) -> None:
        """Go on from the newest state, if there is one."""
        session = self.session
        if session.accelerator.is_main_process:
            for left in session.run.folder.rglob("*.tmp"):  # half-written by a process that was killed
                with suppress(OSError):
                    left.unlink()
        found = self._newest()
        if found is None:
            return
        session.adapter.load_state(found.adapter)
        session.optimizer.load_state_dict(found.optimizer)
        if session.ema and found.ema:
            session.ema.load_state_dict(found.ema)
        if session.accelerator.scaler and found.scaler:
            session.accelerator.scaler.load_state_dict(found.scaler)
        self.at.step, self.average = found.step, found.loss_average
        self.emit("state", state="resumed", step=found.step)

    def _newest(self) -> states.State | None:
        """The newest state that is whole, which the main process chooses; what it finds damaged is said."""
        run, found = self.session.run, states.FoundState()
        main = self.session.accelerator.is_main_process
        if main:
            found = states.newest(run.states)
            self.saver.useless = list(found.useless)
        held = [f"{path} {why}" for path, why in found.damaged if path not in found.useless]
        stuck = distributed.from_main(held[0] if held and found.state is None else None)
        if stuck:  # it may be whole: to begin again at the first step would throw its steps away
            raise UserError(
                f"{stuck}, and no other state is left: close what holds it, or update SameFace, and resume again; or "
                "delete it to begin again at the first step.",
                code="state-unusable",
            )
        chosen = distributed.from_main(found.path.name if found.path else None)
        if chosen and not main:
            try:
                return states.load(run.states / chosen)
            except states.DamagedError as error:
                raise UserError(f"{run.states / chosen} {error}; start again.", code="state-unreadable") from error
        why = "; ".join(f"{path} {reason}" for path, reason in found.damaged)
        if main and found.state is None and (why or saved_steps(run)):
            self.emit(
                "warning",
                code="state-lost",
                text=f"{why or f'There is no saved state in {run.states}'}; no other state is left, so the training "
                "starts again at the first step. Saved checkpoints stay until they are written again.",
            )
        elif why and found.path:
            text = f"{why}; training continues from the state before it, {found.path.name}."
            self.emit("warning", code="state-damaged", text=text)
        return found.state

    def run(self, stop: StopRequest) -> Path:
        """All steps that are left; returns the last checkpoint."""
        session = self.session
        if session.accelerator.is_main_process and altered(session.run.folder):
            self.emit(
                "warning",
                code="run-file-changed",
                text=f"{session.run.folder / 'run.yaml'} is not as SameFace wrote it (changed by hand, or damaged on "
                "the disk). The training follows it as it is now; check that its settings are those you want.",
            )
        self.emit("state", state="training", step=self.at.step, total=session.total)
        untrained = session.adapter.state() if self.at.step == 0 else None
        with ExitStack() as kept:
            if self.at.step:  # what a kill left undone may be what ends the training
                main = session.accelerator.is_main_process
                self._ends_early(self.samples.make_up_for(self.at.step, stop.requested) if main else None)
            first = True
            while self.at.step < session.total:
                self.step()
                last = self.at.step == session.total
                if first and session.preservation:  # not sooner: that a step succeeds should be seen soon
                    each = self.train.accumulation
                    session.preservation.prepare(range(self.at.step * each, session.total * each), stop.requested)
                asked, failed = self._anyone(stop.requested(), self.saver.failed())
                stopping = asked and not last
                if first and not stopping:
                    self._complete(untrained)
                    first, untrained = False, None
                    if session.accelerator.is_main_process:
                        self.samples.paint_base(stop.requested)
                    kept.enter_context(freed_is_kept(session.device))  # from here on each step takes the same memory
                due = last or self.at.step % self.every == 0
                if due or stopping or failed:
                    self._save()
                if due and not stopping:  # what is saved, or being saved, stays
                    main = session.accelerator.is_main_process
                    found = self.samples.paint(self.at.step, stop.requested) if main else None
                    if self._ends_early(found):
                        last = True
                    elif last and self.train.stop_early:  # a stop while this was measured: it is measured later
                        stopping = self._anyone(stop.requested())[0]
                if last or stopping:
                    self._by_main(self.saver.settle)
                if due or stopping or failed:  # not before: on a busy machine a probe takes a minute
                    if untrained is not None:
                        self._probe_of(untrained)
                    self._probe(self.at.step)
                if stopping:
                    self.emit("state", state="stopped", step=self.at.step, total=session.total)
                    raise StoppedByUser(
                        f"Stopped after step {self.at.step} of {session.total}; everything is saved.",
                        code="training-stopped",
                        step=self.at.step,
                        of=session.total,
                    )
        path = session.run.checkpoint(self.at.step)
        if not self._anyone(session.accelerator.is_main_process and is_whole(path))[0]:
            if path.exists():  # all steps were done before
                text = f"{path} was damaged; it is written again from the saved state."
                self.emit("warning", code="checkpoint-rewritten", text=text)
            self._save()
            self._by_main(self.saver.settle)
        self.emit("state", state="trained", step=self.at.step, total=session.total, file=path.name)
        return path

    def step(self) -> None:
        """Do one optimizer step."""
        session, began, step = self.session, time.perf_counter(), self.at.step
        restart, train = session.run.file.restart, self.train
        factor = restarted_lr_factor(step, session.total, restart, train.warmup, train.lr_schedule)
        for group, rate in zip(session.optimizer.param_groups, session.rates, strict=True):
            group["lr"] = rate * factor
        session.optimizer.zero_grad()
        first = step * self.train.accumulation
        losses = [self._accumulate(first + k) for k in range(self.train.accumulation)]
        self._share_gradients()
        norm = self._clip()
        loss = self._read(losses)  # not sooner: it waits for a GPU, which would have nothing to do until told more
        if not math.isfinite(norm) and session.accelerator.scaler is None:
            raise self._broken(step, "the gradient")
        session.optimizer.step()
        self._count_skipped(step)
        if session.ema:
            session.ema.update()
        self.at.step = step + 1
        self.average = loss if self.average is None else 0.98 * self.average + 0.02 * loss
        self._watch_memory()
        seconds = time.perf_counter() - began
        self.seconds.append(seconds)
        pace = sum(self.seconds) / len(self.seconds)
        self.emit(
            "step",
            step=self.at.step,
            total=session.total,
            loss=loss,
            loss_average=self.average,
            lr=session.rates[0] * factor,
            gradient_norm=norm,
            seconds=seconds,
            seconds_per_step=pace,
            seconds_left=pace * (session.total - self.at.step) + self.samples.seconds_left(self.at.step, pace),
            peak_memory=peak_bytes(session.device),
        )

    def _ends_early(self, found: EarlyStop | None) -> bool:
        """Whether the training stops early. From then on the run has as many steps as it has done, and names the
        checkpoint to use.

        Args:
            found: in the main process, what measured the checkpoint; None = the training goes on.
        """
        end = distributed.from_main(found) if self.train.stop_early else None
        if end is None:
            return False
        session, step = self.session, self.at.step
        early = step < session.total
        how = f"the training ends at step {step} of {session.total}" if early else "the training is finished"
        used = f", and the LoRA of step {end.best_step} is used" if end.best_step < step else ""
        code = "stopped-early" if early else "earlier-step-used"
        self.emit("warning", code=code, text=f"{end.why} So {how}{used}.")
        session.total = step
        run, best = session.run, end.best_step if end.best_step < step else 0
        ended = step if early else run.file.ended
        session.run = replace(run, file=replace(run.file, ended=ended, best_step=best))
        self._by_main(lambda: _note_end(run, ended, best))
        return True

    def _watch_memory(self) -> None:
        """Say once that memory ran over, which nothing else shows but the clock."""
        if not self.spilled and spilled(self.session.device):
            self.spilled = True
            self.emit(
                "warning",
                code="gpu-memory-full",
                text="The GPU's memory is full, and Windows puts the rest into the machine's, which makes training "
                f"about ten times slower: stop, and use {lower(self.train)}.",
            )

    def _accumulate(self, micro: int) -> tuple[torch.Tensor, list[int]]:
        """One forward and backward pass of this process's share of a batch.

        Returns:
            The loss over all processes, a scalar on the device; and the items of all processes.
        """
        session = self.session
        rank, processes = session.accelerator.process_index, session.accelerator.num_processes
        size = self.train.batch_size
        batch = batch_for_step(micro, self.own, size * processes, self.train.seed, self.prior)
        items = [session.items[index] for index in batch[rank * size : (rank + 1) * size]]
        torch.manual_seed(python_random(self.train.seed, "dropout", micro, rank).getrandbits(63))
        sample = session.forward.draw(items, micro, rank * size)
        predicted = session.forward.predicted(sample)
        loss = session.forward.loss(sample, predicted).mean() / self.train.accumulation
        identity = session.identity if self._identity_counts() else None
        recognised = identity.loss_and_gradient(sample, predicted) if identity else None
        if recognised is None:
            session.accelerator.backward(loss)
            loss = loss.detach()
        else:
            weight = self.train.identity_loss_weight / (size * self.train.accumulation)
            session.accelerator.backward(loss + weight * (predicted.float() * recognised.gradient).sum())
            loss = loss.detach() + weight * recognised.loss
        for part in session.preservation.losses(sample) if session.preservation else ():
            added = part / (size * self.train.accumulation)
            session.accelerator.backward(added)  # a pass of its own, when the one before has freed its memory
            loss = loss + added.detach()
        return session.accelerator.reduce(loss.clone(), "mean"), batch

    def _identity_counts(self) -> bool:
        """Whether the identity loss is computed in this step."""
        return self.at.step >= self.train.identity_loss_begins(self.session.total)

    def _read(self, losses: list[tuple[torch.Tensor, list[int]]]) -> float:
        """The loss of a step, from what `_accumulate` gave for its parts."""
        values: list[float] = torch.stack([loss for loss, _ in losses]).tolist()
        for value, (_, batch) in zip(values, losses, strict=True):
            if not math.isfinite(value):
                names = ", ".join(sorted({Path(self.session.items[index].photo.file).name for index in batch}))
                raise self._broken(self.at.step, f"the loss (photos {names})")
        return sum(values)

    def _share_gradients(self) -> None:
        """The mean gradient over all processes. An adapter is small: one message, and no wrapper around the model."""
        if self.session.accelerator.num_processes == 1:
            return
        gradients = [parameter.grad for parameter in self.session.parameters if parameter.grad is not None]
        flat = self.session.accelerator.reduce(torch.cat([one.flatten() for one in gradients]), "mean")
        for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _clip(self) -> float:
        limit = self.train.max_grad_norm or math.inf
        return float(self.session.accelerator.clip_grad_norm_(self.session.parameters, limit))

    def _count_skipped(self, step: int) -> None:
        """In fp16 a step whose gradient overflows is left out, and the scale lowered; that must not go on for ever."""
        self.skipped = self.skipped + 1 if self.session.accelerator.optimizer_step_was_skipped else 0
        if self.skipped > MAX_SKIPPED:
            raise self._broken(step, "the gradient")

    def _broken(self, step: int, what: str) -> UserError:
        lost = ""
        try:
            self.saver.settle()
        except Exception as error:  # what ends the training is said first
            lost = f" {error}"
        saved = sorted(self.session.run.checkpoints.glob("*.safetensors"))
        kept = f"the last good checkpoint is {saved[-1]}" if saved else "nothing had been saved yet"
        return UserError(
            f"Step {step + 1}: {what} is no longer a number, so training stopped; {kept}. "
            f"Halve the learning rates, or use precision bf16 or fp32, and start again.{lost}",
            code="training-diverged",
            step=step + 1,
        )

    def _anyone(self, *here: bool) -> list[bool]:
        """Of each question whether any process says yes; all must do the same at the same step."""
        if self.session.accelerator.num_processes == 1:
            return list(here)
        flags = torch.tensor([float(one) for one in here], device=self.session.device)
        return [bool(one > 0) for one in self.session.accelerator.reduce(flags, "sum")]

    def _probe(self, step: int) -> None:
        """Emit the loss on fixed noise and timesteps."""
        if self.session.accelerator.is_main_process:
            own = [item for item in self.session.items if not item.photo.prior][:PROBE_ITEMS]
            with self.session.evaluating():
                loss = self.session.forward.probe(own, PROBE_TIMESTEPS)
            self.emit("probe", step=step, loss=loss)

    def _complete(self, untrained: dict[str, torch.Tensor] | None) -> None:
        """What the first step did not wait for, since it shows sooner that all is well."""
        self.encode_all()
        if untrained is not None:
            self._probe_of(untrained)

    def encode_all(self) -> None:
        """See that every picture is encoded: what is wrong with one is said soon, and the VAE leaves memory."""
        for item in self.session.items:
            _ = item.mean

    def _probe_of(self, untrained: dict[str, torch.Tensor]) -> None:
        """The probe of the base model alone, with which the others are compared."""
        adapter = self.session.adapter
        trained = adapter.state()
        adapter.load_state(untrained)
        try:
            self._probe(0)
        finally:
            adapter.load_state(trained)

    def _save(self) -> None:
        """Checkpoint and full state, by the main process; an error ends every process."""
        self._by_main(lambda: self.saver.take(self.at.step, self.average))

    def _by_main(self, work: Callable[[], None]) -> None:
        """Do something in the main process; its error ends every process."""
        error = None
        if self.session.accelerator.is_main_process:
            try:
                work()
            except UserError as caught:
                error = caught
        error = distributed.from_main(error)
        if error:
            raise error
