"""Gives the words that are trained at one step: the caption, shuffled, thinned or dropped.

Pure functions.
"""

from __future__ import annotations

from random import Random

from lib_lora.training.plan.train_settings import TrainSettings


def words_for(caption: str, train: TrainSettings, random: Random) -> str:
    """The caption as one sample hears it.

    Args:
        caption: phrases separated by commas.
        train: caption_dropout, shuffle_tags, tag_dropout, keep_tokens.
        random: of this sample at this step.
    """
    if train.caption_dropout and random.random() < train.caption_dropout:
        return ""
    if not varies(train):
        return caption
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    kept, rest = tags[: train.keep_tokens], tags[train.keep_tokens :]
    if train.shuffle_tags:
        random.shuffle(rest)
    return ", ".join([*kept, *(tag for tag in rest if random.random() >= train.tag_dropout)])


def varies(train: TrainSettings) -> bool:
    """Whether the same caption is heard in more forms than itself and the empty one."""
    return train.shuffle_tags or train.tag_dropout > 0
