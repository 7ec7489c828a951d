"""Which Forge it is."""

from modules.standin_setup import KIND

version, release = ("neo", "2.26") if KIND == "neo" else ("2.0.1v1.10.1", None)
