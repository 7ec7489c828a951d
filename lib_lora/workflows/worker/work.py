"""Does a job of any type in a worker process, and returns its result.

Imports torch and everything else; for the list of job types alone, use `queue.job_types`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lora.captions.captioner import Captioner
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained, write_json
from lib_lora.grid.prompts import PROMPTS, QUICK
from lib_lora.models.fast.memory import is_out_of_memory
from lib_lora.queue.job_types import (
    Arguments,
    AuditArguments,
    ChooseArguments,
    CombineArguments,
    FillArguments,
    InventArguments,
    MoreArguments,
    ProbeArguments,
    ProduceArguments,
    TestArguments,
    TrainArguments,
    UnreadableArguments,
    chosen_base,
)
from lib_lora.queue.queue import RESULT, Queue
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.remote.places import LOCAL
from lib_lora.runs.events import EventLog
from lib_lora.runs.records.uses import renew_previews
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.combine.combine import CombineRequest
from lib_lora.workflows.combine.combine import combine as workflow_of_combining
from lib_lora.workflows.invent.invented_folder import side_of
from lib_lora.workflows.judge.choose import ChoiceRequest, choose_cell
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.test_grid import find_run, paint_and_score
from lib_lora.workflows.photos.audit_command import run_audit
from lib_lora.workflows.photos.audit_photos import RESOLUTION, Choices
from lib_lora.workflows.photos.fill_captions import fill
from lib_lora.workflows.worker.job_context import JobContext
from lib_lora.workflows.worker.job_painter import painter_for, rent_of
from lib_lora.workflows.worker.remote_captioner import PREFIX, RemoteCaptioner
from lib_lora.workflows.worker.work_invent import paint_candidates, paint_more
from lib_lora.workflows.worker.work_produce import produce
from lib_lora.workflows.worker.work_train import prepare, train
from lib_lora.workspace.preferences import chosen_engine
from lib_lora.workspace.workspace import Workspace

Result = dict[str, Any]


def work(root: Path, number: int, pipe: WorkerPipe, prepare_only: bool = False) -> Result:
    """Do job `number` of the queue; what came of it stands in ``result.json`` of its folder, which is written last.

    Args:
        root: the data folder.
        number: of the job.
        pipe: to the parent.
        prepare_only: only make the run that another machine should train (`work_train.prepare`). The job goes on after
            that, so its end is said only where this fails.

    Raises:
        UserError: there is no such job, or its folder cannot be written.
    """
    queue, pipe.workspace = Queue(root), Workspace(root)
    job, folder = queue.get(number), queue.folder(number)
    log = EventLog(Workspace(root).job(number).events)
    log("state", state="starting")
    with explained(folder / RESULT):
        (folder / RESULT).unlink(missing_ok=True)  # of an earlier start of the same job

    def emit(kind: str, **fields: Any) -> None:
        log(kind, **fields)
        if kind in ("progress", "painting", "data") or fields.get("state") == "preparing":
            pipe.check()  # here nothing is lost; a training saves before it ends (`finish_run`)

    context = JobContext(root, job.character, folder, pipe, emit, lambda run: queue.note_run(number, run))
    asked = job.arguments
    if prepare_only and isinstance(asked, TrainArguments):
        outcome = came_of(lambda: prepare(asked, context), pipe)
        if outcome["state"] == "finished":
            return outcome
    else:
        outcome = came_of(lambda: do(asked, context), pipe)
    code = {"code": outcome["code"]} if outcome["code"] else {}
    log("state", state=outcome["state"], text=outcome["error"], **code)
    write_json(folder / RESULT, outcome)
    return outcome


def came_of(job: Callable[[], Result], pipe: WorkerPipe) -> Result:
    """How a job ended: its state; if it failed, one sentence and the error's code; and its result."""
    state, error, code, result = "finished", "", "", {}
    try:
        result = job()
    except (StoppedByUser, KeyboardInterrupt):
        state = "paused" if pipe.wish == "pause" else "stopped"
    except UserError as refused:
        state, error, code = "failed", str(refused), refused.code
        sys.stderr.write(f"{error}\n")
    except Exception as failure:
        traceback.print_exc()
        state, (code, error) = "failed", _explained(failure)
    return {"state": state, "error": error, "code": code, "result": result}


def _explained(failure: Exception) -> tuple[str, str]:
    """The code and the sentence of a failure that nobody foresaw."""
    if is_out_of_memory(failure):
        return "out-of-memory", "Out of memory; close other programs (or the webui's model), and start the job again."
    what = " ".join(str(failure).split())[:300]
    said = f"It failed with {type(failure).__name__}{f' ({what})' if what else ''}; the job's log says where."
    return "job-failed-inside", said


def do(arguments: Arguments | UnreadableArguments, context: JobContext) -> Result:
    """Do what a job asks for; its result.

    Raises:
        UserError: it cannot be done.
        StoppedByUser: the parent wished so, or is gone; what was done is kept.
    """
    match arguments:
        case AuditArguments():
            return audit(arguments, context)
        case FillArguments():
            return fill_captions(arguments, context)
        case ProbeArguments():
            return probe(arguments, context)
        case TestArguments():
            return test(arguments, context)
        case ChooseArguments():
            return choose(arguments, context)
        case CombineArguments():
            return combine(arguments, context)
        case InventArguments():
            return paint_candidates(arguments, context)
        case MoreArguments():
            return paint_more(arguments, context)
        case ProduceArguments():
            return produce(arguments, context)
        case UnreadableArguments():
            raise arguments.error
        case _:
            return train(arguments, context)


