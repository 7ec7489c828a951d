"""Answers the routes of planning a training: its base model, preset and settings, and what it will cost."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from lib_lora import typed_settings
from lib_lora.character import caption_files
from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.character.store import Character
from lib_lora.errors import UserError, plural
from lib_lora.files import size
from lib_lora.likeness.verdict.rule_conditions import PRESERVATION
from lib_lora.models.fast import cpu_load
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.remote import places
from lib_lora.remote.places import LOCAL
from lib_lora.training.plan import estimate, form_fields, memory_fitting, presets
from lib_lora.training.plan.memory_fitting import GB
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import LOG, about, forbidden
from lib_lora.ui.routes.job_routes import base_of
from lib_lora.ui.views import base_models
from lib_lora.ui.views.base_models import BaseRecord
from lib_lora.ui.views.character_snapshot import snapshot_of
from lib_lora.workflows.train.elsewhere.rent_quote import PlannedTraining
from lib_lora.workflows.train.training_set import class_files, others_of
from lib_lora.workspace.file_cache import kept, mark

_SAMPLED = 0.2  # seconds in which is seen what other programs take of the processor
_NOTICED = 0.15  # the share from which on it is worth a word


@dataclass(frozen=True)
class EstimateRequest:
    """The base model's path, the preset (null = its own), settings that override it (nested or with dotted keys), and
    where it is trained."""

    base: str
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    on: str = "local"


def routes() -> list[Route]:
    """The routes for planning a training."""
    return [
        get("/bases", listed),
        get("/plan", plan, "base", "preset", "character"),
        post("/characters/{slug}/estimate", reckon, EstimateRequest),
    ]


def listed(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """The base models that the host knows, and whether they can be trained on."""
    return base_models.listed(context)


def plan(context: RequestContext, call: Call) -> dict[str, Any]:
    """The settings for training on a base model, all fields of their form, and the settings by which the person is
    painted only when asked for."""
    if not call.query.get("base"):
        raise UserError("Choose a base model first.", "base", code="base-model-not-chosen")
    with about("base"):
        base = base_models.of(context, base_of(context, call.query["base"]))
    wanted = call.query.get("preset") or None
    train = settings_of(base, wanted, {})
    fitted, said = _fitted(base, train)
    return {
        "preset": train.preset,
        "family": base.family,
        "side": train.resolution or base.side,
        "presets": form_fields.preset_entries(base.family, base.narrow),
        "fitted": said,
        "fitted_settings": memory_fitting.differences(train, fitted),
        "settings": form_fields.flat(fitted),
        "fields": form_fields.fields(),
        "only_when_asked": {"preservation_weight": PRESERVATION},
    }


def settings_of(base: BaseRecord, preset: str | None, over: Mapping[str, Any]) -> TrainSettings:
    """The settings of a run.

    Raises:
        UserError: no such preset or setting, or one that does not fit the base model.
    """
    family = cast(Any, base.family)
    train = presets.preset(preset, family, typed_settings.nested(over), narrow=base.narrow)
    train.objective.check(cast(Any, base.prediction))
    return train


def _fitted(base: BaseRecord, train: TrainSettings) -> tuple[TrainSettings, str]:
    """A preset adjusted to the memory of this machine's GPU, see `training.plan.memory_fitting.fitted`."""
    memory = None if base.narrow else gpu_memory()  # torch takes seconds to load
    if memory is None:
        return train, ""
    from lib_lora.training import distributed, precision

    device, asked = distributed.device(), train.precision
    if device.type != "cpu":
        train = replace(train, precision=precision.resolve(asked, device))
    found, said = memory_fitting.fitted(base.family, memory, train)
    return replace(found, precision=asked), said


def gpu_memory() -> int | None:
    """Bytes of the GPU; None if there is none, or torch cannot tell."""
    try:
        import torch

        if torch.cuda.is_available():
            return int(torch.cuda.get_device_properties(0).total_memory)
    except Exception as error:  # a broken torch is the doctor's business
        LOG.warning("The size of the GPU is not known: %s", error)
    return None


def reckon(context: RequestContext, call: Call) -> dict[str, Any]:
    """What a training would take: steps, disk space, and time and memory if they have been measured; and how many of
    its photos have a caption that says more than who it is."""
    folder, body = paths.character(context, call), call.body
    snapshot = snapshot_of(folder)
    with about("base"):
        path = base_of(context, body.base)
        base = base_models.of(context, path)
    train = settings_of(base, body.preset, body.settings)
    here = body.on == LOCAL or context.host.remote()
    if not here:
        train = replace(train, likeness_curve=False, stop_early=False)  # as `runs.sent_run` sends it
    classes = _class_photos(context, train)
    others = others_of(folder, snapshot.character, train.together)
    counts = {snapshot.character.name: len(snapshot.used)}
    counts |= {other.name: len(photos_to_use(place)) for place, other in others}
    count, plain = sum(counts.values()), caption_files.template(snapshot.character)
    shapes = kept(("shapes", path), mark(path), lambda: estimate.shapes_of(path))
    need = estimate.estimate(base.family, shapes, train, train.resolution or base.side, max(count, 1), classes)
    free = shutil.disk_usage(context.root if context.root.exists() else Path.cwd()).free
    if here:
        measured = _measured(context, path, train, need.steps, need.work - need.steps)
    else:
        given = typed_settings.by_dotted_key(body.settings)
        training = PlannedTraining(path, base.family, base.narrow, train, given, need.steps)
        measured = _measured_there(context, body.on, training)
    return {
        "steps": need.steps,
        "photos": count,
        "own": len(snapshot.used),
        "fewest": min(counts.values()),
        "captioned": sum(text != plain for text in snapshot.used_texts.values() if text),
        "checkpoints": need.checkpoints,
        "disk_bytes": need.disk_bytes,
        "free_bytes": free,
        "measured": None if measured is None else measured.values(),
        "text": _text(need.steps, count, measured),
        "problems": _problems(snapshot.character, counts, need.disk_bytes, free),
    }


