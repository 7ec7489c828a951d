"""The sentences of findings and of problems with captions, as people read them: each once for each outlet."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from lib_lora.captions import caption_check, caption_words
from lib_lora.captions.caption_check import Problem
from lib_lora.photos.audit.finding_words import beside_photo, kind, sentence
from lib_lora.photos.audit.findings import Code, Finding

GOLDEN = Path(__file__).with_name("golden_sentences.txt")
DETAILS = {
    "reason": "a.jpg is damaged (it ends too soon); replace or remove it.", "faces": 3, "width": 340, "height": 300,
    "resolution": 512, "other": "b.jpg", "likeness": 0.12, "usual": 0.57, "left_out": True, "missing": ["no close-up"],
}  # fmt: skip
MEASURED = {"several-faces": (0.5, 0.3), "cut-off-face": (0.84, 0.85), "white-areas": (0.16, 0.15), "writing": (12, 5),
            "black-areas": (0.16, 0.15), "one-background": (0.45, 0.4), "one-outfit": (0.45, 0.4), "one-light": (8, 12),
            "same-picture": (0.984, 0.97), "same-moment": (0.961, 0.95), "another-person": (0.12, 0.4),
            "unusual-view": (None, None), "unclear-face": (0.12, 0.4), "several-people": (2, 1)}  # fmt: skip
OF_SET = [*get_args(Code)][-8:]
PROBLEMS = [
    Problem("a.jpg", "caption-unreadable", {"reason": "The caption of a.jpg is no text."}),
    Problem("a.jpg", "caption-missing"),
    Problem("a.jpg", "trigger-missing", {"trigger": "mrxa"}, ("caption", "Mara", "--add", "mrxa woman")),
    Problem("a.jpg", "too-many-tokens", {"tokens": 90, "limit": 75}),
    Problem("", "captions-identical", {"captions": 12}, ("caption", "Mara", "--fill")),
    Problem("", "constant-phrase", {"phrase": "hat", "count": 20, "captions": 20}),
]


def _finding(code: Code) -> Finding:
    details = {**DETAILS, "people": [{"photos": 12, "like": "a.jpg"}, {"photos": 9, "like": "x.jpg"}]}
    if code == "missing-views":
        details["photos"] = 16
    value, limit = MEASURED.get(code, (40, 50))
    return Finding("" if code in OF_SET else "a.jpg", code, "look", value, limit, details)


def _lines() -> list[str]:
    lines = []
    for code in get_args(Code):
        finding = _finding(code)
        lines += [f"{code} ({kind(code)})", f"  terminal: {sentence(finding)}"]
        lines += [] if code in OF_SET else [f"  card: {beside_photo(finding)}"]
    for problem in PROBLEMS:
        command = caption_words.command(problem).partition(": ")[0]
        lines += [problem.code, f"  page: {caption_words.sentence(problem)}"]
        lines += [f"  terminal also: {command}"] if command else []
    return lines


def test_the_sentences_are_those_that_were_read() -> None:
    assert _lines() == GOLDEN.read_text(encoding="utf-8").splitlines()


def test_every_problem_of_a_caption_has_words() -> None:
    assert [problem.code for problem in PROBLEMS] == [*get_args(caption_check.Code)]
