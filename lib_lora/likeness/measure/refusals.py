"""Says why no lines can be drawn for a face, or for some pictures: a code with values, and its sentences as templates.

The sentences have neither a capital at their beginning nor a full stop at their end, since others contain them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from lib_lora.errors import Misfit, UserError
from lib_lora.messages.message import Message, recognised
from lib_lora.typed_settings import to_dict

BASE, COHORT, GIVEN = "base model", "cohort", "given pictures"
STRANGERS = (BASE, COHORT, GIVEN)  # their sources
_UNKNOWN = (
    "these pictures were painted{with}, and what that base model can show of this face at this size is not known: "
)
_NAME_BASE = "name that base model's file (--base), or test the LoRA with it at this size, and judge again"
# By code: why, and what to do; that is empty where it is about the photos, and the rules say it.
REFUSALS: dict[str, tuple[str, str]] = {
    "too-few-photos": (
        "only {count} photos show a face that can be measured and compared; {least} are needed to know how alike this "
        "person's pictures are",
        "",
    ),
    "no-strangers": ("there are no strangers to compare with (pictures without the LoRA, or a cohort)", ""),
    "strangers-alike": (
        "the face engine cannot tell this character from strangers (separation d' {separation} to the {strangers}, "
        "{least} is needed): a drawn or masked face, or photos of several people",
        "",
    ),
    "painted-and-taken": (
        "{painted} of these pictures were painted and {taken} taken by a camera, which are not judged alike",
        "Judge photos and painted pictures apart",
    ),
    "several-bases": (
        "these pictures were painted with different base models or VAEs ({names}), which show a face with different "
        "exactness",
        "Judge the pictures of each base model and VAE apart",
    ),
    "some-unknown": (
        "{count} of these pictures do not say whether they were painted, and by the lines of the test grid, which hold "
        "for the others, they are judged otherwise than photos are",
        "Judge them apart, or name the base model's file (--base) if all were painted",
    ),
    "base-unknown": (
        "these pictures were painted, their files do not say with which base model and VAE, and there are test grids "
        "of several",
        "Name the base model's file (--base), and judge again",
    ),
    "no-grid": (_UNKNOWN + "there is no judged test grid with these photos", _NAME_BASE),
    "no-grid-of-base": (_UNKNOWN + "no test grid was painted with it", _NAME_BASE),
    "no-grid-of-size": (_UNKNOWN + "its test grids have another size than {size}", _NAME_BASE),
    "origin-unknown": (
        "the files do not say whether these pictures were painted, and by the lines of the test grid of {base} they "
        "are judged otherwise than by those of the photos",
        "Name the base model's file (--base), or say that they are photos (--base photos), and judge again",
    ),
}
_WITH, _WITH_BOTH, _WITH_VAE = " with {base}", " with {base} and the VAE {vae}", " with the VAE {vae}"
_WORDED, _REMEDY = "{text}", "{remedy}"  # of any other code: the sentence of an error, or of a report
EARLIER = "earlier-version"


@dataclass(frozen=True)
class LineRefusal:
    """Why no lines can be drawn.

    Attributes:
        code: one of `REFUSALS`, or another with the sentence itself as the value ``text``.
        values: of its templates; `recognised_refusal` keeps what to do as ``remedy`` where it knows no code.

    Raises:
        ValueError: a value of its templates is missing.
    """

    code: str
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for template in REFUSALS.get(self.code, ()):
            for _, name, _, _ in Formatter().parse(template):
                if name and name != "with" and name not in self.values:
                    raise Misfit(f"the refusal {self.code} says no {name}", "values")

    def message(self) -> Message:
        """Why, as a part of a sentence."""
        return Message(REFUSALS.get(self.code, (_WORDED, ""))[0], self._parts(), self.code)

    def remedy(self) -> Message | None:
        """What to do about that, as a part of a sentence; None where it is about the photos."""
        template = REFUSALS[self.code][1] if self.code in REFUSALS else _REMEDY if self.values.get("remedy") else ""
        return Message(template, self.values, self.code) if template else None

    def _parts(self) -> dict[str, Any]:
        base, vae, strangers = (self.values.get(name, "") for name in ("base", "vae", "strangers"))
        template = _WITH_BOTH if base and vae else _WITH if base else _WITH_VAE
        parts = {"text": "", **self.values, "with": Message(template, self.values) if base or vae else ""}
        return parts | ({"strangers": Message(strangers)} if strangers in STRANGERS else {})

    def __str__(self) -> str:
        return str(self.message())


def refusal_of(error: UserError) -> LineRefusal:
    """The refusal that an error is: its code and its sentence."""
    return LineRefusal(error.code, {"text": str(error).rstrip(".")})


def recognised_refusal(text: str, remedy: str = "") -> LineRefusal | None:
    """The refusal that a report holds as a sentence, and as what to do; None where the sentence is empty."""
    if not text:
        return None
    for code, (why, _) in REFUSALS.items():
        for painted_with in (_WITH_BOTH, _WITH_VAE, _WITH, "") if "{with}" in why else ("",):
            said = recognised(text, [why.replace("{with}", painted_with)])
            if isinstance(said, Message):
                return LineRefusal(code, dict(said.values))
    return LineRefusal(EARLIER, {"text": text, **({"remedy": remedy} if remedy else {})})


def kept_refusal(refusal: LineRefusal | None) -> dict[str, str]:
    """What a report holds of it: sentences, as all versions do."""
    return {"refusal": str(refusal or ""), "remedy": str((refusal and refusal.remedy()) or "")}


def with_refusal(values: Mapping[str, Any]) -> dict[str, Any]:
    """A table of a report with the sentences of its ``refusal`` and ``remedy`` as a refusal's values."""
    text, remedy = values.get("refusal"), values.get("remedy", "")
    others = {name: value for name, value in values.items() if name != "remedy" or not isinstance(value, str)}
    if isinstance(text, str) and isinstance(remedy, str):
        refusal = recognised_refusal(text, remedy)
        others["refusal"] = to_dict(refusal) if refusal else None
    return others


def templates() -> Iterator[str]:
    """Of the sentences and their parts, as they stand within a sentence and at its beginning."""
    for said in (text for both in REFUSALS.values() for text in both if text):
        yield from (said, f"{said[:1].upper()}{said[1:]}")
    yield from (_WORDED, _REMEDY, _WITH, _WITH_BOTH, _WITH_VAE, *STRANGERS)
