"""Builds everything a run needs in memory before its first step, in the order that keeps the peak low.

VAE (latents, then gone), text encoders (encodings, then gone unless they are trained), UNet, adapter, optimizer. On a
CPU the VAE comes only with the first step, which need not wait for all photos, unless memory is being saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from lib_lora.character.store import Character
from lib_lora.errors import UserError
from lib_lora.lora.adapter.adapter import Adapter, attach
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.lora.hashes import legacy_file_hash
from lib_lora.models.clip_tokens import prompt_chunks
from lib_lora.models.families.model_family import ModelFamily, ModelInfo
from lib_lora.models.text_conditioning import TextStack
from lib_lora.models.textual_inversion import TextualInversion, vectors_of
from lib_lora.training import distributed, precision
from lib_lora.training.checks import check_disk, check_memory
from lib_lora.training.data import caption_shuffle
from lib_lora.training.data.buckets import report
from lib_lora.training.data.conditions import Conditions, FrozenConditions, LiveConditions
from lib_lora.training.data.dataset import Item, load_items
from lib_lora.training.data.encoding_cache import cached
from lib_lora.training.fast_parts import use_fast_parts
from lib_lora.training.forward import Forward
from lib_lora.training.objective.ema import EMA
from lib_lora.training.objective.objectives import Objective, make_objective
from lib_lora.training.objective.optimizers import make_optimizer
from lib_lora.training.objective.randomness import generator, python_random
from lib_lora.training.painted_latents import LatentSampling, PaintedLatent, paint_base, painted_side
from lib_lora.training.plan.preserved_captions import (
    PAINTED,
    PAINTING_STEPS,
    captions_needed,
    own_first,
    painted_captions,
    phrase_prompts,
)
from lib_lora.training.plan.run_file import Run
from lib_lora.training.plan.sample_prompts import words_needed
from lib_lora.training.plan.trigger_check import check_trigger
from lib_lora.training.preservation import OutputPreservation

if TYPE_CHECKING:
    from lib_lora.training.identity_loss import IdentityLoss

Emit = Callable[..., None]


@dataclass
class Session:
    """A run in memory.

    Attributes:
        run, info: what is trained, on what.
        accelerator: device and processes.
        items: the training set.
        forward: items to loss.
        preservation, identity: what is added to the loss; None = it is switched off.
        modules: the parts in training mode: those that have adapters, or compute their activations again.
        adapter: what is trained.
        parameters: its tensors, in the optimizer's order.
        optimizer: prepared by accelerate.
        rates: the full learning rate of each of the optimizer's groups.
        ema: the running average, or None.
        total: optimizer steps of the whole run.
        base_legacy_hash: kohya's 8-digit hash of the base, for the metadata.
    """

    run: Run
    info: ModelInfo
    accelerator: Accelerator
    items: list[Item]
    forward: Forward
    preservation: OutputPreservation | None
    identity: IdentityLoss | None
    modules: list[torch.nn.Module]
    adapter: Adapter
    parameters: list[torch.nn.Parameter]
    optimizer: Any
    rates: list[float]
    ema: EMA | None
    total: int
    base_legacy_hash: str

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Without the adapter's dropout while the block runs."""
        for module in self.modules:
            module.eval()
        try:
            yield
        finally:
            for module in self.modules:
                module.train()

    @contextmanager
    def as_saved(self) -> Iterator[None]:
        """With what is saved in the adapter's place while the block runs: the running average, where one is kept, at
        `saved_weight`."""
        weight = self.run.file.settings.saved_weight
        if self.ema is None and weight == 1:
            yield
            return
        live = [parameter.detach().clone() for parameter in self.parameters]
        try:
            if self.ema is not None:
                _copy(self.ema.tensors(), self.parameters)
            self.adapter.scale(weight)
            yield
        finally:
            _copy(live, self.parameters)

    def exported(self) -> dict[str, torch.Tensor]:
        """The adapter's tensors under kohya's names, `as_saved`."""
        with self.as_saved():
            return self.adapter.export()

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return cast(torch.device, self.accelerator.device)


