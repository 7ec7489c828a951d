"""Puts a report into words: what its numbers, marks and gaps are called wherever it is shown.

What comes from outside (names, prompts, remarks) passes `plain` before it is shown anywhere. Pure functions.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from lib_lora.errors import plural
from lib_lora.files import size
from lib_lora.likeness.measure.calibration import (
    BASE,
    LEAST_FACES,
    LEAST_PHOTOS,
    MANY_STRANGERS,
    MARGIN,
    STRANGER_SPREADS,
    SURE,
    Calibration,
)
from lib_lora.likeness.measure.intervals import ROUNDS
from lib_lora.likeness.report.report import ReferencePhoto, Report, Row, TrainingCost
from lib_lora.likeness.verdict import prompt_adherence
from lib_lora.likeness.verdict.traits import original
from lib_lora.likeness.verdict.verdict_tone import PICTURE_MEANINGS, STATUS_TONES, picture_mark, verdict_tone
from lib_lora.messages.tone import Tone

AI_MADE = "AI-generated pictures"
_BIDI = set("\u200e\u200f\u061c\u2028\u2029\ufeff") | {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def plain(text: str) -> str:
    r"""Text that does nothing but show: breaks become spaces, control characters and lone surrogates are written out.

    A file name may hold escape sequences for a terminal, marks that turn the reading direction round, or bytes that
    are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs")
        else character
        for character in re.sub(r"[\t\r\n]+", " ", text)
    )


def percent(share: float) -> str:
    """0.914 -> "91%"."""
    return f"{round(share * 100)}%"


def number(likeness: float) -> str:
    """A likeness as it is shown: one picture scatters by 0.05, so two digits say all."""
    return f"{likeness + 0:.2f}".replace("-0.00", "0.00")


def tone_of(report: Report) -> Tone:
    """How the verdict sounds."""
    return verdict_tone(report.verdict.kind, report.verdict.judged)


@dataclass(frozen=True)
class Mark:
    """What one picture is called.

    Attributes:
        word: its status, a word or two.
        tone: good, warn, bad, or none where nothing is judged.
        likeness: as it is shown; empty where there is none.
        remark: why it does not count, what it repeats, what it was asked to show and does not; empty where all is well.
        nearest: the photo that is most alike, with its likeness; empty where there is none, and without the LoRA.
    """

    word: str
    tone: Tone
    likeness: str
    remark: str
    nearest: str

    @property
    def caption(self) -> str:
        """Status and likeness: "ok 0.71"."""
        return " ".join(filter(None, (self.word, self.likeness)))


def mark_of(row: Row) -> Mark:
    """What a picture is called; one without the LoRA is not expected to show the person, so it is never marked bad."""
    word, tone = picture_mark(row.role, row.status, row.copy)
    score, remarks = row.score, []
    if row.status in ("suspect", "unreadable"):
        remarks.append(plain(score.reason))
    if row.copy:
        word = f"{word}, copy" if word != "not judged" else "copy"
        remarks.append(f"repeats {plain(original(row.score))}")
    if row.role == "lora":
        remarks += prompt_adherence.remarks(row.asked, score)
    if score.faces > 1:
        remarks.append(f"{score.faces} faces")
    near = [] if score.nearest is None or row.role == "base" else [plain(score.nearest)]
    if near and score.nearest_likeness is not None:
        near.append(number(score.nearest_likeness))
    return Mark(
        word=word,
        tone=tone,
        likeness="" if score.likeness is None else number(score.likeness),
        remark="; ".join(remarks),
        nearest=" ".join(near),
    )


def legend(report: Report) -> list[tuple[str, Tone, str]]:
    """Word, tone and meaning of each status that occurs."""
    rows = report.of("lora")
    there = {row.status for row in rows} | ({"copy"} if any(row.copy for row in rows) else set())
    return [(word, STATUS_TONES[word], meaning) for word, meaning in PICTURE_MEANINGS.items() if word in there]


@dataclass(frozen=True)
class Kept:
    """Identity retention against one measure, with its 95 % interval where that is known; shares, 1 = all of it."""

    against: str
    value: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> str:
        """The interval in words, without a second percent sign in the line; empty where it is not known."""
        if self.low is None or self.high is None:
            return ""
        return f"between {round(100 * self.low)} and {round(100 * self.high)}"


def kept(report: Report) -> list[Kept]:
    """Retention against what the base model can show where that was measured, which the verdict speaks of, and against
    the photos; each belongs into a line of its own."""
    facts, lines = report.facts.identity, report.calibration
    if facts.retention is None:
        return []
    photos = Kept(
        "of the identity kept, against the photos", facts.retention, facts.retention_low, facts.retention_high
    )
    scale = _of_ceiling(lines)
    if scale is None:
        return [photos]
    low, high = (None if end is None else end * scale for end in (facts.retention_low, facts.retention_high))
    return [Kept("of what the base model can show at this face size", facts.retention * scale, low, high), photos]


def _of_ceiling(calibration: Calibration) -> float | None:
    """What retention against the photos is multiplied by to be against the ceiling."""
    photos, top, lines = calibration.photos, calibration.ceiling, calibration.lines
    if photos is None or top is None or lines is None or top.median <= lines.zero:
        return None
    return (photos.median - lines.zero) / (top.median - lines.zero)


def why_not_kept(report: Report) -> str:
    """Why there is no retention."""
    if report.facts.refusal:
        return str(report.facts.refusal)
    return f"only {report.facts.pictures.counted} pictures show a face that can be measured; {LEAST_FACES} are needed"


