"""Gives the prompts of a training's sample pictures."""

from __future__ import annotations

from lib_lora.character.store import Character
from lib_lora.pictures import NEGATIVE
from lib_lora.training.plan.train_settings import TrainSettings

PROMPTS = (
    "close-up portrait photo of {who}, looking at the camera, neutral expression, soft daylight",
    "upper body photo of {who} in a black coat, autumn park",
)
TRIGGER = "{trigger}"  # in a prompt of the user's own


def prompts_of(character: Character, train: TrainSettings) -> list[str]:
    """The prompts of all pictures of a checkpoint.

    The user's own where there are some, with the trigger word in place of "{trigger}"; else the two, which begin again
    (with other seeds) where more are wanted.
    """
    if train.samples and train.sample_prompts:
        return [" ".join(prompt.replace(TRIGGER, character.trigger).split()) for prompt in train.sample_prompts]
    who = ", ".join([character.called, *character.traits])
    return [PROMPTS[number % len(PROMPTS)].format(who=who) for number in range(train.samples)]


def words_needed(character: Character, train: TrainSettings) -> list[str]:
    """All texts that painting will ask the text encoders for."""
    return [*dict.fromkeys(prompts_of(character, train)), NEGATIVE] if train.samples else []
