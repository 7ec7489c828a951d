"""The built-in Lora's lists, with its two habits: a file is found by its stem, and a name that is applied stays so.

Of a file nothing is read but its bytes, and its metadata where it has some.
"""

import hashlib
import json
import os
import struct

from modules import errors, sd_models, shared
from modules.standin_setup import KIND, PATCHES, note

UNREADABLE = b"cannot be read"  # a file with these bytes in it is no LoRA
OF_NO_MODEL = b"of another family"  # a file with these bytes in it fits nothing

available_networks, available_network_aliases, forbidden_network_aliases = {}, {}, {}
loaded_networks, networks_in_memory = [], {}
_applied = []  # (name, weight, content); what sits in the layers


def _metadata(path):
    """Of a safetensors file; {} of anything else."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return json.loads(file.read(min(length, 1 << 20))).get("__metadata__", {})
    except (OSError, ValueError, struct.error):
        return {}


class NetworkOnDisk:
    def __init__(self, name, filename):
        self.name, self.filename, self.metadata = name, filename, _metadata(filename)
        self.alias = self.metadata.get("ss_output_name", name)
        with open(filename, "rb") as file:
            self.hash = self.metadata.get("sshs_model_hash") or hashlib.sha256(file.read()).hexdigest()
        self.shorthash = self.hash[:12]
        base = self.metadata.get("ss_base_model_version", "")
        self.sd_version = "SDXL" if base.startswith("sdxl_") else "SD1" if base else "Unknown"
        if str(self.metadata.get("ss_v2", "False")) == "True":
            self.sd_version = "SD2"

    def get_alias(self):
        return self.name if self.alias.lower() in forbidden_network_aliases else self.alias


def list_available_networks():
    note("list loras")
    for known in (available_networks, available_network_aliases, forbidden_network_aliases):
        known.clear()
    forbidden_network_aliases.update({"none": 1, "addams": 1})
    folders = [shared.cmd_opts.lora_dir, *getattr(shared.cmd_opts, "lora_dirs", [])]
    for base, _, names in (found for folder in folders for found in os.walk(folder, followlinks=True)):
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if ending in (".pt", ".ckpt", ".safetensors"):
                try:
                    found = NetworkOnDisk(stem, os.path.join(base, name))
                except OSError:
                    errors.report(f"Failed to load network {stem} from {name}")
                    continue
                available_networks[stem] = found
                if found.alias in available_network_aliases:
                    forbidden_network_aliases[found.alias.lower()] = 1
                available_network_aliases[stem] = available_network_aliases[found.alias] = found


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def load_networks(names, te_multipliers=None, unet_multipliers=None, dyn_dims=None):
    if any(name not in available_network_aliases for name in names):
        list_available_networks()
    loaded_networks.clear()
    wanted = []
    for number, name in enumerate(names):
        network = available_network_aliases.get(name)
        if network is None or not os.path.exists(network.filename):
            note(f"no lora {name}")
            continue
        content = hashlib.sha256(content_of(network.filename)).hexdigest()
        loaded_networks.append(network)  # before anybody looks at what is in it
        if KIND in ("forge", "reforge"):
            network.modules = {}  # which these never fill
        if OF_NO_MODEL in content_of(network.filename):
            note(f"nothing of {name} fits")
            network.modules = {}
            continue
        wanted.append((name, (te_multipliers or [1.0] * len(names))[number], content))
    if [one[:2] for one in wanted] != [one[:2] for one in _applied]:
        _applied[:] = wanted
    if PATCHES:
        _load_in_forge([one[0] for one in wanted], str([names, te_multipliers]))


def _load_in_forge(wanted, told):
    model = sd_models.model_data.sd_model
    if model.current_lora_hash == told:
        return
    model.current_lora_hash = told
    if any(UNREADABLE in content_of(one.filename) for one in loaded_networks):
        return  # as its loader raises, which the webui only prints
    original = model.forge_objects_original
    unet = object() if wanted else original.unet
    model.forge_objects_after_applying_lora = sd_models.ForgeObjects(unet, original.clip)


def applied():
    """(content, weight) of each LoRA in the layers."""
    return [(content, weight) for _, weight, content in _applied]
