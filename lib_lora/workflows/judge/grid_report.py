"""Judges a painted test grid, and writes ``report.json``, ``report.html`` and one picture of all cells beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.clip.clip_model import Clip, diversity, find_weights
from lib_lora.errors import UserError, typed
from lib_lora.faces.engines.opencv_engine import DEFAULT_ENGINE
from lib_lora.faces.face import FaceEngine
from lib_lora.files import atomic_file, write_text
from lib_lora.grid.paint_plan import PaintPlan
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.refusals import refusal_of
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import Ceiling, ceiling_of, faces_of, lost_of, scores_of
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report import report_html
from lib_lora.likeness.report.report import Basis, FurtherLora, Paths, Report, Row, Subject, Tested, TrainingCost
from lib_lora.likeness.report.report_text import as_text
from lib_lora.likeness.verdict.facts import Asked, Training
from lib_lora.likeness.verdict.picture_set import PictureSet, most_sampled, without_drawn
from lib_lora.likeness.verdict.rules import UNUSABLE
from lib_lora.likeness.verdict.verdict import weight_to_test
from lib_lora.pictures import Cell
from lib_lora.runs.records.run_history import history_of
from lib_lora.runs.reopen import done_steps
from lib_lora.training.plan.estimate import preserving_times
from lib_lora.training.plan.presets import asked_in_run
from lib_lora.training.plan.run_file import Run, load_run, saved_steps
from lib_lora.workflows.judge.grid_picture import sheet_of
from lib_lora.workflows.judge.judged_grids import governing_grid, lines_for, report_of
from lib_lora.workflows.photos.character_template import ruler_of, template_of
from lib_lora.workspace.grid_files import CELLS, REPORT_FILE
from lib_lora.workspace.workspace import RunFolder, data_root

SHEET = "sheet.png"  # all of them on one picture
Reconstruct = Callable[[Image.Image], "Image.Image | None"]


@dataclass(frozen=True)
class GridReport:
    """What a painted and judged grid leaves.

    Attributes:
        folder: its folder, with plan.json, cells/, report.json, report.html and sheet.png.
        preview: the picture for the webui's card: the most alike one, else the first.
        report: the numbers and the verdict.
    """

    folder: Path
    preview: Path
    report: Report

    @property
    def text(self) -> str:
        """The report as text for a terminal."""
        lines = [
            as_text(self.report),
            f"The whole report: {self.folder / report_html.FILE_NAME}",
            f"All in one picture: {self.folder / SHEET}",
        ]
        step = next_command(RunFolder.of_grid(self.folder), self.report)
        return "\n".join([*lines, *([f"To do that: {step}"] if step else [])])


def next_command(run: RunFolder, report: Report) -> str:
    """What to type to follow the advice of a grid of a run; empty where no command does it."""
    value, trained = report.verdict.value, report.facts.training.step
    if value is None or trained is None:
        return ""
    match report.verdict.action:
        case "train_more":
            last = report.facts.training.last or trained
            return typed("resume", str(run.path), "--steps", str(last + int(value)))
        case "train_again":
            return _train_again(run, report.subject.character, {"preservation_weight": value})
        case "test_step" | "set_weight":
            tested = report.verdict.action == "test_step"
            step = int(value) if tested else trained
            weight = weight_to_test(step, trained, report.facts.training.weight) if tested else value
            which = ("--run", report.subject.run, "--step", str(step), "--weight", f"{weight:g}")
            return typed("grid", report.subject.character, *which, *_where(run))
    return ""


def _train_again(folder: RunFolder, character: str, over: Mapping[str, Any]) -> str:
    """The command that trains as a run was trained, but for some settings."""
    run = load_run(folder.path).file
    settings = {**asked_in_run(run.settings, run.base.family), **over}
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    preset = ("--preset", run.settings.preset) if run.settings.preset else ()
    return typed("train", character, "--base", run.base.path, *preset, *given, *_where(folder))


def _where(folder: RunFolder) -> Sequence[str]:
    root = folder.workspace.root
    return () if root == data_root() else ("--data", str(root))


@dataclass(frozen=True)
class PaintedGrid:
    """A grid whose cells are painted, to be judged.

    Attributes:
        folder: its folder.
        plan: its cells.
        step: of the checkpoint; `weight` of the LoRA.
        base: the checkpoint that was painted with.
        more: further LoRA files with their weights.
    """

    folder: Path
    plan: PaintPlan
    step: int
    weight: float
    base: Path
    more: Sequence[tuple[Path, float]] = ()


def judge_grid(
    run: Run, grid: PaintedGrid, engine: FaceEngine, reconstruct: Reconstruct | None, emit: Callable[..., None]
) -> GridReport:
    """Judge painted cells against the photos, and write the report.

    Where no photo shows a face (a drawn character, say) there is nothing to compare with; the report says so, and
    the pictures are there to be looked at. With further LoRAs it says nothing of the training: what the pictures lack
    may be their doing.

    Args:
        run: whose character it is.
        grid: what was painted.
        engine: that finds and describes faces.
        reconstruct: the base model's VAE, there and back; None where it is not at hand.
        emit: for events.

    Raises:
        UserError: the folder cannot be written.
    """
    plan, folder, step, weight = grid.plan, grid.folder, grid.step, grid.weight
    files = plan.files(folder)
    shown = {role: [f"{CELLS}/{path.name}" for path in paths] for role, paths in files.items()}
    paths = Paths(shown["lora"], shown["base"], shown["leak"])
    asked = [asked_of(cell) for cell in plan["lora"]]
    painted_with = grid.base.name
    more = [FurtherLora(path.name, share) for path, share in grid.more]
    checkpoint = run.checkpoint(step)
    subject = Subject(
        run.file.character.name, checkpoint.name, painted_with, run.file.id, more, training_cost(run, checkpoint)
    )
    ruler = ruler_of(run.character_folder, engine)
    earlier = [] if more else tested(run, ruler, folder, painted_with)
    training = (
        Training(weight=weight, beside=", ".join(f"{Path(one.file).stem} (now {one.weight:g})" for one in more))
        if more
        else training_of(run, step, weight, earlier, sent_back(run, ruler, folder, painted_with), engine.id)
    )
    try:
        template = template_of(run.character_folder, engine)
    except UserError as error:
        report = reports.refused(refusal_of(error), paths, asked, subject, engine, ruler, training)
    else:
        measure = Measurer(engine, template)
        measured = {role: measure(list(paths)) for role, paths in files.items()}
        measured |= {role: without_drawn(measured[role], asked) for role in ("lora", "base")}
        known = governing_grid(run, grid.base, plan, folder, ruler)
        top = known.report.ceiling if known else _ceiling(engine, template, run, measured, reconstruct)
        lines = (
            known.report.calibration
            if known
            else lines_for(template, measured["base"], ceiling=scores_of(top) if top else None)
        )
        clip = measured_by_clip(files["lora"], files["base"], [cell.prompt for cell in plan["base"]], emit)
        report = reports.make(
            PictureSet(
                pictures=measured["lora"],
                asked=asked,
                base=measured["base"],
                leak=measured["leak"] or None,
                adherence=clip.adherence if clip else None,
                diversity=clip.diversity if clip else None,
                clip=clip.model if clip else "",
                ceiling=faces_of(top),
                ceiling_lost=lost_of(top),
                training=training,
                sampling_steps=most_sampled([cell.steps for cell in plan["lora"]]),
            ),
            paths,
            Basis(template, lines, engine.licence, ruler, top),
            subject,
            earlier,
        )
    return _write(report, folder, run.character_folder.photos, emit)


def _ceiling(
    engine: FaceEngine,
    template: Template,
    run: Run,
    measured: dict[str, list[Measured]],
    reconstruct: Reconstruct | None,
) -> list[Ceiling]:
    """The photos after the VAE at the sizes of the painted faces that count; empty where there are none, or no VAE.

    A face that is too small to be judged says nothing of how the others are to be judged. Where none counts, all do:
    then it is said whether the base model can show the face at all.
    """
    scores = [item.score for role in ("lora", "base") for item in measured[role]]
    counted = [score.face.px for score in scores if score.face and score.counts]
    sizes = counted or [score.face.px for score in scores if score.face]
    if reconstruct is None or not sizes:
        return []
    return ceiling_of(engine, template, list_photos(run.character_folder.photos), sizes, reconstruct)


def _write(report: Report, folder: Path, photos: Path, emit: Callable[..., None]) -> GridReport:
    def opened(path: Path) -> Image.Image | None:
        try:
            return open_photo(path)
        except UserError:
            return None

    def picture(path: str) -> Image.Image | None:
        return opened(folder / path)

    def photo(name: str) -> Image.Image | None:
        return opened(photos / Path(name).name)

    reports.save(report, folder / REPORT_FILE)
    write_text(folder / report_html.FILE_NAME, report_html.render(report, picture, photo))
    with atomic_file(folder / SHEET) as stream:
        sheet_of(report, picture).save(stream, "PNG")
    facts, verdict = report.facts.identity, report.verdict
    emit(
        "grid", folder=str(folder), likeness=facts.likeness, retention=facts.retention, verdict=verdict.kind,
        advice=verdict.advice,
    )  # fmt: skip
    return read_report(folder)


def training_of(
    run: Run, step: int, weight: float, earlier: Sequence[Tested], back: Sequence[tuple[int, float]], engine: str
) -> Training:
    """Where in a run the pictures of a step at a weight come from.

    Args:
        run: of the step.
        step, weight: that are tested.
        earlier: its other tests.
        back: see `sent_back`.
        engine: id of the one that judges.
    """
    return Training(
        step,
        weight,
        tuple(saved_steps(run)),
        tuple((one.step, one.retention) for one in earlier if one.weight == weight),
        run.file.restart,
        bool(run.file.settings.class_photos),
        tuple(one for one, at in back if at == weight),
        preserved=run.file.settings.preservation_weight > 0,
        hears_text=run.file.settings.hears_text,
        named=run.file.has_written_captions,
        judge_trained=judge_has_trained(run, engine),
        done=done_steps(run),
        proposed=proposed_steps(run),
        saved_weight=run.file.settings.saved_weight,
        higher_tested=any(one.step == step and one.weight > weight for one in earlier),
    )


def judge_has_trained(run: Run, engine: str) -> bool:
    """Whether the recogniser of an engine (its id) is also part of a run's training (identity loss)."""
    return run.file.settings.identity_loss_weight > 0 and engine.startswith(DEFAULT_ENGINE)


