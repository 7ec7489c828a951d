"""Records every pod that was ever rented, one line per event, so that none is forgotten while it costs money.

A pod's unique name is written down before it is asked for. Whatever is cut off then, the pod is found by that name.
"""

from __future__ import annotations

import json
import re
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import append_lines, content, explained
from lib_lora.remote.renting.rental_api import POD_ID, TERMINATED, Pod, RentalApi, RentalRefused
from lib_lora.workspace.workspace import Workspace

PREFIX = "sameface-"
INTENDED, CREATED, REFUSED, ENDED = "intended", "created", "refused", "ended"
_COST = "cost"
_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{16}}")
_MOST = 64 << 20  # bytes of the file
_LONGEST = 10_080.0  # minutes: no pod lives longer than a week
_DEAREST, _LATEST = Decimal(10**9), 1e12  # more USD, or seconds, are taken for errors
_PATIENCE = 180.0  # seconds until a pod that was deleted is gone
_HOPELESS = ("key", "forbidden")  # refusals that waiting does not mend


@dataclass(frozen=True)
class RunLimits:
    """What may be rented for a run, in all of its pods together.

    Attributes:
        run: its character's folder and its identifier, as ``mara/001``.
        cap: USD.
        hours: that its pods may live.
        since: when these limits were given, unix seconds; pods that are older do not count. 0 = all do.
    """

    run: str
    cap: Decimal
    hours: float
    since: float = 0.0


@dataclass(frozen=True)
class PodEntry:
    """What is known here of a pod.

    Attributes:
        name: ours.
        state: "intended" = asked for, and nobody knows what became of it; "created"; "refused"; "ended".
        id: the provider's; empty = not known.
        gpu: its id.
        hourly: USD, as a text; empty = not known.
        time: when it was asked for, unix seconds.
        until: when its end was written down; 0 = it was not.
        limits: of the run that it was rented for; None = not known.
    """

    name: str
    state: str
    id: str = ""
    gpu: str = ""
    hourly: str = ""
    time: float = 0.0
    until: float = 0.0
    limits: RunLimits | None = None

    @property
    def made(self) -> bool:
        """Whether there was such a pod."""
        return bool(self.id) and self.state != REFUSED

    @property
    def price(self) -> Decimal:
        """USD an hour; 0 = not known."""
        return _amount(self.hourly) or Decimal(0)

    @property
    def open(self) -> bool:
        """Whether it may still live."""
        return self.state in (INTENDED, CREATED)


@dataclass(frozen=True)
class Painted:
    """How long pictures took on a pod.

    Attributes:
        family: of the base model.
        side: pixels; the pictures are as large as squares of it.
        steps: sampling steps, of all of them together.
        seconds: that these took.
    """

    family: str
    side: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class PodCost:
    """What a pod has cost.

    Attributes:
        name: ours.
        character: the folder of the character that was trained, or painted.
        usd: in all.
        preparing: minutes before its first step, or picture; None = not known.
        minutes: that it has lived; None = not known.
        painted: what was painted there; None = nothing that was measured.
    """

    name: str
    character: str
    usd: Decimal
    preparing: float | None = None
    minutes: float | None = None
    painted: Painted | None = None


@dataclass(frozen=True)
class LivingPod:
    """A pod of SameFace that is still there, and costs.

    Attributes:
        pod: as the provider describes it.
        entry: what is known of it here; None = another computer, or another data folder, has rented it.
    """

    pod: Pod
    entry: PodEntry | None


