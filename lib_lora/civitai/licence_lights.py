"""Shows as traffic lights, from flags and licences, what may be done with models from Civitai, alone and together.

A light shows what pages and licences say; it decides nothing. What is not known is grey, and nothing is green that
depends on it. Of several models in a picture the worst light counts. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lib_lora.civitai.api.civitai_answers import ARCHIVED, CHECKPOINT, TAKEN_DOWN
from lib_lora.civitai.api.licence_flags import IMAGE, RENT, RENT_CIVIT, SELL, Permissions
from lib_lora.civitai.base_licences import BaseLicence, Says
from lib_lora.messages.message import Message

Light = Literal["green", "yellow", "unknown", "red"]
LIGHTS: tuple[Light, ...] = get_args(Light)  # from the best to the worst


@dataclass(frozen=True)
class ShownLight:
    """How a light is shown."""

    tone: Literal["good", "warn", "bad", "none"]
    word: str


LIGHT_WORDS: Mapping[Light, ShownLight] = {
    "green": ShownLight("good", "allowed"),
    "yellow": ShownLight("warn", "with conditions"),
    "unknown": ShownLight("none", "not known"),
    "red": ShownLight("bad", "not allowed"),
}
Purpose = Literal["pictures", "credit", "merges", "sell", "services"]
PURPOSES: Mapping[Purpose, str] = {
    "pictures": "Sell the pictures, or use them in adverts",
    "credit": "Leave out the creator's name",
    "merges": "Share a merge with it",
    "sell": "Sell it, a LoRA trained on it, or a merge with it",
    "services": "Let a paid service generate with it",
}
OF_A_TRAINING: tuple[Purpose, ...] = ("pictures", "sell")  # that are named where a base model is chosen to train on
LEVELS = {1: "PG", 2: "PG-13", 4: "R", 8: "X", 16: "XXX", 32: "blocked"}
_ADULT = 4 | 8 | 16 | 32
_SAYS: Mapping[Says, Light] = {"allowed": "green", "conditions": "yellow", "unknown": "unknown", "forbidden": "red"}

_TEMPLATES = {
    "flags-unknown": "{name}: what its page permits is not known",
    "pictures-forbidden": "{name}: its page does not permit users to “Sell images they generate”",
    "pictures-unclear": "{name}: its page permits selling the model, but does not mention selling images; "
    "ask its creator",
    "credit-needed": "{name}: credit {creator}",
    "credit-unknown": "{name}: whether its creator must be credited is not known",
    "merges-forbidden": "{name}: its page does not permit users to “Share merges using this model”",
    "merges-same": "{name}: merges must carry the same permissions",
    "sell-forbidden": "{name}: its page does not permit users to “Sell this model or merges using this model”",
    "trained-unsettled": "{name}: whether a LoRA trained on it counts as a merge is not said anywhere",
    "services-forbidden": "{name}: its page does not permit users to “Run on services that generate for money”",
    "services-civitai": "{name}: of the services only Civitai may run it",
    "base-licence": "{name}: the licence of {base} ({licence}) {verb}",
    "base-unknown": "{name}: the licence of what it was made for ({base}) is not known",
    "person": "{name}: it shows a real person",
    "person-unknown": "{name}: whether it shows a real person is not known",
    "minor": "{name}: it shows a child",
    "minor-unknown": "{name}: whether it shows a child is not known",
    "was-taken-down": "{name}: Civitai has taken it down, so what its page permitted may not hold",
}
_VERBS: Mapping[Says, str] = {
    "allowed": "allows it",
    "conditions": "has conditions",
    "forbidden": "forbids it",
    "unknown": "must be read",
}
_WARNINGS = {
    "real-person": "{name} shows a REAL PERSON. Civitai has forbidden content of real people altogether, living or "
    "dead; such pages are for work-safe, non-commercial use only, and the person's own rights hold everywhere.",
    "minor": "{name} is marked as showing a CHILD. SameFace does not download it, and does not use it.",
    "taken-down": "Civitai has taken {name} down; find out why before you use it.",
    "archived": "{name} is archived on Civitai: its page may no longer be maintained, and it can no longer be "
    "downloaded.",
    "sfw-only": "{name} must not be used for pictures for adults only.",
    "adult": "{name} is for adults, or has pictures for adults on its page ({levels}).",
}
_GRAVE = ("real-person", "minor", "taken-down")  # warnings against any use


@dataclass(frozen=True)
class LicensedModel:
    """What the lights of a model follow from; what is not known is None or empty.

    Attributes:
        name: as people know it.
        creator: whom to credit.
        kind: Civitai's type, such as "Checkpoint".
        permissions: of its page.
        base: what it was made for; `licence` is that one's.
        poi, minor, nsfw, sfw_only, level, mode: as of `civitai_answers.ModelPage`.
    """

    name: str
    creator: str = ""
    kind: str = ""
    permissions: Permissions = field(default_factory=Permissions)
    base: str = ""
    licence: BaseLicence | None = None
    poi: bool | None = None
    minor: bool | None = None
    nsfw: bool | None = None
    sfw_only: bool | None = None
    level: int = 0
    mode: str = ""


@dataclass(frozen=True)
class PurposeLight:
    """The light of a purpose, and what it follows from; without reasons nothing speaks against it."""

    light: Light
    reasons: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """What is said of one model, or of several together.

    Attributes:
        lights: for each purpose.
        warnings: that must be seen.
        refused: SameFace does not fetch or use it.
        adult: it is for adults, or has such pictures on its page; None = not known.
    """

    lights: Mapping[Purpose, PurposeLight]
    warnings: tuple[Message, ...] = ()
    refused: bool = False
    adult: bool | None = None

    def values(self) -> dict[str, Any]:
        """The assessment as plain values for programs: sentences as templates with values, and in English."""
        return {
            "lights": {
                purpose: {
                    "light": shown.light,
                    "reasons": [str(one) for one in shown.reasons],
                    "messages": [one.for_programs() for one in shown.reasons],
                }
                for purpose, shown in self.lights.items()
            },
            "warnings": [str(one) for one in self.warnings],
            "warning_messages": [one.for_programs() for one in self.warnings],
            "warning_tones": ["bad" if one.code in _GRAVE else "warn" for one in self.warnings],
            "refused": self.refused,
            "adult": self.adult,
        }


def assess(subject: LicensedModel) -> Assessment:
    """What pages and licences say of one model."""
    lights = {
        "pictures": _pictures(subject),
        "credit": _credit(subject),
        "merges": _merges(subject),
        "sell": _sell(subject),
        "services": _services(subject),
    }
    lights = {purpose: _with_base(subject, purpose, found) for purpose, found in lights.items()}
    whole: dict[Purpose, PurposeLight] = {
        purpose: _with_mode(subject, _with_people(subject, lights[purpose])) for purpose in PURPOSES
    }
    return Assessment(whole, tuple(_warnings(subject)), subject.minor is True, adult(subject))


def together(assessments: Sequence[Assessment]) -> Assessment:
    """What holds for a picture that is painted, or a LoRA that is trained, with all of these: the worst of each.

    Args:
        assessments: of the base model and the LoRAs; without any, everything is unknown.
    """
    lights: dict[Purpose, PurposeLight] = {}
    for purpose in PURPOSES:
        each = [one.lights[purpose] for one in assessments]
        reasons = _distinct(reason for shown in each for reason in shown.reasons)
        lights[purpose] = PurposeLight(worst(shown.light for shown in each), reasons)
    adults = [one.adult for one in assessments]
    return Assessment(
        lights,
        _distinct([warning for one in assessments for warning in one.warnings]),
        any(one.refused for one in assessments),
        True if True in adults else None if None in adults or not adults else False,
    )


def worst(lights: Iterable[Light]) -> Light:
    """The worst of some lights; unknown where there are none."""
    return max(lights, key=LIGHTS.index, default="unknown")


def adult(subject: LicensedModel) -> bool | None:
    """Whether a model is for adults, or has such pictures on its page; None = neither is said."""
    if subject.nsfw or subject.level & _ADULT:
        return True
    return None if subject.nsfw is None and not subject.level else False


def levels(bits: int) -> list[str]:
    """The names of the bits of a ``nsfwLevel``."""
    return [name for bit, name in LEVELS.items() if bits & bit]


def templates() -> list[str]:
    """All sentences of this module, for translators."""
    return [*PURPOSES.values(), *_TEMPLATES.values(), *_WARNINGS.values(), *_VERBS.values()]


def _said(subject: LicensedModel, code: str, **values: Any) -> Message:
    return Message(_TEMPLATES[code], {"name": subject.name, **values}, code)


def _pictures(subject: LicensedModel) -> PurposeLight:
    allowed = subject.permissions.commercial
    if allowed is None:
        return PurposeLight("unknown", (_said(subject, "flags-unknown"),))
    if IMAGE not in allowed and SELL not in allowed:
        return PurposeLight("red", (_said(subject, "pictures-forbidden"),))
    if IMAGE in allowed:
        return _with_credit(subject)
    return _credited(subject, PurposeLight("yellow", (_said(subject, "pictures-unclear"),)))


def _credit(subject: LicensedModel) -> PurposeLight:
    """Whether the creator's name may be left out."""
    found = _with_credit(subject)
    return PurposeLight("red", found.reasons) if found.light == "yellow" else found