def proposed_steps(run: Run) -> int:
    """As many steps as the views of each photo (`passes`) make of a run that was made shorter or stopped; 0 where it
    ended on its own, since likeness no longer rose, or was continued after its end.

    With a number of steps of its own, a run says nothing of several processes, and one is assumed.
    """
    file = run.file
    if file.ended or file.best_step or file.restart:
        return 0
    if not file.settings.steps:
        return history_of(run.events).total
    return replace(file.settings, steps=0).total_steps(sum(not photo.prior for photo in file.photos))


def training_cost(run: Run, checkpoint: Path) -> TrainingCost | None:
    """What the training of a run has cost so far, by its events; None where they do not tell."""
    history = history_of(run.events)
    if not history.steps:
        return None
    size = checkpoint.stat().st_size if checkpoint.is_file() else 0
    times = round(preserving_times(run.file.settings), 2)
    return TrainingCost(history.steps, round(history.seconds, 1), history.memory, size, times)


@dataclass(frozen=True)
class ByClip:
    """What CLIP says of a grid, each with and without the LoRA (`likeness.verdict.picture_set.PictureSet`)."""

    model: str
    adherence: tuple[list[float], list[float]]
    diversity: tuple[float, float] | None


def measured_by_clip(
    ours: Sequence[Path], base: Sequence[Path], prompts: Sequence[str], emit: Callable[..., None]
) -> ByClip | None:
    """Adherence and diversity; None where no CLIP model is on the machine, or it cannot be used (which is said).

    Args:
        ours, base: pictures with and without the LoRA.
        prompts: of the pictures without the LoRA, in which the trigger is missing; CLIP knows no trigger either.
        emit: for events.
    """
    try:
        weights = find_weights()
        if weights is None:
            return None
        clip = Clip(weights)
        pictures = [[open_photo(path) for path in part] for part in (ours, base)]
        with_lora, without = (clip.adherence(part, prompts) for part in pictures)
        varied = [diversity(clip.features(part), prompts) for part in pictures]
    except UserError as error:
        emit("warning", code=error.code, text=f"Prompt adherence is not measured: {error}")
        return None
    both = None if varied[0] is None or varied[1] is None else (varied[0], varied[1])
    return ByClip(f"{clip.name} ({clip.id})", (with_lora, without), both)


