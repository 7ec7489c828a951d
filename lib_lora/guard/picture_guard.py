"""Does the guard's work at each point of the webui's painting: judges pictures, paints again, notes what was found.

The webui calls, in this order: `begin` with each run; `finished` with each picture, once ADetailer and all others are
done with it and before it is saved; `before_saved` and `saved` around each file that is written; `ended`. Whatever
fails here costs the judgement of a picture, never the picture: one line in the log, and it passes unmarked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.guard import guarded_run, next_try
from lib_lora.guard.cell_caption import captioned
from lib_lora.guard.guard_judge import GuardJudge
from lib_lora.guard.guard_settings import GuardSettings, settings_of
from lib_lora.guard.guard_words import KEY, FaceFinding, finding_of, under_gallery, unmarked
from lib_lora.guard.guarded_run import AXIS, GuardedRun, number_of, run_of
from lib_lora.hosts.webui_attributes import report
from lib_lora.hosts.webuis import webui_generation
from lib_lora.messages.message import Message
from lib_lora.provenance.marked_saving import mark_saving
from lib_lora.provenance.source_type import PNG_KEY, packet, says_generated
from lib_lora.provenance.xmp_files import put_xmp

REJECTED = "rejected"  # folder beside the pictures that pass
XYZ = "x/y/z plot"
_MASKS = ("-mask",)  # how the names of files end that show no picture
_Hook = Callable[..., None]


def _passing(hook: _Hook) -> _Hook:
    """A hook that raises nothing: the webui goes on without us, and one line says why."""

    @wraps(hook)
    def called(self: PictureGuard, *given: Any) -> None:
        try:
            hook(self, *given)
        except Exception as error:
            report(f"SameFace guard: {_line(error)}")

    return called


class PictureGuard:
    """See the module. All hooks may be called from any thread.

    Args:
        judge: judges a picture; raises where it cannot.
    """

    def __init__(self, judge: GuardJudge) -> None:
        self.judge = judge

    @_passing
    def begin(self, p: Any, values: Sequence[object]) -> None:
        """A run begins.

        Args:
            p: the webui's ``StableDiffusionProcessing``.
            values: of the guard's controls.
        """
        if guarded_run.is_inner(p):
            return
        guarded_run.put_run(p, None)  # whatever another run has left on it
        p.extra_generation_params.pop(KEY, None)
        axis = getattr(p, AXIS, None)
        try:
            settings = settings_of(values)
            if axis is not None:
                settings = replace(settings, enabled=bool(axis), character=str(axis))
            if not settings.enabled:
                return
            run = GuardedRun(replace(settings, character=self.judge.name(settings.character)))
        except Exception as error:
            run = GuardedRun(GuardSettings(enabled=True), problem=_line(error))
            report(unmarked(run.problem))
        run.captions = axis is not None
        run.scores_only = axis is not None or webui_generation.selected_script(p).lower() == XYZ
        p.all_seeds = list(p.all_seeds)  # the list may be the user's own
        guarded_run.put_run(p, run)

    @_passing
    def finished(self, p: Any, pp: Any) -> None:
        """A picture is finished; ``pp.image`` may become another."""
        run = run_of(p)
        if run is None:
            return
        number = number_of(p)
        run.findings[number] = None
        try:
            if not run.problem and not webui_generation.is_cut_short():
                found = self._found(p, pp.image, run)
                if found.fails and run.settings.action == "repaint" and not run.scores_only:
                    found, pp.image = self._painted_again(p, pp.image, found, run)
                run.findings[number] = found
        except Exception as error:
            run.problem = _line(error)
            report(unmarked(run.problem))
        finally:
            run.pictures[number] = pp.image
            _mark(pp.image, packet(guarded_run.source_type(p)))
            guarded_run.write_infotext(p, run)

    @_passing
    def before_saved(self, params: Any) -> None:
        """A file is about to be written: where to, and what a PNG says in it."""
        run = run_of(params.p) if params.p is not None else None
        said = self._packet(params, run)
        if said and isinstance(params.pnginfo, dict):
            params.pnginfo[PNG_KEY] = said
        found = run.finding_of(params.image) if run else None
        if run and found and found.fails and run.settings.action == "reject" and not run.scores_only:
            params.filename = str(_free(Path(params.filename)))

    @_passing
    def saved(self, params: Any) -> None:
        """A file was written. Pillow has put no packet into a JPEG or WebP, nor into a PNG where the webui was asked
        to write no texts."""
        said = self._packet(params, run_of(params.p) if params.p is not None else None)
        if said:
            put_xmp(Path(params.filename), said)

    @_passing
    def ended(self, p: Any, processed: Any) -> None:
        """A run has ended; ADetailer also calls this in the middle of one, with a copy of ``p`` and no pictures."""
        run = run_of(p)
        if run is None or not processed.images:
            return
        p.extra_generation_params.pop(KEY, None)  # it would stay for the next run of the same `p`
        words = webui_generation.translations()

        def say(message: Message) -> str:
            return message.translated(words)

        lines = under_gallery([run.findings[number] for number in sorted(run.findings)], say)
        if run.problem:
            lines.append(unmarked(run.problem, say))
        for line in lines:
            processed.comments = f"{getattr(processed, 'comments', '') or ''}{line}\n"
            p.comment(line)  # for scripts that make a result of their own of many runs
        for grid in processed.images[: getattr(processed, "index_of_first_image", 0)]:
            _mark(grid, packet(guarded_run.source_type(p)))
        if run.captions:
            _write_on_cells(run, processed)
        run.pictures.clear()

    def _found(self, p: Any, image: Image.Image, run: GuardedRun) -> FaceFinding:
        text = webui_generation.infotext(p, int(p.batch_index))
        return finding_of(run.settings.character, self.judge(image, text, run.settings))

    def _painted_again(
        self, p: Any, image: Image.Image, first: FaceFinding, run: GuardedRun
    ) -> tuple[FaceFinding, Image.Image]:
        """The first further try that passes; of several that fail, the one most alike."""
        place, number = int(p.batch_index), number_of(p)
        seed = int(p.seeds[place])
        best, kept, kept_seed, tries = first, image, seed, 1
        while tries < run.settings.tries and not webui_generation.is_ending():
            tries += 1
            another = next_try.next_seed(seed, tries)
            painted = next_try.paint_again(p, another)
            if painted is None or webui_generation.is_cut_short():
                break
            found = self._found(p, painted, run)
            if found.passes or _rank(found) > _rank(best):
                best, kept, kept_seed = found, painted, another
            if found.passes:
                break
        next_try.make_ready_again(p)
        p.seeds[place] = p.all_seeds[number] = kept_seed  # of which file name, infotext and JSON are made
        return replace(best, tries=tries), kept

    def _packet(self, params: Any, run: GuardedRun | None) -> str:
        """The packet for a file; empty where it is not ours."""
        info = getattr(params.image, "info", None) or {}
        kept = info.get(PNG_KEY, "")
        if isinstance(kept, str) and says_generated(kept):
            return kept
        if params.p is None:  # a script saves by itself: one picture of all of them in Forge, or a larger copy
            written = params.pnginfo if isinstance(params.pnginfo, dict) else {}
            return packet() if f"{KEY}: " in str(written.get("parameters", "")) else ""
        stem = Path(params.filename).stem
        return packet(guarded_run.source_type(params.p)) if run and not stem.endswith(_MASKS) else ""


def _mark(image: Image.Image, said: str) -> None:
    """A picture says where it comes from, wherever it is saved."""
    image.info[PNG_KEY] = said
    mark_saving(image, said)


def _rank(found: FaceFinding) -> tuple[bool, float]:
    return found.passes, -2.0 if found.likeness is None else found.likeness


def _free(path: Path) -> Path:
    """A name in the folder of rejected pictures that no file has; the webui numbers those of its own folder only."""
    folder = path.parent / REJECTED
    folder.mkdir(parents=True, exist_ok=True)
    found, number = folder / path.name, 0
    while found.exists():
        number += 1
        found = folder / f"{path.stem}-{number}{path.suffix}"
    return found


def _write_on_cells(run: GuardedRun, processed: Any) -> None:
    """The scores on the pictures that the plot puts together; the files are saved by now."""
    for place, image in enumerate(processed.images):
        found = run.finding_of(image)
        if found is not None:
            processed.images[place] = captioned(image, found)


def _line(error: Exception) -> str:
    """One line for the log and the page."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{text}." if isinstance(error, UserError) else f"{type(error).__name__}: {text}."