def _with_credit(subject: LicensedModel) -> PurposeLight:
    """What is permitted as long as the creator is credited, where that must be done."""
    free = subject.permissions.no_credit
    if free is None:
        return PurposeLight("unknown", (_said(subject, "credit-unknown"),))
    creator = subject.creator or "its creator"
    return (
        PurposeLight("green") if free else PurposeLight("yellow", (_said(subject, "credit-needed", creator=creator),))
    )


def _credited(subject: LicensedModel, found: PurposeLight) -> PurposeLight:
    """The same with the credit that its creator may want for whatever is permitted."""
    if found.light not in ("green", "yellow"):
        return found
    credit = _with_credit(subject)
    return PurposeLight(worst((found.light, credit.light)), (*found.reasons, *credit.reasons))


def _merges(subject: LicensedModel) -> PurposeLight:
    given = subject.permissions
    if given.derivatives is False:
        return PurposeLight("red", (_said(subject, "merges-forbidden"),))
    if given.derivatives is None or given.different is None:
        return PurposeLight("unknown", (_said(subject, "flags-unknown"),))
    same = () if given.different else (_said(subject, "merges-same"),)
    return _credited(subject, PurposeLight("yellow" if same else "green", same))


def _sell(subject: LicensedModel) -> PurposeLight:
    allowed = subject.permissions.commercial
    if allowed is None:
        return PurposeLight("unknown", (_said(subject, "flags-unknown"),))
    unsettled = (_said(subject, "trained-unsettled"),) if subject.kind == CHECKPOINT else ()
    if SELL not in allowed:
        return PurposeLight("red", (_said(subject, "sell-forbidden"), *unsettled))
    merges = _merges(subject)
    return PurposeLight(merges.light, (*merges.reasons, *(unsettled if merges.light == "red" else ())))


