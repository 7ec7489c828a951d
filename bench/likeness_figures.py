"""Measure the figures of docs/likeness.md again, all with one command.

    python bench/likeness_figures.py --work DIR                     everything (most of a day on two cores)
    python bench/likeness_figures.py --work DIR --parts own hidden  some parts; more can follow later
    python bench/likeness_figures.py --work DIR --check             only compare the document with what DIR has

Needs `dlib-bin` and `face-recognition-models`. A part is a command of docs/likeness.md. What it prints lies in
DIR/PART.md, and a part that has that file is not done again, so the command can be stopped and given again. At the end
it says which rows of the document's tables were measured otherwise, and ends with 1 if there are any;
bench/results/likeness has the parts of the document as it stands.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "likeness.md"
STORED = ROOT / "bench" / "results" / "likeness"
TRAINED = ("{work}/try/characters/mara", "{work}/clara/clara.safetensors")
CLARA = ("run", "tests/data/personas/clara", "--base", "tests/data/mini-face/mini-face.safetensors", "--name", "clara",
         "--trigger", "clrx", "--class", "woman", "--consent", "fictional", "--grid-steps", "0")  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A command whose output has figures of the document, or that makes what others need.

    Attributes:
        words: of the command after `python`; {work} is the folder of the results.
        before: the parts that have to be there first.
        makes: a file or folder that it leaves in the folder of the results.
    """

    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    makes: str = ""


PARTS: Mapping[str, Part] = {
    "simulate": Part(("bench/likeness.py", "--simulate", "--draws", "160")),
    "own": Part(("bench/likeness.py", "--own", "--draws", "320")),
    "photos": Part(("bench/likeness.py", "--photos")),
    "hidden": Part(("bench/likeness.py", "--hidden")),
    "agreement": Part(("bench/second_recogniser.py", "--agreement")),
    "together": Part(("bench/second_recogniser.py", "--together")),
    "choosing": Part(("bench/choosing.py", "--repeats", "1")),
    "combining": Part(("bench/combining.py",)),
    "broken": Part(("bench/combining.py", "--repeats", "0", "--broken", "300")),
    "try": Part(("-m", "lib_lora", "try", "--no-open", "--data", "{work}/try"), makes=TRAINED[0]),
    "clara": Part(("-m", "lib_lora", *CLARA, "--data", "{work}/clara", "--out", "{work}/clara"), makes=TRAINED[1]),
    "obedience": Part(("bench/obedience.py", f"{TRAINED[0]}/runs/001/grids/001"), ("try",)),
    "painted": Part(
        ("bench/combining.py", "--repeats", "0", "--broken", "0", "--data", "{work}/try", "--noise", "3", "6",
         "--lora", TRAINED[1]),
        ("try", "clara"),
    ),
    "choices": Part(("bench/real_choices.py", "--work", "{work}/choices")),
    "advice": Part(("bench/advice.py", "--work", "{work}/advice")),
    "time": Part(("bench/likeness.py", "--time")),
}  # fmt: skip


def order(asked: Sequence[str]) -> list[str]:
    """The parts asked for, each after what it needs, each once."""
    found: dict[str, None] = {}
    for name in asked:
        found |= dict.fromkeys([*order(PARTS[name].before), name])
    return list(found)


def measure(name: str, work: Path) -> bool:
    """Do a part, unless it is done; whether its figures are there now."""
    part, kept = PARTS[name], work / f"{name}.md"
    if kept.exists() and (not part.makes or Path(part.makes.format(work=work)).exists()):
        return True
    words = [word.format(work=work) for word in part.words]
    print(f"{name}: python {' '.join(words)}", file=sys.stderr, flush=True)
    if not words[0].startswith("-"):
        words += ["--results", str(work / f"{name}.json")]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=where, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        print(f"{name} ended with {done.returncode}", file=sys.stderr, flush=True)
        return False
    kept.write_text(done.stdout.replace(f"{ROOT}{os.sep}", ""), encoding="utf-8")
    return True


def tables(markdown: str) -> dict[str, list[str]]:
    """The rows of all tables in a text, by their line of headings; tables with the same headings are put together."""
    found: dict[str, list[str]] = {}
    heading = ""
    for before, line in zip(["", *markdown.splitlines()], markdown.splitlines(), strict=False):
        if not line.startswith("|"):
            heading = ""
        elif not heading:
            heading = line
        elif before != heading or set(line) - set("|-: "):  # not the line below the headings
            found.setdefault(heading, []).append(line)
    return found


def differing(document: str, measured: Sequence[str]) -> list[str]:
    """Rows of the document's tables that were measured otherwise: in no output that has a table with these headings."""
    known: dict[str, set[str]] = {}
    for text in measured:
        for heading, rows in tables(text).items():
            known.setdefault(heading, set()).update(rows)
    return [row for heading, rows in tables(document).items() if heading in known
            for row in rows if row not in known[heading]]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--check", action="store_true", help="measure nothing")
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    asked = [] if options.check else order(options.parts)
    failed = [name for name in asked if not measure(name, work)]
    outputs = [path.read_text(encoding="utf-8") for path in sorted(work.glob("*.md"))]
    rows = differing(DOCUMENT.read_text(encoding="utf-8"), outputs)
    print("\n".join(["Measured otherwise than in the document:", *rows] if rows else ["All rows are as measured."]))
    return 1 if failed or rows else 0


if __name__ == "__main__":
    sys.exit(main())
