"""Copies a trained LoRA to where it is used: the webui's folder, ComfyUI's, or any other; and makes its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.captions.slots import PROMPT_FRAMINGS
from lib_lora.deploy import comfyui
from lib_lora.errors import UserError
from lib_lora.files import slug
from lib_lora.models.families.registry import family_named
from lib_lora.pictures import Cell
from lib_lora.queue.job_types import PROMPT_WEIGHT
from lib_lora.queue.running import leftovers
from lib_lora.runs.records import run_records
from lib_lora.runs.records.grid_records import PromptSource, painted
from lib_lora.runs.records.run_records import RunRecord
from lib_lora.ui.http import paths
from lib_lora.ui.http.confirmation import confirm_folder
from lib_lora.ui.http.request_context import Call, RequestContext, Route, post
from lib_lora.ui.http.responses import Refused, missing
from lib_lora.ui.views import step_words
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, snapshot_of
from lib_lora.workspace import preferences


@dataclass(frozen=True)
class Use:
    """Which checkpoint, at which weight, is copied where: to "webui", "comfyui" or "folder" (then `folder` is its path,
    and `code` is the one that 428 requests)."""

    run: str
    step: int
    weight: float = 1.0
    to: str = "webui"
    folder: str = ""
    code: str = ""


def routes() -> list[Route]:
    """The route that puts a LoRA to use."""
    return [post("/characters/{slug}/use", use, Use)]


def use(context: RequestContext, call: Call) -> dict[str, Any]:
    """Copy a LoRA to where it is used, with its preview and notes beside it."""
    body, folder = call.body, paths.character(context, call)
    record = run_records.run(paths.run(folder, body.run))
    if body.step not in record.saved:
        raise missing(f"Run {record.id} has no checkpoint of step {body.step}.")
    if body.weight not in PROMPT_WEIGHT:
        raise UserError(f"The weight is {body.weight:g}; it must be from {PROMPT_WEIGHT}.", code="weight-out-of-range")
    target = _target(context, body)

    from lib_lora.deploy.folder import deliver
    from lib_lora.deploy.vector_files import vectors_note
    from lib_lora.lora.file.sidecars import marked_as
    from lib_lora.runs.records.origin import lora_origin
    from lib_lora.runs.records.uses import remember
    from lib_lora.training.plan.run_file import load_run
    from lib_lora.workflows.library.base_terms import with_terms

    run = load_run(record.folder)
    pictures = painted(record, body.step, body.weight)
    best = pictures[0].path if pictures else None
    searched = context.host.roots().loras if body.to == "webui" else ()
    checkpoint = run_records.checkpoint(record, body.step)
    leftovers.sweep_beside(slug(run.file.character.name), target)
    origin = with_terms(context.root, lora_origin(run), run.file.base.sha256)
    file = deliver(origin, checkpoint, target, body.weight, best, searched)
    remember(record.folder, file, step_words.PLACES[body.to], body.step, body.weight)
    framing = framing_of(snapshot_of(folder))
    text = text_of(record, pictures, framing, file.stem, body.weight)
    more = ""
    if body.to == "comfyui":
        from lib_lora.deploy.comfyui_workflows import Recipe, sampler_for, write_workflows
        from lib_lora.runs.records.origin import comfy_base

        cell, instead = sampler_for(cell_of(record, pictures, framing))
        recipe = Recipe(cell, comfy_base(run), body.weight, best)
        written = write_workflows(file, comfyui.folders(Path(preferences.load(context.root).comfyui)), recipe)
        more = f" To paint with it, drop {written[0].name} on ComfyUI's page. {instead}".rstrip()
    if own := vectors_note(file, origin.character.name, checkpoint):
        more += f" {own}."
    for one in origin.others:
        more += f' For {one.name}, write "{one.called}" instead of the trigger word.'
    shown, why = True, ""
    if body.to == "webui":
        context.host.refresh_loras(file.stem)
        answer = context.host.shows(record.family, marked_as(file))
        shown, why = answer.shown, answer.why
    return {
        "file": str(file),
        "stem": file.stem,
        "shown": shown,
        "why": why,
        "infotext": text,
        "prompt": text.split("\n", 1)[0],
        "trigger": run.file.character.called,
        "text": f"{file.name} is in {target}.{more}",
    }


def _target(context: RequestContext, body: Use) -> Path:
    match body.to:
        case "webui":
            loras = context.host.roots().loras
            if not loras:
                sentence = "There is no folder of LoRAs here; put it into a folder of your choice."
                raise Refused(409, sentence, code="lora-folder-missing")
            return loras[0]
        case "comfyui":
            comfy = preferences.load(context.root).comfyui
            if not comfy:
                raise Refused(409, "Set ComfyUI's folder first.", code="comfyui-folder-not-set")
            return comfyui.folder(Path(comfy))
        case "folder":
            folder = paths.free_path(context.host, body.folder, "a folder")
            if not folder.is_dir():
                raise UserError(
                    f"The folder {folder} does not exist; create it first, or name another one.",
                    code="folder-missing",
                    folder=folder,
                )
            confirm_folder(context, folder, body.code)
            return folder
    raise UserError(
        f"A LoRA cannot go to {body.to!r}; it goes to webui, comfyui or folder.",
        code="delivery-target-unknown",
        target=body.to,
    )


def text_of(record: RunRecord, pictures: list[PromptSource], framing: str, stem: str, weight: float) -> str:
    """The prompt that activates a LoRA, with its values below it: of a test's picture, or of a plain portrait.

    Args:
        record: of its run.
        pictures: of its tests, the best first.
        framing: what most photos show, see `framing_of`.
        stem: the name of its file, without the suffix.
        weight: of it.
    """
    from lib_lora.deploy.infotext import infotext
    from lib_lora.training.plan.run_file import load_run

    skip = load_run(record.folder).file.settings.clip_skip if family_named(record.family).most_clip_skip else 1
    return infotext(cell_of(record, pictures, framing), stem, weight, skip)


def cell_of(record: RunRecord, pictures: list[PromptSource], framing: str) -> Cell:
    """The picture to begin with: a test's, or a plain portrait; see `text_of`."""
    from lib_lora.runs.records.origin import portrait_of
    from lib_lora.training.plan.run_file import load_run

    found = next((one.cell for one in pictures if one.cell and one.fits(framing)), None)
    return found or portrait_of(load_run(record.folder), framing)


def framing_of(snapshot: CharacterSnapshot) -> str:
    """What most photos show, as a test's prompts call it; by the audit, else by the captions; empty = neither tells."""
    table: Mapping[str, Mapping[str, int]] = snapshot.audit.coverage if snapshot.audit else {}
    counts = {word: sum(table.get(word, {}).values()) for word in PROMPT_FRAMINGS}
    if not any(counts.values()):
        counts = {word: sum(word in text for text in snapshot.used_texts.values()) for word in PROMPT_FRAMINGS}
    most = max(counts, key=lambda word: counts[word])
    return PROMPT_FRAMINGS[most] if counts[most] else ""
