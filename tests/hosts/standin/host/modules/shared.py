"""What everything shares. ``sd_model`` is a property of the module, as in the webui."""

import os
import re
import sys
from types import SimpleNamespace

from modules import options, shared_state
from modules.paths_internal import data_path
from modules.shared_cmd_options import cmd_opts  # noqa: F401
from modules.standin_setup import KIND, OPTIONS, note

OptionInfo, options_section = options.OptionInfo, options.options_section
config_filename = os.path.join(data_path, "config.json")
demo = None
device = "cuda"
settings_components = {}
total_tqdm = SimpleNamespace(clear=lambda: None)
state = shared_state.State()


def _reload():
    from modules import sd_models

    if hasattr(sd_models, "refresh_model_loading_parameters"):
        sd_models.refresh_model_loading_parameters()
    elif hasattr(sd_models, "reload_model_weights"):
        sd_models.reload_model_weights()


opts = options.Options(
    {
        "sd_model_checkpoint": OptionInfo(None, "Stable Diffusion checkpoint", onchange=_reload),
        "forge_additional_modules": OptionInfo([], "VAE / Text Encoder", onchange=_reload),
        "sd_vae": OptionInfo("Automatic", "SD VAE"),
        "CLIP_stop_at_last_layers": OptionInfo(1, "Clip skip"),
        "sd_lora": OptionInfo("None", "Add network to prompt"),
        "lora_show_all": OptionInfo(False, "Always show all networks"),
        "lora_filter_disabled": OptionInfo(True, "Always show all networks"),
        "lora_preset_filter": OptionInfo(False, "Filter Lora based on selected Preset"),
        "forge_preset": OptionInfo("sd", "UI Preset"),
        "forge_model_mode": OptionInfo("local", "Who paints"),
        "lora_hide_unknown_for_versions": OptionInfo([], "Hide networks of unknown versions"),
        "lora_add_hashes_to_infotext": OptionInfo(True, "Add Lora hashes to infotext"),
        "extra_networks_default_multiplier": OptionInfo(1.0, "Default multiplier"),
        "persistent_cond_cache": OptionInfo(True, "Persistent cond cache"),
        "eta_noise_seed_delta": OptionInfo(0, "Eta noise seed delta"),
        "token_merging_ratio": OptionInfo(0.0, "Token merging ratio"),
        "sd_checkpoints_limit": OptionInfo(1, "Checkpoints kept"),
        "face_restoration": OptionInfo(False, "Restore faces"),
        "tiling": OptionInfo(False, "Tiling"),
        "samples_format": OptionInfo("png", "File format"),
        "live_preview_refresh_period": OptionInfo(1000, "Progress period"),
        "localization": OptionInfo("None", "Localization"),
    }
)
opts.data.update(OPTIONS)
if os.path.isfile(config_filename):
    opts.load(config_filename)


class _Moved:
    """A small model of the interrogator."""

    def __init__(self, name):
        self.name, self.device = name, "cuda"

    def to(self, device, *_):
        self.device = str(device)
        note(f"{self.name} to {device}")
        return self


class _Interrogator:
    blip_model = clip_model = None

    def load(self):
        self.blip_model, self.clip_model = _Moved("blip"), _Moved("clip")

    def send_blip_to_ram(self):
        if self.blip_model is not None:
            self.blip_model.to("cpu")

    def send_clip_to_ram(self):
        if self.clip_model is not None:
            self.clip_model.to("cpu")

    def generate_caption(self, image):
        return "a woman with brown hair wearing a red coat"


interrogator = _Interrogator()
face_restorers = []


def natural_sort_key(text):
    return [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", text)]


def refresh_checkpoints():
    from modules import sd_models

    sd_models.list_models()


def list_checkpoint_tiles(use_short=False):
    from modules import sd_models

    return sd_models.checkpoint_tiles(use_short)


class _Shared(sys.modules[__name__].__class__):
    @property
    def sd_model(self):
        from modules import sd_models

        return sd_models.model_data.get_sd_model()

    @sd_model.setter
    def sd_model(self, value):
        from modules import sd_models

        sd_models.model_data.set_sd_model(value)


sys.modules[__name__].__class__ = _Shared
assert KIND in ("a1111", "ux", "forge", "neo", "reforge")
