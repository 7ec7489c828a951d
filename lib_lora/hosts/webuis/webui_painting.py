"""Paints test pictures through the webui's own pipeline, and passes a picture through its VAE.

Pictures are painted a few at a time, and the queue is given back between, so that others need not wait for all of
them. Nothing of it stays: options, "last generation" and the list of LoRAs are as before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import atomic_file, printable
from lib_lora.hosts.host_protocol import Host
from lib_lora.hosts.temporary_loras import temporary_loras
from lib_lora.hosts.webui_attributes import ask, ask_or, put, reads_bundles
from lib_lora.hosts.webuis.queue_lock import turn
from lib_lora.hosts.webuis.webui_detailer import quiet_settings, script_runner
from lib_lora.job_host import Each
from lib_lora.pictures import Cell

TOGETHER = 4  # pictures, before others have their turn
_CACHES = {
    "StableDiffusionProcessing": ("cached_c", "cached_uc"),
    "StableDiffusionProcessingTxt2Img": ("cached_hr_c", "cached_hr_uc"),
}


class PaintingWebui(Host):
    """What painting needs of a webui beside what every host has.

    Attributes:
        full_precision: the flag that starts it with 32 bits throughout.
    """

    full_precision = "--no-half"

    def paints_nans(self) -> bool:
        """Whether not-a-numbers become a black picture, and no error."""
        return False

    def sends_away(self) -> str:
        """Why it must not be asked for pictures: it would send their prompts to another machine. One sentence; empty =
        it paints them here."""
        return ""

    def reads_vectors(self) -> bool:
        """See `JobHost`: where its extension Lora is A1111's, of version 1.7 or newer."""
        return reads_bundles()

    @abstractmethod
    def on_its_thread(self, work: Callable[[], Any]) -> Any:
        """Run what touches the models where this webui wants it."""

    @abstractmethod
    def on_checkpoint(self, title: str) -> AbstractContextManager[None]:
        """In the block pictures are painted with a checkpoint; the queue is held. Options stay the user's: a page that
        is opened meanwhile shows them, and whoever saves a setting meanwhile saves all of them.

        Args:
            title: of the checkpoint; empty = the selected one.
        """

    @abstractmethod
    def settle(self) -> None:
        """After pictures of another checkpoint: the selected one is loaded again; the queue is held."""

    @abstractmethod
    def ready_model(self) -> Any:
        """The selected model, on the GPU; None where there is none. The queue is held."""

    def loras_now(self) -> Any:
        """What `applied` wants to know of the time before the picture."""
        return None

    def applied(self, stem: str, before: Any) -> bool:
        """Whether the last picture was painted with this LoRA. A webui paints on without one that it cannot read, and
        that would pass for a LoRA without effect.

        Args:
            stem: its name.
            before: what `loras_now` said before the picture.
        """
        del before
        return any(one.name == stem and getattr(one, "modules", True) for one in ask("networks:loaded_networks"))


def paint(
    host: PaintingWebui, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]
) -> None:
    """See `JobHost.paint`."""
    if not pictures:
        return
    _see_that_it_paints_here(host)
    samplers = ask("sd_samplers:all_samplers_map")
    unknown = sorted({picture.sampler for picture in pictures if picture.sampler not in samplers})
    if unknown:
        raise UserError(
            f"The webui has no sampler {unknown[0]!r}; choose one of {', '.join(host.samplers()[:8])}.",
            code="sampler-unknown",
            sampler=unknown[0],
        )
    if any(_loras_of(picture) for picture in pictures) and not host.paints():
        raise UserError(
            "This webui cannot use LoRAs: enable its built-in extension Lora in the Extensions tab.",
            code="webui-lora-extension-off",
        )
    if not host.reads_vectors():
        from lib_lora.lora.file.own_vectors import refuse_vectors  # a webui's start does not wait for it

        refuse_vectors(pictures, f"this webui ({host.name})")
    _see_that_loras_are_there(host, pictures)
    lock = ask("call_queue:queue_lock")
    # whoever is stopped while waiting for the queue has painted what it has painted
    with suppress(StoppedByUser):
        title = _override(host, base, lock, stop)
        _paint(host, pictures, title, each, stop)