def counts(report: Report) -> str:
    """How many pictures there are, and what became of them."""
    pictures, copies = report.facts.pictures, report.facts.copies.count
    judged = [f"{pictures.ok} ok", f"{pictures.drifting} drift", f"{pictures.lost} lost"]
    parts = judged if report.calibration.lines else []
    if pictures.no_face:
        parts.append(f"{pictures.no_face} without a face")
    suspect = sum(row.status == "suspect" for row in report.of("lora"))
    unread = sum(row.status == "unreadable" for row in report.of("lora"))
    parts += [f"{suspect} suspect"] * bool(suspect) + [f"{unread} unreadable"] * bool(unread)
    parts += [f"{copies} repeating a photo"] * bool(copies)
    shown = f"{plural(pictures.count, 'picture')}, {pictures.counted} counted"
    return shown + (f": {', '.join(parts)}" if parts else "")


def ours(report: Report) -> str:
    """What the judged pictures are called."""
    return "with the LoRA" if report.subject.lora else "the pictures"


def about(report: Report) -> list[tuple[str, str]]:
    """What was tested: names and values, without those that are not known."""
    subject, facts = report.subject, report.facts
    known = [
        ("Character", subject.character),
        ("LoRA", subject.lora),
        ("Further LoRAs", ", ".join(f"{one.file} at weight {one.weight:g}" for one in subject.more)),
        ("Base model", subject.base),
        ("Run", subject.run),
    ]
    if facts.training.step is not None:
        known.append(("Step", f"{facts.training.step:,}"))
    if subject.lora:
        known.append(("Weight", f"{facts.training.weight:g}"))
    if subject.cost:
        known.append(("Whole training", _cost(subject.cost)))
    made = report.made.replace("T", " ").replace("+00:00", " UTC")
    return [(name, plain(value)) for name, value in [*known, ("Made", made)] if value]


def _cost(cost: TrainingCost) -> str:
    """ "224 steps in 3.1 min (about 1.5 times as long as without preservation), at most 1.1 GB of memory, a file of
    4 MB"."""
    minutes = round(cost.seconds / 60)
    long = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{cost.seconds / 60:.1f} min"
    told = [f"{plural(cost.steps, 'step')} in {long if cost.seconds >= 60 else f'{cost.seconds:.0f} s'}"]
    if cost.times > 1:
        told[0] += f" (about {cost.times:.1f} times as long as without preservation)"
    told += [f"at most {size(cost.memory)} of memory"] * bool(cost.memory)
    return ", ".join([*told, *([f"a file of {size(cost.bytes)}"] if cost.bytes else [])])


def photos_left_out(report: Report) -> list[tuple[str, str]]:
    """Name and reason of each photo that is not part of the template."""
    return [(plain(photo.file), _remark(photo)) for photo in report.photos if not photo.used]


def photos_to_see(report: Report) -> list[tuple[str, str]]:
    """Name and remark of each photo that is used but looks odd."""
    return [(plain(photo.file), _remark(photo)) for photo in report.photos if photo.used and photo.remark]


def _remark(photo: ReferencePhoto) -> str:
    return plain(photo.remark) or "no reason given"


def small_print(report: Report) -> list[str]:
    """What the numbers come from, and what they are not."""
    facts, used = report.facts, sum(photo.used for photo in report.photos)
    excluded = facts.pictures.count - facts.pictures.counted
    return [
        f"Face engine: {plain(report.engine)}. Licence of its models: {plain(report.licence)}",
        f"Measured: {plural(facts.pictures.count, 'picture')}, {facts.pictures.counted} counted; {used} of "
        f"{plural(len(report.photos), 'photo')} used. Likeness is the cosine between a face and the character's "
        "template; 1 is the same picture.",
        f"Left out of every summary, and shown with the reason: {plural(excluded, 'picture')} and "
        f"{plural(len(report.photos) - used, 'photo')}.",
        "Intervals are 95%: Wilson's for shares; for retention a bootstrap that draws whole prompts "
        f"({ROUNDS:,} times), with the lines held fixed.",
        *how_drawn(report.calibration),
        f"Prompt adherence and variety: CLIP {plain(report.clip)}."
        if report.clip
        else "Prompt adherence was not measured: no CLIP model is on this machine.",
        *(plain(line) for line in report.small_print),
    ]


def how_drawn(calibration: Calibration) -> list[str]:
    """How the two lines and the zero of retention were found."""
    if calibration.lines is None or calibration.photos is None:
        return [f"No lines were drawn: {plain(str(calibration.refusal))}."] if calibration.refusal else []
    lines, goal = calibration.lines, "photos after the base model's VAE" if calibration.ceiling else "photos"
    sources = ", ".join(
        f"{plain(item.name)} ({item.n} faces, median {number(item.median)}, 99th percentile {number(item.q99)})"
        for item in calibration.impostors
    )
    zero = "pictures without the LoRA" if lines.zero_of == BASE else plain(lines.zero_of)
    return [
        f"Keep line (T_keep, {number(lines.keep)}): at least {1 - lines.below:.0%} of this person's pictures lie above "
        f"it, by the {goal} ({SURE:.0%} tolerance limit); but at least {MARGIN:g} over the strangers' 99th percentile. "
        f"Stranger line (T_id, {number(lines.same)}): the strangers' 99th percentile (of fewer than {MANY_STRANGERS} "
        f"strangers at least {STRANGER_SPREADS:g} spreads over their median), but never over the keep line.",
        *(
            [
                f"The median of strangers that the base model did not paint counts {calibration.shrunk:.2f} times: "
                "that much of the photos' own likeness the VAE leaves."
            ]
            if calibration.shrunk < 1
            else []
        ),
        f"Strangers: {sources}. Photos: {calibration.photos.n} leave-one-out scores (at least {LEAST_PHOTOS} are "
        f"needed), median {number(calibration.photos.median)}.",
        f"Retention: 0% is the median of the {zero} ({number(lines.zero)}), 100% the photos' own median.",
    ]
