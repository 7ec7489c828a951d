"""Defines what a queued job can be asked to do: one dataclass of arguments for each type.

Plain values become such a dataclass here and nowhere else, once: when a request comes in (`arguments_of`), or when a
row of the queue's file is read (`arguments_in_row`). Whoever has a job asks its attributes. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lib_lora import typed_settings
from lib_lora.errors import Misfit, UserError
from lib_lora.models.families.model_family import Prediction
from lib_lora.pictures import HEAVIEST, LIGHTEST
from lib_lora.remote import base_addresses
from lib_lora.remote.gpu_providers import NAMES, is_rented
from lib_lora.remote.places import LOCAL

Kind = Literal["audit", "fill", "probe", "train", "test", "choose", "combine", "invent", "more", "produce"]
Lane = Literal["light", "heavy", "remote"]
CANDIDATES, COUNT = 20, 30
BUDGET = 900  # of the small base model, what two cores paint in 15 minutes (docs/inventing.md)
RENT_HOURS, RENT_CAP = (0.1, 168.0), (0.01, 10_000.0)  # hours and USD that may be allowed for it
LONGEST = 400  # letters of a description
WEIGHTS = (0.6, 0.8, 1.0)  # that a search tries
CHECKPOINTS = 6  # that a search tries, evenly spread over the run
CONFIRMED = 3  # of those that a search has screened, tested again with all prompts
COMBINED_WEIGHTS = (0.25, 0.5, 0.75, 1.0)  # of another LoRA, at which it is seen what the face keeps
COMBINED = 20  # prompts at each of them; with fewer than 18 no weight is said to survive
LEAST_COMBINED = 6  # fewer pairs never say anything
MOST_COMBINED = 200
MORE_STEPS = 2  # saved steps that the best one's own advice names and that are tried besides


@dataclass(frozen=True)
class Range:
    """The values that an argument may have, both ends included."""

    least: int
    most: int

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


PROMPT_WEIGHT = Range(LIGHTEST, HEAVIEST)  # of a LoRA in a prompt
RangeName = Literal["grid_steps", "weight", "side", "first_seed", "cfg", "candidates", "seed", "count", "budget"]
RANGES: dict[RangeName, Range] = {  # of arguments, by name
    "grid_steps": Range(1, 150),
    "weight": Range(-2, 2),
    "side": Range(64, 2048),
    "first_seed": Range(0, 2**32 - 1),
    "cfg": Range(1, 30),
    "candidates": Range(1, 64),
    "seed": Range(0, 2**32 - 1),
    "count": Range(1, 500),
    "budget": Range(1, 5000),
}


@dataclass(frozen=True)
class AuditArguments:
    """How to audit a character's photos (`workflows.photos.audit_photos.audit_photos`).

    Attributes:
        resolution: pixels of a side of what will be trained; 0 = as of its pictures, else the usual family's.
        keep, drop, undecided, accept: see `workflows.photos.audit_photos.Choices`.
    """

    resolution: int = 0
    keep: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    accept: bool = False


@dataclass(frozen=True)
class FillArguments:
    """How to write captions (`workflows.photos.fill_captions.fill`).

    Attributes:
        captioner: its name (`workflows.photos.captioners`, or one of the host's); empty = only what was measured.
        rewrite: also captions that somebody has written.
        only: file names of photos; none = all.
    """

    captioner: str = ""
    rewrite: bool = False
    only: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ProbeArguments:
    """Do a few steps of a training, to know what it will cost.

    Attributes:
        base: path of the checkpoint; None or empty = none is chosen, see `chosen_base`.
        preset: None = the one for this base model.
        settings: laid over the preset, by name (`training.plan.train_settings.TrainSettings`).
        on: the machine on which it is measured: "local", or as `TrainArguments.on` names another one.
    """

    base: str | None = None
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    on: str = LOCAL

    def __post_init__(self) -> None:
        if is_rented(self.on):
            raise Misfit("rented GPUs cannot be measured in advance; omit 'on'.", "on")


@dataclass(frozen=True)
class Rental:
    """What may be rented for a job (`runners.rented_pod`).

    Attributes:
        gpus: names, the one wanted most first, and no other; empty = all, the cheapest first.
        dearest: USD an hour that it may cost; None = any price.
        hours: that pods may live for its run, together.
        cap: USD that these may cost, together.
        cloud: vetted data centres, or other people's machines.
        regions: beginnings of data centres' names, such as EU or EU-RO-1; empty = anywhere.
        anew: hours and cap count from when the job was queued; otherwise those hold that its run had before, if any.
    """

    gpus: list[str] = field(default_factory=list)
    dearest: float | None = None
    hours: float = 6.0
    cap: float = 5.0
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    regions: list[str] = field(default_factory=list)
    anew: bool = False

    def __post_init__(self) -> None:
        (shortest, longest), (least, most) = RENT_HOURS, RENT_CAP
        if not shortest <= self.hours <= longest:
            raise Misfit(
                f"the time limit must be between {shortest:g} and {longest:g} hours, not {self.hours:g}.", "hours"
            )
        if not least <= self.cap <= most:
            raise Misfit(f"the cost limit must be between {least:g} and {most:g} USD, not {self.cap:g}.", "cap")
        if self.dearest is not None and not 0 < self.dearest <= 10_000:
            raise Misfit(
                f"the highest price per hour must be above 0 USD and at most 10000, not {self.dearest:g}.", "dearest"
            )


@dataclass(frozen=True)
class TrainArguments:
    """Train a new run, or go on with one that is there.

    Attributes:
        base: path of the checkpoint of a new run; with `run`, where the base model is now, or None.
        preset, settings: of a new run.
        prediction: overrides what the checkpoint says of itself.
        few: train although there are fewer photos than can teach a face that holds.
        run: identifier of a run of the character that goes on; None = a new run.
        steps: with `run`, how many the run should have in all; None = as before.
        then_test: paint and judge the test grid afterwards, as a job of its own.
        on: where it trains: "local", "ssh:NAME" or "ray:NAME" of a place (`remote.places`), or a
            provider of GPUs (`remote.gpu_providers`).
        rental: with a provider, what may be rented; None = as `Rental` has it.
        base_address: from where another machine may fetch the base model; empty = as was said of it before.
    """

    base: str | None = None
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    prediction: Prediction | None = None
    few: bool = False
    run: str | None = None
    steps: int | None = None
    then_test: bool = True
    on: str = LOCAL
    rental: Rental | None = None
    base_address: str = ""

    def __post_init__(self) -> None:
        if self.base_address:
            base_addresses.check(self.base_address)
            if self.on == LOCAL:
                raise Misfit(
                    "an address of the base model is for another machine; name that machine with 'on'.", "base_address"
                )
        _check_rental(self.on, self.rental)


def _check_rental(on: str, rental: Rental | None) -> None:
    if rental is not None and not is_rented(on):
        raise Misfit(f"a GPU is rented with on={' or '.join(NAMES)} only; leave rental out, or give that.", "rental")


@dataclass(frozen=True)
class LoraBeside:
    """A LoRA to paint with beside the character's.

    Attributes:
        file: its path.
        weight: of it.
    """

    file: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.file:
            raise Misfit("no LoRA file is given; choose one.", "file")
        if self.weight not in PROMPT_WEIGHT:
            raise Misfit(f"the weight of another LoRA is {self.weight:g}; it must be from {PROMPT_WEIGHT}.", "weight")


@dataclass(frozen=True)
class TestArguments:
    """Paint the test grid of a checkpoint, and judge it.

    Attributes:
        run: identifier; None = the newest that has a checkpoint.
        step: of the checkpoint; None = the one to use (`training.plan.run_file.step_to_use`).
        weight: of the LoRA.
        grid_steps: sampling steps.
        sampler: a name that the webui knows.
        cfg: guidance scale; None = the base model's usual one.
        side: pixels of a side of a square picture, a multiple of 8; None = as trained.
        quick: 8 prompts in place of 20.
        first_seed: of the first picture.
        again: paint also what has been painted before.
        painter: who paints: the webui with its own pipeline, or the worker with diffusers.
        base: path of the checkpoint to paint with; None = the run's own. Only the webui paints with another one.
        on: where the worker paints: "local", "ssh:NAME" or "ray:NAME" of a place, or a provider of GPUs. The
            pictures are judged here in any case.
        rental: with a provider, what may be rented; None = as `Rental` has it.
        loras: further LoRAs, with which the character's is tested together.
    """

    __test__ = False  # for pytest: this is no test

    run: str | None = None
    step: int | None = None
    weight: float = 1.0
    grid_steps: int = 20
    sampler: str = "Euler"
    cfg: float | None = None
    side: int | None = None
    quick: bool = False
    first_seed: int = 1000
    again: bool = False
    painter: Literal["webui", "worker"] = "worker"
    base: str | None = None
    on: str = LOCAL
    rental: Rental | None = None
    loras: list[LoraBeside] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_painting(self.grid_steps, [self.weight])
        _check_painter(self.painter, self.on, self.rental)
        if self.side is not None and (self.side % 8 or self.side not in RANGES["side"]):
            raise Misfit(
                f"pictures cannot be {self.side} pixels wide; give a multiple of 8 from {RANGES['side']}.", "side"
            )
        if self.first_seed not in RANGES["first_seed"]:
            raise Misfit(f"the first seed is {self.first_seed}; it must be from {RANGES['first_seed']}.", "first_seed")
        if self.cfg is not None and self.cfg not in RANGES["cfg"]:
            raise Misfit(f"the guidance is {self.cfg:g}; it must be from {RANGES['cfg']}.", "cfg")


@dataclass(frozen=True)
class ChooseArguments:
    """Find the step and the weight to keep (`workflows.judge.choose.choose_cell`).

    Attributes:
        run: identifier; None = the newest that has a checkpoint.
        steps: checkpoints to try; None = up to `CHECKPOINTS`, evenly spread.
        weights: of the LoRA.
        grid_steps: sampling steps.
        painter, on, rental: as in `TestArguments`.
    """

    run: str | None = None
    steps: list[int] | None = None
    weights: list[float] = field(default_factory=lambda: [*WEIGHTS])
    grid_steps: int = 20
    painter: Literal["webui", "worker"] = "worker"
    on: str = LOCAL
    rental: Rental | None = None

    def __post_init__(self) -> None:
        _check_painter(self.painter, self.on, self.rental)
        if not self.weights:
            raise Misfit("there is no weight to try; give at least one, such as 0.8.", "weights")
        _check_painting(self.grid_steps, self.weights)


@dataclass(frozen=True)
class CombineArguments:
    """See up to which weight another LoRA leaves the face as it is (`workflows.combine.combine`).

    Attributes:
        lora: path of the other LoRA.
        run: identifier; None = the newest that has a checkpoint.
        step: of the checkpoint; None = the one to use (`training.plan.run_file.step_to_use`).
        weight: of the character's LoRA.
        weights: of the other one; that it is not used at all is always one of them.
        count: of prompts at each weight.
        grid_steps: sampling steps.
        painter, on, rental: as in `TestArguments`.
    """

    lora: str
    run: str | None = None
    step: int | None = None
    weight: float = 1.0
    weights: list[float] = field(default_factory=lambda: [*COMBINED_WEIGHTS])
    count: int = COMBINED
    grid_steps: int = 20
    painter: Literal["webui", "worker"] = "worker"
    on: str = LOCAL
    rental: Rental | None = None

    def __post_init__(self) -> None:
        _check_painter(self.painter, self.on, self.rental)
        _check_painting(self.grid_steps, [self.weight])
        if not self.lora:
            raise Misfit("no LoRA file is given; choose one.", "lora")
        if not self.weights or not all(0 < one <= RANGES["weight"].most for one in self.weights):
            most = RANGES["weight"].most
            raise Misfit(f"the weights of the other LoRA must be above 0 and up to {most}, such as 0.5.", "weights")
        if not LEAST_COMBINED <= self.count <= MOST_COMBINED:
            raise Misfit(
                f"{self.count} is not a possible number of prompts at each weight; give {LEAST_COMBINED} to "
                f"{MOST_COMBINED}.",
                "count",
            )


def _check_painter(painter: str, on: str, rental: Rental | None) -> None:
    _check_rental(on, rental)
    if painter == "webui" and on != LOCAL:
        raise Misfit("the webui paints on this computer only; leave on or painter out.", "on")


def _check_painting(steps: int, weights: Sequence[float]) -> None:
    if steps not in RANGES["grid_steps"]:
        raise Misfit(
            f"{steps} is not a possible number of sampling steps; give {RANGES['grid_steps']} (20 is usual).",
            "grid_steps",
        )
    for weight in weights:
        if weight not in RANGES["weight"]:
            raise Misfit(f"the weight is {weight:g}; it must be from {RANGES['weight']}.", "weight")


@dataclass(frozen=True)
class InventArguments:
    """Paint candidates for a face (`workflows.invent.invent.candidates`).

    Attributes:
        describe: who should be visible, as it stands after "photo of".
        base: path of the checkpoint; None or empty = none is chosen, see `chosen_base`.
        candidates: how many there should be; those that are there are not painted again.
        seed: of the first one.
    """

    describe: str
    base: str | None = None
    candidates: int = CANDIDATES
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.describe.strip():
            raise ValueError("the description is empty; describe the person, such as a woman with short red hair.")
        if len(self.describe) > LONGEST or not self.describe.isprintable():
            raise ValueError(f"the description must be one line of plain text with at most {LONGEST} characters.")
        if self.candidates not in RANGES["candidates"]:
            raise ValueError(f"{self.candidates} candidates cannot be painted; give {RANGES['candidates']}.")
        if self.seed not in RANGES["seed"]:
            raise ValueError(f"the seed is {self.seed}; it must be from {RANGES['seed']}.")


@dataclass(frozen=True)
class MoreArguments:
    """Paint further pictures of the picked face (`workflows.invent.invent_more.more`).

    Attributes:
        count: how many should be kept, of all that were painted without a LoRA, or with this one.
        budget: how many of these may be painted, also by earlier jobs.
        with_lora: paint with the LoRA of the character's newest run.
        mirror: add mirror images of views from one side, where too few from the other side were kept.
    """

    count: int = COUNT
    budget: int = BUDGET
    with_lora: bool = False
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.count not in RANGES["count"]:
            raise ValueError(f"{self.count} pictures cannot be kept; give {RANGES['count']}.")
        if self.budget not in RANGES["budget"]:
            raise ValueError(f"{self.budget} pictures cannot be painted; give {RANGES['budget']}.")


@dataclass(frozen=True)
class ProduceArguments:
    """Paint what of a production is not painted yet, and judge it (`workflows.produce`).

    Attributes:
        production: identifier of a production of the character, which says what is painted and by whom.
        on, rental: who paints, as in `TestArguments`. Judged is here in any case.
        wildcards, loras: folders of wildcard files, and of further LoRAs, which prompts name.
        painter: "webui" for a production that the webui paints; it keeps its model for that. Else "worker".
        comfyui: address of the ComfyUI that paints, for a production that was begun so; empty = at its usual one.
    """

    production: str
    on: str = LOCAL
    wildcards: list[str] = field(default_factory=list)
    loras: list[str] = field(default_factory=list)
    painter: Literal["webui", "worker"] = "worker"
    comfyui: str = ""
    rental: Rental | None = None

    def __post_init__(self) -> None:
        if not (self.production.isascii() and self.production.isdigit() and len(self.production) < 10):
            raise Misfit("give the number of a production, such as 001.", "production")
        _check_painter(self.painter, self.on, self.rental)


Arguments = (
    AuditArguments
    | FillArguments
    | ProbeArguments
    | TrainArguments
    | TestArguments
    | ChooseArguments
    | CombineArguments
    | InventArguments
    | MoreArguments
    | ProduceArguments
)


@dataclass(frozen=True)
class UnreadableArguments:
    """What a row of the queue's file holds of a job that this version cannot do: one of a newer version, for instance.

    Attributes:
        values: as they stand there.
        error: says why not.
    """

    values: dict[str, Any]
    error: UserError = field(compare=False)


KINDS: dict[str, type[Arguments]] = {
    "audit": AuditArguments,
    "fill": FillArguments,
    "probe": ProbeArguments,
    "train": TrainArguments,
    "test": TestArguments,
    "choose": ChooseArguments,
    "combine": CombineArguments,
    "invent": InventArguments,
    "more": MoreArguments,
    "produce": ProduceArguments,
}
_KIND_OF = {arguments: kind for kind, arguments in KINDS.items()}
LANES: dict[str, Lane] = {"audit": "light", "fill": "light"}  # all others need the GPU, one at a time


def arguments_of(kind: str, values: Any) -> Arguments:
    """The arguments of a job from plain values.

    Raises:
        UserError: no such kind, an unknown argument (the nearest known one is named), or a value of the wrong type.
    """
    if kind not in KINDS:
        raise UserError(f"There is no job {kind!r}; there are {', '.join(KINDS)}.", code="job-type-unknown", type=kind)
    return typed_settings.from_dict(KINDS[kind], values, f"job {kind}")


def arguments_in_row(
    kind: str, values: dict[str, Any], path_of: Callable[[str], str]
) -> Arguments | UnreadableArguments:
    """The arguments of a job from a row of the queue's file.

    Args:
        kind: of the job.
        values: plain, as they stand there.
        path_of: gives the path here of a file by its name there.
    """
    try:
        return with_files(arguments_of(kind, values), path_of)
    except UserError as error:
        return UnreadableArguments(values, error)


def as_plain(arguments: Arguments | UnreadableArguments) -> dict[str, Any]:
    """The opposite of `arguments_of`, for JSON."""
    return arguments.values if isinstance(arguments, UnreadableArguments) else typed_settings.to_dict(arguments)


def kind_of(arguments: Arguments) -> str:
    """The type of job that has such arguments."""
    return _KIND_OF[type(arguments)]


def run_in(arguments: Arguments | UnreadableArguments) -> str | None:
    """The identifier of the run that a job names; None where it names none."""
    with_run = (TrainArguments, TestArguments, ChooseArguments, CombineArguments)
    return arguments.run if isinstance(arguments, with_run) else None


def production_in(arguments: Arguments | UnreadableArguments) -> str:
    """The identifier of the production that a job paints, as its folder is called; empty where it paints none."""
    return arguments.production.zfill(3) if isinstance(arguments, ProduceArguments) else ""


def base_in(arguments: Arguments | UnreadableArguments) -> str | None:
    """The path of the base model that a job names; None or empty where it names none."""
    if isinstance(arguments, (ProbeArguments, TrainArguments, TestArguments, InventArguments)):
        return arguments.base
    return None


def chosen_base(arguments: ProbeArguments | TrainArguments | InventArguments) -> Path:
    """The base model of a job that cannot do without.

    Raises:
        UserError: none is chosen.
    """
    if not arguments.base:
        raise UserError("Choose a base model first.", "base", code="base-model-not-chosen")
    return Path(arguments.base)


def class_photos_in(arguments: Arguments | UnreadableArguments) -> str:
    """The folder of class photos that a job's settings name; empty where they name none."""
    if not isinstance(arguments, (ProbeArguments, TrainArguments)):
        return ""
    found = arguments.settings.get("class_photos")
    return found if isinstance(found, str) else ""


def together_in(arguments: Arguments | UnreadableArguments) -> list[str]:
    """The names of other characters whose photos a job trains on too, as its settings have them."""
    if not isinstance(arguments, (ProbeArguments, TrainArguments)):
        return []
    found = arguments.settings.get("together")
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def loras_in(arguments: Arguments | UnreadableArguments) -> list[str]:
    """The paths of the further LoRAs that a job names."""
    if isinstance(arguments, CombineArguments):
        return [arguments.lora]
    return [one.file for one in arguments.loras] if isinstance(arguments, TestArguments) else []


def files_in(arguments: Arguments | UnreadableArguments) -> list[str]:
    """The paths of all files and folders that a job names."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    if not isinstance(arguments, UnreadableArguments):
        with_files(arguments, note)
    return found


def with_files(arguments: Arguments, other: Callable[[str], str]) -> Arguments:
    """Arguments with something else in place of each file that they name.

    Args:
        arguments: of a job.
        other: gives it for what stands there.
    """
    if isinstance(arguments, FillArguments):
        captioner, colon, file = arguments.captioner.partition(":")
        return replace(arguments, captioner=f"{captioner}:{other(file)}") if colon and file else arguments
    if isinstance(arguments, (AuditArguments, ChooseArguments, MoreArguments)):
        return arguments
    if isinstance(arguments, ProduceArguments):
        wildcards, loras = ([*map(other, folders)] for folders in (arguments.wildcards, arguments.loras))
        return replace(arguments, wildcards=wildcards, loras=loras)
    if isinstance(arguments, CombineArguments):
        return replace(arguments, lora=other(arguments.lora))
    if isinstance(arguments, TestArguments) and arguments.loras:
        arguments = replace(arguments, loras=[replace(one, file=other(one.file)) for one in arguments.loras])
    if arguments.base:
        arguments = replace(arguments, base=other(arguments.base))
    if isinstance(arguments, (ProbeArguments, TrainArguments)) and (classes := class_photos_in(arguments)):
        arguments = replace(arguments, settings={**arguments.settings, "class_photos": other(classes)})
    return arguments


def place_in(arguments: Arguments | UnreadableArguments) -> str:
    """Where a job's worker is: "local", or as `TrainArguments.on` names another machine."""
    return arguments.on if isinstance(arguments, TrainArguments) else LOCAL


def asked_place(arguments: Arguments | UnreadableArguments) -> str:
    """Where that is done which is heavy of a job; its worker may be here all the same (`place_in`)."""
    has_place = (
        *(TrainArguments, TestArguments, ChooseArguments, CombineArguments),
        *(ProbeArguments, ProduceArguments),
    )
    return arguments.on if isinstance(arguments, has_place) else LOCAL


def uses_place(arguments: Arguments | UnreadableArguments) -> bool:
    """Whether another machine does what is heavy of a job."""
    return asked_place(arguments) != LOCAL


def lane_of(kind: str, arguments: Arguments | UnreadableArguments) -> Lane:
    """Where a job waits: light ones run beside a training, heavy ones one after the other; those on another machine
    leave this one's GPU alone."""
    return "remote" if uses_place(arguments) else LANES.get(kind, "heavy")