def audit(arguments: AuditArguments, context: JobContext) -> Result:
    """See `workflows.photos.audit_command.run_audit`."""
    choices = Choices(arguments.keep, arguments.drop, arguments.undecided, arguments.accept)
    count = _counting(context, "Looking at the photos")
    engine = chosen_engine(context.root)
    resolution = arguments.resolution or side_of(Workspace(context.root).character(context.character)) or RESOLUTION
    result = run_audit(context.root, context.character, resolution, choices, engine, count)
    return {"good": result.good, "headline": result.text.partition("\n")[0]}


def fill_captions(arguments: FillArguments, context: JobContext) -> Result:
    """See `workflows.photos.fill_captions.fill`."""
    captioner: Captioner | None = None
    count = _counting(context, "Writing captions")
    if arguments.captioner.startswith(PREFIX):
        captioner = RemoteCaptioner(context.pipe, context.folder / "photos", arguments.captioner)
    elif arguments.captioner:
        from lib_lora.workflows.photos.captioners import captioner_of

        captioner = captioner_of(arguments.captioner, context.root)
    engine = chosen_engine(context.root)
    result = fill(context.root, context.character, captioner, arguments.rewrite, arguments.only, engine, count)
    return {"written": len(result.values["changed"]["files"])}


def _counting(context: JobContext, text: str) -> Callable[[int, int], None]:
    def count(done: int, total: int) -> None:
        context.emit("progress", done=done, total=total, text=text)

    count(0, 0)  # how many there are is not known yet
    return count


def probe(arguments: ProbeArguments, context: JobContext) -> Result:
    """See `workflows.train.speed_probe.probe`, or `workflows.train.elsewhere.place_probe.probe_on`."""
    request = TrainingRequest(chosen_base(arguments), arguments.preset, arguments.settings)
    if arguments.on != LOCAL:
        from lib_lora.workflows.train.elsewhere.place_probe import probe_on

        part = f"probe-{context.folder.name}"
        return probe_on(
            context.root, arguments.on, context.character, request, part, context.emit, context.pipe.stopping
        ).values()
    from lib_lora.workflows.train.speed_probe import probe as measure

    return measure(context.root, context.character, request, context.emit).values()


def test(arguments: TestArguments, context: JobContext) -> Result:
    """See `workflows.judge.test_grid.paint_and_score`."""
    run, step = find_run(context.root, context.character, arguments.run, arguments.step)
    context.note_run(run.file.id)
    base = Path(arguments.base) if arguments.base else None
    if base and arguments.painter != "webui":
        raise UserError(
            "Only the webui can paint with a base model other than the run's own; leave the base out.",
            code="base-model-needs-webui",
        )
    request = GridRequest(
        step=step,
        weight=arguments.weight,
        steps=arguments.grid_steps,
        count=QUICK if arguments.quick else len(PROMPTS),
        first_seed=arguments.first_seed,
        sampler=arguments.sampler,
        cfg=arguments.cfg,
        side=arguments.side,
        more=tuple((Path(one.file), one.weight) for one in arguments.loras),
    )
    with painter_for(context, run, arguments, base) as (painter, painter_id):
        grid_run, engine = GridRun(run, context.emit, painter, painter_id, base), chosen_engine(context.root)
        done = paint_and_score(run, request, context.emit, arguments.again, grid_run, engine)
    if not arguments.loras:
        renew_previews(run, step, arguments.weight, done.preview)
    verdict = done.report.verdict
    return {
        "run": run.file.id,
        "grid": done.folder.name,
        "step": step,
        "weight": arguments.weight,
        "verdict": verdict.kind,
        "headline": verdict.headline,
        "drift": verdict.drift,
        "judged": verdict.judged,
        "retention": done.report.facts.identity.retention,
        **rent_of(painter),
    }


def combine(arguments: CombineArguments, context: JobContext) -> Result:
    """See `workflows.combine.combine.combine`."""
    run, step = find_run(context.root, context.character, arguments.run, arguments.step)
    context.note_run(run.file.id)
    lora = Path(arguments.lora)
    request = CombineRequest(lora, step, arguments.weight, arguments.weights, arguments.count, arguments.grid_steps)
    with painter_for(context, run, arguments) as (painter, painter_id):
        grid_run = GridRun(run, context.emit, painter, painter_id)
        done = workflow_of_combining(run, context.emit, request, grid_run, chosen_engine(context.root))
    verdict = done.report.verdict
    return {
        "run": run.file.id,
        "combined": done.folder.name,
        "step": step,
        "weight": arguments.weight,
        "lora": lora.stem,
        "kind": verdict.kind,
        "headline": verdict.headline,
        "judged": verdict.judged,
        **rent_of(painter),
    }


def choose(arguments: ChooseArguments, context: JobContext) -> Result:
    """See `workflows.judge.choose.choose_cell`."""
    run, _ = find_run(context.root, context.character, arguments.run, None)
    context.note_run(run.file.id)
    request = ChoiceRequest(arguments.steps, arguments.weights, arguments.grid_steps)
    with painter_for(context, run, arguments) as (painter, painter_id):
        result = choose_cell(run, context.emit, request, chosen_engine(context.root), painter, painter_id)
    chosen = {name: result.values[name] for name in ("step", "weight", "certainty", "sentence")}
    return {"run": run.file.id, **chosen, "grid": Path(result.values["report"]).parent.name, **rent_of(painter)}
