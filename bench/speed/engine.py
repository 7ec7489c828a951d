"""How fast and how large the engine is on this machine, with a full-size base model: loading, starting, stepping.

    python bench/speed/engine.py [--only load start step] [--precision fp32 bf16] [--work DIR] [--base FILE] [--json]
    python bench/speed/engine.py --only whole --precision bf16 --batch 8  on a GPU: a LoRA from its photos
    python bench/speed/engine.py --only whole --precision bf16 --batch 4 --family sdxl

Makes a checkpoint with the real widths and random numbers once (2.1 GB in --work, SDXL 6.9 GB; speed and memory do not
depend on what the numbers are). Every measurement is a fresh process, so that none finds the memory, the imports
or the caches of another. How each number is taken:

load   The time of `identify` and of each part's loader, imports excluded. "Cold": the file's pages were dropped from
       the system's cache before (Linux only), and the process did read the file's bytes from the disk.
       Memory: the highest resident size of the process, minus its resident size with all imports done and nothing
       loaded, against the bytes of the tensors kept. The file is read, not mapped, so its cache does not count.
start  From the start of `python -m lib_lora run` on 24 photos to its events, first without any cache, then again
       (base model's hash and the first photos' latents remembered). The file cache is warm in both.
step   The command's own training with the family's preset, rank 32, batch 1 unless told otherwise: time between
       "step" events, and the most memory (of the GPU, or of the process).
whole  The command from its start to its end, once, in a new data folder: 24 photos, until --images pictures have been
       seen, with the checkpoints and sample pictures of the preset, without the test grid. The checkpoint may be in
       the file cache. Hours on a processor.

Beside each number stand the seconds of processor time it took ("processor": summed over all cores), and "others": the
share of the machine's processor time that other programs took meanwhile. Above a few percent the wall-clock times say
little; the processor time, shared among the cores, is about what a free machine would need, since the command's
threads soon sleep while they wait (`GOMP_SPINCOUNT`; ``python bench/speed/busy.py`` says what that is worth).

Knows the program only as a user does, but for the loaders. Knows nothing of quality.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from bench import results_file  # noqa: E402
from bench.machine import MachineWatch, describe, disk_bytes, drop_file_cache  # noqa: E402
from lib_lora.models.families.sd1 import SD1  # noqa: E402
from lib_lora.models.families.sdxl import SDXL  # noqa: E402

PHOTOS = ROOT / "tests" / "data" / "personas" / "mara"
KINDS = {"sd15": SD1, SDXL.name: SDXL}  # the families that are measured, by their names in the results
PHASES = {  # what is done until an event; the event that ends it
    "imports, photos, hashes": ("state", "preparing"),
    "sizes of photos": ("data", None),
    "text encoder, UNet, adapter": ("state", "training"),
    "first step": ("step", None),
}
WARM_UP = 2  # steps that are not counted: the allocator and oneDNN's caches settle


def main() -> int:
    """Run the parts that were asked for and print what they gave."""
    options = _options()
    if options.child:
        print(json.dumps(measure_load(options.base, options.precision[0])))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a measured run is ended with this program
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    base = options.base or full_size_base(work, options.family)
    result: dict[str, Any] = {"machine": describe(), "base": base.name, "base_bytes": base.stat().st_size}
    if "load" in options.only:
        result["load"] = [
            load(base, dtype, cold, options.repeat)
            for dtype in dict.fromkeys(["fp16", *options.precision])
            for cold in ((True, False) if sys.platform == "linux" else (False,))
        ]
    orders = [Order(base, options.family, precision, options.batch, options.set) for precision in options.precision]
    if "start" in options.only:
        result["start"] = start(orders[0], work, options.repeat)
    if "step" in options.only:
        result["step"] = [step(order, work, options.steps) for order in orders]
    if "whole" in options.only:
        result["whole"] = [whole(order, work, options.images) for order in orders]
    print(json.dumps(result, indent=2) if options.json else table(result))
    results_file.save("engine", result, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parts = ("load", "start", "step")
    parser.add_argument("--only", nargs="+", choices=(*parts, "whole"), default=parts, help="which parts to measure")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp16"), default=["fp32", "bf16"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "sameface-bench"), help="cache folder")
    parser.add_argument("--family", choices=KINDS, default="sd15", help="of the base model")
    parser.add_argument("--base", type=Path, help="measure with this checkpoint instead of random numbers")
    parser.add_argument("--batch", type=int, default=1, help="pictures a step, not of load")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of the training")
    parser.add_argument("--repeat", type=int, default=3, help="processes for each number of load and start")
    parser.add_argument("--steps", type=int, default=5, help="steps that are counted")
    parser.add_argument("--images", type=int, default=2000, help="pictures seen by a whole training")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    results_file.add_option(parser)
    options = parser.parse_args()
    if "whole" in options.only and options.images <= options.batch:
        parser.error("--images must be more than --batch: a pace is what lies between two steps")
    return options


def full_size_base(work: Path, kind: str = "sd15") -> Path:
    """The full-size SD1.5 or SDXL ("sdxl") of random numbers, made if it is not there."""
    path = work / f"{kind}-full-random.safetensors"
    if not path.exists():
        import toys

        write, size = {SD1: (toys.write_full_sd1, 2.1), SDXL: (toys.write_full_sdxl, 6.9)}[KINDS[kind]]
        say(f"Writing {path} ({size} GB, once) ...")
        write(path)
    return path


def say(text: str) -> None:
    """Progress, kept apart from the result."""
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------------- load


def load(base: Path, precision: str, cold: bool, repeat: int) -> dict[str, Any]:
    """Load the base in fresh processes; the median of each number."""
    runs = []
    for _ in range(repeat):
        if cold:
            drop_file_cache(base)
        command = [sys.executable, str(Path(__file__)), "--child", "--base", str(base), "--precision", precision]
        answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        runs.append(json.loads(answer.stdout))
        say(f"load {precision}: {runs[-1]['all']:.1f} s")
    from_disk = statistics.median(run["disk_bytes"] for run in runs) / base.stat().st_size
    middle = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    cache = "cold" if from_disk > 0.9 else "partly cold" if from_disk > 0.1 else "warm"
    return {
        "file_cache": cache if sys.platform == "linux" else "unknown",
        "kept_as": precision,
        **middle,
        "slowest": max(run["all"] for run in runs),
    }


def measure_load(base: Path, precision: str) -> dict[str, float]:
    """Load all parts in this process, in the order of a training run.

    Returns:
        Seconds of each part, of all, and of the processor; the others' share; bytes of the tensors, of the peak above
        the bare interpreter, of that interpreter, and read from the disk; the peak's ratio to the tensors.
    """
    import torch

    from lib_lora.models.families.identify import identify
    from lib_lora.models.fast.memory import peak_bytes
    from lib_lora.training.plan.train_settings import Precision
    from lib_lora.training.precision import dtype_of

    cpu, dtype, process = torch.device("cpu"), dtype_of(cast("Precision", precision)), psutil.Process()
    bare, disk, watch = process.memory_info().rss, disk_bytes(process), MachineWatch(process)
    seconds: dict[str, float] = {}

    def timed(name: str, make: Any) -> Any:
        start = time.perf_counter()
        made = make()
        seconds[name] = time.perf_counter() - start
        return made

    info = timed("identify", lambda: identify(base))
    modules = [
        timed("vae", lambda: info.load_vae(dtype, cpu)),
        *timed("text", lambda: info.load_text(dtype, cpu).encoders),
        timed("unet", lambda: info.load_denoiser(dtype, cpu)),
    ]
    used = watch.read()
    tensors = sum(tensor.nbytes for module in modules for tensor in [*module.parameters(), *module.buffers()])
    peak = peak_bytes(cpu) - bare
    return {
        **seconds,
        "all": sum(seconds.values()),
        "processor": used["processor"],
        "others_percent": used["others_percent"],
        "tensor_bytes": tensors,
        "peak_bytes": peak,
        "bare_bytes": bare,
        "disk_bytes": disk_bytes(process) - disk,
        "peak_ratio": peak / tensors,
    }


# ----------------------------------------------------------------------------------------------- start, step, whole


@dataclass(frozen=True)
class Order:
    """What is trained.

    Attributes:
        base: the checkpoint.
        family: one of `KINDS`, which is the checkpoint's.
        precision: of the base model's numbers.
        batch: pictures a step.
        more: further settings, "key=value".
    """

    base: Path
    family: str
    precision: str
    batch: int
    more: Sequence[str]


def command(order: Order, data: Path, steps: int, checkpoints: bool = False) -> list[str]:
    """The user's own command, without the grid at the end; with the preset's checkpoints, or with the last alone."""
    settings = [f"precision={order.precision}", f"batch_size={order.batch}", "lora.rank=32"]
    settings += [] if checkpoints else [f"save_every={steps}"]
    words = [sys.executable, "-m", "lib_lora", "run", str(PHOTOS), "--base", str(order.base)]
    words += [
        "--preset",
        next(iter(KINDS[order.family].presets)),
        "--name",
        "mara",
        "--trigger",
        "mrxa",
        "--class",
        "woman",
    ]
    words += ["--consent", "fictional", "--data", str(data), "--out", str(data / "out")]
    words += ["--steps", str(steps), "--grid-steps", "0"]
    return [*words, *(word for setting in [*settings, *order.more] for word in ("--set", setting))]


def events_of(order: Order, data: Path, steps: int) -> list[dict[str, Any]]:
    """The events of a run up to its step number `steps`; then the run is killed.

    Each has the seconds since the command ("t"), and a step what `Watch` read since the command when it was seen.
    """
    from lib_lora.runs.events import read_events

    known = set(data.glob("characters/*/runs/*/events.jsonl"))
    log = data / f"bench-{len(known)}.txt"
    data.mkdir(parents=True, exist_ok=True)
    began = time.time()
    with _running(command(order, data, steps + 1), log) as child:
        watch = MachineWatch(psutil.Process(child.pid))
        used: list[dict[str, float]] = []
        while child.poll() is None:
            time.sleep(0.05)
            events = [event for path in set(data.rglob("events.jsonl")) - known for event in read_events(path)]
            done = [event for event in events if event["kind"] == "step"]
            used += [watch.read()] * (len(done) - len(used))
            if len(done) >= steps:
                for event, reading in zip(done, used, strict=True):
                    event.update(reading)
                return [{**event, "t": event["t"] - began} for event in events]
    raise _early(log)


@contextmanager
def _running(words: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose words go to `log`; it ends with the block."""
    with open(log, "wb") as stream:
        child = subprocess.Popen(words, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
        try:
            yield child
        finally:
            child.kill()
            child.wait()


def _early(log: Path) -> SystemExit:
    return SystemExit(f"The run ended early:\n{log.read_text(encoding='utf-8', errors='replace')}")


def start(order: Order, work: Path, repeat: int) -> list[dict[str, Any]]:
    """Seconds from the command to the end of each phase: without caches, and with them."""
    fresh: list[dict[str, float]] = []
    again: list[dict[str, float]] = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            for runs in (fresh, again):
                runs.append(_phases(events_of(order, Path(folder, "data"), 1)))
                say(f"start {order.precision}: {runs[-1]['first step']:.1f} s")
    return [
        {
            "caches": name,
            "precision": order.precision,
            **{key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]},
        }
        for name, runs in (("none", fresh), ("filled", again))
    ]


