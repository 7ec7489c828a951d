"""This engine against the plain way to train a LoRA (bench/speed/plain.py), step by step on the same machine.

    python bench/speed/race.py                                    a full-size SD1.5 of random numbers (2.1 GB in --work)
    python bench/speed/race.py --base FILE --cases sd15-1-text sd15-4 --precision bf16
    python bench/speed/race.py --cases sdxl-1 --checkpointing     a full-size SDXL of random numbers (6.9 GB in --work)
    python bench/speed/race.py --cases sd15-1 --batch 1 2 4 8 16  which batch gives the most pictures a second
    python bench/speed/race.py --apart                            where memory does not hold both at once

A case is FAMILY-BATCH, with -text where the text encoders are trained too. Both racers train the same base with the
same photos, sides, rank, batch, precision, rates and AdamW, and plain mean squared error. Each is a process of its own
that loads everything and does its first steps uncounted, one process after the other; then both are asked in turn for
one step at a time, and the one that waits sleeps. So whatever else the machine does meets both. The numbers:

seconds   of a step, by its own process's clock (on a GPU after waiting for it): median, fastest, slowest.
first     From the process's start to the end of its first step, with imports, photos, latents and, in the engine, the
          hashes that a run keeps. On a CPU the engine encodes only the photos of the first step before it, the plain
          loop all: that is order, not speed. The base lies in the system's file cache if that holds it; nothing else
          is cached.
peak      The most memory of the process so far: on a GPU what torch allocated there, else resident memory (which Linux
          never gives as less than what the process that started it had: under 1 GB here, so it matters to toys only).
GFLOP     What one plain step has to compute in matrix products (bench/speed/plain.py: counted, not timed), the same for
          both.
share     GFLOP / seconds / the machine's best with a product of 2048 x 2048 matrices in the case's precision, taken
          before and after the race (the better one counts). An emulated bf16 is compared with emulated products.
others    Share of all cores that other programs took during the counted steps: above a few percent, measure again.

Knows the engine as `sameface run` uses it: a character, a run, its session, its loop. Knows nothing of quality.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from bench import results_file  # noqa: E402
from bench.machine import MachineWatch, describe  # noqa: E402
from bench.speed.engine import KINDS, PHOTOS, full_size_base, say  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.photos.new_character import NewCharacter  # noqa: E402

RACERS = ("engine", "plain")
WARM_UP = 2  # steps that are not counted: the allocator and oneDNN's caches settle
PAUSE = 0.3  # seconds before a step: the other racer's threads, which wait in a busy loop for a moment, fall asleep
PEAK_SIDE, PEAK_SECONDS = 2048, 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the races that were asked for and print what they gave."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.child:
        return serve(options.child)
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the racers are ended with this program
    cases = [case for text in options.cases for case in parse(text, options.batch, parser)]
    options.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": describe(), "races": []}
    for case in dict.fromkeys(cases):
        base = base_of(case, options, parser)
        for precision in options.precision:
            result["races"].append(race(case, base, precision, options))
    result["device"] = _device_name()
    print(json.dumps(result, indent=2) if options.json else table(result))
    results_file.save("race", result, options.results)
    return 0 if all("seconds" in row[who] for row in result["races"] for who in RACERS) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=["sd15-1-text", "sd15-1", "sd15-4-text"], help="what is trained")
    parser.add_argument("--batch", nargs="+", type=int, help="each case with these batches in place of its own")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--steps", type=int, default=5, help="steps of each that are counted")
    parser.add_argument("--rank", type=int, default=32, help="of the adapter; alpha is half of it")
    parser.add_argument("--resolution", type=int, default=0, help="side in pixels; 0 = the base model's own")
    parser.add_argument("--photos", type=int, default=4, help="how many photos there are")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations, in both")
    parser.add_argument("--apart", action="store_true", help="one racer after the other, as memory does not hold both")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "sameface-bench"), help="cache folder")
    parser.add_argument("--base", type=Path, help="train on this checkpoint instead of random numbers")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--child", choices=RACERS, help=argparse.SUPPRESS)
    results_file.add_option(parser)
    return parser


@dataclass(frozen=True)
class RaceCase:
    """What is trained: "sd15" or "sdxl", pictures a step, and whether the text encoders are trained too."""

    family: str
    batch: int
    text: bool

    @property
    def name(self) -> str:
        """As it is typed."""
        return f"{self.family}-{self.batch}" + ("-text" if self.text else "")


def parse(text: str, batches: Sequence[int] | None, parser: argparse.ArgumentParser) -> list[RaceCase]:
    """A case's name as cases, one for each batch."""
    found = re.fullmatch(rf"({'|'.join(KINDS)})-(\d+)(-text)?", text)
    sizes = batches or ([int(found[2])] if found else [])
    if not found or min(sizes) < 1:
        parser.error(f"{text!r} is no case; write {' or '.join(KINDS)}, a batch and perhaps -text: sd15-1-text")
    return [RaceCase(found[1], size, bool(found[3])) for size in sizes]


