"""The pages of cards. ``refresh`` lists the files; the page's own HTML changes only by its refresh button."""

import html
import json
import os

import network

from modules import shared
from modules.standin_setup import KIND

extra_pages = []


class ExtraNetworksPage:
    def __init__(self, title):
        self.title, self.name = title, title.lower()
        self.extra_networks_tabname = self.name.replace(" ", "_")
        self.items, self.metadata = {}, {}

    def refresh(self):
        raise NotImplementedError

    def list_items(self):
        raise NotImplementedError

    def create_html(self, tabname, *, empty=False):
        self.items = {} if empty else {item["name"]: item for item in self.list_items()}
        cards = "".join(
            f'<div class="card" data-name="{html.escape(name)}" onclick="cardClicked(\'{tabname}\', '
            f'{html.escape(json.dumps(item["prompt"]))})">{html.escape(name)}</div>'
            for name, item in self.items.items()
        )
        return f'<div id="{tabname}_{self.extra_networks_tabname}_cards" class="extra-network-cards">{cards}</div>'


class ExtraNetworksPageLora(ExtraNetworksPage):
    def __init__(self):
        super().__init__("Lora")

    def refresh(self):
        import networks

        networks.list_available_networks()

    def create_item(self, name, index=None, enable_filter=True):
        import networks

        found = networks.available_networks.get(name)
        if found is None:
            return None
        path = os.path.splitext(found.filename)[0]
        user = {}
        if os.path.exists(f"{path}.json"):
            with open(f"{path}.json", encoding="utf8") as file:
                user = json.load(file)
        if KIND == "neo":  # by what the notes say alone, in the words of its presets
            chosen = user.get("sd version") if user.get("sd version") in network.SD_VERSION else "Unknown"
            hidden = enable_filter and shared.opts.lora_preset_filter
            if hidden and chosen not in ("Unknown", shared.opts.forge_preset):
                return None
        version = user.get("sd version", found.sd_version)
        model = shared.sd_model
        show_all = getattr(shared.opts, "lora_show_all", True)  # Forge and Neo have none
        if not show_all and enable_filter and hasattr(model, "is_sd1") and version != "Unknown":
            wanted = "SDXL" if model.is_sdxl else "SD2" if model.is_sd2 else "SD1"
            if version != wanted:
                return None
        weight = user.get("preferred weight") or shared.opts.extra_networks_default_multiplier
        words = user.get("activation text", "")
        return {
            "name": name,
            "filename": found.filename,
            "metadata": found.metadata,
            "user_metadata": user,
            "prompt": f"<lora:{found.get_alias()}:{weight}>" + (f" {words}" if words else ""),
        }

    def list_items(self):
        import networks

        return [item for name in list(networks.available_networks) if (item := self.create_item(name)) is not None]

    def allowed_directories_for_previews(self):
        return [shared.cmd_opts.lora_dir]


def register_page(page):
    extra_pages[:] = [*(one for one in extra_pages if one.name != page.name), page]


register_page(ExtraNetworksPageLora())
