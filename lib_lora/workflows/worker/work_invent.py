"""Does the jobs that invent a character: candidates for a face, and further pictures of the picked one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError
from lib_lora.queue.job_types import InventArguments, MoreArguments, chosen_base
from lib_lora.workflows.invent.coverage_plan import Tried, expected
from lib_lora.workflows.invent.invent import CandidatesRequest, candidates
from lib_lora.workflows.invent.invent_more import NEWEST, STRANGERS, MoreRequest, more
from lib_lora.workflows.invent.invented_folder import InventedFolder, InventedPicture, side_of
from lib_lora.workflows.invent.mirrored_views import is_mirrored
from lib_lora.workflows.photos.audit_command import run_audit
from lib_lora.workflows.photos.audit_photos import RESOLUTION
from lib_lora.workspace.preferences import chosen_engine
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.workflows.worker.job_context import JobContext


def paint_candidates(arguments: InventArguments, context: JobContext) -> dict[str, Any]:
    """See `workflows.invent.invent.candidates`."""
    there = _Counted(context)

    def each(one: InventedPicture) -> None:
        context.emit("painting", done=len(there.with_(one)), total=arguments.candidates)

    def trying(one: InventedPicture) -> None:
        text = f"Checking whether face {one.number} can be painted from the side"
        context.emit("progress", done=arguments.candidates, total=arguments.candidates, text=text)

    context.emit("progress", done=0, total=0, text="Reading the base model")
    result = candidates(
        context.root,
        context.character,
        CandidatesRequest(arguments.describe, chosen_base(arguments), arguments.candidates, arguments.seed),
        each=each,
        trying=trying,
    )
    found = result.values["candidates"]
    alike = {str(one["number"]): one["alike"] for one in found if one["alike"] is not None}
    good = sum(not one["why_not"] for one in found)
    best = {name: result.values[name] for name in ("best", "best_turns")}
    return {"painted": len(found), "good": good, "alike": alike, **best}


def paint_more(arguments: MoreArguments, context: JobContext) -> dict[str, Any]:
    """See `invent_more.more`; then the new photos are looked through, so that the next step can begin."""
    there = _Counted(context)

    def each(one: InventedPicture) -> None:
        done = there.with_(one)
        if one.is_candidate:
            text = "Painting other faces, to tell this one from them"
            context.emit("progress", done=len(done), total=max(len(done), STRANGERS), text=text)
        else:
            text = f"{sum(other.kept for other in done)} kept of {len(done)} painted"
            tried = [Tried(other.asked, other.shown if other.kept else None) for other in done]
            ends = expected(tried, arguments.count)
            context.emit("painting", done=len(done), total=arguments.budget, expected=ends, text=text)

    context.emit("progress", done=0, total=0, text="Reading the base model and the pictures")
    lora = NEWEST if arguments.with_lora else None
    request = MoreRequest(arguments.count, arguments.budget, lora, mirror=arguments.mirror)
    result = more(context.root, context.character, request, each=each)
    with suppress(UserError):  # then the step Photos asks for it
        side = side_of(Workspace(context.root).character(context.character)) or RESOLUTION
        run_audit(context.root, context.character, side, engine=chosen_engine(context.root))
    said = ("painted", "kept", "mirrored", "photos", "not_kept", "budget_spent", "flagged")
    return {name: result.values[name] for name in said}


class _Counted:
    """The pictures that count together with the one just painted, those of earlier jobs too; no mirror images."""

    def __init__(self, context: JobContext) -> None:
        painted = InventedFolder(Workspace(context.root).character(context.character)).painted()
        self._before = [one for one in painted if not is_mirrored(one)]

    def with_(self, one: InventedPicture) -> list[InventedPicture]:
        """The pictures painted like `one`, and `one` itself."""
        if not is_mirrored(one):
            self._before.append(one)
        alike = [other for other in self._before if (other.is_candidate, other.lora) == (one.is_candidate, one.lora)]
        if not one.is_candidate:
            return alike
        return [other for other in alike if (other.base_sha256, other.describe) == (one.base_sha256, one.describe)]