class PodLedger:
    """The pods of a data folder.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = Workspace(root).pods

    def intend(self, gpu: str, hourly: str, limits: RunLimits | None = None) -> str:
        """Write down that a pod is about to be asked for.

        Args:
            gpu: its id.
            hourly: USD an hour, as a text.
            limits: of the run that it is for; None = it is for none.

        Returns:
            The name that it must be given.

        Raises:
            UserError: it cannot be written; then no pod may be asked for.
        """
        name = f"{PREFIX}{secrets.token_hex(8)}"
        row: dict[str, Any] = {"event": INTENDED, "name": name, "gpu": gpu, "hourly": hourly}
        self._add(row | ({} if limits is None else {"limits": {**vars(limits), "cap": str(limits.cap)}}))
        return name

    def created(self, name: str, identifier: str) -> None:
        """Write down that a pod was made."""
        self._add({"event": CREATED, "name": name, "id": identifier})

    def refused(self, name: str) -> None:
        """Write down that a pod was surely not made."""
        self._add({"event": REFUSED, "name": name})

    def ended(self, name: str, identifier: str) -> None:
        """Write down that a pod is no more."""
        self._add({"event": ENDED, "name": name, "id": identifier})

    def cost(
        self,
        name: str,
        character: str,
        usd: Decimal,
        preparing: float | None,
        minutes: float | None = None,
        painted: Painted | None = None,
    ) -> None:
        """Write down what a pod has cost, and for whom.

        Args:
            name: of the pod.
            character: folder of the character that was trained.
            usd: the bill, or what was counted here, whichever is more.
            preparing: minutes before its first step; None = it came to none.
            minutes: that it has lived; None = not known.
            painted: what was painted there; None = nothing that was measured.
        """
        row: dict[str, Any] = {"event": _COST, "name": name, "character": character, "usd": str(usd)}
        known = {"preparing": preparing, "minutes": minutes}
        row |= {} if painted is None else {"painted": vars(painted)}
        self._add(row | {key: round(value, 2) for key, value in known.items() if value is not None})

    def costs(self) -> list[PodCost]:
        """What pods have cost, the oldest first; none where the file cannot be read."""
        found: dict[str, PodCost] = {}
        with suppress(OSError, UserError):
            for line in self._lines():
                if one := _cost_row(line):
                    found[one.name] = one
        return list(found.values())

    def usual_preparing(self) -> float | None:
        """Minutes before the first step, or picture, of the last pods; None = there was none."""
        known = [one.preparing for one in self.costs() if one.preparing is not None]
        return statistics.median(known[-5:]) if known else None

    def _lines(self) -> list[str]:
        if not self.path.is_file():
            return []
        with explained(self.path, "read"):
            return content(self.path)[-_MOST:].decode("utf-8", "replace").split("\n")

    def entries(self) -> list[PodEntry]:
        """All of them, the oldest first. Lines that a crash has cut off, and other invalid ones, are skipped.

        Raises:
            UserError: the file is there and cannot be read.
        """
        found: dict[str, PodEntry] = {}
        for line in self._lines():
            if (row := _row(line)) is None:
                continue
            name, identifier = row["name"], row["id"]
            before = found.get(name) or PodEntry(name, INTENDED, time=row["time"])
            if row["event"] == INTENDED:
                about = {key: row[key] for key in ("gpu", "hourly", "time", "limits")}
                found[name] = replace(before, **about)
            else:
                until = row["time"] if row["event"] == ENDED else 0.0
                found[name] = replace(before, state=row["event"], id=identifier or before.id, until=until)
        return list(found.values())

    def living(self, api: RentalApi) -> list[LivingPod]:
        """The pods of SameFace that still live, by the provider's word; those that were made by another one too.

        What is found out of those that were not known to be made, or to have ended, is written down.

        Raises:
            UserError: the provider cannot be asked.
        """
        entries = self.entries()
        by_name = {entry.name: entry for entry in entries}
        by_id = {entry.id: entry for entry in entries if entry.id}
        listed = api.pods()
        found = []
        for pod in listed:
            entry = by_id.get(pod.id) or by_name.get(pod.name)
            if pod.status == TERMINATED or not (entry or pod.name.startswith(PREFIX)):
                continue
            if entry is not None and not entry.id:
                self.created(entry.name, pod.id)
                entry = replace(entry, state=CREATED, id=pod.id)
            found.append(LivingPod(pod, entry))
        there = {pod.id for pod in listed}
        for entry in entries:
            if entry.open and entry.id and entry.id not in there:
                asked = _asked(api, entry.id)
                if asked is None:
                    self.ended(entry.name, entry.id)
                else:
                    found.append(LivingPod(asked, entry))
        return found

    def end(
        self,
        api: RentalApi,
        pod: Pod,
        patience: float = _PATIENCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Delete a pod, and look until the provider says that there is none.

        Args:
            api: of its account.
            pod: which.
            patience: seconds.
            pause: waits between two looks.

        Raises:
            UserError: it may still be there, and cost.
        """
        until = time.monotonic() + patience
        attempt, said = 0, ""
        while True:
            try:
                (api.terminate_pod if attempt % 3 == 2 else api.delete_pod)(pod.id)
                if _asked(api, pod.id) is None:
                    self.ended(pod.name, pod.id)
                    return
                said = "it is still listed"
            except UserError as error:
                said = str(error).rstrip(".")
                if isinstance(error, RentalRefused) and error.refusal in _HOPELESS:
                    break
            if time.monotonic() >= until:
                break
            pause(min(2.0**attempt, 15.0))
            attempt += 1
        raise UserError(
            f"The pod {pod.name} ({pod.id}) could not be deleted and still costs money: {said}; delete it in "
            f"{api.title}'s console.",
            code="pod-not-deleted",
            pod=pod.id,
        )

    def _add(self, values: dict[str, Any]) -> None:
        """Write a line, and make sure that it is on the disk."""
        line = json.dumps({**values, "t": round(time.time(), 3)}).encode("ascii") + b"\n"
        with explained(self.path):
            file_permissions.make_folder(self.path.parent)
            append_lines(self.path, line)