def _class_photos(context: RequestContext, train: TrainSettings) -> int:
    if not train.class_photos:
        return 0
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so a folder of class photos cannot be named here.")
    return len(class_files(train))


@dataclass(frozen=True)
class TimeEstimate:
    """What a training will take, from what was measured.

    Attributes:
        seconds_per_step: of the optimizer.
        seconds: of all.
        device: on which.
        peak_memory: bytes; None = not known.
        others: share of the processor that other programs take now, 0..1.
        run: by which own run that is known; empty = a probe has measured it.
        painting: seconds of them in which pictures are painted: samples, and those of the likeness curve.
        plain: the probe measured it without preservation.
    """

    seconds_per_step: float
    seconds: float
    device: str
    peak_memory: int | None = None
    others: float = 0.0
    run: str = ""
    painting: float = 0.0
    plain: bool = False

    def values(self) -> dict[str, Any]:
        """The estimate as plain values, for the page."""
        found = asdict(self)
        del found["plain"]
        if not self.run:
            del found["run"]
        return found


def _measured(
    context: RequestContext, base: Path, train: TrainSettings, steps: int, painting: float, on: str | None = None
) -> TimeEstimate | None:
    """What was measured here, or on another machine (`on`). Where nothing was measured with preservation, what was
    measured without it, times what it is known to cost.

    Args:
        painting: how many steps take as long as painting the pictures.
    """
    found, plain = estimate.last_measurement(context.root, base, train, on=on), train
    if found is None and train.preservation_turns:
        plain = replace(train, preservation_weight=0.0, phrase_weight=0.0)
        found = estimate.last_measurement(context.root, base, plain, on=on)
    if found is None:
        return None
    times = 1.0 if plain is train else estimate.preserving_times(train)
    pace, others = found.seconds_per_step * times, 0.0
    if found.device == "the processor" and on is None:
        others = cpu_load.share_now(_SAMPLED)
        pace *= cpu_load.slowed(others) / cpu_load.slowed(found.others)
    seconds = pace * painting
    whole = pace * steps + seconds + found.load_seconds
    return TimeEstimate(
        pace, whole, found.device, found.peak_memory, others, painting=seconds, plain=plain is not train
    )


def _measured_there(context: RequestContext, on: str, training: PlannedTraining) -> TimeEstimate | None:
    """As `_measured`, on another machine: by own runs on a GPU of that name, else as it was measured there."""
    place = places.named(context.root, on)
    gpu = place.machine.gpus[0] if place and place.machine and place.machine.gpus else None
    pace = training.pace(context.root, gpu.name, round(gpu.memory / GB)) if gpu else None
    if gpu is None or pace is None:
        painting = training.work - training.steps
        return _measured(context, training.base, training.train, training.steps, painting, on)
    painting = pace.seconds * (training.work - training.steps)
    return TimeEstimate(pace.seconds, pace.seconds * training.work, gpu.name, run=pace.run, painting=painting)


def _text(steps: int, photos: int, measured: TimeEstimate | None) -> str:
    took = f"about {in_words(measured.seconds)} on {measured.device}" if measured else "time not measured yet"
    if measured and measured.others >= _NOTICED:
        took += f", of which other programs take {round(100 * measured.others)} % now"
    if measured and measured.painting >= 1:
        took += f"; this includes {in_words(measured.painting)} for pictures painted along the way"
    if measured and measured.plain:
        took += "; estimated from a measurement without preservation"
    return f"{steps:,} steps with {plural(photos, 'photo')}, {took}."


def in_words(seconds: float) -> str:
    """ "40 s", "12 min", "1 h 5 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _problems(character: Character, counts: Mapping[str, int], need: int, free: int) -> list[str]:
    found = []
    if character.consent is None:
        found.append(f"Record consent for {character.name} first.")
    for name, photos in counts.items():
        if photos < LEAST_TO_TRAIN:
            whose = f" of {name}" if len(counts) > 1 else ""
            found.append(
                f"{plural(photos, 'photo')}{whose} in use; at least {LEAST_TO_TRAIN} are needed to teach a face."
            )
    if need > free:
        found.append(f"The run needs {size(need, 1000)} of disk, and {size(free, 1000)} are free; free some space.")
    return found
