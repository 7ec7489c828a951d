"""Kill a short run at each of its writes, or fill the disk at each of its events; then resume it and compare.

    python bench/faults/kills.py --work DIR                       every fsync, rename and unlink, and every event
    python bench/faults/kills.py --work DIR --only rename:3 fsync:state  these alone
    python bench/faults/kills.py --work DIR --calls fsync --fills 0 one kind alone

The run trains a toy (two photos, two steps, a checkpoint and a state after each), delivers, tests with a painter that
paints at once, judges, and adds the preview. `strace` kills the process with SIGKILL as it enters its N-th fsync,
rename or unlink; so it needs Linux, strace, and the right to trace. The disk that is filled is a tmpfs, which needs
root; the filler strikes inside the process, right after the N-th event, and leaves no byte free.

After each, the same run is resumed. It must end with the same delivered LoRA (by the SHA-256 of its tensors) and the
same report, or with a sentence for the user; and nothing temporary may be left. Seconds pass by setting back the times
of what was left, since young temporary files are not swept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a forked child must not wait for its parent's threads

import toys  # noqa: E402
from PIL import Image  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.errors import UserError  # noqa: E402
from lib_lora.lora.file.integrity import check_whole  # noqa: E402
from lib_lora.lora.hashes import FileBytes, sshs_model_hash  # noqa: E402
from lib_lora.models.families.sd1 import SD1  # noqa: E402
from lib_lora.training import loop  # noqa: E402, F401 - once, not in each child call by call under strace
from lib_lora.training.plan.run_file import load_run  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.judge import grid_run  # noqa: E402
from lib_lora.workflows.photos.new_character import NewCharacter, new_character  # noqa: E402
from lib_lora.workflows.train import main_job  # noqa: E402
from lib_lora.workflows.train.prepare import start_run  # noqa: E402

PHOTOS = ROOT / "tests" / "data" / "personas" / "mara"
CALLS = {"fsync": "fsync", "rename": "/^rename", "unlink": "/^unlink"}  # as strace names sets of system calls
STEPS, CELLS = 2, 2
SETTINGS = {
    "samples": 0, "steps": STEPS, "save_every": 1, "batch_size": 1, "resolution": 128, "precision": "fp32",
    "optimizer": "adamw", "lr_schedule": "constant", "warmup": 0.0, "unet_lr": 1e-3, "te_lr": 1e-3,
    "lora": {"rank": 4, "alpha": 4},
}  # fmt: skip
REFUSED, FAILED = 2, 3  # exit statuses of a child: a sentence was said; anything else went wrong
DISK = 256 << 20  # bytes of the disk that is filled; less is refused before the training


@dataclass(frozen=True)
class KillPlace:
    """The folders of one run; they lie at the same place each time, since a run names them."""

    home: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "data"

    @property
    def out(self) -> Path:
        """Where the LoRA is delivered."""
        return self.home / "out"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.data / "characters" / "mara" / "runs" / "001"

    @property
    def said(self) -> Path:
        """What the last child said, outside of what it can fill."""
        return self.home.parent / "said.txt"


class KilledPainter:
    """Paints at once: the person with the LoRA, else a grey square."""

    def __init__(self, *_: Any) -> None: ...

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """There is no VAE."""

    def paint(self, cells: Any, each: Any = None) -> list[Image.Image]:
        """See `lib_lora.grid.cells.Painter`."""
        pictures = []
        for number, cell in enumerate(cells):
            picture = Image.new("RGB", (64, 64), "grey")
            if cell.lora is not None:
                picture = Image.open(PHOTOS / "02.jpg").convert("RGB")
            pictures.append(picture)
            if each:
                each(number, picture)
        return pictures


def prepare(place: KillPlace, base: Path) -> None:
    """Make the character and its run."""
    source = place.home / "source"
    source.mkdir(parents=True)
    for photo in sorted(PHOTOS.iterdir())[:2]:
        shutil.copy(photo, source)
    new_character(place.data, NewCharacter("Mara", "mrxa", "woman", "fictional"), source)
    start_run(place.data, "Mara", TrainingRequest(base, None, SETTINGS, out=place.out, grid_steps=1, few=True))


def finish(place: KillPlace, fill_after: int = 0) -> None:
    """What `resume` does. After so many events the disk is filled; 0 = never."""
    heard = 0

    def watch(*_: Any, **__: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == fill_after:
            fill(place.home)

    grid_run.DiffusersPainter = KilledPainter  # type: ignore[assignment, misc]
    paint_and_score = main_job.paint_and_score  # type: ignore[attr-defined]

    def with_few_cells(run: Any, request: Any, *rest: Any, **more: Any) -> Any:
        return paint_and_score(run, replace(request, count=CELLS), *rest, **more)

    main_job.paint_and_score = with_few_cells  # type: ignore[attr-defined]
    main_job.finish_run(lambda: load_run(place.run), watch=watch)
    print(f"EVENTS {heard}")


def fill(folder: Path) -> None:
    """Leave no byte free on the disk that `folder` lies on."""
    with open(folder / "filler", "wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue


def child(work: Callable[[], None], said: Path, stopped: bool = False) -> int:
    """Do `work` in a process of its own; the number of the process. With `stopped` it waits for SIGCONT."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        with open(said, "w", encoding="utf-8") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        try:
            work()
            code = 0
        except UserError as error:
            print(f"SAID {error}")
            code = REFUSED
        except BaseException:
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """The exit status of a child; negative = the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def traced(work: Callable[[], None], place: KillPlace, *options: str) -> int:
    """Do `work` under strace."""
    pid = child(work, place.said, stopped=True)
    os.waitpid(pid, os.WUNTRACED)
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-p", str(pid), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert strace.stderr is not None
    line = strace.stderr.readline()
    if "attached" not in line:
        os.kill(pid, signal.SIGKILL)
        ended(pid)
        raise SystemExit(f"strace may not trace here: {line.strip()}")
    os.kill(pid, signal.SIGCONT)
    code = ended(pid)
    strace.communicate()
    return code


def result(place: KillPlace) -> dict[str, Any]:
    """What the run came to: of each LoRA the hash of its tensors, and what the report says."""
    found: dict[str, Any] = {}
    for path in (*sorted(place.out.glob("*.safetensors")), *sorted((place.run / "checkpoints").glob("*.safetensors"))):
        check_whole(path)
        found[path.name + path.parent.name] = sshs_model_hash(FileBytes(path))
    found["notes"] = json.loads(next(place.out.glob("*.json")).read_text(encoding="utf-8"))
    found["preview"] = len(list(place.out.glob("*.png")))
    (report,) = (place.run / "grids").glob("*/report.json")
    values = json.loads(report.read_text(encoding="utf-8"))
    found["report"] = {name: values[name] for name in ("verdict", "facts", "subject", "pictures")}
    found["report"]["subject"]["cost"] = values["subject"]["cost"]["bytes"]  # a killed run has taken longer
    return found


def left_in(place: KillPlace) -> list[Path]:
    """Temporary files, and what else should not stay."""
    return [path for folder in (place.data, place.out) for path in folder.rglob("*") if path.name.endswith(".tmp")]


def again(place: KillPlace, expected: dict[str, Any]) -> str:
    """Resume the run; "equal", "said: ..." or what is wrong."""
    for path in left_in(place):
        os.utime(path, (time.time() - 60,) * 2)
    code = ended(child(lambda: finish(place), place.said))
    said = place.said.read_text(encoding="utf-8")
    if code == REFUSED:
        return "said: " + said.rpartition("SAID ")[2].strip()
    if code:
        return f"WRONG: exit {code}: {said[-2000:]}"
    if left := left_in(place):
        return f"WRONG: left {left}"
    return "equal" if result(place) == expected else "WRONG: another result"


def fresh(place: KillPlace, kept: Path) -> None:
    """Put the run back to its beginning."""
    for folder in place.home.iterdir():
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    shutil.copytree(kept, place.home, dirs_exist_ok=True)


def calls_of(place: KillPlace, log: Path) -> dict[str, list[str]]:
    """The files of a run's calls, by kind, in their order."""
    options = ["-o", str(log), "-e", "trace=" + ",".join(CALLS.values())]
    code = traced(lambda: finish(place), place, *options)
    if code:
        raise SystemExit(f"the run failed under strace: {place.said.read_text(encoding='utf-8')[-2000:]}")
    found: dict[str, list[str]] = {name: [] for name in CALLS}
    pids = set()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := re.match(r"(\d+)\s+(fsync|rename|unlink)\w*\((.*)", line):
            pids.add(match[1])
            found[match[2]].append(what(match[3]))
    if len(pids) > 1:
        raise SystemExit("more than one thread writes, so that the calls cannot be counted")
    return found


