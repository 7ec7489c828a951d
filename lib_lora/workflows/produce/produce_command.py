"""Runs a production from beginning to end: chooses the checkpoint, who paints and who judges."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lib_lora.comfyui.comfy_address import BY
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.files import sha256
from lib_lora.grid.cells import Painter
from lib_lora.runs.run_lock import only_process
from lib_lora.training import distributed
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.comfyui_painters import LateComfyPainter
from lib_lora.workflows.judge.painting.painters import painter_of
from lib_lora.workflows.judge.painting.split_painter import SplitPainter
from lib_lora.workflows.produce.picture_check import PictureCheck
from lib_lora.workflows.produce.produce import TOGETHER, Producer
from lib_lora.workflows.produce.production import WEBUI, Progress
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.lora_tags import LoraTags
from lib_lora.workflows.produce.prompts.prompt_list import NO_FOLDERS, PromptFolders
from lib_lora.workflows.produce.prompts.wildcards import Wildcards
from lib_lora.workflows.produce.small_faces import DetailingPainter, SmallFacePainter


def work_on(
    run: Run,
    folder: ProductionFolder,
    engine: FaceEngine,
    emit: Callable[..., None],
    folders: PromptFolders = NO_FOLDERS,
    painter: Painter | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Progress:
    """Paint and judge what of a production is not there yet.

    Args:
        run: that paints.
        folder: of the production.
        engine: finds and describes faces.
        emit: see `Producer`.
        folders: of what prompts name.
        painter: None = diffusers, here.
        stopping: see `Producer`.

    Raises:
        UserError: the checkpoint is another one by now, another process is at work on it, or painting or judging fails;
            what is there is kept.
        StoppedByUser: `stopping` said so.
    """
    plan = folder.plan()
    if (plan.by == BY) != (getattr(painter, "by", "") == BY):
        begun = "was begun with ComfyUI; go on with" if plan.by == BY else "was begun without ComfyUI; go on without"
        raise UserError(
            f"Production {folder.id} {begun} it, so that its pictures are painted alike (--comfyui says that).",
            code="production-of-other-painter",
            production=folder.id,
        )
    lora = run.checkpoint(plan.step)
    if not lora.is_file() or sha256(lora) != plan.lora_sha256:
        raise UserError(
            f"{lora} is not the checkpoint that this production was begun with; start a new one.",
            code="checkpoint-changed",
            file=lora,
        )
    character = run.character_folder

    def check() -> PictureCheck:
        base = str(run.file.base.path)
        return PictureCheck(character, run.file.character.name, engine, base, plan.line, plan.several)

    loaded = painter_of(painter, run.model(), run.file.settings)

    def paints() -> Painter:
        if isinstance(painter, LateComfyPainter):
            painter.connect()  # what is wrong there is said before the first picture
        if not plan.second_pass:
            return loaded()
        side = run.file.settings.resolution or run.model().resolution
        if plan.detailer:
            return DetailingPainter(loaded(), plan.second_pass, side)
        return SmallFacePainter(loaded(), engine, folder.path / "cuts", side, plan.second_pass, stopping)

    together = TOGETHER * (painter.count if isinstance(painter, SplitPainter) else 1)
    with only_process(folder.path, "wait for it, or stop it"):
        tags = None if plan.by == WEBUI else LoraTags(folders.loras, run.workspace.root)
        wildcards, in_turn = Wildcards(folders.wildcards), partial(shares_processor, painter)
        return Producer(folder, lora, paints, check, wildcards, emit, stopping, together, tags, in_turn).run()


def shares_processor(painter: Painter | None) -> bool:
    """Whether painting computes on the processor that judges; `painter` as in `work_on`. Loads torch for that where
    diffusers paints here."""
    return painter is None and distributed.device().type == "cpu"
