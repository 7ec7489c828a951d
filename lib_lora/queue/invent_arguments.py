"""What the queue can be asked for about an invented character. Imports nothing heavy; see `queue.job_types`."""

from __future__ import annotations

from dataclasses import dataclass

CANDIDATES, COUNT, BUDGET = 8, 30, 200
LONGEST = 400  # letters of a description
_MOST_CANDIDATES, _MOST_KEPT, _MOST_PAINTED = 64, 500, 5000


@dataclass(frozen=True)
class InventArguments:
    """Paint candidates for a face (`workflows.invent.invent.candidates`).

    Attributes:
        describe: who is to be seen, as it stands after "photo of".
        base: path of the checkpoint.
        candidates: how many there shall be; those that are there are not painted again.
        seed: of the first one.
    """

    describe: str
    base: str
    candidates: int = CANDIDATES
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.describe.strip():
            raise ValueError("the description is empty; say who shall be seen, such as a woman with short red hair.")
        if len(self.describe) > LONGEST or not self.describe.isprintable():
            raise ValueError(f"the description is no plain line of text; write at most {LONGEST} letters in one line.")
        if not 1 <= self.candidates <= _MOST_CANDIDATES:
            raise ValueError(f"{self.candidates} candidates cannot be painted; give 1 to {_MOST_CANDIDATES}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"the seed is {self.seed}; it must be between 0 and {2**32 - 1}.")


@dataclass(frozen=True)
class MoreArguments:
    """Paint further pictures of the picked face (`workflows.invent.invent_more.more`).

    Attributes:
        count: how many shall be kept, of all that were painted without a LoRA, or with this one.
        budget: how many of these may be painted, also by earlier jobs.
        with_lora: paint with the LoRA of the character's newest run.
    """

    count: int = COUNT
    budget: int = BUDGET
    with_lora: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST_KEPT:
            raise ValueError(f"{self.count} pictures cannot be kept; give 1 to {_MOST_KEPT}.")
        if not 1 <= self.budget <= _MOST_PAINTED:
            raise ValueError(f"{self.budget} pictures cannot be painted; give 1 to {_MOST_PAINTED}.")
