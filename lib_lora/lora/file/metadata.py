"""Writes a LoRA file's metadata: kohya's ``ss_*`` keys, Stability's ``modelspec.*`` and a few of our own.

All values are texts. What a webui does with them: the family decides whether the card is shown at all, the
rest stands in its table. Knows nothing about how training works: it is told the facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

from lib_lora.errors import Misfit
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.models.families.registry import families, family_named, family_names


@dataclass(frozen=True, kw_only=True)
class LoraFacts:
    """What is known about a training when its LoRA is written; None = unknown or not used.

    Every field of the second part is the kohya key of that name without its ``ss_``. The units are kohya's:
    times are Unix seconds, `num_train_images` counts repeats, `resolution` is (width, height) in pixels,
    `bucket_info`, `dataset_dirs` and `tag_frequency` are tables as kohya writes them, e.g.
    ``{"buckets": {"0": {"resolution": [512, 512], "count": 20}}, "mean_img_ar_error": 0.01}``,
    ``{"mara": {"n_repeats": 10, "img_count": 20}}`` and ``{"mara": {"mrxa woman": 20}}``.

    Attributes:
        family: name of the model family.
        prediction: what the base model predicts: "epsilon", "v" ...
        trigger: the trigger word.
        consent: how the person shown agreed: "fictional", "myself" or "consented"; `consent_date` = the ISO day.
        base_terms: what the base model's page on Civitai permits (`usage_terms.terms_text`).
        trigger_vectors: how many vectors of its own the trigger has in the file.
        saved_weight: what the tensors are multiplied by after training; None where they are not.
        identity_loss_weight: of the loss by SFace's likeness to the photos; None where it was off.
        dataset_hash: SHA-256 over the photos and captions.
        program_version: of this program.
        description, author, license, usage_hint, tags: for ``modelspec``, free text.
        thumbnail: a ``data:`` URL of a small JPEG.
        unet_dtype, vae_dtype: in which the base ran, e.g. "bfloat16".
    """

    family: str
    prediction: str = "epsilon"
    trigger: str | None = None
    consent: str | None = None
    consent_date: str | None = None
    base_terms: str | None = None
    trigger_vectors: int | None = None
    saved_weight: float | None = None
    identity_loss_weight: float | None = None
    dataset_hash: str | None = None
    program_version: str | None = None
    description: str | None = None
    author: str | None = None
    license: str | None = None
    usage_hint: str | None = None
    tags: str | None = None
    thumbnail: str | None = None
    unet_dtype: str | None = None
    vae_dtype: str | None = None

    # the run
    session_id: int | None = None
    training_started_at: float | None = None
    training_finished_at: float | None = None
    output_name: str | None = None
    training_comment: str | None = None
    sd_scripts_commit_hash: str | None = None
    steps: int | None = None
    epoch: int | None = None
    seed: int | None = None
    lowram: bool | None = None
    # the network
    network_module: str = "networks.lora"
    network_dim: int | None = None
    network_alpha: float | None = None
    network_dropout: float | None = None
    network_args: dict[str, Any] | None = None
    scale_weight_norms: float | None = None
    # the optimizer
    learning_rate: float | None = None
    unet_lr: float | None = None
    text_encoder_lr: float | None = None
    optimizer: str | None = None
    lr_scheduler: str | None = None
    lr_warmup_steps: int | None = None
    max_grad_norm: float | None = None
    max_train_steps: int | None = None
    num_epochs: int | None = None
    num_batches_per_epoch: int | None = None
    gradient_accumulation_steps: int | None = None
    gradient_checkpointing: bool | None = None
    mixed_precision: str | None = None
    full_fp16: bool | None = None
    fp8_base: bool | None = None
    fp8_base_unet: bool | None = None
    # the base
    sd_model_name: str | None = None
    sd_model_hash: str | None = None
    new_sd_model_hash: str | None = None
    vae_name: str | None = None
    vae_hash: str | None = None
    new_vae_hash: str | None = None
    clip_skip: int | None = None
    max_token_length: int | None = None
    zero_terminal_snr: bool | None = None
    # noise and loss
    noise_offset: float | None = None
    noise_offset_random_strength: bool | None = None
    adaptive_noise_scale: float | None = None
    multires_noise_iterations: int | None = None
    multires_noise_discount: float | None = None
    ip_noise_gamma: float | None = None
    ip_noise_gamma_random_strength: bool | None = None
    min_snr_gamma: float | None = None
    debiased_estimation: bool | None = None
    prior_loss_weight: float | None = None
    loss_type: str | None = None
    huber_schedule: str | None = None
    huber_scale: float | None = None
    huber_c: float | None = None
    # the data
    num_train_images: int | None = None
    num_reg_images: int | None = None
    num_validation_images: int | None = None
    caption_dropout_rate: float | None = None
    caption_dropout_every_n_epochs: int | None = None
    caption_tag_dropout_rate: float | None = None
    face_crop_aug_range: tuple[float, float] | None = None
    cache_latents: bool | None = None
    resize_interpolation: str | None = None
    validation_seed: int | None = None
    validation_split: float | None = None
    max_validation_steps: int | None = None
    validate_every_n_epochs: int | None = None
    validate_every_n_steps: int | None = None
    batch_size_per_device: int | None = None
    total_batch_size: int | None = None
    resolution: tuple[int, int] | None = None
    enable_bucket: bool | None = None
    bucket_no_upscale: bool | None = None
    min_bucket_reso: int | None = None
    max_bucket_reso: int | None = None
    bucket_info: dict[str, Any] | None = None
    dataset_dirs: dict[str, Any] | None = None
    reg_dataset_dirs: dict[str, Any] | None = None
    tag_frequency: dict[str, dict[str, int]] | None = None
    keep_tokens: int | None = None
    shuffle_caption: bool | None = None
    color_aug: bool | None = None
    flip_aug: bool | None = None
    random_crop: bool | None = None


_NAMES = [field.name for field in fields(LoraFacts)]
_KOHYA = _NAMES[_NAMES.index("session_id") :]
# A1111 makes numbers and tables of these, so that a "None" in them would break its page; kohya too leaves them out.
_LEFT_OUT = frozenset(
    [
        *("session_id", "training_started_at", "training_finished_at", "output_name", "training_comment"),
        *("sd_model_hash", "new_sd_model_hash", "vae_name", "vae_hash", "new_vae_hash"),
        *("bucket_info", "dataset_dirs", "reg_dataset_dirs", "tag_frequency", "resolution"),
    ]
)


def network_facts(settings: LoraSettings) -> dict[str, Any]:
    """The `LoraFacts` that the adapter's settings give: ``network_dim`` and so on, with the rest as arguments."""
    arguments: dict[str, Any] = {}
    if settings.convolutions:
        arguments |= {"conv_dim": str(settings.conv_rank), "conv_alpha": str(settings.conv_alpha)}
    if settings.te:
        rank, alpha, dropout = settings.of_part("te1")
        arguments |= {"te_dim": str(rank), "te_alpha": str(alpha), "te_dropout": str(dropout)}
    if settings.use_rslora:
        arguments["rs_lora"] = "True"
    if settings.use_dora:
        arguments |= {"dora_wd": "True", "wd_on_output": "False"}  # LyCORIS' words for DoRA on the input axis
    return {
        "network_dim": settings.rank,
        "network_alpha": settings.alpha,
        "network_dropout": settings.dropout or None,
        "network_args": arguments,
    }


