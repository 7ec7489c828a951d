"""Inventing a character: what was painted, which face was picked, and whether each further picture was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.queue.job_types import LONGEST
from lib_lora.runs import run_records
from lib_lora.ui.http import limits, paths
from lib_lora.ui.http.request_context import MB, Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import FOREVER, Refused, file
from lib_lora.ui.routes.photo_routes import shrunk
from lib_lora.ui.routes.run_routes import address
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, look
from lib_lora.ui.views.invention import in_use, painted_of, plan_of
from lib_lora.workflows.invent.invented_folder import CANDIDATES, MORE, SQUARE, InventedFolder, InventedPicture
from lib_lora.workspace.file_cache import kept, mark

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job
    from lib_lora.workspace.workspace import CharacterFolder

JOBS = ("invent", "more")
_SMALL = 384  # pixels of the longer side


@dataclass(frozen=True)
class Pick:
    """The number of the candidate whose face the character gets."""

    number: int


@dataclass(frozen=True)
class OwnPicture:
    """One of the user's own pictures, in base64; a description of the person in it (empty: the class word); and the
    base model's path."""

    name: str
    data: str
    base: str
    describe: str = ""


def routes() -> list[Route]:
    """The routes for inventing. Painting itself is a job: "invent" paints candidates, "more" further pictures."""
    return [
        get("/characters/{slug}/invention", shown),
        get("/characters/{slug}/invented/candidates/{name}", candidate_picture, "small"),
        get("/characters/{slug}/invented/more/{name}", further_picture, "small"),
        post("/characters/{slug}/invented/pick", pick, Pick),
        post(
            "/characters/{slug}/invented/own",
            own_picture,
            OwnPicture,
            limits.FACE_FILE * 4 // 3 + MB,
            "data",
            paths.character,
        ),
    ]


def shown(context: RequestContext, call: Call) -> dict[str, Any]:
    """What has been painted for an invented character: candidates, the picked face, and further pictures, with the
    reason for each that was not kept."""
    snapshot = look(paths.character(context, call))
    invented = InventedFolder(snapshot.folder)
    plan, painted = plan_of(invented), painted_of(invented)
    candidates = [one for one in painted if plan and one.is_candidate_of(plan)]
    further = [one for one in painted if not one.is_candidate]
    lora = _newest_lora(snapshot.folder)
    return {
        "stage": "none" if plan is None else "picked" if plan.picked else CANDIDATES,
        "describe": plan.describe if plan else "",
        "base": plan.base if plan else "",
        "seed": plan.seed if plan else 1,
        "picked": _picked(snapshot, painted, plan.picked if plan else ""),
        "candidates": [_picture_values(invented, one, snapshot) for one in candidates],
        "more": [_picture_values(invented, one, snapshot) for one in further],
        "painted": len(further),
        "kept": sum(in_use(snapshot, one) for one in further),
        "reasons": dict(Counter(one.why for one in further if one.why).most_common()),
        "rounds": {
            "without": _round(snapshot, further, ""),
            "with": _round(snapshot, further, lora[1]) if lora else None,
        },
        "lora": lora[0] if lora else "",
    }


def _picture_values(invented: InventedFolder, one: InventedPicture, snapshot: CharacterSnapshot) -> dict[str, Any]:
    slug = invented.character.path.name
    url = address(slug, "invented", *one.file.split("/"), of=invented.path / one.file)
    return {
        "number": one.number,
        "url": url,
        "kept": in_use(snapshot, one),
        "why": one.why or ("left out by you" if one.kept and not in_use(snapshot, one) else ""),
        "likeness": one.likeness,
        "prompt": one.prompt,
        "with_lora": bool(one.lora),
    }


def _picked(snapshot: CharacterSnapshot, painted: Sequence[InventedPicture], picked: str) -> dict[str, Any] | None:
    """The picked picture as a photo of the character; as it was painted if that photo no longer exists."""
    if not picked:
        return None
    slug = snapshot.folder.path.name
    stem = f"picked-{Path(picked.removesuffix(SQUARE)).stem}"
    for photo, digest in snapshot.digests.items():
        if photo.startswith(stem):
            where = [address(slug, "photos", digest, kind) for kind in ("picture", "thumbnail")]
            return dict(zip(("url", "thumbnail"), where, strict=True))
    one = next((one for one in painted if one.file == picked), None)
    if one is None:
        return None
    url = address(slug, "invented", *picked.split("/"))
    return {"url": url, "thumbnail": url}