def what(arguments: str) -> str:
    """Of which kind the file is that a call names."""
    kinds = {
        r"/state/": "state", r"/checkpoints/": "checkpoint", r"/out/": "delivery", r"/grids/": "grid and report",
        r"/cache/": "cache", r"hashes\.json": "cache",
    }  # fmt: skip
    return next((kind for pattern, kind in kinds.items() if re.search(pattern, arguments)), "other")


def kills(
    place: KillPlace, kept: Path, expected: dict[str, Any], found: dict[str, list[str]], log: Path, only: list[str]
) -> list[Any]:
    """A row for each call: (call, number, kind of file, temporary files left, what became of it)."""
    rows = []
    for call in found:
        for number, kind in enumerate(found[call], 1):
            if f"{call}:{kind}" in only and kind in found[call][: number - 1]:
                continue  # only the first of its kind
            if only and not {f"{call}:{number}", f"{call}:{kind}"} & set(only):
                continue
            fresh(place, kept)
            inject = f"inject={CALLS[call]}:signal=KILL:when={number}"
            code = traced(lambda: finish(place), place, "-o", str(log), "-e", f"trace={CALLS[call]}", "-e", inject)
            left = len(left_in(place))
            came = again(place, expected) if code == -signal.SIGKILL else f"WRONG: exit {code}, not killed"
            rows.append((call, number, kind, left, came))
            print(f"{call} {number} of {len(found[call])} ({kind}): {left} left, {came}", flush=True)
    return rows


