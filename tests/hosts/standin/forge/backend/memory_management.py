"""Forge's own keeper of the GPU's memory."""

from modules import sd_models
from modules.standin_setup import note


def unload_all_models():
    note("unload all models")
    if hasattr(sd_models.model_data.sd_model, "to"):
        sd_models.model_data.sd_model.to("cpu")


def soft_empty_cache(force=False):
    note("soft empty cache")
