"""The loop over pictures as A1111 has it, with the guard as its script: pictures are plain colours made of the seed.

Only what the guard meets is here, in A1111's order: `process`, a picture at a time `postprocess_image` and
`postprocess_image_after_composite`, saving with the two callbacks, the grid, `postprocess`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image, PngImagePlugin

from lib_lora.guard.picture_guard import PictureGuard


class Webui:
    """A webui's state and its painting.

    Args:
        guard: its script; `others` are further always-on scripts, before it.
        folder: where pictures are saved.
    """

    def __init__(self, guard: PictureGuard, folder: Path, others: list[Any] | None = None) -> None:
        self.guard, self.folder = guard, folder
        self.others, self.selectable = others or [], [SimpleNamespace(title=lambda: "X/Y/Z plot")]
        self.state = SimpleNamespace(interrupted=False, skipped=False, stopping_generation=False, job_count=-1)
        self.painted: list[int] = []  # seeds, in the order in which they were painted
        self.on_paint: Callable[[int], object] = lambda seed: None
        self.extension, self.texts = "png", True
        self.history: list[str] = []  # what would be written to params.txt

    def request(self, *values: Any, **more: Any) -> Any:
        """A ``StableDiffusionProcessing``; `values` are the guard's controls."""
        p = SimpleNamespace(
            prompt="a woman, <style>", negative_prompt="blurry", styles=["style"], seed=100, subseed=7, batch_size=1,
            n_iter=1, extra_generation_params={}, override_settings={"a": 1}, do_not_save_samples=False,
            do_not_save_grid=False, enable_hr=False, hr_prompt="", hr_negative_prompt="", values=values, comments={},
            script_args=(0,), init_images=None, image_mask=None,
        )  # fmt: skip
        vars(p).update(more)
        p.scripts = SimpleNamespace(alwayson_scripts=self.others, selectable_scripts=self.selectable)
        p.comment = lambda text: p.comments.update({text: 1})
        return p

    def infotext(self, p: Any, index: int, main: bool = False) -> str:
        parts = [f"Steps: 2, Seed: {p.all_seeds[0] if main else p.seeds[index]}"]
        for key, value in p.extra_generation_params.items():
            said = value(p=p, index=index, use_main_prompt=main) if callable(value) else value
            parts += [f"{key}: {said}"] if said is not None else []
        return f"{p.prompts[index]}\n" + ", ".join(parts)

    def process_images(self, p: Any) -> Any:
        p.all_prompts = [f"{p.prompt}{', in style' if p.styles else ''}"] * (p.batch_size * p.n_iter)
        p.all_negative_prompts = [p.negative_prompt] * len(p.all_prompts)
        p.all_seeds = [p.seed + number for number in range(len(p.all_prompts))]
        p.all_subseeds = [p.subseed + number for number in range(len(p.all_prompts))]
        for script in self.others:
            script.process(p)
        self.guard.begin(p, p.values)
        self.state.job_count = p.n_iter if self.state.job_count == -1 else self.state.job_count
        images, infotexts = [], []
        for turn in range(p.n_iter):
            p.iteration, self.state.skipped = turn, False
            if self.state.interrupted or self.state.stopping_generation:
                break
            here = slice(turn * p.batch_size, (turn + 1) * p.batch_size)
            p.prompts, p.negative_prompts = p.all_prompts[here], p.all_negative_prompts[here]
            p.seeds, p.subseeds = p.all_seeds[here], p.all_subseeds[here]
            if turn == 0:
                self.history.append(self.infotext(p, 0))
            for seed in p.seeds:
                self.painted.append(seed)
                self.on_paint(seed)
            for place, seed in enumerate(p.seeds):
                p.batch_index = place
                pp = SimpleNamespace(image=Image.new("RGB", (64, 64), (seed % 256, seed // 256 % 256, 0)))
                for script in self.others:
                    script.postprocess_image(p, pp)
                self.guard.finished(p, pp)
                text = self.infotext(p, place)
                if not p.do_not_save_samples:
                    self.save(pp.image, f"{len(list(self.folder.glob('*.*'))):05d}-{p.seeds[place]}", text, p)
                pp.image.info["parameters"] = text
                images.append(pp.image)
                infotexts.append(text)
        first = 0
        if len(images) > 1 and not p.do_not_save_grid:
            images.insert(0, Image.new("RGB", (128, 64)))
            infotexts.insert(0, self.infotext(p, 0, True))
            self.save(images[0], "grid-0000", infotexts[0], p)
            first = 1
        processed = SimpleNamespace(
            images=images, infotexts=infotexts, all_seeds=p.all_seeds, comments="", index_of_first_image=first
        )
        self.guard.ended(p, processed)
        return processed

    def save(self, image: Image.Image, stem: str, text: str, p: Any) -> Path:
        """As A1111 writes a file, with the callbacks before and after."""
        path = self.folder / f"{stem}.{self.extension}"
        params = SimpleNamespace(image=image, p=p, filename=str(path), pnginfo={"parameters": text})
        self.guard.before_saved(params)
        about = PngImagePlugin.PngInfo()
        for key, value in params.pnginfo.items():
            about.add_text(key, str(value))
        named = self.extension == "png" and self.texts
        image.save(params.filename, **({"pnginfo": about} if named else {}))  # type: ignore[arg-type]
        self.guard.saved(params)
        return Path(params.filename)


class Detailer:
    """ADetailer at its hooks: paints within each picture, and calls everybody in the middle of a run."""

    def __init__(self) -> None:
        self.webui: Any = None

    def title(self) -> str:
        return "ADetailer"

    def process(self, p: Any, *_: Any) -> None: ...

    def postprocess_image(self, p: Any, pp: Any) -> None:
        guard = self.webui.guard
        if p.batch_index == 0:
            guard.ended(copy.copy(p), SimpleNamespace(images=[], comments=""))
        inner = self.webui.request(*p.values)
        inner._ad_inner, inner.do_not_save_samples, inner.do_not_save_grid, inner.seed = True, True, True, 5
        others, self.webui.others = self.webui.others, []
        self.webui.process_images(inner)
        self.webui.others = others
        pp.image = pp.image.copy()
        pp.image.putpixel((63, 63), (1, 2, 3))  # the mark of a face that was painted anew
        if p.batch_index == p.batch_size - 1:
            guard.begin(copy.copy(p), p.values)
