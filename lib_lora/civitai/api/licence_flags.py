"""Reads the permissions that a model's page on Civitai gives, and says them in the site's own sentences.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Commercial = Literal["Image", "RentCivit", "Rent", "Sell"]
IMAGE: Commercial = "Image"
RENT_CIVIT: Commercial = "RentCivit"
RENT: Commercial = "Rent"
SELL: Commercial = "Sell"
COMMERCIAL: tuple[Commercial, ...] = (IMAGE, RENT_CIVIT, RENT, SELL)
_NONE = "None"
# Until February 2024 it was one word, and each allowed what the ones before it did (so the site's own migration).
_UP_TO: dict[str, frozenset[Commercial]] = {
    word: frozenset(COMMERCIAL[: place + 1]) for place, word in enumerate(COMMERCIAL)
}
_MOST = 50  # words that are looked at


@dataclass(frozen=True)
class Permissions:
    """What a page permits; None = it is not known.

    Attributes:
        commercial: the commercial uses.
        no_credit: using it without crediting its creator.
        derivatives: sharing merges.
        different: other permissions on merges.
    """

    commercial: frozenset[Commercial] | None = None
    no_credit: bool | None = None
    derivatives: bool | None = None
    different: bool | None = None

    @property
    def known(self) -> bool:
        """Whether all of it is known."""
        return None not in (self.commercial, self.no_credit, self.derivatives, self.different)

    def values(self) -> dict[str, Any]:
        """The permissions as Civitai writes them; an unknown one is null."""
        commercial = None if self.commercial is None else [one for one in COMMERCIAL if one in self.commercial]
        return {
            "allowCommercialUse": commercial,
            "allowNoCredit": self.no_credit,
            "allowDerivatives": self.derivatives,
            "allowDifferentLicense": self.different,
        }


def permissions_of(row: Mapping[str, Any]) -> Permissions:
    """The permissions in an answer, whose types are not trusted.

    Args:
        row: with the keys ``allowCommercialUse`` (a list, or a word as in old data), ``allowNoCredit`` ...
    """
    return Permissions(
        commercial_of(row.get("allowCommercialUse")),
        flag(row.get("allowNoCredit")),
        flag(row.get("allowDerivatives")),
        flag(row.get("allowDifferentLicense")),
    )


def commercial_of(value: Any) -> frozenset[Commercial] | None:
    """The commercial uses of a list ``["Image", "Rent"]``, a list as text ``{Image,Rent}``, or one old word.

    An old word allows what came before it too. Words that are not known allow nothing; where there is no other, or
    "None" stands beside one that allows something, nothing is known.
    """
    if isinstance(value, str):
        text = value.strip()
        if not (text.startswith("{") and text.endswith("}")):
            return frozenset() if text == _NONE else _UP_TO.get(text)
        value = [part.strip().strip('"') for part in text[1:-1][:1000].split(",") if part.strip()]
    if not isinstance(value, list):
        return None
    words = [word for word in value[:_MOST] if isinstance(word, str)]
    found = frozenset(one for one in COMMERCIAL if one in words)
    if not value or (words and all(word == _NONE for word in words)):
        return frozenset()
    return found if found and _NONE not in words else None


def flag(value: Any) -> bool | None:
    """True or False; None = it is neither."""
    return value if isinstance(value, bool) else None


def statements(permissions: Permissions) -> list[tuple[str, bool | None]]:
    """What the page says under "This model permits users to", in its order, and whether it permits it."""
    allowed = permissions.commercial

    def commercial(word: Commercial) -> bool | None:
        return None if allowed is None else word in allowed

    return [
        ("Use the model without crediting the creator", permissions.no_credit),
        ("Sell images they generate", commercial(IMAGE)),
        ("Run on services that generate for money", commercial(RENT)),
        ("Run on Civitai", commercial(RENT_CIVIT)),
        ("Share merges using this model", permissions.derivatives),
        ("Sell this model or merges using this model", commercial(SELL)),
        ("Have different permissions when sharing merges", permissions.different),
    ]


def statement_words() -> list[str]:
    """All sentences of `statements`, for translators."""
    return [text for text, _ in statements(Permissions())]
