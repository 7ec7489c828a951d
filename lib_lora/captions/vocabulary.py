"""Lists phrases, by subject, for a model like CLIP to choose from, and decides when a choice is clear.

Only what may change from photo to photo is here, and nothing that is measured better elsewhere (framing, direction,
expression). Pure; knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEUTRAL = ("photo of a person", "a photo")  # a phrase that fits no better than these says nothing

# Cosines of CLIP. Not measured: no full weights were at hand. 0.01 is a factor of 2.7 at CLIP's own temperature (100).
OVER_NEXT = 0.01  # of the best phrase over the next one of its slot
OVER_NEUTRAL = 0.01  # of the best phrase over the better one of NEUTRAL


@dataclass(frozen=True)
class Slot:
    """Phrases that exclude each other.

    Attributes:
        name: what they are about.
        prompt: what the model is asked, with ``{}`` for a phrase.
        phrases: as they stand in a caption.
    """

    name: str
    prompt: str
    phrases: tuple[str, ...]

    def prompts(self) -> list[str]:
        """What the model is asked, one for each phrase."""
        return [self.prompt.format(phrase) for phrase in self.phrases]


_PERSON = "photo of a person {}"
SLOTS = (
    Slot(
        "clothing",
        _PERSON,
        (
            "wearing a t-shirt",
            "wearing a shirt",
            "wearing a tank top",
            "wearing a sweater",
            "wearing a hoodie",
            "wearing a jacket",
            "wearing a leather jacket",
            "wearing a denim jacket",
            "wearing a coat",
            "wearing a suit",
            "wearing a dress",
            "wearing sportswear",
            "wearing swimwear",
            "wearing a uniform",
            "wearing a costume",
        ),
    ),
    Slot("glasses", _PERSON, ("wearing glasses", "wearing sunglasses", "without glasses")),
    Slot(
        "headwear",
        _PERSON,
        (
            "wearing a hat",
            "wearing a cap",
            "wearing a beanie",
            "wearing a hood",
            "wearing a helmet",
            "wearing a headscarf",
            "wearing headphones",
            "bareheaded",
        ),
    ),
    Slot(
        "accessory",
        _PERSON,
        ("wearing a scarf", "wearing a necklace", "wearing a tie", "carrying a backpack", "carrying a handbag"),
    ),
    Slot(
        "hair style",
        _PERSON,
        (
            "with loose hair",
            "with a ponytail",
            "with braids",
            "with hair in a bun",
            "with wet hair",
            "with wind-blown hair",
        ),
    ),
    Slot(
        "setting",
        _PERSON,
        (
            "in a studio",
            "in a living room",
            "in a bedroom",
            "in a kitchen",
            "in a bathroom",
            "in an office",
            "in a restaurant",
            "in a car",
            "on a street",
            "in a park",
            "in a forest",
            "on a beach",
            "in the mountains",
            "in the snow",
            "in front of a wall",
            "on a stage",
        ),
    ),
    Slot(
        "light",
        "photo of a person, {}",
        (
            "soft daylight",
            "hard sunlight",
            "golden hour light",
            "night",
            "studio light",
            "flash",
            "candlelight",
            "neon light",
            "backlight",
        ),
    ),
)
UNSAID = frozenset({"without glasses", "bareheaded", "with loose hair"})  # the usual: to be chosen, not to be said


def clear(scores: Sequence[float], neutral: Sequence[float]) -> int | None:
    """Which score clearly wins; None where none does.

    Args:
        scores: cosines of the phrases of a slot, -1..1.
        neutral: cosines of `NEUTRAL`.
    """
    if not scores:
        return None
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    best = scores[order[0]]
    # "not >=" also refuses what is no number
    if not best >= max(neutral, default=-1.0) + OVER_NEUTRAL:
        return None
    if len(order) > 1 and not best >= scores[order[1]] + OVER_NEXT:
        return None
    return order[0]
