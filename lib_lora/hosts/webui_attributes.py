"""Lists everything of a webui that SameFace reads or calls, and is the only access to it.

Each entry of `ATTRIBUTES` says in which webuis an attribute is asked for, and which feature needs it. One that is
missing costs that feature alone, with one sentence in the Doctor and where the feature is used. `GONE` says what a
webui is known not to have. The stand-ins of the tests are cut to both, so that a webui's update is an update here.
It starts no webui; a module of the webui that nothing has needed yet, such as ``modules.deepbooru``, is loaded when it
is asked for.

A name is ``module:attribute``; a module without a dot is one of the webui's package ``modules``.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.files import content
from lib_lora.messages.message import Message

_log = logging.getLogger("sameface")
_NOTHING: Any = object()
_LOADER = re.compile(r"""["']bundle_emb["'.]""")  # the part of a key that A1111's loader looks for

A1111, UX, FORGE, NEO, REFORGE = "a1111", "ux", "forge", "neo", "reforge"
EVERY = frozenset({A1111, UX, FORGE, NEO, REFORGE})
OLD = EVERY - {NEO}  # those that still have what Forge Neo dropped
FORGES = frozenset({FORGE, NEO})


@dataclass(frozen=True)
class Feature:
    """What an attribute is needed for.

    Attributes:
        name: what the Doctor calls it.
        lost: what does not work without, as the second half of a sentence.
        mend: what to do instead, one sentence.
    """

    name: str
    lost: str
    mend: str


_LACK = "This webui lacks {attributes}, so {lost}."
_UPDATE = "Update SameFace under Extensions, and restart the webui"
START = Feature("Start", "SameFace cannot start in it", f"{_UPDATE}.")
BASES = Feature("Base models", "not all of its base models are known", "Name a base model by its file.")
LORAS = Feature("LoRA folder", "its folder of LoRAs is not known", "Put LoRAs into a folder of your choice, under Use.")
CARDS = Feature(
    "LoRA cards",
    "a new LoRA's card does not appear by itself",
    "Press the refresh button of the webui's page of LoRAs.",
)
PROMPT = Feature("Prompt", "its prompt cannot be filled in by a click", "Copy the prompt from the panel Use.")
SETTINGS = Feature(
    "Settings entry",
    "its settings have no entry for the data folder",
    "The data folder is the folder sameface beside the webui's own data, or what was set before.",
)
PAINTING = Feature(
    "Test pictures",
    "it cannot be asked to paint test pictures",
    "SameFace's own process paints them; there is nothing to do.",
)
GPU = Feature(
    "GPU hand-over",
    "its model stays on the GPU while a LoRA is trained",
    "If memory runs short, restart the webui and train before it has painted anything.",
)
QUEUE = Feature(
    "Queue of pictures", "its pictures do not wait for a training", "Paint nothing while a LoRA is being trained."
)
VAE = Feature("Photos as the VAE shows them", "photos cannot be sent through its VAE", "There is nothing to do.")
CAPTIONS = Feature("Captioners of the webui", "not all of its captioners can be asked", "Use another captioner.")
GUARD = Feature(
    "Guard in txt2img",
    "the pictures of txt2img and img2img are not judged as they are painted",
    "Paint them with Produce, or judge them afterwards (score).",
)


@dataclass(frozen=True)
class Attribute:
    """An attribute of a webui.

    Attributes:
        name: ``module:attribute``.
        feature: what needs it; None where a default does as well.
        hosts: the webuis (`Host.name`) that it is asked for in.
        instead: another attribute that does as well.
    """

    name: str
    feature: Feature | None
    hosts: frozenset[str] = EVERY
    instead: str = ""


def _of(feature: Feature | None, names: str, hosts: frozenset[str] = EVERY, instead: str = "") -> list[Attribute]:
    return [Attribute(name, feature, hosts, instead) for name in names.split()]


_FLAGS = "shared:cmd_opts."
ATTRIBUTES: tuple[Attribute, ...] = (
    *_of(START, "shared:cmd_opts script_callbacks:on_ui_tabs script_callbacks:on_app_started"),
    *_of(START, "paths_internal:data_path", instead="paths:data_path"),
    *_of(None, "paths:data_path shared:opts shared:opts.data errors:report"),
    *_of(None, "script_callbacks:on_script_unloaded launch_utils:git_tag"),
    *_of(None, "paths_internal:extensions_dir paths_internal:extensions_builtin_dir"),
    *_of(None, "modules_forge.forge_version:version", FORGES),
    *_of(None, "modules_forge.forge_version:release", frozenset({NEO})),
    *_of(None, "backend.loader:possible_models", FORGES),
    # folders and models
    *_of(BASES, "sd_models:model_path sd_models:checkpoints_list sd_models:checkpoint_aliases sd_models:list_models"),
    *_of(BASES, "sd_models:model_data.sd_model"),
    *_of(BASES, f"{_FLAGS}ckpt_dir", OLD, instead=f"{_FLAGS}ckpt_dirs"),
    *_of(BASES, f"{_FLAGS}ckpt_dirs", frozenset({NEO}), instead=f"{_FLAGS}ckpt_dir"),
    *_of(None, "shared:opts.sd_model_checkpoint"),
    *_of(LORAS, "extra_networks:extra_network_registry networks:available_networks"),
    *_of(LORAS, f"{_FLAGS}lora_dir", instead=f"{_FLAGS}lora_dirs"),
    *_of(None, f"{_FLAGS}lora_dirs", frozenset({NEO})),
    *_of(None, f"{_FLAGS}lyco_dir_backcompat", frozenset({A1111, UX})),
    *_of(None, "networks:networks_in_memory", frozenset({A1111, UX, REFORGE})),
    *_of(None, "networks:available_network_aliases networks:forbidden_network_aliases"),
    *_of(None, "networks:list_available_networks extra_networks:parse_prompt"),
    # cards, prompt and settings
    *_of(CARDS, "ui_extra_networks:extra_pages"),
    *_of(None, "shared:opts.lora_show_all", frozenset({A1111, UX, REFORGE})),
    *_of(None, "shared:opts.lora_preset_filter shared:opts.forge_preset network:SD_VERSION", frozenset({NEO})),
    *_of(PROMPT, "infotext_utils:register_paste_params_button infotext_utils:ParamBinding"),
    *_of(SETTINGS, "script_callbacks:on_ui_settings options:OptionInfo shared:opts.add_option"),
    *_of(None, "shared:opts.sameface_data_dir", frozenset()),  # our own
    # who may come in, and where the worker runs
    *_of(None, f"{_FLAGS}webui_is_non_local {_FLAGS}share {_FLAGS}listen {_FLAGS}ngrok {_FLAGS}subpath"),
    *_of(None, f"{_FLAGS}server_name {_FLAGS}api_auth {_FLAGS}gradio_auth {_FLAGS}gradio_auth_path"),
    *_of(None, f"{_FLAGS}device_id"),
    # the queue and the GPU
    *_of(QUEUE, "call_queue:queue_lock"),
    *_of(None, "shared:state shared:state.textinfo"),
    *_of(GPU, "devices:torch_gc"),
    *_of(GPU, "sd_models:model_data.loaded_sd_models sd_models:send_model_to_cpu", frozenset({A1111, UX})),
    *_of(GPU, "sd_models:send_model_to_device sd_models:reload_model_weights", frozenset({A1111, UX})),
    *_of(None, "sd_models:model_data.lock shared:face_restorers", frozenset({A1111, UX})),
    *_of(None, "scripts:scripts_txt2img"),
    *_of(GPU, "backend.memory_management:unload_all_models backend.memory_management:soft_empty_cache", FORGES),
    *_of(
        GPU,
        "ldm_patched.modules.model_management:unload_all_models ldm_patched.modules.model_management:soft_empty_cache",
        frozenset({REFORGE}),
    ),
    *_of(GPU, "modules_forge.main_thread:run_and_wait_result", FORGES | {REFORGE}),
    # test pictures
    *_of(PAINTING, "processing:process_images processing:StableDiffusionProcessingTxt2Img scripts:ScriptRunner"),
    *_of(PAINTING, "shared:state.begin shared:state.end call_queue:queue_lock"),
    *_of(PAINTING, "networks:loaded_networks sd_samplers:all_samplers_map"),
    *_of(PAINTING, "sd_models:select_checkpoint sd_models:SkipWritingToConfig", frozenset({A1111, UX, REFORGE})),
    *_of(PAINTING, "sd_models:reload_model_weights", frozenset({A1111, UX, REFORGE})),
    *_of(PAINTING, "sd_models:model_data.forge_loading_parameters sd_models:forge_model_reload", FORGES),
    *_of(None, "sd_models:model_data.forge_hash", FORGES),
    *_of(PAINTING, "modules_forge.main_thread:run_and_wait_result", FORGES | {REFORGE}),
    *_of(None, "shared:opts.forge_model_mode", frozenset({NEO})),  # of a modified one; see `forge.Neo.sends_away`
    *_of(None, "shared:state.interrupted shared:state.stopping_generation shared:state.skipped"),
    *_of(None, "processing:StableDiffusionProcessingImg2Img"),
    *_of(None, "processing:StableDiffusionProcessing shared:total_tqdm shared:opts.sd_lora"),
    *_of(None, "progress:create_task_id progress:start_task progress:finish_task sd_samplers:visible_sampler_names"),
    *_of(None, f"{_FLAGS}no_prompt_history"),
    *_of(None, f"{_FLAGS}disable_nan_check", frozenset({A1111, UX})),
    # the guard in txt2img and img2img
    *_of(GUARD, "scripts:Script scripts:AlwaysVisible processing:process_images"),
    *_of(GUARD, "script_callbacks:on_before_image_saved script_callbacks:on_image_saved"),
    *_of(None, "scripts:scripts_data processing:create_infotext shared:state.job_count"),
    *_of(None, "ui_common:create_refresh_button script_callbacks:on_before_ui"),
    *_of(None, "localization:localizations shared:opts.localization"),
    # a photo through the VAE
    *_of(VAE, "sd_samplers_common:images_tensor_to_samples sd_samplers_common:samples_to_images_tensor"),
    *_of(VAE, "devices:autocast devices:dtype_vae call_queue:queue_lock"),
    *_of(VAE, "sd_models:reload_model_weights", frozenset({A1111, UX, REFORGE})),
    *_of(VAE, "sd_models:forge_model_reload", FORGES),
    # captioners
    *_of(CAPTIONS, "shared:interrogator deepbooru:model", OLD),
    *_of(CAPTIONS, "paths:models_path modelloader:load_models", OLD),
    *_of(CAPTIONS, "devices:device_interrogate lowvram:send_everything_to_cpu", frozenset({A1111, UX})),
    *_of(CAPTIONS, "interrogate:ModelPatcher", frozenset({FORGE, REFORGE})),
    *_of(None, "interrogate:memory_management", frozenset({FORGE})),
    *_of(None, "interrogate:model_management", frozenset({REFORGE})),
    *_of(None, f"{_FLAGS}no_half", OLD),
    *_of(None, "devices:cpu"),
)
# What a webui does not have, as seen in its code on 27 November 2026: Forge in its last commit, Forge Neo in 2.26.
_OF_FORGE = ("sd_models:forge_model_reload", "sd_models:model_data.forge_loading_parameters")
GONE: dict[str, tuple[str, ...]] = {
    A1111: (f"{_FLAGS}ckpt_dirs", f"{_FLAGS}lora_dirs", *_OF_FORGE),
    UX: (f"{_FLAGS}ckpt_dirs", f"{_FLAGS}lora_dirs", *_OF_FORGE),
    FORGE: (
        *(f"{_FLAGS}ckpt_dirs", f"{_FLAGS}lora_dirs", "shared:opts.lora_show_all"),
        *("sd_models:model_data.lock", "sd_models:model_data.loaded_sd_models"),
    ),
    REFORGE: (f"{_FLAGS}ckpt_dirs", f"{_FLAGS}lora_dirs", *_OF_FORGE),
    NEO: (
        *(f"{_FLAGS}ckpt_dir", f"{_FLAGS}lyco_dir_backcompat", f"{_FLAGS}no_half", "shared:opts.lora_show_all"),
        *("networks:networks_in_memory", "lowvram:send_everything_to_cpu"),
        *("shared:interrogator", "deepbooru:model", "interrogate:ModelPatcher", "devices:device_interrogate"),
        *("sd_models:SkipWritingToConfig", "sd_models:model_data.lock", "sd_models:model_data.loaded_sd_models"),
        *("sd_models:send_model_to_cpu", "sd_models:send_model_to_device", "sd_models:reload_model_weights"),
    ),
}
_CAPTIONERS = ("deepbooru", "interrogate")  # a webui without either has dropped captioners, as Forge Classic has
_KNOWN = {one.name: one for one in reversed(ATTRIBUTES)}  # of one name, the first entry


class AttributeMissing(UserError):
    """This webui lacks an attribute that a feature needs."""


def ask(name: str) -> Any:
    """What a webui's attribute is now.

    Args:
        name: ``module:attribute``, one of `ATTRIBUTES`.

    Raises:
        AttributeMissing: this webui has none, one sentence.
        Exception: whatever the webui's own module raises when it is loaded.
    """
    found = _value(_KNOWN[name].name)
    if found is _NOTHING:
        feature = _KNOWN[name].feature
        if feature is None:
            text = f"This webui has no {full_name(name)}, which SameFace needs here: {_UPDATE[0].lower()}{_UPDATE[1:]}."
            raise AttributeMissing(text, code="webui-attribute-missing", attribute=name)
        raise missing(feature, [name])
    return found


def ask_or(name: str, default: Any = None) -> Any:
    """What a webui's attribute is now, or the default where there is none."""
    try:
        found = _value(_KNOWN[name].name)
    except Exception as error:  # another program's, which extensions patch
        _log.warning("The webui's %s is not available (%s: %s).", full_name(name), type(error).__name__, error)
        return default
    return default if found is _NOTHING else found


def put(name: str, value: Any) -> None:
    """Give an attribute another value; one that is not there is left out."""
    if ask_or(name, _NOTHING) is _NOTHING:
        return
    module, _, path = name.partition(":")
    *way, last = path.split(".")
    place = _module(module)
    for step in way:
        place = getattr(place, step)
    setattr(place, last, value)


def lacking(kind: str) -> dict[Feature, list[str]]:
    """What a webui should have and has not, by the feature that it costs.

    Args:
        kind: the webui, as `Host.name` says it.
    """
    found: dict[Feature, list[str]] = {}
    dropped = CAPTIONS if not any(map(_module_there, _CAPTIONERS)) else None
    for one in ATTRIBUTES:
        if one.feature is None or one.feature is dropped or kind not in one.hosts:
            continue
        if _there(one.name) or (one.instead and _there(one.instead)):
            continue
        found.setdefault(one.feature, []).append(one.name)
    return found


def works(feature: Feature, kind: str) -> bool:
    """Whether a webui has everything that a feature needs."""
    return feature not in lacking(kind)


def missing(feature: Feature, names: list[str]) -> AttributeMissing:
    """The error for a feature that these attributes cost."""
    return AttributeMissing(sentence(feature, names), code="webui-attribute-missing", attribute=names[0])


def sentence(feature: Feature, names: list[str]) -> str:
    """Which attributes are missing, what that costs, and what to do; one sentence."""
    mend = feature.mend.rstrip(".")
    return (
        f"This webui has no {' and no '.join(map(full_name, names))}, so {feature.lost}: {mend[0].lower()}{mend[1:]}."
    )


def lack(feature: Feature, names: list[str]) -> Message:
    """Which attributes are missing, and what that costs; what to do is said beside it."""
    code = f"webui-lacks-{feature.name.lower().replace(' ', '-')}"
    return Message(_LACK, {"attributes": [*map(full_name, names)], "lost": Message(feature.lost)}, code)


def templates() -> list[str]:
    """Of `lack`, and the names of the features and what to do without them."""
    features = dict.fromkeys(one.feature for one in ATTRIBUTES if one.feature)
    return [_LACK, *(text for one in features for text in (one.name, one.lost, one.mend))]


def full_name(name: str) -> str:
    """A name as Python writes it."""
    module, _, path = name.partition(":")
    return f"{_full(module)}.{path}"


def report(text: str) -> None:
    """A line in the webui's console, as it writes its own errors."""
    say = ask_or("errors:report")
    if say is None:
        _log.error("%s", text)
    else:
        say(text)


def networks() -> Any:
    """The built-in Lora's module ``networks``; None where that extension is turned off.

    It is taken from what is loaded: its folder is no longer on the path, and other programs have a ``networks`` too.
    """
    found = sys.modules.get("networks")
    return found if hasattr(found, "available_networks") else None


def reads_bundles() -> bool:
    """Whether the built-in Lora has A1111's loader of the vectors in a LoRA file, by its source. Forge and reForge have
    kept the attributes of it, and nothing that fills them."""
    source = getattr(networks(), "__file__", None)
    with suppress(OSError, TypeError):
        return _LOADER.search(content(Path(source or "")).decode("utf-8", "replace")) is not None
    return False


def loras_work() -> bool:
    """Whether ``<lora:...>`` in a prompt means something to this webui."""
    return networks() is not None and "lora" in ask_or("extra_networks:extra_network_registry", ())


def _full(module: str) -> str:
    return module if "." in module or module in _LOADED else f"modules.{module}"


_LOADED = ("networks", "network")  # the built-in Lora's own, which are never imported from here


def _module(name: str) -> Any:
    """The module; `_NOTHING` where this webui has none."""
    if name in _LOADED:
        return sys.modules.get(name, _NOTHING)
    try:
        return importlib.import_module(_full(name))
    except ImportError:
        return _NOTHING


def _value(name: str) -> Any:
    module, _, path = name.partition(":")
    found = _module(module)
    for step in path.split("."):
        found = getattr(found, step, _NOTHING)
    return found


def _there(name: str) -> bool:
    """Whether there is such an attribute; a module that nobody has needed yet is not loaded for it."""
    module = name.partition(":")[0]
    if module in _LOADED and networks() is None:
        return True  # the extension is turned off, which is said elsewhere
    full = _full(module)
    if full in sys.modules or module in _LOADED:
        return _value(name) is not _NOTHING
    return _module_there(module)


def _module_there(module: str) -> bool:
    """Whether a webui has a module, which is not loaded for this."""
    with suppress(ImportError, ValueError):
        return importlib.util.find_spec(_full(module)) is not None
    return False