def base_of(case: RaceCase, options: argparse.Namespace, parser: argparse.ArgumentParser) -> Path:
    """The checkpoint of a case, which is of its family."""
    from lib_lora.models.families.identify import identify

    if options.base is None:
        return full_size_base(options.work, case.family)
    found = identify(options.base).family
    if found != KINDS[case.family].name:
        parser.error(
            f"{options.base.name} is of the family {found}; the case {case.name} needs {KINDS[case.family].name}"
        )
    return Path(options.base)


# ------------------------------------------------------------------------------------------------ a racer's own process


class Racer(Protocol):
    """Something that trains one step at a time."""

    def step(self) -> float:
        """One optimizer step; gives its loss."""
        ...


class EngineLoop:
    """The engine's own loop on a run like a user's, in a data folder of its own."""

    def __init__(self, recipe: Any, folder: Path) -> None:
        from bench.speed.plain import CLASS, TRIGGER
        from lib_lora.training.loop import _Loop, _Position
        from lib_lora.training.session import open_session
        from lib_lora.workflows.photos.new_character import new_character
        from lib_lora.workflows.train.prepare import start_run

        photos = [Path(photo) for photo in recipe.photos]
        new_character(folder, NewCharacter("mara", TRIGGER, CLASS, "fictional"), photos)
        run = start_run(folder, "mara", TrainingRequest(Path(recipe.base), None, engine_settings(recipe), few=True))
        self.loss = float("nan")
        self.loop = _Loop(open_session(run, self._hear), self._hear, _Position())

    def step(self) -> float:
        """One optimizer step; gives its loss."""
        self.loop.step()
        return self.loss

    def _hear(self, kind: str, **fields: Any) -> None:
        if kind == "step":
            self.loss = fields["loss"]


def engine_settings(recipe: Any) -> dict[str, Any]:
    """A recipe as the engine's settings: nothing but what the plain loop does too."""
    return {
        "precision": recipe.precision,
        "optimizer": "adamw",
        "batch_size": recipe.batch,
        "resolution": recipe.resolution,
        "steps": 1000,  # never reached
        "save_every": 1000,
        "samples": 0,
        "lr_schedule": "constant",
        "warmup": 0.0,
        "unet_lr": recipe.unet_lr,
        "te_lr": recipe.text_lr if recipe.text else 0.0,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": recipe.checkpointing,
        "seed": recipe.seed,
        "lora": {"rank": recipe.rank, "alpha": recipe.alpha, "te": recipe.text},
        "objective": {"noise_offset": 0.0, "min_snr_gamma": 0.0},
    }


