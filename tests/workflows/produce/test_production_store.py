"""What a production's folder holds, read and written beside others: the log as it grows, decisions of two programs."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import raises
from planting import PRODUCTION, plant_production, tried

from lib_lora import typed_settings
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.produce import production_log, production_store
from lib_lora.workflows.produce.production_store import DECISIONS_LOCK, ProductionFolder
from lib_lora.workspace.workspace import CharacterFolder


@pytest.fixture
def made(tmp_path: Path) -> ProductionFolder:
    return plant_production(CharacterFolder(tmp_path / "mara"), plan=replace(PRODUCTION, count=9))


def added(made: ProductionFolder, item: int, attempt: int = 1, **more: Any) -> str:
    one = replace(tried(item, attempt), **more)
    (made.pictures / one.file).touch()
    made.note(one)
    return one.file


def test_of_a_log_that_grows_only_the_new_lines_are_parsed(
    made: ProductionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    loads = json.loads
    monkeypatch.setattr(production_log.json, "loads", lambda text: (read.append(text), loads(text))[1])
    added(made, 1)
    first = made.read()
    added(made, 2)
    second = made.read()
    assert [one.item for one in second.tries] == [1, 2]
    assert (second.origin, len(read)) == (first.origin, 2)
    assert [one.item for one in first.tries] == [1]  # what was handed out stays as it was


def test_a_line_that_is_being_written_is_read_once_it_is_whole(made: ProductionFolder) -> None:
    added(made, 1)
    line = json.dumps(typed_settings.to_dict(tried(2, 1))).encode()
    with made.log.open("ab") as stream:
        stream.write(line[:40])
        stream.flush()
        assert [one.item for one in made.read().tries] == [1]
        stream.write(line[40:])
        stream.flush()
        assert [one.item for one in made.read().tries] == [1, 2]
        stream.write(b"\nnonsense\n")
    assert [one.item for one in made.read().tries] == [1, 2]
    added(made, 3)
    assert [one.item for one in made.read().tries] == [1, 2, 3]


@pytest.mark.parametrize("how", ["shorter", "as long", "longer", "another file"])
def test_a_log_that_did_not_just_grow_is_read_anew(how: str, made: ProductionFolder) -> None:
    added(made, 1)
    added(made, 2)
    before = made.read()
    lines = made.log.read_bytes().splitlines(keepends=True)
    changed = {
        "shorter": lines[1],
        "as long": lines[1] + lines[0],
        "longer": lines[1] + lines[0] + lines[1],
        "another file": lines[0],
    }[how]
    if how == "another file":
        made.log.rename(made.log.with_suffix(".old"))
    made.log.write_bytes(changed)
    after = made.read()
    assert after.origin != before.origin
    assert [one.item for one in after.tries] == [json.loads(line)["item"] for line in changed.splitlines()]


def test_decisions_of_two_programs_are_both_kept(made: ProductionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [added(made, item) for item in range(1, 9)]
    monkeypatch.setattr(production_store, "_deciding", nullcontext())  # each program has its own
    write, meet = production_store.write_json, threading.Barrier(2, timeout=0.3)

    def slowly(path: Path, values: Any) -> None:
        try:
            meet.wait()  # both would get here, if nothing held the second one back
        except threading.BrokenBarrierError:
            meet.reset()
        write(path, values)

    monkeypatch.setattr(production_store, "write_json", slowly)
    programs = [ProductionFolder(made.path), ProductionFolder(made.path)]
    threads = [
        threading.Thread(target=lambda one=one, mine=mine: [one.decide({file: "drop"}) for file in mine])
        for one, mine in zip(programs, (files[:2], files[2:4]), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.decisions() == dict.fromkeys(files[:4], "drop")


def test_who_decides_all_the_time_is_not_waited_for_for_ever(
    made: ProductionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(production_store, "_PATIENCE", 0.0)
    file = added(made, 1)
    with only_process(made.path):  # it is painted meanwhile, which is no matter
        made.decide({file: "drop"})
    with only_process(made.path, file=DECISIONS_LOCK), raises("folder-locked"):
        made.decide({file: None})
    assert made.decisions() == {file: "drop"}
