"""``<lora:name:weight>`` in prompts."""

import re
from collections import defaultdict

from modules import shared

extra_network_registry = {}


class ExtraNetworkParams:
    def __init__(self, items=None):
        self.items, self.positional, self.named = items or [], [], {}
        for item in self.items:
            key, equals, value = item.partition("=")
            if equals:
                self.named[key] = value
            else:
                self.positional.append(item)


class ExtraNetworkLora:
    name = "lora"

    def activate(self, p, params_list):
        import networks

        added = getattr(shared.opts, "sd_lora", "None")
        if added != "None" and added in networks.available_networks:
            params_list = [*params_list, ExtraNetworkParams([added, shared.opts.extra_networks_default_multiplier])]
        weights = [float(one.named.get("te", (one.positional[1:] or [1.0])[0])) for one in params_list]
        networks.load_networks([one.positional[0] for one in params_list], weights, weights)
        p.lora_hashes = {network.name: network.shorthash for network in networks.loaded_networks}


def initialize():
    extra_network_registry.clear()
    extra_network_registry["lora"] = ExtraNetworkLora()


def parse_prompt(prompt):
    found = defaultdict(list)

    def one(match):
        found[match.group(1)].append(ExtraNetworkParams(items=match.group(2).split(":")))
        return ""

    return re.sub(r"<(\w+):([^>]+)>", one, prompt), found


def activate(p, extra_network_data):
    for name, network in extra_network_registry.items():
        network.activate(p, extra_network_data.get(name, []))


initialize()