def build(facts: LoraFacts) -> dict[str, str]:
    """All metadata of a file but its hashes, which come with the writing.

    Raises:
        ValueError: an unknown family or prediction, or a number that JSON does not have.
    """
    known = facts.family in family_names()
    if not known or facts.prediction not in family_named(facts.family).predictions:
        said = f"there is no family {facts.family!r} with the prediction {facts.prediction!r}."
        raise Misfit(said, "prediction" if known else "family")
    values = {name: getattr(facts, name) for name in _KOHYA}
    values["training_comment"] = _comment(facts)
    family = family_named(facts.family)
    found = {f"ss_{name}": text(value) for name, value in values.items() if value is not None or name not in _LEFT_OUT}
    found["ss_base_model_version"] = family.base_versions[facts.prediction]
    found["ss_v2"] = text(family.is_v2)
    own = {
        "sameface.version": facts.program_version,
        "sameface.consent": facts.consent,
        "sameface.consent_date": facts.consent_date,
        "sameface.base_terms": facts.base_terms,
        "sameface.trigger_vectors": str(facts.trigger_vectors) if facts.trigger_vectors else None,
        "sameface.saved_weight": f"{facts.saved_weight:g}" if facts.saved_weight else None,
        "sameface.identity_loss_weight": f"{facts.identity_loss_weight:g}" if facts.identity_loss_weight else None,
        "sameface.dataset_sha256": facts.dataset_hash,
    }
    found |= {key: value for key, value in own.items() if value is not None}
    return found | _modelspec(facts)


def text(value: Any) -> str:
    """A value as kohya writes it: "None", "True", "(512, 512)", JSON for tables and lists.

    Raises:
        ValueError: a table with a number that is not one.
    """
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return str(value)


def _comment(facts: LoraFacts) -> str | None:
    """The comment is the one free text that readers of kohya's keys show: what must not get lost is in it."""
    words = [
        facts.training_comment,
        facts.trigger and f"trigger: {facts.trigger}",
        facts.consent and f"consent: {facts.consent}",
        facts.dataset_hash and f"dataset sha256: {facts.dataset_hash}",
    ]
    return "; ".join(word for word in words if word) or None


def _modelspec(facts: LoraFacts) -> dict[str, str]:
    """Stability's ModelSpec 1.0.1; Forge takes a file for SD1 only if its architecture says so."""
    family, finished = family_named(facts.family), facts.training_finished_at
    resolution = facts.resolution
    values: dict[str, str | None] = {
        "sai_model_spec": "1.0.1",
        "architecture": family.architectures[facts.prediction],
        "implementation": family.implementation,
        "title": facts.output_name or facts.trigger or "LoRA",
        "resolution": f"{resolution[0]}x{resolution[1]}" if resolution else None,
        "description": facts.description,
        "author": facts.author,
        "date": None if finished is None else datetime.fromtimestamp(finished, timezone.utc).isoformat("T", "seconds"),
        "license": facts.license,
        "usage_hint": facts.usage_hint,
        "thumbnail": facts.thumbnail,
        "tags": facts.tags,
        "trigger_phrase": facts.trigger,
        "prediction_type": facts.prediction,
        "timestep_range": "0,1000",
        "encoder_layer": str(facts.clip_skip) if facts.clip_skip and family.most_clip_skip else None,
        "unet_dtype": facts.unet_dtype,
        "vae_dtype": facts.vae_dtype,
    }
    return {f"modelspec.{key}": value for key, value in values.items() if value is not None}


def family_of(metadata: Mapping[str, str]) -> str | None:
    """The family that a file's metadata claim, by A1111's rule; None where it has no metadata at all.

    (SDXL by the base version, SD2 by ``ss_v2``, anything else that no other family claims is SD1, even what is for
    another model.)
    """
    for family in families():
        if family.claimed_by(metadata):
            return family.name
    return next(family.name for family in families() if family.webui_fallback) if metadata else None
