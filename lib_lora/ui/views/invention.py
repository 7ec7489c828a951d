"""How far a character is invented, in short: for the state that a page asks for each second."""

from __future__ import annotations

from typing import Any

from lib_lora.errors import UserError
from lib_lora.ui.views.character_snapshot import CharacterSnapshot
from lib_lora.workflows.invent.invented_folder import CANDIDATES, InventedFolder, InventedPicture, InventPlan
from lib_lora.workspace.file_cache import kept, mark


def in_short(snapshot: CharacterSnapshot) -> dict[str, Any] | None:
    """What the state says of it; None where the character was not begun by inventing, or its files are damaged."""
    invented = InventedFolder(snapshot.folder)
    try:
        plan, painted = plan_of(invented), painted_of(invented)
    except UserError:  # it is said where it is asked for
        return None
    if plan is None:
        return None
    further = [one for one in painted if not one.is_candidate]
    return {
        "stage": "picked" if plan.picked else CANDIDATES,
        "candidates": sum(one.is_candidate_of(plan) for one in painted),
        "painted": len(further),
        "kept": sum(in_use(snapshot, one) for one in further),
    }


def plan_of(invented: InventedFolder) -> InventPlan | None:
    """What was decided; None where nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = invented.path / "plan.json"
    return kept(("invent plan", invented.path), mark(path), lambda: invented.plan) if path.is_file() else None


def painted_of(invented: InventedFolder) -> list[InventedPicture]:
    """Every picture that was painted; read once, until the file is another.

    Raises:
        UserError: the file is damaged.
    """
    path = invented.path / "painted.jsonl"
    return kept(("invented", invented.path), mark(path), invented.painted) if path.is_file() else []


def in_use(snapshot: CharacterSnapshot, one: InventedPicture) -> bool:
    """Whether a picture was kept and is still one of the photos in use."""
    return one.kept and snapshot.digests.get(one.photo, "") not in ("", *snapshot.dropped)
