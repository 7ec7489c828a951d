"""Writes one checkpoint: the adapter as a LoRA file, with everything that is known of the run in its metadata."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import lib_lora
from lib_lora import file_permissions
from lib_lora.character.store import consent_of
from lib_lora.files import explained
from lib_lora.lora.file.metadata import LoraFacts, build, network_facts
from lib_lora.lora.file.usage_terms import licence_in, licence_of, usage_hint
from lib_lora.lora.file.writing import write
from lib_lora.training.data.batches import batches_per_epoch
from lib_lora.training.session import Session, class_and_instance_keys


def write_checkpoint(session: Session, step: int, tensors: dict[str, torch.Tensor]) -> Path:
    """Write the LoRA as it was after `step` steps.

    Args:
        session: of the run.
        step: optimizer steps done.
        tensors: as `Session.exported` gave them then.

    Raises:
        UserError: an adapter that is not finite or does nothing is never written; the disk is full.
    """
    with explained(session.run.checkpoints):
        file_permissions.make_folder(session.run.checkpoints)
    path = session.run.checkpoint(step)
    write(path, tensors, build(_facts(session, step, path.stem)))
    return path


def _facts(session: Session, step: int, stem: str) -> LoraFacts:
    run, info = session.run.file, session.info
    train = run.settings
    own, prior = class_and_instance_keys(session.items)
    each_epoch = batches_per_epoch(own, train.batch_size * session.accelerator.num_processes, prior)
    side = train.resolution or info.resolution
    objective = train.objective
    by_name = _captions(session)
    return LoraFacts(
        family=info.family,
        prediction=info.prediction,
        trigger=", ".join(one.trigger for one in run.characters),
        consent=consent_of(run.character).kind,
        consent_date=consent_of(run.character).date,
        license=licence_of(info.path) or licence_in(run.base.terms) or None,
        base_terms=run.base.terms or None,
        usage_hint=usage_hint([one.called for one in run.characters], consent_of(run.character).kind),
        trigger_vectors=train.trigger_vectors or None,
        saved_weight=train.saved_weight if train.saved_weight < 1 else None,
        identity_loss_weight=train.identity_loss_weight or None,
        dataset_hash=run.data_hash,
        program_version=lib_lora.__version__,
        unet_dtype=train.precision,
        session_id=int(datetime.fromisoformat(run.created).timestamp()),
        training_started_at=datetime.fromisoformat(run.created).timestamp(),
        training_finished_at=time.time(),
        output_name=stem,
        steps=step,
        epoch=-(-step * train.accumulation // each_epoch),
        seed=train.seed,
        **network_facts(train.lora),
        learning_rate=train.unet_lr,
        unet_lr=train.unet_lr,
        text_encoder_lr=train.te_lr if train.trains_text else None,
        optimizer=_class_of(session.optimizer),
        lr_scheduler=train.lr_schedule,
        lr_warmup_steps=round(train.warmup * (session.total - run.restart)),
        max_grad_norm=train.max_grad_norm,
        max_train_steps=session.total,
        num_epochs=-(-session.total * train.accumulation // each_epoch),
        num_batches_per_epoch=each_epoch,
        gradient_accumulation_steps=train.accumulation,
        gradient_checkpointing=train.gradient_checkpointing,
        mixed_precision="no" if train.precision == "fp32" else train.precision,
        sd_model_name=info.path.name,
        sd_model_hash=session.base_legacy_hash,
        new_sd_model_hash=run.base.sha256,
        clip_skip=train.clip_skip if info.model_family.most_clip_skip else None,
        zero_terminal_snr=info.zero_terminal_snr,
        noise_offset=objective.noise_offset or None,
        adaptive_noise_scale=objective.adaptive_noise_scale or None,
        multires_noise_iterations=objective.multires_iterations or None,
        multires_noise_discount=objective.multires_discount,
        ip_noise_gamma=objective.ip_noise_gamma or None,
        min_snr_gamma=objective.min_snr_gamma or None,
        debiased_estimation=objective.debiased,
        prior_loss_weight=objective.prior_loss_weight,
        loss_type=objective.loss_type,
        huber_schedule=objective.huber_schedule,
        huber_c=objective.huber_c,
        num_train_images=sum(len(keys) for keys in own.values()),
        num_reg_images=sum(len(keys) for keys in prior.values()),
        caption_dropout_rate=train.caption_dropout,
        caption_tag_dropout_rate=train.tag_dropout,
        cache_latents=True,
        batch_size_per_device=train.batch_size,
        total_batch_size=train.batch_size * session.accelerator.num_processes * train.accumulation,
        resolution=(side, side),
        enable_bucket=True,
        bucket_no_upscale=not train.upscale,
        bucket_info=_buckets(session),
        dataset_dirs={name: {"n_repeats": 1, "img_count": len(captions)} for name, captions in by_name.items()},
        tag_frequency={name: _tags(captions) for name, captions in by_name.items()},
        keep_tokens=train.keep_tokens,
        shuffle_caption=train.shuffle_tags,
        color_aug=False,
        flip_aug=False,
        random_crop=False,
    )


def _class_of(optimizer: Any) -> str:
    inner = getattr(optimizer, "optimizer", optimizer)
    return f"{type(inner).__module__}.{type(inner).__qualname__}"


def _buckets(session: Session) -> dict[str, Any]:
    counts = Counter(tuple(item.placement.bucket) for item in session.items)
    return {
        "buckets": {str(n): {"resolution": list(size), "count": counts[size]} for n, size in enumerate(sorted(counts))}
    }


def _captions(session: Session) -> dict[str, list[str]]:
    """The captions of each character's photos."""
    name = session.run.file.character.name
    found: dict[str, list[str]] = {}
    for item in session.items:
        if not item.photo.prior:
            found.setdefault(item.photo.of or name, []).append(item.photo.caption)
    return found


def _tags(captions: Sequence[str]) -> dict[str, int]:
    """How often each phrase stands in the captions, as kohya counts: split at commas, lower case."""
    return dict(Counter(tag.strip().lower() for caption in captions for tag in caption.split(",") if tag.strip()))
