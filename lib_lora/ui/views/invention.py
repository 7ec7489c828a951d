"""Reads how far a character is invented, and decides whether more can be painted now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.queue.job_types import MoreArguments
from lib_lora.runs.records import run_records
from lib_lora.ui.http.request_context import RequestContext
from lib_lora.ui.http.responses import Refused
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, snapshot_of
from lib_lora.workflows.invent.good_candidates import DOUBTS
from lib_lora.workflows.invent.invented_folder import CANDIDATES, InventedFolder, InventedPicture, InventPlan
from lib_lora.workflows.invent.mirrored_views import is_mirrored
from lib_lora.workspace.file_cache import keep_nothing, kept, mark

if TYPE_CHECKING:
    from lib_lora.queue.job_types import InventArguments
    from lib_lora.queue.queue import Job
    from lib_lora.workspace.workspace import CharacterFolder

JOBS = ("invent", "more")
LEFT_OUT = "left out by you"
WHY = {  # what is said of a picture that was not kept, where that is not the reason itself
    "other face": "another face",
    "near copy": "almost the same as a kept picture",
    "face too small": "the face is too small",
    "face cut off": "the face is cut off",
    "seen from no side": "shows no side",
}
_AS_THEY_ARE = ("no face", "several faces", "blurred", "hardly a face", LEFT_OUT)


def templates() -> Iterator[str]:
    """What is said of pictures that were not kept, and of faces that are not good to begin from, for translators."""
    yield from (*WHY.values(), *_AS_THEY_ARE, *DOUBTS)


def in_short(snapshot: CharacterSnapshot) -> dict[str, Any] | None:
    """What the state says of it; None where the character was not begun by inventing, or its files are damaged."""
    invented = InventedFolder(snapshot.folder)
    try:
        plan, painted = plan_of(invented), painted_of(invented)
    except UserError:  # it is said where it is asked for
        keep_nothing()
        return None
    if plan is None:
        return None
    further = [one for one in painted if not one.is_candidate]
    return {
        "stage": "picked" if plan.picked else CANDIDATES,
        "candidates": sum(one.is_candidate_of(plan) for one in painted),
        "painted": sum(not is_mirrored(one) for one in further),
        "kept": sum(in_use(snapshot, one) and not is_mirrored(one) for one in further),
        "mirrored": sum(in_use(snapshot, one) and is_mirrored(one) for one in further),
    }


def plan_of(invented: InventedFolder) -> InventPlan | None:
    """What was decided; None where nothing was.

    Raises:
        UserError: the file is damaged.
    """
    there = mark(invented.plan_file)
    return None if there is None else kept(("invent plan", invented.path), there, lambda: invented.plan)


def painted_of(invented: InventedFolder) -> list[InventedPicture]:
    """Every picture that was painted; read once, until the file is another.

    Raises:
        UserError: the file is damaged.
    """
    there = mark(invented.painted_file)
    return [] if there is None else kept(("invented", invented.path), there, invented.painted)


def in_use(snapshot: CharacterSnapshot, one: InventedPicture) -> bool:
    """Whether a picture was kept and is still one of the photos in use."""
    return one.kept and snapshot.digests.get(one.photo, "") not in ("", *snapshot.dropped)


def newest_lora(folder: CharacterFolder) -> tuple[str, str] | None:
    """Name and SHA-256 of the LoRA of the newest run that has one."""
    # as `workflows.judge.test_grid.find_run` finds it
    run = next((run for run in run_records.runs(folder) if run.saved), None)
    lora = run_records.checkpoint(run, run.step_to_use) if run else None
    if lora is None or not lora.is_file():
        return None
    return lora.stem, kept(("lora", lora), mark(lora), lambda: sha256(lora))


def see_nobody_paints(context: RequestContext, folder: CharacterFolder) -> None:
    """Refuse what cannot be done while faces are painted.

    Raises:
        Refused: they are.
    """
    if open_job(context, folder):
        sentence = "Faces are being painted for this character; stop that, or wait until it has finished."
        raise Refused(409, sentence, code="faces-being-painted")


def open_job(context: RequestContext, folder: CharacterFolder) -> Job | None:
    """The job that paints, or waits to paint, for an invented character."""
    return next((job for job in context.queue.open() if job.kind in JOBS and job.slug == folder.path.name), None)


def see_that_it_can_be(
    context: RequestContext, folder: CharacterFolder, arguments: InventArguments | MoreArguments
) -> None:
    """Refuse a job of these kinds at once if its worker would refuse it later anyway.

    Raises:
        Refused: it is painted for already, has its face or has none yet, or there is no LoRA to paint with.
    """
    see_nobody_paints(context, folder)
    snapshot = snapshot_of(folder)
    plan, name = plan_of(InventedFolder(folder)), snapshot.character.name
    picked = bool(plan and plan.picked)
    if isinstance(arguments, MoreArguments):
        if not picked:
            raise Refused(409, f"{name} has no face yet; pick one of the candidates first.", code="face-not-picked")
        if arguments.with_lora and newest_lora(folder) is None:
            sentence = f"{name} has no trained LoRA yet; paint without one, or train it first."
            raise Refused(409, sentence, code="lora-none-yet")
        return
    if picked:
        sentence = f"{name} already has its face; make another character for another face."
        raise Refused(409, sentence, code="character-has-face")
    if snapshot.digests:
        sentence = f"{name} already has photos, and an invented face would be another person among them."
        raise Refused(409, sentence, code="character-has-photos")
