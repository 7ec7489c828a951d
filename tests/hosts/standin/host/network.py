"""Of the built-in Lora: which families a card may be marked as."""

from modules.standin_setup import KIND

SD_VERSION = ["Unknown", "sd", "xl", "flux"] if KIND == "neo" else ["Unknown", "SD1", "SD2", "SDXL"]