def _paint(host: PaintingWebui, pictures: Sequence[Cell], title: str, each: Each, stop: Callable[[], bool]) -> None:
    lock = ask("call_queue:queue_lock")
    with temporary_loras(host, {path for picture in pictures for path, _ in _loras_of(picture)}) as stems:
        try:
            for numbers in _groups(pictures):
                for start in range(0, len(numbers), TOGETHER):
                    some = {number: pictures[number] for number in numbers[start : start + TOGETHER]}
                    with turn(lock, stop):
                        host.on_its_thread(partial(_painted, host, some, stems, title, each, stop))
                    if stop():
                        return
        finally:
            if title:  # where others paint, the next one of them loads it anyway
                with suppress(StoppedByUser), turn(lock, stop):
                    host.on_its_thread(host.settle)


def _groups(pictures: Sequence[Cell]) -> Iterable[list[int]]:
    """Numbers of pictures that differ in nothing but prompt and seed; each that is painted over another is alone."""
    found: dict[Any, list[int]] = {}
    for number, one in enumerate(pictures):
        key = (_loras_of(one), one.width, one.height, one.steps, one.cfg, one.sampler, one.negative)
        found.setdefault((*key, one.start, one.strength, one.detail), []).append(number)
    return found.values()


def _loras_of(cell: Cell) -> tuple[tuple[Path, float], ...]:
    """The LoRA files of a picture with their weights, the character's first."""
    return ((cell.lora, cell.weight), *cell.more) if cell.lora else cell.more


def _override(host: PaintingWebui, base: Path | None, lock: Any, stop: Callable[[], bool]) -> str:
    """The title of the checkpoint to change to; empty where it is the selected one.

    Raises:
        UserError: the webui does not know it, or has none at all.
        StoppedByUser: `stop` said so while it waited.
    """
    selected = host.current_checkpoint()
    if selected is None:
        raise UserError(
            "The webui has no checkpoint to paint with; put one into its models/Stable-diffusion folder.",
            code="webui-without-checkpoint",
        )
    if base is None or _same(base, selected):
        return ""
    for attempt in range(2):
        for known in host.checkpoints():
            if _same(base, known.path):
                return known.title
        if attempt == 0:
            with turn(lock, stop):
                ask_or("sd_models:list_models", _nothing)()
    raise UserError(
        f"The webui does not know {base.name}; put it into its checkpoint folder, or choose another base model.",
        code="webui-checkpoint-unknown",
        base=base.name,
    )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _painted(
    host: PaintingWebui,
    some: dict[int, Cell],
    stems: dict[Path, str],
    title: str,
    each: Each,
    stop: Callable[[], bool],
) -> None:
    """Paint pictures of one group, by their numbers, and hand over each as soon as it is whole: whatever ends the next
    one costs none of those before it. The queue is held.

    Raises:
        UserError: see `host_protocol.Host`.
    """
    task = ask_or("progress:create_task_id", "task({})".format)("sameface")
    ask("shared:state.begin")(job=task)
    put("shared:state.job_count", len(some))  # or the progress bar would begin again with each
    ask_or("progress:start_task", _nothing)(task)
    try:
        with no_last_generation(), host.on_checkpoint(title):
            for number, one in some.items():
                if stop():
                    return
                image, infotext, interrupted = _one(host, one, stems)
                if image is not None:
                    each(number, image, infotext)
                if interrupted:
                    text = "Interrupt or Skip was pressed in the webui; start it again to paint what is missing."
                    raise UserError(text, code="webui-interrupted")
    except UserError:
        raise
    except Exception as error:
        raise UserError(_why(error, host, next(iter(some.values()))), code="webui-painting-failed") from error
    finally:
        ask_or("progress:finish_task", _nothing)(task)
        ask("shared:state.end")()
        getattr(ask_or("shared:total_tqdm"), "clear", _nothing)()