def _round(snapshot: CharacterSnapshot, further: Sequence[InventedPicture], digest: str) -> dict[str, int]:
    mine = [one for one in further if one.lora == digest]
    return {"painted": len(mine), "kept": sum(in_use(snapshot, one) for one in mine)}


def _newest_lora(folder: CharacterFolder) -> tuple[str, str] | None:
    """Name and SHA-256 of the last checkpoint of the newest run that has one."""
    run = next(
        (run for run in run_records.runs(folder) if run.saved), None
    )  # as `workflows.judge.test_grid.find_run` finds it
    lora = run_records.checkpoint(run, run.saved[-1]) if run else None
    if lora is None or not lora.is_file():
        return None
    return lora.stem, kept(("lora", lora), mark(lora), lambda: sha256(lora))


def candidate_picture(context: RequestContext, call: Call) -> Response:
    """A painted candidate; with `small=1`, at up to 384 pixels."""
    return _painted_picture(context, call, CANDIDATES)


def further_picture(context: RequestContext, call: Call) -> Response:
    """A further picture of the picked face, kept or not; with `small=1`, at up to 384 pixels."""
    return _painted_picture(context, call, MORE)


def _painted_picture(context: RequestContext, call: Call, folder: str) -> Response:
    path = paths.picture_in(InventedFolder(paths.character(context, call)).path / folder, call.path["name"])
    if "small" not in call.query:
        return file(path, paths.MEDIA[path.suffix.lower()], FOREVER)
    return shrunk(path, _SMALL)


def pick(context: RequestContext, call: Call) -> dict[str, Any]:
    """Choose one candidate as the character's face: it becomes the first photo."""
    from lib_lora.workflows.invent.invent import pick as pick_face
    from lib_lora.workflows.photos.new_character import NewCharacter

    snapshot = look(paths.character(context, call))
    _see_nobody_paints(context, snapshot.folder)
    who = snapshot.character
    pick_face(context.root, NewCharacter(who.name, who.trigger, who.class_word), call.body.number)
    return shown(context, call)


def own_picture(context: RequestContext, call: Call) -> dict[str, Any]:
    """Use one of the user's own pictures as the character's face: it becomes the first photo."""
    from lib_lora.ui.routes.job_routes import base_of
    from lib_lora.ui.routes.photo_routes import sent
    from lib_lora.workflows.invent.invent import OwnPicture
    from lib_lora.workflows.invent.invent import pick as pick_face
    from lib_lora.workflows.photos.new_character import NewCharacter

    snapshot, body = look(paths.character(context, call)), call.body
    _see_nobody_paints(context, snapshot.folder)
    describe = " ".join(body.describe.split())
    if len(describe) > LONGEST or not describe.isprintable():
        raise UserError(
            f"The description must be one line of plain text with at most {LONGEST} characters.",
            code="description-invalid",
        )
    base = base_of(context, body.base)
    who = snapshot.character
    own = OwnPicture(sent(call), base, describe or None)
    pick_face(context.root, NewCharacter(who.name, who.trigger, who.class_word), own=own)
    return shown(context, call)


def _see_nobody_paints(context: RequestContext, folder: CharacterFolder) -> None:
    if open_job(context, folder):
        raise Refused(409, "Faces are being painted for this character; stop that, or wait until it has finished.")


def open_job(context: RequestContext, folder: CharacterFolder) -> Job | None:
    """The job that paints, or waits to paint, for an invented character."""
    return next((job for job in context.queue.open() if job.kind in JOBS and job.slug == folder.path.name), None)


def see_that_it_can_be(
    context: RequestContext, folder: CharacterFolder, kind: str, arguments: Mapping[str, Any]
) -> None:
    """Refuse a job of these kinds at once if its worker would refuse it later anyway.

    Raises:
        Refused: it is painted for already, has its face or has none yet, or there is no LoRA to paint with.
    """
    _see_nobody_paints(context, folder)
    snapshot = look(folder)
    plan, name = plan_of(InventedFolder(folder)), snapshot.character.name
    picked = bool(plan and plan.picked)
    if kind == "invent" and picked:
        raise Refused(409, f"{name} already has its face; make another character for another face.")
    if kind == "invent" and snapshot.digests:
        raise Refused(409, f"{name} already has photos, and an invented face would be another person among them.")
    if kind == "more" and not picked:
        raise Refused(409, f"{name} has no face yet; pick one of the candidates first.")
    if kind == "more" and arguments.get("with_lora") and _newest_lora(folder) is None:
        raise Refused(409, f"{name} has no trained LoRA yet; paint without one, or train it first.")
