"""Describes a production as values: what is to be painted, and what has become of each picture.

A production has items, one picture to be kept each. An item is painted with one seed after the other until a picture
passes, or its tries are used up. Imports nothing heavy.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from lib_lora.pictures import NEGATIVE, Cell
from lib_lora.workflows.produce.prompts.lora_tags import LoraTags
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workflows.produce.prompts.wildcards import Wildcards

Line = Literal["keep", "same"]
PictureDecision = Literal["keep", "drop"]  # of the user, whatever was measured
Reason = Literal[
    "", "below the line", "lost", "no face", "several people", "small", "cut", "blurred", "hidden", "copy", "unsure",
    "unreadable", "not judged",
]  # fmt: skip
WEBUI = "webui"  # `ProductionPlan.by`: its own pipeline paints
_SEEDS = 2**32


@dataclass(frozen=True)
class ProductionPlan:
    """What is asked for; two productions with equal plans paint the same pictures.

    Attributes:
        run, step, weight: which checkpoint of the character, and its weight.
        lora_sha256: of the checkpoint's file.
        prompts: the list, which begins again where there are more pictures than prompts.
        count: pictures to be kept.
        tries: of each item, at most.
        seed: of the first try of the first item.
        line: which pictures pass: "keep" = those above the keep line; "same" = all that surely show this person.
        several: a picture may show other people beside this one.
        negative, side, steps, cfg, sampler: where a prompt does not say otherwise; the side in pixels.
        trigger: the character's trigger word.
        before: put before each prompt that does not have the trigger word; empty = nothing.
        second_pass: share of the sampling that is done again over a small face (`small_faces`); 0 = none is.
        by: who paints: empty = diffusers, "webui" = the webui, "comfyui" = a ComfyUI.
        detailer: what does the second pass in the webui that paints, by its name ("ADetailer"); empty = SameFace does.
    """

    run: str
    step: int
    weight: float
    lora_sha256: str
    prompts: list[PromptRow]
    count: int
    tries: int = 4
    seed: int = 1000
    line: Line = "keep"
    several: bool = False
    negative: str = NEGATIVE
    side: int = 512
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "Euler"
    trigger: str = ""
    before: str = ""
    second_pass: float = 0.0
    by: str = ""
    detailer: str = ""


@dataclass(frozen=True)
class PaintedTry:
    """One painted picture.

    Attributes:
        item: number of the item, from 1.
        attempt: which of its tries, from 1.
        file: name of the picture in the production's folder.
        seed: with which it was painted.
        prompt: as it was painted, without wildcards.
        kept: whether it passed; `Progress.is_kept` also knows what the user has decided.
        reason: why not.
        likeness: cosine; None where none could be measured.
        face_px: the longer side of the face's box in pixels; None where there is none.
        hash: perceptual hash of the picture, 16 hex digits; empty where it could not be read.
        nearest: the photo whose face is most alike.
        said: the reason in words, where there is more to say.
    """

    item: int
    attempt: int
    file: str
    seed: int
    prompt: str
    kept: bool
    reason: Reason = ""
    likeness: float | None = None
    face_px: float | None = None
    hash: str = ""
    nearest: str | None = None
    said: str = ""


@dataclass
class Progress:
    """What has become of a production's items.

    Attributes:
        plan: of the production.
        tried: the tries of each item that has any, by its number, in their order.
        decisions: of the user, by the name of the picture.
    """

    plan: ProductionPlan
    tried: dict[int, list[PaintedTry]] = field(default_factory=dict)
    decisions: Mapping[str, PictureDecision] = field(default_factory=dict)

    def note(self, one: PaintedTry) -> None:
        """Add a try."""
        self.tried.setdefault(one.item, []).append(one)

    def is_kept(self, one: PaintedTry) -> bool:
        """Whether a picture counts: it passed, unless the user has decided otherwise."""
        decided = self.decisions.get(one.file)
        return decided == "keep" if decided else one.kept

    @property
    def kept(self) -> list[PaintedTry]:
        """The pictures that are kept, by item."""
        return [one for item in sorted(self.tried) for one in self.tried[item] if self.is_kept(one)]

    @property
    def done(self) -> int:
        """How many items have a picture that is kept."""
        return len({one.item for one in self.kept})

    @property
    def painted(self) -> int:
        """How many pictures were painted."""
        return sum(len(tries) for tries in self.tried.values())

    def next_attempt(self, item: int) -> int:
        """The number of an item's next try: the first that is not there; 0 = it has a picture, or no try left."""
        tries = self.tried.get(item, [])
        if any(self.is_kept(one) for one in tries):
            return 0
        there = {one.attempt for one in tries}
        return next((number for number in range(1, self.plan.tries + 1) if number not in there), 0)

    def given_up(self) -> list[int]:
        """The items that have no picture after all tries."""
        return [
            item
            for item, tries in sorted(self.tried.items())
            if not self.next_attempt(item) and not any(self.is_kept(one) for one in tries)
        ]


