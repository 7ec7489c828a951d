"""Says whether a trigger can learn vectors of its own, before anything is loaded.

Loads no torch.
"""

from __future__ import annotations

from lib_lora.character.store import Character
from lib_lora.errors import UserError
from lib_lora.lora.bundled import LONGEST_WORD
from lib_lora.models.clip_tokens import token_ids
from lib_lora.training.plan.train_settings import TrainSettings


def check_trigger(character: Character, train: TrainSettings) -> None:
    """See that A1111 will find the trigger's vectors, if it is to learn some, and that they have something to begin as.

    Raises:
        UserError: the trigger or the class word is not fit for that.
    """
    if not train.trigger_vectors:
        return
    trigger, words = f"trigger {character.trigger[:40]!r}", f"class word {character.class_word[:40]!r}"
    if "." in character.trigger:
        why = f"the {trigger} has a full stop, where A1111 cuts the names of vectors in a LoRA"
    elif len(character.trigger) > LONGEST_WORD:
        why = f"the {trigger}... has {len(character.trigger)} letters, and {LONGEST_WORD} are the most"
    elif not token_ids(character.trigger):
        why = f"the {trigger} has no letter that a text encoder knows"
    elif not token_ids(character.class_word):
        why = f"the {words}, as which they begin, has no letter that a text encoder knows"
    else:
        return
    raise UserError(
        f"No vectors can be learned: {why}; set trigger_vectors to 0, or make the character with other words.",
        code="trigger-not-for-vectors",
        trigger=character.trigger,
    )