def _phases(events: list[dict[str, Any]]) -> dict[str, float]:
    """When each phase ended, in seconds since the command; processor time and the others' share until the end."""

    def ends(kind: str, state: str | None) -> Iterator[float]:
        return (event["t"] for event in events if event["kind"] == kind and event.get("state") == state)

    used = {key: events[-1][key] for key in ("processor", "others_percent")}
    return {**{phase: next(ends(*mark)) for phase, mark in PHASES.items()}, **used}


def step(order: Order, work: Path, count: int) -> dict[str, Any]:
    """Seconds a step and peak memory of a training run."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        events = [event for event in events_of(order, Path(folder, "data"), WARM_UP + count) if event["kind"] == "step"]
    counted = list(itertools.pairwise(events))[WARM_UP - 1 :]
    seconds = [later["t"] - earlier["t"] for earlier, later in counted]
    processor = [later["processor"] - earlier["processor"] for earlier, later in counted]
    say(f"step {order.precision}: {statistics.median(seconds):.1f} s")
    return {
        "precision": order.precision,
        "batch": order.batch,
        "seconds": round(statistics.median(seconds), 2),
        "fastest": round(min(seconds), 2),
        "slowest": round(max(seconds), 2),
        "steps": len(seconds),
        "processor": round(statistics.median(processor), 2),
        "others_percent": round(events[-1]["others_percent"], 2),
        "peak_bytes": events[-1]["peak_memory"],
    }


def whole(order: Order, work: Path, images: int) -> dict[str, Any]:
    """Seconds from the command to its first step, its last step and its end, and what lies between the steps."""
    from lib_lora.runs.events import read_events

    with tempfile.TemporaryDirectory(dir=work) as folder:
        data, log = Path(folder, "data"), Path(folder, "log.txt")
        steps, began = math.ceil(images / order.batch), time.time()
        with _running(command(order, data, steps, checkpoints=True), log) as child:
            watch = MachineWatch(psutil.Process(child.pid))
            used = watch.read()
            while child.poll() is None:
                time.sleep(0.05)
                with suppress(psutil.NoSuchProcess):  # it has ended since
                    used = watch.read()
            ended = time.time()
            if child.returncode:
                raise _early(log)
        events = [event for path in data.rglob("events.jsonl") for event in read_events(path)]
        checkpoints = len(list(data.glob("characters/*/runs/*/checkpoints/*.safetensors")))
    done = [event for event in events if event["kind"] == "step"]
    times = [event["t"] - began for event in done]
    median = statistics.median(later - earlier for earlier, later in itertools.pairwise(times))
    say(f"whole {order.family}, {order.precision}: {ended - began:.1f} s")
    return {
        "family": order.family,
        "precision": order.precision,
        "batch": order.batch,
        "steps": len(done),
        "first step": round(times[0], 2),
        "last step": round(times[-1], 2),
        "end": round(ended - began, 2),
        "seconds": round(median, 4),
        "images_per_second": round(order.batch / median, 2),
        "checkpoints": checkpoints,
        "processor": round(used["processor"], 1),
        "others_percent": round(used["others_percent"], 2),
        "peak_bytes": done[-1]["peak_memory"],
    }


# ------------------------------------------------------------------------------------------------------------ table


def table(result: dict[str, Any]) -> str:
    """The result as plain text."""
    lines = ["  ".join(f"{key} {value}" for key, value in result["machine"].items())]
    lines.append(f"base {result['base']}, {result['base_bytes'] / 1e9:.2f} GB; times in seconds, sizes in GB (10^9)")
    for part in ("load", "start", "step", "whole"):
        if part in result:
            rows = [{key: _cell(key, value) for key, value in row.items()} for row in result[part]]
            widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
            lines += ["", part, "  ".join(key.rjust(width) for key, width in widths.items())]
            lines += ["  ".join(row[key].rjust(width) for key, width in widths.items()) for row in rows]
    return "\n".join(lines)


def _cell(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return f"{value / 1e9:.2f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
