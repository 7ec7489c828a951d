"""Checkpoints that are files of any content, and models that only know where they are."""

import os
import threading

from modules import devices, hashes, shared
from modules.paths_internal import models_path
from modules.standin_setup import FORGES, KIND, PATCHES, note

model_path = os.path.join(models_path, "Stable-diffusion")
checkpoints_list, checkpoint_aliases, checkpoints_loaded = {}, {}, {}


class CheckpointInfo:
    def __init__(self, filename):
        self.filename = filename
        self.name = os.path.relpath(filename, model_path)
        self.name_for_extra = os.path.splitext(os.path.basename(filename))[0]
        self.sha256 = hashes.sha256_from_cache(filename, f"checkpoint/{self.name}")
        self.shorthash = self.sha256[:10] if self.sha256 else None
        self.title = self.name if self.shorthash is None else f"{self.name} [{self.shorthash}]"
        self.short_title, self.hash, self.metadata = self.name_for_extra, "0" * 8, {}
        self.ids = [self.name, self.title, self.name_for_extra, filename]

    def register(self):
        checkpoints_list[self.title] = self
        for one in self.ids:
            checkpoint_aliases[one] = self

    def calculate_shorthash(self):
        self.sha256 = hashes.sha256(self.filename, f"checkpoint/{self.name}")
        self.shorthash = self.sha256[:10]
        checkpoints_list.pop(self.title, None)
        self.title = f"{self.name} [{self.shorthash}]"
        self.ids += [self.title, self.shorthash, self.sha256]
        self.register()
        return self.shorthash


def list_models():
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    more = getattr(shared.cmd_opts, "ckpt_dirs", None) or [getattr(shared.cmd_opts, "ckpt_dir", None)]
    for folder in (model_path, *more):
        for base, _, names in os.walk(folder or ""):
            for name in sorted(names):
                if name.endswith((".safetensors", ".ckpt")):
                    CheckpointInfo(os.path.join(base, name)).register()


def get_closet_checkpoint_match(search_string):
    return checkpoint_aliases.get(search_string) if search_string else None


def checkpoint_tiles(use_short=False):
    return [info.name if FORGES else info.title for info in checkpoints_list.values()]


def select_checkpoint():
    found = checkpoint_aliases.get(shared.opts.sd_model_checkpoint)
    if found is None and checkpoints_list:
        found = next(iter(checkpoints_list.values()))
    if found is None and not FORGES:
        raise FileNotFoundError("No checkpoints found.")
    return found


class ForgeObjects:
    """The parts of a model, with LoRAs or without."""

    def __init__(self, unet, clip):
        self.unet, self.clip = unet, clip


class Model:
    """Of a family that the file's name tells: "xl", "v2", else SD1."""

    lowvram = False

    def __init__(self, info, modules=()):
        name = info.name_for_extra.lower()
        self.sd_checkpoint_info, self.device = info, devices.device
        self.additional_modules = list(modules)  # Forge's: VAE and text encoders from other files
        self.sd_model_hash, self.sd_model_checkpoint = "0" * 8, info.filename
        self.is_sdxl = "xl" in name
        is_sd2 = not self.is_sdxl and "v2" in name
        self.is_sd1 = not self.is_sdxl and not is_sd2
        if KIND != "neo":
            self.is_sd2, self.is_sd3 = is_sd2, False
        self.current_lora_hash = str([])
        if PATCHES:  # with LoRAs another one; the same without, and with those that do not fit
            self.forge_objects_original = ForgeObjects(object(), object())
            self.forge_objects_after_applying_lora = self.forge_objects_original

    def to(self, device):
        self.device = str(device)
        note(f"{self.sd_checkpoint_info.name_for_extra} to {device}")
        return self


class FakeInitialModel:
    """Forge's, until it paints for the first time."""


class SdModelData:
    def __init__(self):
        self.sd_model = FakeInitialModel() if FORGES else None
        self.kept = self.loaded_sd_models = []
        self.forge_loading_parameters, self.forge_hash = {}, ""
        self.loading = self.lock = threading.Lock()

    def get_sd_model(self):
        with self.loading:
            if self.sd_model is None and checkpoints_list:
                load_model()
        return self.sd_model

    def set_sd_model(self, model):
        self.sd_model = model
        if model in self.kept:
            self.kept.remove(model)
        if model is not None:
            self.kept.insert(0, model)


model_data = SdModelData()


class SkipWritingToConfig:
    """Within it, a model that is loaded does not become the selected one."""

    skip = False

    def __enter__(self):
        self.previous, Skip.skip = Skip.skip, True

    def __exit__(self, *_):
        Skip.skip = self.previous


Skip = SkipWritingToConfig  # a webui without it has one all the same, in here


def load_model(info=None, modules=()):
    info = info or select_checkpoint()
    note(f"load {info.name_for_extra}")
    info.calculate_shorthash()
    for other in list(model_data.kept):
        to_cpu(other)
        model_data.kept.remove(other)  # as with sd_checkpoints_limit 1
    model_data.set_sd_model(Model(info, modules))
    shared.opts.data["sd_checkpoint_hash"] = info.sha256
    if not (Skip.skip or (FORGES and shared.opts.data.get("sd_model_checkpoint"))):
        shared.opts.data["sd_model_checkpoint"] = info.title


def reload_model_weights(sd_model=None, info=None, forced_reload=False):
    """Nothing, where the file is the one that is loaded already: also where the model was sent away."""
    info = info or select_checkpoint()
    loaded = model_data.sd_model
    if getattr(getattr(loaded, "sd_checkpoint_info", None), "filename", None) != info.filename:
        load_model(info)
    return model_data.sd_model


def unload_model_weights(sd_model=None, info=None):
    to_cpu(shared.sd_model)


def to_cpu(m):
    if m is not None and KIND in ("a1111", "ux"):
        m.to(devices.cpu)


send_model_to_cpu = to_cpu


def send_model_to_device(m):
    if KIND in ("a1111", "ux"):
        m.to(devices.device)


if FORGES:

    def forge_model_reload():
        now = str(model_data.forge_loading_parameters)
        if model_data.forge_hash == now:
            return model_data.sd_model, False
        model_data.sd_model = None
        info = model_data.forge_loading_parameters["checkpoint_info"]
        load_model(info, model_data.forge_loading_parameters.get("additional_modules", []))
        model_data.forge_hash = now
        return model_data.sd_model, True

    def refresh_model_loading_parameters():
        """As its page does it, where checkpoint or modules were chosen."""
        model_data.forge_loading_parameters = {
            "checkpoint_info": select_checkpoint(),
            "additional_modules": shared.opts.forge_additional_modules,
            "unet_storage_dtype": "nf4",
        }


list_models()
if FORGES:
    refresh_model_loading_parameters()
