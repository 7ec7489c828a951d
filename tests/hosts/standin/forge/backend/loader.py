"""The kinds of model that it loads."""

from types import SimpleNamespace

from modules.standin_setup import KIND

_NAMES = ("SD15", "SDXL", "Flux") if KIND == "neo" else ("SD15", "SD20", "SDXL", "Flux")
possible_models = tuple(SimpleNamespace(matched_guesses=[type(name, (), {})]) for name in _NAMES)