def _one(host: PaintingWebui, one: Cell, stems: Mapping[Path, str]) -> tuple[Image.Image | None, str, bool]:
    """A picture with its infotext, and whether somebody has pressed Interrupt or Skip. A picture that was interrupted
    is half painted, and none; one after which the webui was told to stop is whole."""
    before, loras = host.loras_now(), [(path, stems[path], weight) for path, weight in _loras_of(one)]
    with closing(_request(one, [(stem, weight) for _, stem, weight in loras])) as p:
        p.scripts, p.script_args = script_runner(one)
        _see_that_it_paints_here(host)  # the user may change it between two pictures
        processed = ask("processing:process_images")(p)
    cut = bool(ask_or("shared:state.interrupted") or ask_or("shared:state.skipped"))
    interrupted = cut or bool(ask_or("shared:state.stopping_generation"))
    if cut or not processed.images:
        return None, "", interrupted
    for path, stem, weight in loras:
        if weight and not host.applied(stem, before):
            raise UserError(
                f"The webui could not load the LoRA {path.name} on this checkpoint; see its console for the reason.",
                code="webui-lora-not-loaded",
                lora=path.name,
            )
    if host.paints_nans() and _is_black(processed.images[0]):
        raise UserError(_no_numbers(host, one), code="webui-painted-black")
    return processed.images[0], processed.infotexts[0], interrupted


def _see_that_it_paints_here(host: PaintingWebui) -> None:
    if why := host.sends_away():
        raise UserError(why, code="webui-paints-elsewhere")


def _see_that_loras_are_there(host: PaintingWebui, pictures: Sequence[Cell]) -> None:
    """The webui paints on without a LoRA that a prompt names and it does not know; nobody would notice."""
    parse = ask_or("extra_networks:parse_prompt")
    if parse is None or not any("<lora:" in one.prompt.lower() for one in pictures):
        return
    named = {str(tag.items[0]) for one in pictures for tag in parse(one.prompt)[1].get("lora", ()) if tag.items}
    known = host.lora_names()
    if known is not None and not named <= known:
        ask_or("networks:list_available_networks", _nothing)()  # as the webui itself looks again
        known = host.lora_names()
    if known is not None and (unknown := sorted(named - known)):
        raise UserError(
            f"The webui has no LoRA for <lora:{printable(unknown[0])[:80]}>; put its file into the webui's Lora folder,"
            " or take it out of the prompts.",
            code="lora-unknown",
            lora=unknown[0],
        )


def _request(one: Cell, loras: Sequence[tuple[str, float]]) -> Any:
    """As the txt2img page would ask for it, but without the user's extras.

    Args:
        one: the picture.
        loras: names of its LoRAs with their weights.
    """
    override: dict[str, Any] = dict(quiet_settings()) if one.detail else {}
    if ask_or("shared:opts.sd_lora", "None") not in (None, "None", ""):
        override["sd_lora"] = "None"  # "Add network to prompt": a picture without LoRA is one without
    extra = "".join(f"<lora:{stem}:{weight:g}>" for stem, weight in loras)
    kind, over = "StableDiffusionProcessingTxt2Img", {}
    if one.start:
        begin = open_photo(one.start).resize((one.width, one.height), Image.Resampling.LANCZOS)
        kind, over = "StableDiffusionProcessingImg2Img", {"init_images": [begin], "denoising_strength": one.strength}
    p = ask(f"processing:{kind}")(
        **over,
        prompt=one.prompt + extra,
        negative_prompt=one.negative,
        seed=one.seed,
        sampler_name=one.sampler,
        batch_size=1,
        n_iter=1,
        steps=one.steps,
        cfg_scale=one.cfg,
        width=one.width,
        height=one.height,
        restore_faces=False,
        tiling=False,
        do_not_save_samples=True,
        do_not_save_grid=True,
        override_settings=override,
    )
    if hasattr(p, "scheduler"):
        p.scheduler = "Automatic"
    return p