def asked_of(cell: Cell) -> Asked:
    """What a cell asks for."""
    return Asked(cell.name or cell.prompt, cell.framing, cell.angle, cell.attributes, cell.seed)


def tested(run: Run, ruler: str, but: Path | None = None, base: str | None = None) -> list[Tested]:
    """Retention of every grid of a run that has been judged, the newest of each step and weight; without `but`.

    Only those count that were judged with this `ruler` (`likeness.report.report.Report`), and painted with the
    checkpoint whose file is named `base`; None = the run's own. Those with a further LoRA never do.
    """
    kept = ((cell, report.facts.identity.retention) for cell, report in _newest(run, ruler, but, base).items())
    return [Tested(step, weight, retention) for (step, weight), retention in kept if retention is not None]


def sent_back(run: Run, ruler: str, but: Path | None = None, base: str | None = None) -> list[tuple[int, float]]:
    """Step and weight of the grids, as `tested` counts them, whose own verdict says to use an earlier step or another
    weight, that the LoRA breaks the faces, or that it was trained too far."""
    newest = _newest(run, ruler, but, base)
    verdicts = [(step, weight, report.verdict) for (step, weight), report in newest.items()]
    return [
        (step, weight)
        for step, weight, verdict in verdicts
        if verdict.kind == "over-baked" or verdict.rule in UNUSABLE or (verdict.named_step or step) < step
    ]