def fills(place: KillPlace, kept: Path, expected: dict[str, Any], events: int, every: int) -> list[Any]:
    """A row for each event: ("full disk", number, how the run ended, temporary files left, what became of it)."""
    rows = []
    for number in range(1, events + 1, every):
        fresh(place, kept)
        code = ended(child(lambda: finish(place, number), place.said))  # noqa: B023 - done before the next
        said = place.said.read_text(encoding="utf-8")
        how = {0: "finished", REFUSED: said.rpartition("SAID ")[2].strip()}.get(code, f"WRONG: {code} {said[-2000:]}")
        left = len(left_in(place))
        (place.home / "filler").unlink(missing_ok=True)
        came = again(place, expected)
        rows.append(("full disk", number, how, left, came))
        print(f"full after event {number} of {events}: {how} -> {came}", flush=True)
    return rows


def table(rows: list[Any]) -> str:
    """The rows counted, in the columns of docs/faults.md."""
    lines = [
        "| killed at | of | times | bit-identical after resuming | a message | wrong | left temporary files |",
        "|---" * 7 + "|",
    ]
    kinds = Counter((row[0], "any event" if row[0] == "full disk" else row[2]) for row in rows)
    for (call, kind), times in kinds.items():
        mine = [row for row in rows if row[0] == call and (row[2] == kind or call == "full disk")]
        came = Counter(row[4].split(":")[0] for row in mine)
        lines.append(
            f"| {call} | {kind} | {times} | {came['equal']} | {came['said']} | {came['WRONG']} | "
            f"{sum(row[3] > 0 for row in mine)} |"
        )
    return "\n".join(lines)


def main() -> int:
    """See the top of the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, required=True, help="a folder that is made anew")
    options.add_argument("--calls", nargs="*", default=list(CALLS), choices=list(CALLS))
    options.add_argument("--only", nargs="*", default=[], metavar="CALL:N", help="these alone; N: also a kind")
    options.add_argument("--fills", type=int, default=1, metavar="K", help="fill the disk after each K-th event")
    results_file.add_option(options)
    chosen = options.parse_args()
    work: Path = chosen.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    (work / "here").mkdir(parents=True)
    base = toys.write_toy(SD1.name, work / "base.safetensors")
    place, kept, log = KillPlace(work / "here"), work / "kept", work / "strace.txt"
    rows: list[Any] = []
    mounted = chosen.fills and not chosen.only and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place.home)], check=False
    ).returncode == 0  # fmt: skip
    try:
        if ended(child(lambda: prepare(place, base), place.said)):
            raise SystemExit(place.said.read_text(encoding="utf-8"))
        shutil.copytree(place.home, kept)
        found: dict[str, list[str]] = {}
        if chosen.calls and shutil.which("strace"):
            found = {call: calls for call, calls in calls_of(place, log).items() if call in chosen.calls}
        elif ended(child(lambda: finish(place), place.said)):
            raise SystemExit(place.said.read_text(encoding="utf-8"))
        events = int(place.said.read_text(encoding="utf-8").rpartition("EVENTS ")[2])
        expected = result(place)
        if chosen.calls and not found:
            print("strace is not on this machine: no process is killed")
        rows += kills(place, kept, expected, found, log, chosen.only)
        if mounted:
            rows += fills(place, kept, expected, events, chosen.fills)
        elif chosen.fills and not chosen.only:
            print("a tmpfs cannot be mounted (that needs root): no disk is filled")
    finally:
        if mounted:
            subprocess.run(["umount", str(place.home)], check=False)
    print(table(rows))
    results_file.save("kills", rows, chosen.results)
    return any("WRONG" in str(row) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
