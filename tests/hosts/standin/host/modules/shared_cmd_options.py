"""``cmd_opts``: the flags that SameFace may look at, with the webui's defaults."""

import os
from argparse import Namespace

from modules.paths_internal import models_path
from modules.standin_setup import FLAGS

_DEFAULTS = {
    "lora_dir": os.path.join(models_path, "Lora"),
    "lyco_dir_backcompat": os.path.join(models_path, "LyCORIS"),
    "ckpt_dir": None,
    "ckpt_dirs": [],
    "lora_dirs": [],
    "server_name": None,
    "vae_dir": None,
    "data_dir": None,
    "device_id": None,
    "use_cpu": [],
    "no_half": False,
    "disable_nan_check": False,
    "medvram": False,
    "medvram_sdxl": False,
    "lowvram": False,
    "api": False,
    "api_auth": None,
    "gradio_auth": None,
    "gradio_auth_path": None,
    "listen": False,
    "share": False,
    "ngrok": None,
    "no_prompt_history": False,
    "hide_ui_dir_config": False,
    "freeze_settings": False,
    "webui_is_non_local": False,
    "disable_extension_access": False,
    "subpath": None,
    "port": None,
    "theme": None,
}
cmd_opts = Namespace(**{**_DEFAULTS, **FLAGS})
cmd_opts.webui_is_non_local = bool(cmd_opts.share or cmd_opts.listen or cmd_opts.ngrok)
cmd_opts.disable_extension_access = cmd_opts.webui_is_non_local