def _services(subject: LicensedModel) -> PurposeLight:
    allowed = subject.permissions.commercial
    if allowed is None:
        return PurposeLight("unknown", (_said(subject, "flags-unknown"),))
    if RENT in allowed:
        return _with_credit(subject)
    if RENT_CIVIT in allowed:
        return _credited(subject, PurposeLight("yellow", (_said(subject, "services-civitai"),)))
    return PurposeLight("red", (_said(subject, "services-forbidden"),))


def _with_base(subject: LicensedModel, purpose: str, found: PurposeLight) -> PurposeLight:
    """The same with the base model's own licence on top."""
    if purpose == "credit":
        return found
    base = subject.base or "not said"
    if subject.licence is None:
        reason = _said(subject, "base-unknown", base=base)
        return PurposeLight(worst((found.light, "unknown")), (*found.reasons, reason))
    says: Says = getattr(subject.licence, purpose)
    if says == "allowed":
        return found
    about = {"licence": subject.licence.name, "verb": Message(_VERBS[says])}
    return PurposeLight(
        worst((found.light, _SAYS[says])), (*found.reasons, _said(subject, "base-licence", base=base, **about))
    )


def _with_people(subject: LicensedModel, found: PurposeLight) -> PurposeLight:
    """The same with what is said of who is shown: a real person or a child turns everything red."""
    light, reasons = found.light, [*found.reasons]
    for value, code in ((subject.minor, "minor"), (subject.poi, "person")):
        if value:
            light = "red"
            reasons.insert(0, _said(subject, code))
        elif value is None:
            light = worst((light, "unknown"))
            reasons.append(_said(subject, f"{code}-unknown"))
    return PurposeLight(light, tuple(reasons))


def _with_mode(subject: LicensedModel, found: PurposeLight) -> PurposeLight:
    """The same; of what Civitai has taken down nothing counts as permitted."""
    if subject.mode != TAKEN_DOWN:
        return found
    return PurposeLight(worst((found.light, "unknown")), (*found.reasons, _said(subject, "was-taken-down")))


def _warnings(subject: LicensedModel) -> Iterable[Message]:
    def warning(code: str, **values: Any) -> Message:
        return Message(_WARNINGS[code], {"name": subject.name, **values}, code)

    if subject.minor:
        yield warning("minor")
    if subject.poi:
        yield warning("real-person")
    if subject.mode == TAKEN_DOWN:
        yield warning("taken-down")
    if subject.mode == ARCHIVED:
        yield warning("archived")
    if subject.sfw_only:
        yield warning("sfw-only")
    if adult(subject):
        yield warning("adult", levels=", ".join(levels(subject.level)) or "not said which")


def _distinct(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple({str(one): one for one in messages}.values())
