"""Answers the routes of inventing a character: what was painted, which face was picked, which pictures were kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.queue.job_types import LONGEST
from lib_lora.ui.http import paths, request_context
from lib_lora.ui.http.request_context import MB, Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import FOREVER, file
from lib_lora.ui.routes.character.photo_routes import shrunk
from lib_lora.ui.routes.train.run_routes import address
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, snapshot_of
from lib_lora.ui.views.invention import LEFT_OUT, WHY, in_use, newest_lora, painted_of, plan_of, see_nobody_paints
from lib_lora.workflows.invent.invented_folder import CANDIDATES, MORE, SQUARE, InventedFolder, InventedPicture
from lib_lora.workflows.invent.mirrored_views import is_mirrored

_SMALL = 384  # pixels of the longer side


@dataclass(frozen=True)
class Pick:
    """The number of the candidate whose face the character gets."""

    number: int


@dataclass(frozen=True)
class OwnPictureBody:
    """One of the user's own pictures, in base64; a description of the person in it (empty: the class word); and the
    base model's path."""

    name: str
    data: str
    base: str
    describe: str = ""


def routes() -> list[Route]:
    """The routes for inventing. Painting itself is a job: "invent" paints candidates, "more" further pictures."""
    return [
        get("/characters/{slug}/invention", read_invention),
        get("/characters/{slug}/invented/candidates/{name}", candidate_picture, "small"),
        get("/characters/{slug}/invented/more/{name}", further_picture, "small"),
        post("/characters/{slug}/invented/pick", pick, Pick),
        post(
            "/characters/{slug}/invented/own",
            own_picture,
            OwnPictureBody,
            request_context.FACE_FILE * 4 // 3 + MB,
            "data",
            paths.character,
        ),
    ]


def read_invention(context: RequestContext, call: Call) -> dict[str, Any]:
    """What has been painted for an invented character: candidates, the picked face, and further pictures, with the
    reason for each that was not kept."""
    snapshot = snapshot_of(paths.character(context, call))
    invented = InventedFolder(snapshot.folder)
    plan, painted = plan_of(invented), painted_of(invented)
    candidates = [one for one in painted if plan and one.is_candidate_of(plan)]
    further = [one for one in painted if not one.is_candidate]
    lora = newest_lora(snapshot.folder)
    return {
        "stage": "none" if plan is None else "picked" if plan.picked else CANDIDATES,
        "describe": plan.describe if plan else "",
        "base": plan.base if plan else "",
        "seed": plan.seed if plan else 1,
        "picked": _picked(snapshot, painted, plan.picked if plan else ""),
        "candidates": [_picture_values(invented, one, snapshot) for one in candidates],
        "more": [_picture_values(invented, one, snapshot) for one in further],
        "painted": sum(not is_mirrored(one) for one in further),
        "kept": sum(in_use(snapshot, one) and not is_mirrored(one) for one in further),
        "mirrored": sum(in_use(snapshot, one) and is_mirrored(one) for one in further),
        "reasons": [
            {"said": WHY.get(why, why), "count": count}
            for why, count in Counter(one.why for one in further if one.why).most_common()
        ],
        "rounds": {
            "without": _round(snapshot, further, ""),
            "with": _round(snapshot, further, lora[1]) if lora else None,
        },
        "lora": lora[0] if lora else "",
    }


def _picture_values(invented: InventedFolder, one: InventedPicture, snapshot: CharacterSnapshot) -> dict[str, Any]:
    slug = invented.character.path.name
    url = address(slug, "invented", *one.file.split("/"), of=invented.path / one.file)
    why = one.why or (LEFT_OUT if one.kept and not in_use(snapshot, one) else "")
    return {
        "number": one.number,
        "url": url,
        "kept": in_use(snapshot, one),
        "why": why,
        "said": WHY.get(why, why),
        "doubt": one.doubt,
        "likeness": one.likeness,
        "prompt": one.prompt,
        "with_lora": bool(one.lora),
        "mirrored": is_mirrored(one),
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
    """What was painted with a LoRA, or with none; mirror images were not painted, and count by themselves."""
    mine = [one for one in further if one.lora == digest]
    used = [one for one in mine if in_use(snapshot, one)]
    mirrored = sum(is_mirrored(one) for one in used)
    return {
        "painted": sum(not is_mirrored(one) for one in mine),
        "kept": len(used) - mirrored,
        "mirrored": mirrored,
    }


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

    snapshot = snapshot_of(paths.character(context, call))
    see_nobody_paints(context, snapshot.folder)
    who = snapshot.character
    pick_face(context.root, NewCharacter(who.name, who.trigger, who.class_word), call.body.number)
    return read_invention(context, call)


def own_picture(context: RequestContext, call: Call) -> dict[str, Any]:
    """Use one of the user's own pictures as the character's face: it becomes the first photo."""
    from lib_lora.ui.routes.character.photo_routes import sent
    from lib_lora.ui.routes.job_routes import base_of
    from lib_lora.workflows.invent.invent import OwnPicture
    from lib_lora.workflows.invent.invent import pick as pick_face
    from lib_lora.workflows.photos.new_character import NewCharacter

    snapshot, body = snapshot_of(paths.character(context, call)), call.body
    see_nobody_paints(context, snapshot.folder)
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
    return read_invention(context, call)