def serve(who: str) -> int:
    """A racer's process: a recipe comes in on standard input, then one line for each step; each is answered by a line.

    What libraries print must not get between the answers, so the standard output they see is the standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    order = json.loads(sys.stdin.readline())

    from bench.speed.plain import PlainRecipe

    recipe = PlainRecipe(**{**order["recipe"], "photos": tuple(order["recipe"]["photos"])})
    with contextlib.ExitStack() as kept:
        _take_steps(who, recipe, Path(order["folder"]), answers, kept)
    return 0


def _take_steps(who: str, recipe: Any, folder: Path, answers: IO[str], kept: contextlib.ExitStack) -> None:
    """Load, warm up, say so, and then take a step for each line that comes."""
    from bench.speed.plain import PlainLoop
    from lib_lora.models.fast.memory import freed_is_kept, peak_bytes
    from lib_lora.training import distributed

    device = distributed.device()
    racer: Racer = EngineLoop(recipe, folder) if who == "engine" else PlainLoop(recipe, device)
    for number in range(WARM_UP):
        timed = timed_step(racer, device)
        if number == 0:
            print(json.dumps(timed), file=answers)
            if isinstance(racer, EngineLoop):
                racer.loop.encode_all()  # as a run does after its first step
                kept.enter_context(freed_is_kept(device))
    print(json.dumps({"ready": True}), file=answers)
    for _ in sys.stdin:  # ends with the parent
        print(json.dumps({**timed_step(racer, device), "peak_bytes": peak_bytes(device)}), file=answers)


def timed_step(racer: Racer, device: Any) -> dict[str, float]:
    """One step: its seconds and its loss."""
    synchronize(device)
    began = time.perf_counter()
    loss = racer.step()
    synchronize(device)
    return {"seconds": time.perf_counter() - began, "loss": loss}


def synchronize(device: Any) -> None:
    """Wait until a GPU has done all it was told, so that the clock tells the truth."""
    import torch

    if device.type in ("cuda", "mps", "xpu"):
        getattr(torch, device.type).synchronize()


# -------------------------------------------------------------------------------------------------------- the race


class RacerDiedError(Exception):
    """A racer's process has ended; one sentence."""


