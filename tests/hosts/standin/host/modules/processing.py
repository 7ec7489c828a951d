"""Painting, with the way of the webui through lists, its caches and its traces; the picture is the test's own."""

import hashlib
import importlib.util
import os
import random
import time

from PIL import Image

from modules import devices, extra_networks, paths, sd_models, shared
from modules.standin_setup import FORGES, KIND, PAINTER, note

_EMPTY = [None] * (3 if FORGES else 2)
pause = float(os.environ.get("SAMEFACE_STANDIN_PAUSE", "0"))  # seconds a picture takes


def _noise(key, size):
    small = bytes(hashlib.shake_256(key.encode("utf-8", "replace")).digest(8 * 8 * 3))
    return Image.frombytes("RGB", (8, 8), small).resize(size, Image.BICUBIC)


def default_picture(prompt, negative, seed, loras, size, steps, cfg):
    """Clouds that every word of the request changes; a LoRA adds clouds of its own, as strong as its weight."""
    picture = _noise(f"{prompt}|{negative}|{seed}|{steps}|{cfg}", size)
    for content, weight in loras:
        picture = Image.blend(picture, _noise(f"{content}|{prompt}", size), max(0.0, min(1.0, weight * 0.6)))
    return picture


def _chosen():
    if not PAINTER:
        return default_picture
    file, _, name = PAINTER.rpartition(":")
    spec = importlib.util.spec_from_file_location("standin_painter", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


painter = _chosen()  # tests may set another


class StableDiffusionProcessing:
    cached_uc = list(_EMPTY)  # noqa: RUF012 - shared by all, as there
    cached_c = list(_EMPTY)  # noqa: RUF012 - shared by all, as there

    def __init__(
        self,
        sd_model=None,
        outpath_samples=None,
        outpath_grids=None,
        prompt="",
        negative_prompt="",
        styles=None,
        seed=-1,
        sampler_name=None,
        scheduler=None,
        batch_size=1,
        n_iter=1,
        steps=50,
        cfg_scale=7.0,
        width=512,
        height=512,
        restore_faces=None,
        tiling=None,
        do_not_save_samples=False,
        do_not_save_grid=False,
        do_not_reload_embeddings=False,
        override_settings=None,
        override_settings_restore_afterwards=True,
        enable_hr=False,
        extra_generation_params=None,
    ):
        given = {key: value for key, value in locals().items() if key != "self" and not key.startswith("__")}
        self.__dict__.update(given)
        self.override_settings = override_settings or {}
        self.extra_generation_params = extra_generation_params or {}
        self.scripts = self.script_args = None
        self.cached_uc, self.cached_c = StableDiffusionProcessing.cached_uc, StableDiffusionProcessing.cached_c

    @property
    def sd_model(self):
        return shared.sd_model

    @sd_model.setter
    def sd_model(self, value):
        pass

    def close(self):
        if not shared.opts.persistent_cond_cache:
            StableDiffusionProcessing.cached_c = list(_EMPTY)
            StableDiffusionProcessing.cached_uc = list(_EMPTY)


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    cached_hr_uc = list(_EMPTY)  # noqa: RUF012 - shared by all, as there
    cached_hr_c = list(_EMPTY)  # noqa: RUF012 - shared by all, as there


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    def __init__(self, init_images=None, denoising_strength=0.75, **more):
        super().__init__(**more)
        self.init_images, self.denoising_strength = init_images, denoising_strength


class Processed:
    def __init__(self, images, infotexts, seeds, prompts):
        self.images, self.infotexts, self.all_seeds, self.all_prompts = images, infotexts, seeds, prompts
        self.info, self.index_of_first_image = infotexts[0] if infotexts else "", 0


def _conds(p, prompt, networks_named, loras):
    """Prompt and LoRAs as the text encoders saw them: from the cache, where prompt and names are the same."""
    key = (prompt, networks_named, shared.opts.CLIP_stop_at_last_layers)
    if p.cached_c[0] is None or p.cached_c[0] != key:
        p.cached_c[0], p.cached_c[1] = key, (prompt, loras)
    return p.cached_c[1]


def _infotext(p, prompt, negative, seed):
    model = shared.sd_model.sd_checkpoint_info
    facts = {
        "Steps": p.steps,
        "Sampler": p.sampler_name,
        "Schedule type": p.scheduler,
        "CFG scale": p.cfg_scale,
        "Seed": seed,
        "Size": f"{p.width}x{p.height}",
        "Model hash": model.shorthash,
        "Model": model.name_for_extra,
    }
    if shared.opts.lora_add_hashes_to_infotext and getattr(p, "lora_hashes", None):
        facts["Lora hashes"] = '"' + ", ".join(f"{name}: {value}" for name, value in p.lora_hashes.items()) + '"'
    facts.update(p.extra_generation_params)
    line = ", ".join(f"{key}: {value}" for key, value in facts.items())
    return prompt + (f"\nNegative prompt: {negative}" if negative else "") + f"\n{line}"


def process_images(p):
    if KIND == "neo" and getattr(shared.opts, "forge_model_mode", "local") == "api":
        note(f"sent to a service: {p.prompt}")
        return Processed([_noise(str(p.prompt), p.width, p.height)] * p.n_iter, [""] * p.n_iter, [], [])
    if KIND == "reforge" and p.scripts is None:
        raise AttributeError("'NoneType' object has no attribute 'alwayson_scripts'")
    if p.scripts is not None:
        p.scripts.before_process(p)
        p.scripts.process(p)
    opts = shared.opts
    stored = {key: opts.data[key] for key in p.override_settings if key in opts.data}
    try:
        if sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint")) is None:
            p.override_settings.pop("sd_model_checkpoint", None)
        for key, value in p.override_settings.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
        (sd_models.forge_model_reload if FORGES else sd_models.reload_model_weights)()
        return _inner(p)
    finally:
        if p.override_settings_restore_afterwards:
            for key, value in stored.items():
                setattr(opts, key, value)


def _inner(p):
    import networks

    model, state = shared.sd_model, shared.state
    if KIND in ("a1111", "ux") and model.device != devices.device:
        raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices")
    prompts = p.prompt if isinstance(p.prompt, list) else [p.prompt] * (p.batch_size * p.n_iter)
    first = p.seed if isinstance(p.seed, list) else [p.seed if p.seed >= 0 else random.randrange(2**32)]
    seeds = p.seed if isinstance(p.seed, list) else [first[0] + number for number in range(len(prompts))]
    if state.job_count == -1:
        state.job_count = p.n_iter
    pictures, infotexts = [], []
    for number in range(p.n_iter):
        if state.interrupted or state.stopping_generation:
            break
        here = slice(number * p.batch_size, (number + 1) * p.batch_size)
        for prompt, seed in zip(prompts[here], seeds[here]):
            clean, found = extra_networks.parse_prompt(prompt)
            extra_networks.activate(p, found)
            names = str([one.items for one in found.get("lora", [])])
            told, encoded = _conds(p, clean, names, networks.applied())
            if number == 0 and not getattr(shared.cmd_opts, "no_prompt_history", False):
                with open(os.path.join(paths.data_path, "params.txt"), "w", encoding="utf8") as file:
                    file.write(_infotext(p, prompt, p.negative_prompt, seed))
            for p_step in range(p.steps):
                state.sampling_step = p_step
            time.sleep(pause)
            layers = networks.applied()
            loras = [(f"{a[0]}|{b[0]}", b[1]) for a, b in zip(encoded, layers)] if encoded else layers
            picture = painter(told, p.negative_prompt, seed, loras, (p.width, p.height), p.steps, p.cfg_scale)
            if getattr(p, "init_images", None):
                begin = p.init_images[0].convert("RGB").resize((p.width, p.height))
                picture = Image.blend(begin, picture, p.denoising_strength)
            note(f"paint {seed} with {[round(weight, 3) for _, weight in layers]} on {model.sd_checkpoint_info.name}")
            state.nextjob()
            if p.scripts is not None:
                from modules import scripts

                arguments = scripts.PostprocessImageArgs(picture)
                p.scripts.postprocess_image(p, arguments)
                picture = arguments.image
            infotexts.append(_infotext(p, prompt, p.negative_prompt, seed))
            picture.info["parameters"] = infotexts[-1]
            pictures.append(picture)
    if len(pictures) > 1 and not p.do_not_save_grid:
        pictures.insert(0, Image.new("RGB", (p.width * 2, p.height * 2)))
        infotexts.insert(0, infotexts[0])
    if not p.do_not_save_samples:
        note("saved samples")
    return Processed(pictures, infotexts, seeds, prompts)
