"""Writes messages.json beside it: messages as the routes send them, each with its English.

Run it where a sentence was reworded: `python tests/javascript/make_messages.py`; with "-" it only prints them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers" / "pictures")]

from finding_examples import PROBLEMS, findings  # noqa: E402
from report_toys import FACTS, facts_by_name  # noqa: E402

from lib_lora.captions import caption_words  # noqa: E402
from lib_lora.likeness.measure.refusals import LineRefusal  # noqa: E402
from lib_lora.likeness.report.four_numbers import four_numbers  # noqa: E402
from lib_lora.likeness.verdict import prompt_adherence, verdict  # noqa: E402
from lib_lora.likeness.verdict.facts import Facts, flat  # noqa: E402
from lib_lora.likeness.verdict.prompt_adherence import Missed  # noqa: E402
from lib_lora.messages.message import Message  # noqa: E402
from lib_lora.photos.audit import finding_words  # noqa: E402

NUMBERS = [
    ("{n}", 3), ("{n}", 1234567), ("{n:,}", 1234567), ("{n:g}", 0.8), ("{n:g}", 3.0), ("{n:g}", 0.123456789),
    ("{n:.2f}", 0.5), ("{n:.2f}", 0.125), ("{n:+.2f}", 0.031), ("{n:+.3f}", -0.05), ("{n:.1f}", 2.25),
    ("{n:.0f}", 12.5), ("{n:.0%}", 0.914), ("{n:.1%}", 0.0347), ("{n:.0%}", 1),
    ("{n:.0%}", 23 / 40), ("{n:.2f}", 0.155), ("{n:.1%}", 0.0005), ("{n:.3f}", 0.0125), ("{n:.0%}", 0.125),
    ("{n:g}", 0.1234565), ("{n:+.2f}", -0.005), ("{n:.0f}", 0.0), ("{n:,.0f}", 1234567.5),
    *(("{n:.0%}", k / 40) for k in range(40)),
]  # fmt: skip
MISSED = Missed("turned head", 8, 7, 3, [], 6, 5)


def messages() -> list[Message]:
    """Of each kind that there is."""
    small = facts_by_name(**{**flat(FACTS), "counted": 20, "read": 20, "faces": 20})
    said = []
    for facts in (small, Facts(refusal=LineRefusal("too-few-photos", {"count": "7", "least": "8"}))):
        made = verdict.judge(facts)
        of = verdict.messages(made, facts)
        assert of is not None
        said += [of.headline, of.because, of.advice, *of.notes]
        said += [part for one in four_numbers(facts) for part in (one.label, one.meaning, one.why_not) if part]
    return [
        *map(finding_words.message, findings()),
        *map(caption_words.message, PROBLEMS),
        *said,
        prompt_adherence.message(MISSED),
        *(Message(template, {"n": number}) for template, number in NUMBERS),
    ]


def main() -> None:
    """Print or write them."""
    rows = [{"english": str(one), "message": one.for_programs()} for one in messages()]
    text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["-"]:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        sys.stdout.write(text)
    else:
        Path(__file__).with_name("messages.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