def file_name(item: int, attempt: int) -> str:
    """The name of a picture's file."""
    return f"{item:05d}-{attempt:02d}.png"


def row_of(plan: ProductionPlan, item: int) -> PromptRow:
    """The prompt of an item."""
    return plan.prompts[(item - 1) % len(plan.prompts)]


def seed_of(plan: ProductionPlan, item: int, attempt: int) -> int:
    """The seed of a try: no two tries of a production have the same, unless the list of prompts says so."""
    row, again = row_of(plan, item), (item - 1) // len(plan.prompts)
    if row.seed is not None:
        return (row.seed + again * plan.tries + attempt - 1) % _SEEDS
    return (plan.seed + (item - 1) * plan.tries + attempt - 1) % _SEEDS


def cell_of(
    plan: ProductionPlan, item: int, attempt: int, lora: Path, wildcards: Wildcards, tags: LoraTags | None = None
) -> Cell:
    """What is painted in a try; wildcards are filled alike in all tries of an item.

    Args:
        plan: of the production.
        item, attempt: which try.
        lora: the file of its checkpoint.
        wildcards: fill the prompt.
        tags: take further LoRAs out of the prompt; None = whoever paints does that.

    Raises:
        UserError: as `Wildcards.fill` and `LoraTags.parted`.
    """
    row = row_of(plan, item)
    prompt = wildcards.fill(row.prompt, random.Random(f"{plan.seed}/{item}"))
    prompt, more = tags.parted(prompt) if tags else (prompt, ())
    if plan.before and not has_words(prompt, plan.trigger):
        prompt = f"{plan.before}, {prompt}"
    return Cell(
        prompt=prompt,
        negative=plan.negative if row.negative is None else row.negative,
        seed=seed_of(plan, item, attempt),
        lora=lora,
        weight=plan.weight if row.weight is None else row.weight,
        width=row.width or plan.side,
        height=row.height or plan.side,
        steps=row.steps or plan.steps,
        cfg=plan.cfg if row.cfg is None else row.cfg,
        sampler=plan.sampler,
        more=more,
    )


def has_words(prompt: str, word: str) -> bool:
    """Whether a prompt has a word, whatever stands beside it.

    >>> has_words("a (mrxa:1.2) woman", "mrxa"), has_words("mrxas", "mrxa")
    (True, False)
    """
    wanted, text = word.casefold(), prompt.casefold()
    begin = text.find(wanted)
    while begin >= 0:
        end = begin + len(wanted)
        if not (begin and text[begin - 1].isalnum()) and not (end < len(text) and text[end].isalnum()):
            return True
        begin = text.find(wanted, begin + 1)
    return False


def similar(kept: Sequence[PaintedTry], bits: int) -> list[list[PaintedTry]]:
    """Pictures that are nearly the same, together: a pile for each picture, the largest first, those that are alone
    too.

    Args:
        kept: pictures.
        bits: of 64 in which perceptual hashes of one pile may differ from that of its first picture.
    """
    piles: list[list[PaintedTry]] = []
    marks: list[tuple[int, int]] = []  # hash of the first picture of a pile, and the pile's place
    known: dict[tuple[int, int], list[int]] = {}  # places in `marks`, by each part of the hash
    for one in kept:
        if not one.hash:
            piles.append([one])
            continue
        value = int(one.hash, 16)
        parts = _parts(value, bits + 1)  # hashes that differ in so few bits have a part in common
        near = {place for part in parts for place in known.get(part, [])}
        found = min((place for place in near if (value ^ marks[place][0]).bit_count() <= bits), default=None)
        if found is not None:
            piles[marks[found][1]].append(one)
            continue
        for part in parts:
            known.setdefault(part, []).append(len(marks))
        marks.append((value, len(piles)))
        piles.append([one])
    return sorted(piles, key=len, reverse=True)


def _parts(value: int, count: int) -> list[tuple[int, int]]:
    """64 bits in `count` parts, each with its number."""
    ends = [64 * number // count for number in range(count + 1)]
    return [(number, (value >> low) & ((1 << (high - low)) - 1)) for number, (low, high) in enumerate(pairwise(ends))]


def plain(values: Any) -> Any:
    """A number as JSON has it."""
    return None if values is None else round(float(values), 4)
