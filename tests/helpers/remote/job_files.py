"""Lists the files that a worker on another machine needs for a job, and those that it has made.

All by their names in the data folder (`Workspace.name_of`); files elsewhere are named by the job (`Queue.named`), and
the checkpoint of a run by the run (`runs.reopen.reopen` says where that lies on a machine). Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lib_lora.queue.job_types import files_in, run_in
from lib_lora.queue.queue import Job
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace

Marks = dict[str, tuple[int, int]]  # by name: size, and time of change in nanoseconds


def run_of(workspace: Workspace, job: Job) -> RunFolder | None:
    """The run that a job goes on with or tests; None where it begins one, or takes the newest."""
    named = job.run or run_in(job.arguments)
    return workspace.character_at(job.slug).run(named) if named else None


def needed(workspace: Workspace, job: Job) -> list[str]:
    """Names of the files of the data folder that a worker needs for a job: the settings, the character's folder, and
    what the job names there.

    Of runs that the job does not work on only ``run.yaml``, so that no number is given twice.
    """
    character, own = workspace.character_at(job.slug), run_of(workspace, job)
    every = own is None and job.kind in ("test", "choose", "more")  # which of them is found out by the worker
    found = [workspace.settings, workspace.licences]
    for path in _named(workspace, job):
        found += _files(path) if path.is_dir() else [path]
    for path in _files(character.path):
        run = _run_with(character, path)
        if run is None or every or run == own or path == run.file:
            found.append(path)
    return [workspace.name_of(path) for path in dict.fromkeys(found) if path.is_file()]


def marks(workspace: Workspace, job: Job) -> Marks:
    """Size and time of change of all that a job may change: its own folder, and the character's."""
    folders = (workspace.job(job.id).path, workspace.character_at(job.slug).path)
    found = {}
    for path in (path for folder in folders for path in _files(folder)):
        status = path.stat()
        found[workspace.name_of(path)] = (status.st_size, status.st_mtime_ns)
    return found


def changed(before: Marks, now: Marks) -> list[str]:
    """Names of the files that were made or changed between two looks (`marks`)."""
    return [name for name, mark in now.items() if before.get(name) != mark]


def _named(workspace: Workspace, job: Job) -> list[Path]:
    """The files and folders of the data folder that a job's arguments name."""
    complete = [Path(path) for path in files_in(job.arguments) if Path(path).is_absolute()]
    return [path for path in complete if not Path(workspace.name_of(path)).is_absolute()]


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".tmp":
            yield path


def _run_with(character: CharacterFolder, path: Path) -> RunFolder | None:
    """The run that a file belongs to."""
    try:
        return character.run(path.relative_to(character.runs).parts[0])
    except ValueError:
        return None
