"""Makes the plan of a production from what is asked for.

Loads nothing that paints or measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.lora.file.integrity import check_whole
from lib_lora.pictures import NEGATIVE
from lib_lora.queue.job_types import RANGES, Range
from lib_lora.runs.records import run_records
from lib_lora.runs.reopen import check_base
from lib_lora.runs.run_names import checkpoint_named, newest
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workflows.produce import production_store
from lib_lora.workflows.produce.production import WEBUI, Line, ProductionPlan
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.lora_tags import LoraTags
from lib_lora.workflows.produce.prompts.prompt_list import NO_FOLDERS, PromptFolders, PromptRow
from lib_lora.workflows.produce.prompts.wildcards import Wildcards
from lib_lora.workspace.workspace import Workspace

SECOND_PASS = 0.4  # the usual denoising strength over a small face, as ADetailer's
REQUESTED = {  # what may be asked for
    "count": Range(1, 10_000),
    "tries": Range(1, 20),
    "seed": RANGES["first_seed"],
    "weight": RANGES["weight"],
    "side": RANGES["side"],
    "steps": RANGES["grid_steps"],
    "cfg": RANGES["cfg"],
}
_NAMES = {
    "count": "number of pictures",
    "tries": "number of tries",
    "steps": "number of sampling steps",
    "cfg": "guidance",
}


@dataclass(frozen=True)
class ProduceSettings:
    """What can be set for a production; see `ProductionPlan` for what has no description here.

    Attributes:
        count: pictures to be kept; 0 = one for each prompt.
        run: identifier; None = the newest run that is trained.
        step: of the checkpoint; None = what the tests of the run speak for, else the last.
        weight: of the LoRA; None = as the tests speak for, else 1.
        negative: None = that of the test pictures.
        side: pixels; None = as trained.
        cfg: None = the base model's usual one.
        trigger: whether the trigger and the class word are put before prompts that lack the trigger.

    Raises:
        UserError: a number is out of its range (`REQUESTED`).
    """

    count: int = 0
    run: str | None = None
    step: int | None = None
    weight: float | None = None
    tries: int = 4
    seed: int = 1000
    line: Line = "keep"
    several: bool = False
    negative: str | None = None
    side: int | None = None
    steps: int = 20
    cfg: float | None = None
    sampler: str = "Euler"
    trigger: bool = True
    second_pass: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in REQUESTED.items():
            value = getattr(self, name)
            if value is not None and value not in allowed and not (name == "count" and value == 0):
                said = f"The {_NAMES.get(name, name)} is {value:g}; give {allowed}."
                raise UserError(said, name, code="value-out-of-range")
        if not 0 <= self.second_pass <= 1:
            said = f"The strength of the second pass is {self.second_pass:g}; give 0 to 1 (0.4 is usual)."
            raise UserError(said, "second_pass", code="second-pass-out-of-range")
        if self.side is not None and self.side % 8:
            raise UserError(
                f"Pictures cannot be {self.side} pixels wide; give a multiple of 8.", "side", code="side-invalid"
            )


_USUAL = ProduceSettings()


@dataclass(frozen=True)
class ProduceRequest:
    """What is asked for.

    Attributes:
        prompts: the list.
        settings: what is set.
        folders: of what prompts name.
        by: who paints, as `ProductionPlan.by`.
        detailer: what does the second pass where the webui paints, as `ProductionPlan.detailer`.
        webui_loras: names of the LoRAs that the webui knows, where it paints; None = they cannot be asked for.
    """

    prompts: Sequence[PromptRow]
    settings: ProduceSettings = _USUAL
    folders: PromptFolders = NO_FOLDERS
    by: str = ""
    detailer: str = ""
    webui_loras: frozenset[str] | None = None


def plan_of(root: Path, name: str, request: ProduceRequest) -> tuple[Run, ProductionPlan]:
    """The run that paints, and what is painted.

    Args:
        root: the data folder.
        name: of the character.
        request: what is asked for.

    Raises:
        UserError: there is no such checkpoint or wildcard, the base model is gone, or a model must not be used.
    """
    asked = request.settings
    run = newest(Workspace(root).character(name), name, asked.run, trained=True)
    step, weight = _chosen(run, asked)
    check_base(run)
    see_that_it_may_be_used(root, Path(run.file.base.path), run.file.base.sha256)
    lora = run.checkpoint(step)
    check_whole(lora)
    Wildcards(request.folders.wildcards).check(row.prompt for row in request.prompts)
    tags = LoraTags(request.folders.loras, root)
    if request.by != WEBUI:
        tags.check(row.prompt for row in request.prompts)
    elif request.webui_loras is not None:
        tags.check_names((row.prompt for row in request.prompts), request.webui_loras)
    character, train, info = run.file.character, run.file.settings, run.model()
    who = ", ".join([character.called, *character.traits])
    plan = ProductionPlan(
        run=run.file.id,
        step=step,
        weight=weight,
        lora_sha256=sha256(lora),
        prompts=list(request.prompts),
        count=asked.count or len(request.prompts),
        tries=asked.tries,
        seed=asked.seed,
        line=asked.line,
        several=asked.several,
        negative=NEGATIVE if asked.negative is None else asked.negative,
        side=asked.side or train.resolution or info.resolution,
        steps=asked.steps,
        cfg=run.file.base.guidance if asked.cfg is None else asked.cfg,
        sampler=asked.sampler,
        trigger=character.trigger,
        before=f"photo of {who}" if asked.trigger else "",
        second_pass=asked.second_pass,
        by=request.by,
        detailer=request.detailer if request.by == WEBUI and asked.second_pass else "",
    )
    return run, plan


def _chosen(run: Run, asked: ProduceSettings) -> tuple[int, float]:
    """Step and weight: what was asked for, else what the tests of the run speak for."""
    best = run_records.best([(run_records.run(run.folder), run_records.grids(run.folder))])
    step = asked.step
    if step is None and best is not None and best.step is not None and run.checkpoint(best.step).is_file():
        step = best.step
    weight = asked.weight
    if weight is None:
        weight = best.weight if best is not None and best.step == step else 1.0
    return checkpoint_named(run, step), weight


def begun(root: Path, name: str, plan: ProductionPlan) -> ProductionFolder:
    """The newest production of this very plan, or a new one."""
    return there_already(root, name, plan) or production_store.make(Workspace(root).character(name), plan)


def there_already(root: Path, name: str, plan: ProductionPlan) -> ProductionFolder | None:
    """The newest production of this very plan; None where there is none."""
    for one in production_store.productions(Workspace(root).character(name)):
        try:
            if one.plan() == plan:
                return one
        except UserError:
            continue  # damaged, or of a newer version
    return None