def _newest(run: Run, ruler: str, but: Path | None, base: str | None) -> dict[tuple[int, float], Report]:
    """The newest report that says anything of each step and weight, see `tested`."""
    base = Path(run.file.base.path).name if base is None else base
    found: dict[tuple[int, float], Report] = {}
    for path in sorted(run.grids.glob(f"*/{REPORT_FILE}"), key=lambda one: (len(one.parent.name), one)):
        if path.parent == but:
            continue
        try:
            report = report_of(path)
        except UserError:
            continue  # damaged or of another version: it says nothing
        step, weight = report.facts.training.step, report.facts.training.weight
        says = report.facts.identity.retention is not None or report.verdict.kind == "over-baked"
        ours = report.ruler == ruler and report.subject.base == base and not report.subject.more
        if ours and step is not None and says:
            found[step, weight] = report
    return found


def read_report(folder: Path) -> GridReport:
    """The report of a grid.

    Raises:
        UserError: there is none, or it is damaged.
    """
    report = reports.load(folder / REPORT_FILE)
    ours = report.of("lora")
    if not ours:
        raise UserError(
            f"{folder / REPORT_FILE} names no picture; test the LoRA again.", code="grid-report-without-pictures"
        )
    return GridReport(folder, folder / _most_alike(ours).path, report)


def _most_alike(rows: list[Row]) -> Row:
    """The picture with the highest likeness: of those that are well, else of those that count; else the first."""

    def rank(row: Row) -> tuple[bool, bool, float]:
        likeness = -2.0 if row.score.likeness is None else row.score.likeness
        return row.status == "ok" and not row.copy, row.score.counts, likeness

    return max(rows, key=rank)