def open_session(run: Run, emit: Emit, fast: bool = True, words: Sequence[str] = ()) -> Session:
    """Load and prepare everything.

    Args:
        run: what is trained.
        emit: called as ``emit(kind, **fields)``.
        fast: with `use_fast_parts`; off only to measure and to test what it does.
        words: texts that the text encoders will be asked for beside captions and sample prompts.

    Raises:
        UserError: the base model or a photo is gone, memory or disk do not suffice.
    """
    train = run.file.settings
    check_trigger(run.file.character, train)
    fp16 = train.precision == "fp16"
    distributed.state()  # first, since it knows more about CPUs than accelerate by itself
    AcceleratorState._reset_state()  # a run before this one, in this process, may have had another precision
    accelerator = Accelerator(mixed_precision="fp16" if fp16 else "no")
    device = cast(torch.device, accelerator.device)
    if train.precision == "auto":
        raise ValueError("the run's precision must be resolved before it is trained")
    precision.resolve(train.precision, device)
    dtype = precision.dtype_of(train.precision)
    info = run.model()
    objective = make_objective(info, train.objective, device)
    check_memory(info, dtype, device)
    emit(
        "state",
        state="preparing",
        device=str(device),
        device_name=distributed.device_name(),
        precision=train.precision,
        family=info.family,
    )
    unused = _find_unused_gpu() if device.type == "cpu" and accelerator.is_main_process else None

    side = train.resolution or info.resolution
    # all photos now, not in and after the first step, where that is quick or a step takes less memory than the VAE
    ahead = device.type != "cpu" or accelerator.num_processes > 1 or train.gradient_checkpointing
    # float32 always: half precision overflows in some VAEs, and cached latents must not depend on the run's precision
    items = distributed.main_first(
        lambda: load_items(run, run.file.photos, side, lambda: info.load_vae(torch.float32, device), ahead)
    )
    conditions, stack = distributed.main_first(lambda: _conditions(run, info, device, dtype, words))
    rows = [(item.photo.file, item.placement) for item in items]
    emit("data", photos=len(items), side=side, report=report(rows))
    if train.face_weight > 1 and not any(item.photo.regions for item in items):
        text = "No face was found in any photo, so no part of them counts more than the rest."
        emit("warning", code="face-weight-without-face", text=text)

    if train.preservation_weight and not train.hears_text:
        text = (
            "Output preservation without trained text encoders or vectors of the trigger: the trigger word keeps the "
            "meaning it has for the base model, and likeness may be lost. Train the text encoders"
            f"{'' if train.together else ', or set trigger_vectors to 2'}."
        )
        emit("warning", code="preservation-without-text", text=text)
    if train.preservation_weight and not run.file.has_written_captions:
        text = (
            "Output preservation with captions that only say who it is: everything in the photos is learned as part of "
            "the trigger word, and prompts are no longer followed. Have captions written first (caption NAME --fill)."
        )
        emit("warning", code="preservation-plain-captions", text=text)

    denoiser = info.load_denoiser(dtype, device)
    parts: dict[str, torch.nn.Module] = {"unet": denoiser}
    if train.trains_text and stack:
        parts |= stack.parts()
    elif stack:
        for encoder in stack.encoders:
            encoder.requires_grad_(False)
    torch.manual_seed(train.seed)  # the adapter's first numbers
    adapter = attach(parts, info.family, train.lora)
    if stack and stack.inversions:
        adapter.trigger = stack.inversions[0]
    own_formats = use_fast_parts(info.model_family, parts, device) if fast else False
    heard = stack.parts() if stack and train.gradient_checkpointing else {}  # the gradient of vectors goes through them
    working = parts | heard
    if train.gradient_checkpointing:
        recompute_activations(info.model_family, working)
    for module in working.values():
        module.train()  # for the adapter's dropout and for recomputing; the base has no dropout of its own
    groups = [
        {"params": adapter.trainable(part), "lr": train.unet_lr if part == "unet" else train.te_lr} for part in parts
    ]
    if adapter.trigger:
        rate = train.unet_lr if train.optimizer == "prodigy" else train.vectors_lr  # it allows one factor for all
        groups.append({"params": list(adapter.vectors().values()), "lr": rate, "weight_decay": 0.0})
    optimizer, note = make_optimizer(train.optimizer, groups, lr=train.unet_lr, weight_decay=train.weight_decay)
    if note:
        emit("warning", code="optimizer-note", text=note)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    own, prior = class_and_instance_keys(items)
    each_epoch = sum(map(len, own.values())) * (2 if prior else 1)  # class pictures come on top
    total = run.file.ended or train.total_steps(each_epoch, accelerator.num_processes)
    if accelerator.is_main_process:
        every = train.checkpoint_interval(total)
        check_disk(run, sum(parameter.numel() for parameter in parameters), -(-total // every))
    if unused and (why := unused.result()):
        emit("warning", code="gpu-left-unused", text=why)
    forward = Forward(
        denoiser,
        conditions,
        objective,
        info.model_family,
        train,
        device,
        None if own_formats and train.precision == "bf16" else precision.autocast_of(train.precision),
    )
    preservation = None
    if train.preservation_weight or train.phrase_weight:
        switch = AdapterSwitch(parts.values())  # vectors of the trigger stay: no caption that is asked then has it
        paint = _painting_of_base(run, info, forward, switch)
        preservation = OutputPreservation(forward, switch, run.file.characters, train, accelerator.num_processes, paint)
    return Session(
        run=run,
        info=info,
        accelerator=accelerator,
        items=items,
        forward=forward,
        preservation=preservation,
        identity=_identity_loss(run, info, items, objective, device) if train.identity_loss_weight else None,
        modules=list(working.values()),
        adapter=adapter,
        parameters=parameters,
        optimizer=accelerator.prepare(optimizer),
        rates=rates,
        ema=EMA(parameters, train.ema) if train.ema else None,
        total=total,
        base_legacy_hash=legacy_file_hash(info.path),
    )


def _painting_of_base(
    run: Run, info: ModelInfo, forward: Forward, switch: AdapterSwitch
) -> Callable[[Callable[[], bool]], list[PaintedLatent]]:
    """Paints what output preservation is computed on beside the photos, or finds it in the cache; gets whether to stop.

    What is no number is left out.
    """
    train, base = run.file.settings, run.file.base
    photos = [(photo.caption, photo.of) for photo in run.file.photos if not photo.prior]
    random = partial(python_random, train.seed, "painted caption")
    captions = painted_captions(photos, run.file.characters, random, PAINTED)
    sampling = LatentSampling(painted_side(train.resolution or info.resolution), base.guidance, PAINTING_STEPS)
    draw = partial(generator, train.seed, "painted picture")
    key = ("painted", base.sha256, info.family, *captions, sampling, train.seed, train.clip_skip, train.objective)
    key += (info.prediction, info.zero_terminal_snr)  # a user may have chosen them
    # what rounds otherwise: the adapters decide which operations the model is computed with, even switched off
    key += (train.precision, forward.autocast, train.lora, train.trains_text, train.hears_text)
    key += (forward.conditions.chunks, forward.device.type)

    def paint(stop: Callable[[], bool]) -> list[PaintedLatent]:
        def compute() -> dict[str, torch.Tensor]:
            return {"latents": paint_base(forward, switch, captions, draw, sampling, stop)}

        latents = cached(run.character_folder.painted_latents, key, compute)["latents"]
        return [PaintedLatent(*one) for one in zip(captions, latents, strict=True) if one[1].isfinite().all()]

    return paint


def _identity_loss(
    run: Run, info: ModelInfo, items: Sequence[Item], objective: Objective, device: torch.device
) -> IdentityLoss:
    """The identity loss, for which alone a training needs OpenCV."""
    from lib_lora.training.identity_loss import identity_loss_of

    return identity_loss_of(run, info, items, objective, device)


def _find_unused_gpu() -> Future[str]:
    """`distributed.gpu_left_unused`, while everything else is loaded."""
    found: Future[str] = Future()

    def find() -> None:
        try:
            found.set_result(distributed.gpu_left_unused())
        except Exception:  # a warning less must not end a training
            found.set_result("")

    Thread(target=find, name="sameface-unused-gpu", daemon=True).start()
    return found


@torch.no_grad()
def _copy(source: Sequence[torch.Tensor], target: Sequence[torch.Tensor]) -> None:
    for there, here in zip(source, target, strict=True):
        here.copy_(there)


def _conditions(
    run: Run, info: ModelInfo, device: torch.device, dtype: torch.dtype, more: Sequence[str]
) -> tuple[Conditions, TextStack | None]:
    """The text's side, and the encoders if they stay because they are trained."""
    train = run.file.settings

    def load() -> TextStack:
        return info.load_text(dtype, device)

    captions = [photo.caption for photo in run.file.photos]
    plain = []
    for name, characters in own_first(run.file.characters).items():
        if train.preservation_weight:
            its = [photo.caption for photo in run.file.photos if photo.of == name]
            plain += captions_needed(its, characters)
        if train.phrase_weight:
            plain += [text for one in phrase_prompts(characters) for text in (one.ours, one.of_base)]
    if train.hears_text:
        stack = load()
        if train.trigger_vectors:
            stack.inversions = (first_vectors(stack.encoders, run.file.character, train.trigger_vectors),)
        chunks = max(stack.chunks_of(caption) for caption in [*captions, *plain])
        return LiveConditions(stack, train.clip_skip, chunks), stack
    chunks = max(len(prompt_chunks(caption)) for caption in [*captions, *plain])
    key = (run.file.base.sha256, info.family, str(dtype))
    frozen = FrozenConditions(run.character_folder.text_encodings, key, load, train.clip_skip, chunks, device, dtype)
    changing = caption_shuffle.varies(train)
    words = [*captions, *plain, *words_needed(run.file.character, train), *more]
    frozen.prepare(words, release=not changing)
    return frozen, None


def first_vectors(encoders: Sequence[torch.nn.Module], character: Character, count: int) -> TextualInversion:
    """The trigger with `count` vectors to be trained, which begin as those of the class word.

    For a character that passed `check_trigger`.
    """
    vectors = [vectors_of(encoder, character.class_word, count) for encoder in encoders]
    return TextualInversion(character.trigger, tuple(torch.nn.Parameter(one) for one in vectors))


def recompute_activations(family: ModelFamily, parts: dict[str, torch.nn.Module]) -> None:
    """Gradient checkpointing in every part."""
    for part, module in parts.items():
        family.recompute_activations(part, module)


def class_and_instance_keys(
    items: list[Item],
) -> tuple[dict[tuple[int, int], list[int]], dict[tuple[int, int], list[int]]]:
    """The items' indices by bucket: the character's photos, and the class pictures."""
    own: dict[tuple[int, int], list[int]] = {}
    prior: dict[tuple[int, int], list[int]] = {}
    for index, item in enumerate(items):
        width, height = item.placement.bucket
        (prior if item.photo.prior else own).setdefault((width, height), []).append(index)
    if not own:
        raise UserError("There are no photos of the character to train on.", code="no-photo")
    return own, prior