def _asked(api: RentalApi, identifier: str) -> Pod | None:
    """A pod, asked for by its id; None = it no longer exists."""
    try:
        pod = api.pod(identifier)
    except RentalRefused as error:
        if error.refusal == "absent":
            return None
        raise
    return None if pod.status == TERMINATED else pod


def _cost_row(line: str) -> PodCost | None:
    with suppress(ValueError, ArithmeticError, RecursionError, KeyError, TypeError):
        row = json.loads(line)
        if row["event"] == _COST and _NAME.fullmatch(row["name"]):
            usd, (preparing, minutes) = (
                _amount(row["usd"]),
                (_minutes(row.get(key)) for key in ("preparing", "minutes")),
            )
            if usd is not None:
                return PodCost(row["name"], str(row["character"]), usd, preparing, minutes, _painted(row))
    return None


def _painted(row: dict[str, Any]) -> Painted | None:
    with suppress(KeyError, TypeError):
        values = row["painted"]
        family, (side, steps, seconds) = values["family"], (values[name] for name in ("side", "steps", "seconds"))
        numbers = all(type(one) in (int, float) and 0 < one < _LATEST for one in (side, steps, seconds))
        if numbers and isinstance(family, str):
            return Painted(family, int(side), int(steps), float(seconds))
    return None


def _minutes(value: Any) -> float | None:
    known = type(value) in (int, float) and 0 <= value <= _LONGEST
    return float(value) if known else None


def _amount(text: Any) -> Decimal | None:
    """USD, as a text; None = it is not one."""
    with suppress(ArithmeticError, TypeError, ValueError):
        usd = Decimal(text)
        if usd.is_finite() and 0 <= usd < _DEAREST:
            return usd
    return None


def _limits(values: Any) -> RunLimits | None:
    """The limits of a run, as a line of the file has them; None = it has none."""
    with suppress(KeyError, TypeError):
        cap, hours, since = _amount(values["cap"]), values["hours"], values["since"]
        numbers = all(type(one) in (int, float) and 0 <= one < _LATEST for one in (hours, since))
        if cap is not None and numbers and isinstance(values["run"], str):
            return RunLimits(values["run"], cap, float(hours), float(since))
    return None


def _row(line: str) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        row = json.loads(line)
        if not isinstance(row, dict) or row.get("event") not in (INTENDED, CREATED, REFUSED, ENDED):
            return None
        texts = {key: row.get(key, "") for key in ("event", "name", "id", "gpu", "hourly")}
        moment = row.get("t", 0.0)
        if all(isinstance(text, str) for text in texts.values()) and isinstance(moment, (int, float)):
            known = not texts["id"] or POD_ID.fullmatch(texts["id"])
            if known and (_NAME.fullmatch(texts["name"]) or texts["event"] == ENDED):
                return {**texts, "time": float(moment), "limits": _limits(row.get("limits"))}
    return None