@dataclass
class Child:
    """A racer's process as its parent sees it.

    Attributes:
        who: "engine" or "plain".
        process: of the racer.
        log: its standard error.
        began: when it was started, by this process's clock.
        first: seconds from its start to the end of its first step.
        steps: what it answered for each counted step.
        others: for each of them its wall-clock seconds, and the percentage of all cores that others took.
    """

    who: str
    process: subprocess.Popen[str]
    log: IO[bytes]
    began: float
    first: float = 0.0
    steps: list[dict[str, float]] = field(default_factory=list)
    others: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def start(cls, who: str, recipe: Any, folder: Path, log: IO[bytes]) -> Child:
        """Start a racer and tell it what to train; `prepare` must follow."""
        command = [sys.executable, str(Path(__file__).resolve()), "--child", who]
        pipe, began = subprocess.PIPE, time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=log, text=True, encoding="utf-8", bufsize=1
        )
        child = cls(who, process, log, began)
        child._tell({"recipe": asdict(recipe), "folder": str(folder)})
        return child

    def prepare(self) -> None:
        """Wait until it has loaded and is warm."""
        self._answer()
        self.first = time.perf_counter() - self.began
        self._answer()
        say(f"{self.who}: first step after {self.first:.1f} s")

    def step(self) -> None:
        """Let it do one step that counts."""
        time.sleep(PAUSE)
        watch = MachineWatch(psutil.Process(self.process.pid))
        self._tell({"step": len(self.steps)})
        self.steps.append(self._answer())
        used = watch.read()
        self.others.append((used["wall"], used["others_percent"]))
        say(f"{self.who}: step {len(self.steps)}, {self.steps[-1]['seconds']:.2f} s")

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with contextlib.suppress(OSError):  # a line that it did not take
                    stream.close()

    def _tell(self, line: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead, and `_answer` says so
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.log.seek(0)
            last = self.log.read().decode("utf-8", errors="replace").strip().splitlines()[-3:]
            raise RacerDiedError(f"The process of {self.who!r} ended with code {code}: {' | '.join(last) or 'no word'}")
        answer: dict[str, float] = json.loads(line)
        return answer


def race(case: RaceCase, base: Path, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """One case in one precision: what both racers needed, and what it should have taken."""
    from bench.speed.plain import PlainRecipe, count_flops
    from lib_lora.models.families.identify import identify

    photos = sorted(PHOTOS.glob("*.jpg"))[: options.photos]
    recipe = PlainRecipe(
        base=str(base.resolve()),
        photos=tuple(str(photo) for photo in photos),
        batch=case.batch,
        text=case.text,
        precision=precision,  # type: ignore[arg-type]
        resolution=options.resolution or identify(base).resolution,
        rank=options.rank,
        alpha=options.rank / 2,
        checkpointing=options.checkpointing,
    )
    say(f"{case.name} {precision}, {recipe.resolution} pixels: counting, then the machine's best product")
    flops, before = count_flops(recipe), peak_flops(precision)
    read_once(base)
    children, errors = _run(recipe, options)
    after = peak_flops(precision)
    shares = {child.who: _racer(child, case.batch, flops, max(before, after)) for child in children if child.steps}
    row: dict[str, Any] = {
        "case": case.name,
        "precision": precision,
        "batch": case.batch,
        "base": base.name,
        "resolution": recipe.resolution,
        "rank": recipe.rank,
        "checkpointing": recipe.checkpointing,
        "together": not options.apart,
        "flops": flops,
        "peak_flops_before": before,
        "peak_flops_after": after,
        **{who: {"error": errors[who]} if who in errors else shares[who] for who in RACERS},
    }
    if not errors:
        engine, plain = row["engine"], row["plain"]
        row |= {f"{key}_ratio": plain[key] / engine[key] for key in ("seconds", "peak_bytes", "first_step")}
    return row


def _run(recipe: Any, options: argparse.Namespace) -> tuple[list[Child], dict[str, str]]:
    """Both racers, taking turns or one after the other; what ended any of them early."""
    children: list[Child] = []
    errors: dict[str, str] = {}
    for group in [[who] for who in RACERS] if options.apart else [list(RACERS)]:
        with contextlib.ExitStack() as stack:
            racing: list[Child] = []
            for who in group:
                # on Windows a file may still be held for a moment by a process that was ended
                folder = stack.enter_context(tempfile.TemporaryDirectory(dir=options.work, ignore_cleanup_errors=True))
                log = stack.enter_context(tempfile.TemporaryFile())
                child = Child.start(who, recipe, Path(folder), log)
                stack.callback(child.end)
                if _alive(child, child.prepare, errors):
                    racing.append(child)
            for number in range(options.steps):
                for child in racing[:: 1 if number % 2 == 0 else -1]:  # neither is always the first
                    if child.who not in errors:
                        _alive(child, child.step, errors)
            children += racing
    return children, errors


def _alive(child: Child, act: Callable[[], None], errors: dict[str, str]) -> bool:
    """Let a racer act; its death is written down, and the other goes on."""
    try:
        act()
    except RacerDiedError as error:
        errors[child.who] = str(error)
        say(str(error))
        return False
    return True


def _racer(child: Child, batch: int, flops: int, peak: float) -> dict[str, float]:
    seconds = [step["seconds"] for step in child.steps]
    median = statistics.median(seconds)
    wall = sum(each for each, _ in child.others)
    return {
        "seconds": median,
        "fastest": min(seconds),
        "slowest": max(seconds),
        "steps": len(seconds),
        "first_step": child.first,
        "peak_bytes": child.steps[-1]["peak_bytes"],
        "images_per_second": batch / median,
        "flops_per_second": flops / median,
        "share": flops / median / peak,
        "loss": child.steps[-1]["loss"],
        "others_percent": sum(each * others for each, others in child.others) / wall,
    }


def peak_flops(precision: str) -> float:
    """The machine's FLOP/s in a product of two square matrices: the best of at least three within some seconds."""
    import torch

    from lib_lora.models.fast.products import product
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of

    device, best = distributed.device(), float("inf")
    left, right = (torch.randn(PEAK_SIDE, PEAK_SIDE, device=device).to(dtype_of(precision)) for _ in range(2))  # type: ignore[arg-type]
    end, runs = time.perf_counter() + PEAK_SECONDS, 0
    while runs < 3 or time.perf_counter() < end:
        synchronize(device)
        began = time.perf_counter()
        if runs % 2:  # torch has two libraries for it, and either may be the faster
            product(left, right)
        else:
            left @ right
        synchronize(device)
        best, runs = min(best, time.perf_counter() - began), runs + 1
    return 2.0 * PEAK_SIDE**3 / best


def read_once(path: Path) -> None:
    """Read a file, so that the racer that starts first does not fetch it from the disk for the other."""
    piece = bytearray(1 << 24)
    with open(path, "rb") as stream:
        while stream.readinto(piece):
            pass


def _device_name() -> str:
    from lib_lora.training.distributed import device_name

    return device_name()


# ------------------------------------------------------------------------------------------------------------ table


def table(result: dict[str, Any]) -> str:
    """The result as plain text: Markdown's tables."""
    lines = ["  ".join(f"{key} {value}" for key, value in result["machine"].items())]
    rows = result["races"]
    bases = ", ".join(dict.fromkeys(row["base"] for row in rows))
    ways = {True: "taking turns", False: "one after the other"}
    lines.append(f"on {result['device']}; base {bases}; racers {ways[rows[0]['together']]}; GB = 10^9 bytes")
    both = [(row, who) for row in rows for who in RACERS]
    lines += ["", *_markdown([_racer_cells(row, who) for row, who in both])]
    lines += ["", "plain / engine (above 1 the engine is better)", "", *_markdown([_ratio_cells(row) for row in rows])]
    lines += [f"{row['case']} {row['precision']}: {row[who]['error']}" for row, who in both if "error" in row[who]]
    return "\n".join([*lines, "", *_best(rows)])


def _racer_cells(row: dict[str, Any], who: str) -> dict[str, str]:
    its = row[who]

    def cell(key: str, form: str = "{:.2f}", per: float = 1.0) -> str:
        return form.format(its[key] / per) if key in its else "-"

    return {
        "case": row["case"],
        "pixels": str(row["resolution"]),
        "precision": row["precision"],
        "batch": str(row["batch"]),
        "who": who,
        "s/step": cell("seconds", "{:.3f}"),
        "fastest": cell("fastest", "{:.3f}"),
        "slowest": cell("slowest", "{:.3f}"),
        "first s": cell("first_step", "{:.1f}"),
        "peak GB": cell("peak_bytes", per=1e9),
        "images/s": cell("images_per_second", "{:.3f}"),
        "GFLOP/s": cell("flops_per_second", "{:.1f}", 1e9),
        "share %": cell("share", "{:.1f}", 0.01),
        "loss": cell("loss", "{:.4f}"),
        "others %": cell("others_percent", "{:.1f}"),
    }


def _ratio_cells(row: dict[str, Any]) -> dict[str, str]:
    def ratio(key: str) -> str:
        return f"{row[key]:.3f}" if key in row else "-"

    return {
        "case": row["case"],
        "precision": row["precision"],
        "checkpointing": "yes" if row["checkpointing"] else "no",
        "s/step": ratio("seconds_ratio"),
        "peak": ratio("peak_bytes_ratio"),
        "first": ratio("first_step_ratio"),
        "GFLOP a step": f"{row['flops'] / 1e9:.1f}",
        "best product, GFLOP/s before": f"{row['peak_flops_before'] / 1e9:.1f}",
        "after": f"{row['peak_flops_after'] / 1e9:.1f}",
    }


def _markdown(rows: list[dict[str, str]]) -> Iterator[str]:
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    yield "| " + " | ".join(key.ljust(width) for key, width in widths.items()) + " |"
    yield "|" + "|".join("-" * (width + 2) for width in widths.values()) + "|"
    for row in rows:
        yield "| " + " | ".join(row[key].rjust(width) for key, width in widths.items()) + " |"


def _best(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The case of each racer with the most pictures a second."""
    for who in RACERS:
        done = [row for row in rows if "images_per_second" in row[who]]
        if done:
            best = max(done, key=lambda row: float(row[who]["images_per_second"]))
            speed = best[who]["images_per_second"]
            yield f"{who}: at most {speed:.3f} images/s, with {best['case']} in {best['precision']}"


if __name__ == "__main__":
    sys.exit(main())
