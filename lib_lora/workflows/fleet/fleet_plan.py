"""Works out which jobs a fleet has: many characters, or all combinations of settings, seeds and people.

Pure: nothing is read and nothing is queued. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from lib_lora.errors import UserError
from lib_lora.queue.job_types import ChooseArguments, ProduceArguments, TrainArguments
from lib_lora.typed_settings import nested

What = Literal["train", "study", "choose", "produce"]
SEED = "seed"  # the setting that a study's seeds give
MOST = 1000  # rows of a fleet; the queue takes as many that wait


@dataclass(frozen=True)
class FleetRow:
    """One job of a fleet.

    Attributes:
        character: its name.
        train, choose, produce: what the job is asked to do; two of them are None.
        varied: the settings in which the rows of a study differ, by dotted key.
        job: its number; 0 = it is not in the queue yet.
        run: that it made, searched or painted with, as soon as it is known.
    """

    character: str
    train: TrainArguments | None = None
    choose: ChooseArguments | None = None
    varied: dict[str, Any] = field(default_factory=dict)
    job: int = 0
    run: str = ""
    produce: ProduceArguments | None = None

    @property
    def arguments(self) -> TrainArguments | ChooseArguments | ProduceArguments:
        """The arguments of the job.

        Raises:
            UserError: there are none.
        """
        found = self.train or self.choose or self.produce
        if found is None:
            raise UserError("A row of this fleet asks for nothing; make a new fleet.", code="fleet-row-empty")
        return found


@dataclass(frozen=True)
class Fleet:
    """Jobs that were asked for together.

    Attributes:
        id: three digits or more.
        what: "train", "study", "choose" or "produce".
        on: where they are done, as ``--on`` names it.
        created: unix seconds.
        rows: the jobs.
    """

    id: str
    what: What
    on: str
    created: float
    rows: list[FleetRow]


def trainings(
    characters: Sequence[str],
    shared: TrainArguments,
    varied: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (),
) -> list[FleetRow]:
    """A training for each character, each combination of settings and each seed.

    Args:
        characters: names.
        shared: what all of them have.
        varied: values of settings by dotted key; each value is laid over the shared settings.
        seeds: of the trainings; none = as the settings say.

    Raises:
        UserError: none, or more than `MOST`.
    """
    axes = {key: _distinct(values) for key, values in (varied or {}).items()}
    axes |= {SEED: _distinct(seeds)} if seeds else {}
    rows = []
    for character in _distinct(characters):
        for values in product(*axes.values()):
            own = dict(zip(axes, values, strict=True))
            settings = _over(shared.settings, nested(own))
            rows.append(FleetRow(character, train=replace(shared, settings=settings), varied=own))
    return _checked(rows)


def searches(characters: Sequence[str], shared: ChooseArguments) -> list[FleetRow]:
    """A search for the best step and weight of the newest run of each character.

    Raises:
        UserError: none, or more than `MOST`.
    """
    return _checked([FleetRow(one, choose=shared) for one in _distinct(characters)])


def productions(asked: Mapping[str, ProduceArguments]) -> list[FleetRow]:
    """A production for each character, by name.

    Raises:
        UserError: none, or more than `MOST`.
    """
    return _checked([FleetRow(name, produce=one) for name, one in asked.items()])


def _distinct(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:  # some cannot be keys
        if value not in found:
            found.append(value)
    return found


def _over(table: Mapping[str, Any], laid: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others laid over them."""
    found = dict(table)
    for key, value in laid.items():
        below = found.get(key)
        found[key] = _over(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return found


def _checked(rows: list[FleetRow]) -> list[FleetRow]:
    if not rows:
        raise UserError("Name at least one character.", "names", code="fleet-empty")
    if len(rows) > MOST:
        raise UserError(
            f"These are {len(rows):,} jobs, and a fleet has {MOST:,} at most; make several of it.",
            code="fleet-too-large",
            jobs=len(rows),
        )
    return rows
