"""The tagger, asleep."""

from modules.standin_setup import note


class DeepDanbooru:
    model = None

    def stop(self):
        note("tagger to cpu")


model = DeepDanbooru()
