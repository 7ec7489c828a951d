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


def shown(desk: RequestContext, call: Call) -> dict[str, Any]:
    """What has been painted for an invented character: candidates, the picked face, and further pictures, with the
    reason for each that was not kept."""
    looked = look(paths.character(desk, call))
    invented = InventedFolder(looked.folder)
    plan, painted = plan_of(invented), painted_of(invented)
    candidates = [one for one in painted if plan and one.is_candidate_of(plan)]
    further = [one for one in painted if not one.is_candidate]
    lora = _newest_lora(looked.folder)
    return {
        "stage": "none" if plan is None else "picked" if plan.picked else CANDIDATES,
        "describe": plan.describe if plan else "",
        "base": plan.base if plan else "",
        "seed": plan.seed if plan else 1,
        "picked": _picked(looked, painted, plan.picked if plan else ""),
        "candidates": [_told(invented, one, looked) for one in candidates],
        "more": [_told(invented, one, looked) for one in further],
        "painted": len(further),
        "kept": sum(in_use(looked, one) for one in further),
        "reasons": dict(Counter(one.why for one in further if one.why).most_common()),
        "rounds": {"without": _round(looked, further, ""), "with": _round(looked, further, lora[1]) if lora else None},
        "lora": lora[0] if lora else "",
    }


def _told(invented: InventedFolder, one: InventedPicture, looked: CharacterSnapshot) -> dict[str, Any]:
    slug = invented.character.path.name
    url = address(slug, "invented", *one.file.split("/"), of=invented.path / one.file)
    return {
        "number": one.number,
        "url": url,
        "kept": in_use(looked, one),
        "why": one.why or ("left out by you" if one.kept and not in_use(looked, one) else ""),
        "likeness": one.likeness,
        "prompt": one.prompt,
        "with_lora": bool(one.lora),
    }


def _picked(looked: CharacterSnapshot, painted: Sequence[InventedPicture], picked: str) -> dict[str, Any] | None:
    """The picked picture as a photo of the character; as it was painted if that photo no longer exists."""
    if not picked:
        return None
    slug = looked.folder.path.name
    stem = f"picked-{Path(picked.removesuffix(SQUARE)).stem}"
    for photo, digest in looked.digests.items():
        if photo.startswith(stem):
            where = [address(slug, "photos", digest, kind) for kind in ("picture", "thumbnail")]
            return dict(zip(("url", "thumbnail"), where, strict=True))
    one = next((one for one in painted if one.file == picked), None)
    if one is None:
        return None
    url = address(slug, "invented", *picked.split("/"))
    return {"url": url, "thumbnail": url}


def _round(looked: CharacterSnapshot, further: Sequence[InventedPicture], digest: str) -> dict[str, int]:
    mine = [one for one in further if one.lora == digest]
    return {"painted": len(mine), "kept": sum(in_use(looked, one) for one in mine)}


def _newest_lora(folder: CharacterFolder) -> tuple[str, str] | None:
    """Name and SHA-256 of the last checkpoint of the newest run that has one."""
    run = next(
        (run for run in run_records.runs(folder) if run.saved), None
    )  # as `workflows.judge.test_grid.find_run` finds it
    lora = run_records.checkpoint(run, run.saved[-1]) if run else None
    if lora is None or not lora.is_file():
        return None
    return lora.stem, kept(("lora", lora), mark(lora), lambda: sha256(lora))


def candidate_picture(desk: RequestContext, call: Call) -> Response:
    """A painted candidate; with `small=1`, at up to 384 pixels."""
    return _painted_picture(desk, call, CANDIDATES)


def further_picture(desk: RequestContext, call: Call) -> Response:
    """A further picture of the picked face, kept or not; with `small=1`, at up to 384 pixels."""
    return _painted_picture(desk, call, MORE)


def _painted_picture(desk: RequestContext, call: Call, folder: str) -> Response:
    path = paths.picture_in(InventedFolder(paths.character(desk, call)).path / folder, call.path["name"])
    if "small" not in call.query:
        return file(path, paths.MEDIA[path.suffix.lower()], FOREVER)
    return shrunk(path, _SMALL)


def pick(desk: RequestContext, call: Call) -> dict[str, Any]:
    """Choose one candidate as the character's face: it becomes the first photo."""
    from lib_lora.workflows.invent.invent import pick as pick_face
    from lib_lora.workflows.photos.new_character import NewCharacter

    looked = look(paths.character(desk, call))
    _see_nobody_paints(desk, looked.folder)
    who = looked.character
    pick_face(desk.root, NewCharacter(who.name, who.trigger, who.class_word), call.body.number)
    return shown(desk, call)


def own_picture(desk: RequestContext, call: Call) -> dict[str, Any]:
    """Use one of the user's own pictures as the character's face: it becomes the first photo."""
    from lib_lora.ui.routes.job_routes import base_of
    from lib_lora.ui.routes.photo_routes import sent
    from lib_lora.workflows.invent.invent import OwnPicture
    from lib_lora.workflows.invent.invent import pick as pick_face
    from lib_lora.workflows.photos.new_character import NewCharacter

    looked, body = look(paths.character(desk, call)), call.body
    _see_nobody_paints(desk, looked.folder)
    describe = " ".join(body.describe.split())
    if len(describe) > LONGEST or not describe.isprintable():
        raise UserError(
            f"The description is no plain line of text; write at most {LONGEST} letters in one line.",
            code="description-invalid",
        )
    base = base_of(desk, body.base)
    who = looked.character
    own = OwnPicture(sent(call), base, describe or None)
    pick_face(desk.root, NewCharacter(who.name, who.trigger, who.class_word), own=own)
    return shown(desk, call)


def _see_nobody_paints(desk: RequestContext, folder: CharacterFolder) -> None:
    if open_job(desk, folder):
        raise Refused(409, "Faces are being painted for this character; stop that, or wait for its end.")


def open_job(desk: RequestContext, folder: CharacterFolder) -> Job | None:
    """The job that paints, or waits to paint, for an invented character."""
    return next((job for job in desk.queue.open() if job.kind in JOBS and job.slug == folder.path.name), None)


def see_that_it_can_be(desk: RequestContext, folder: CharacterFolder, kind: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a job of these kinds at once if its worker would refuse it later anyway.

    Raises:
        Refused: it is painted for already, has its face or has none yet, or there is no LoRA to paint with.
    """
    _see_nobody_paints(desk, folder)
    looked = look(folder)
    plan, name = plan_of(InventedFolder(folder)), looked.character.name
    picked = bool(plan and plan.picked)
    if kind == "invent" and picked:
        raise Refused(409, f"{name} has its face already; make another character for another face.")
    if kind == "invent" and looked.digests:
        raise Refused(409, f"{name} has photos already, and an invented face would be another person among them.")
    if kind == "more" and not picked:
        raise Refused(409, f"{name} has no face yet; pick one of the candidates first.")
    if kind == "more" and arguments.get("with_lora") and _newest_lora(folder) is None:
        raise Refused(409, f"{name} has no trained LoRA yet; paint without one, or train it first.")