@contextmanager
def no_last_generation() -> Iterator[None]:
    """The user's own last picture stays the last: its text is what one click brings back into the page.

    Forge Classic always writes that text, so there it is put back. The queue is held.
    """
    flag = "shared:cmd_opts.no_prompt_history"
    before, folder = ask_or(flag), ask_or("paths:data_path")
    kept = Path(folder, "params.txt") if before is None and folder else None
    text, none = None, False
    try:
        text = kept.read_bytes() if kept else None
    except FileNotFoundError:
        none = True
    except OSError:  # another program holds it: it stays as it is then
        kept = None
    put(flag, True)
    try:
        yield
    finally:
        put(flag, before)
        with suppress(OSError, UserError):  # another program holds it; the pictures are painted all the same
            if kept and none:
                kept.unlink(missing_ok=True)
            elif kept and text is not None:
                with atomic_file(kept) as stream:
                    stream.write(text)


def _is_black(image: Image.Image) -> bool:
    """Whether nothing but black is in a picture: what not-a-numbers become as whole numbers."""
    return image.convert("RGB").getbbox() is None


def _nothing(*_: Any) -> None:
    """What a webui without it does."""


def _no_numbers(host: PaintingWebui, one: Cell) -> str:
    """What to do about not-a-numbers: a LoRA makes them by too much weight, a model by too little precision."""
    if one.lora is None or not one.weight:
        return (
            "The webui produced invalid numbers (NaN) with this checkpoint; start the webui with"
            f" {host.full_precision}, or choose another VAE."
        )
    return (
        f"The webui produced invalid numbers (NaN) with the LoRA {one.lora.name} at weight {one.weight:g}; choose a "
        f"lower weight or an earlier step, or start the webui with {host.full_precision}."
    )


def _why(error: Exception, host: PaintingWebui, one: Cell) -> str:
    kind = type(error).__name__
    if "OutOfMemory" in kind or "out of memory" in str(error):
        return "The webui ran out of GPU memory while it painted; close what else uses it, or paint smaller pictures."
    if kind == "NansException":
        return _no_numbers(host, one)
    said = printable(f"{kind}: {error}")[:200]
    return f"The webui could not paint ({said}); see its console for the reason."


def forget_conditions() -> None:
    """The webui keeps the last prompt's encoding by its words and LoRA names, not by what was in the files."""
    for name, caches in _CACHES.items():
        owner = ask_or(f"processing:{name}")
        for cache in caches:
            if isinstance(kept := getattr(owner, cache, None), list):
                setattr(owner, cache, [None] * len(kept))


def reconstructed(host: PaintingWebui, image: Image.Image) -> Image.Image | None:
    """A picture through the VAE and back; None without a model. The queue is held."""
    model = host.ready_model()
    if model is None:
        return None
    import numpy as np
    import torch

    encode, decode = (
        ask(f"sd_samplers_common:{name}") for name in ("images_tensor_to_samples", "samples_to_images_tensor")
    )
    autocast, dtype = ask("devices:autocast"), ask("devices:dtype_vae")
    size = image.size
    eights = (max(64, round(size[0] / 8) * 8), max(64, round(size[1] / 8) * 8))
    pixels = np.asarray(image.convert("RGB").resize(eights, Image.Resampling.LANCZOS), dtype=np.float32) / 255
    with torch.no_grad(), autocast():
        latent = encode(torch.from_numpy(pixels).permute(2, 0, 1)[None], 0, model)
        decoded = decode(latent.to(dtype), 0, model)[0]
    back = torch.clamp((decoded.float().cpu() + 1) / 2, 0, 1).permute(1, 2, 0).numpy()
    if not np.isfinite(back).all():
        return None
    return Image.fromarray((back * 255).round().astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
