"""Measure the figures of docs/likeness.md again, all with one command.

    python bench/verdict/likeness_figures.py --work DIR                     everything (hours: some parts train)
    python bench/verdict/likeness_figures.py --work DIR --parts own hidden  some parts; more can follow later
    python bench/verdict/likeness_figures.py --work DIR --check             only compare the document with what DIR has

Needs `dlib-bin` and `face-recognition-models`. A part is a command of docs/likeness.md. What it prints is kept in
DIR/PART.md, and a part that has that file is not done again, so the command can be stopped and given again. At the end
the tables of the parts are compared with those of the document; where they differ, it ends with 1. Not compared are
seconds, figures that the document has in its text, and the two studies of many trainings (advice, choices), whose
tables are made of the rows in bench/results. bench/results/likeness has the other parts of the document as it stands.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
        in_document: whether what it prints are tables that the document must have.
    """

    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    makes: str = ""
    in_document: bool = True


PARTS: Mapping[str, Part] = {
    "simulate": Part(("bench/verdict/likeness.py", "--simulate", "--draws", "160")),
    "own": Part(("bench/verdict/likeness.py", "--own", "--draws", "320")),
    "photos": Part(("bench/verdict/likeness.py", "--photos")),
    "hidden": Part(("bench/verdict/likeness.py", "--hidden")),
    "agreement": Part(("bench/second_recogniser.py", "--agreement")),
    "together": Part(("bench/second_recogniser.py", "--together")),
    "choosing": Part(("bench/verdict/choosing.py", "--repeats", "1")),
    "combining": Part(("bench/verdict/combining.py",)),
    "try": Part(("-m", "lib_lora", "try", "--no-open", "--data", "{work}/try"), makes=TRAINED[0],
                in_document=False),
    "clara": Part(("-m", "lib_lora", *CLARA, "--data", "{work}/clara", "--out", "{work}/clara"), makes=TRAINED[1],
                  in_document=False),
    "obedience": Part(("bench/verdict/obedience.py", f"{TRAINED[0]}/runs/001/grids/001"), ("try",)),
    "class pictures": Part(("bench/verdict/class_pictures.py", "--work", "{work}/class"), in_document=False),
    "class pictures again": Part(
        ("bench/verdict/class_pictures.py", "--work", "{work}/class", "--seed", "2"),
        ("class pictures",),
        in_document=False,
    ),
    "without class pictures": Part(  # the table of all three
        ("bench/verdict/class_pictures.py", "--work", "{work}/class", "--seed", "2", "--cases", "without"),
        ("class pictures", "class pictures again"),
    ),
    "painted": Part(
        ("bench/verdict/combining.py", "--repeats", "0", "--broken", "0", "--data", "{work}/try", "--noise", "3", "6",
         "--lora", TRAINED[1]),
        ("try", "clara"),
    ),
    "choices": Part(("bench/verdict/real_choices.py", "--work", "{work}/choices"), in_document=False),
    "mended": Part(("bench/verdict/mended_pictures.py",)),
    "traces": Part(("bench/verdict/vae_traces.py",)),
    "choosing traces": Part(("bench/verdict/vae_traces.py", "--choosing"), in_document=False),
    "advice": Part(("bench/verdict/advice.py", "--work", "{work}/advice"), in_document=False),
    "time": Part(("bench/verdict/likeness.py", "--time"), in_document=False),
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
    heading, lines = "", markdown.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("|"):
            heading = ""
        elif _is_rule(following):
            heading = line
            found.setdefault(heading, [])
        elif heading and not _is_rule(line):
            found[heading].append(line)
    return found


def _is_rule(line: str) -> bool:
    """Whether it is the line below a table's headings."""
    return line.startswith("|") and not set(line) - set("|-: ")


def differing(document: str, measured: Mapping[str, str]) -> list[str]:
    """What the tables of the measured parts and those of the document do not have in common, a line each."""
    told = tables(document)
    found = []
    for name, text in measured.items():
        for heading, rows in tables(text).items():
            if heading not in told:
                found.append(f"{name}: no table with the headings {heading}")
            elif told[heading] != rows:
                found += [f"{name}, only measured: {row}" for row in rows if row not in told[heading]]
                found += [f"{name}, only in the document: {row}" for row in told[heading] if row not in rows]
                if sorted(told[heading]) == sorted(rows):
                    found.append(f"{name}: another order of the rows below {heading}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--check", action="store_true", help="measure nothing")
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    names = order(options.parts)
    failed = [] if options.check else [name for name in names if not measure(name, work)]
    compared = [name for name in names if PARTS[name].in_document]
    there = {name: (work / f"{name}.md").read_text(encoding="utf-8") for name in compared
             if (work / f"{name}.md").exists()}  # fmt: skip
    found = differing(DOCUMENT.read_text(encoding="utf-8"), there)
    found += [f"{name}: not measured" for name in compared if name not in there]
    print("\n".join(found or ["The tables of " + ", ".join(there) + " are those of the document."]))
    return 1 if failed or found else 0


if __name__ == "__main__":
    sys.exit(main())
