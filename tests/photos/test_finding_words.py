"""The sentences of findings and of problems with captions, as people read them: each once for each outlet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from finding_examples import OF_SET, PROBLEMS, findings
from finding_examples import finding as example
from message_templates import templates_of

from lib_lora.captions import caption_check, caption_words
from lib_lora.photos.audit import finding_words
from lib_lora.photos.audit.finding_words import beside_photo, kind, message, sentence
from lib_lora.photos.audit.findings import Code

GOLDEN = Path(__file__).with_name("golden_sentences.txt")


def _lines() -> list[str]:
    lines = []
    for code in get_args(Code):
        finding = example(code)
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


def test_what_a_translator_gets_is_all_that_is_said() -> None:
    said = {template for one in findings() for template in templates_of(message(one).for_programs())}
    assert said <= {*finding_words.templates()}
    assert {caption_words.message(one).template for one in PROBLEMS} == {*caption_words.templates()}


def test_a_message_carries_what_was_measured() -> None:
    one = message(example("several-faces"))
    assert (one.code, one.for_programs()["values"]) == ("several-faces", {"faces": 3, "value": 0.5, "limit": 0.3})
    unlike = message(example("another-person")).for_programs()["values"]
    assert (unlike["likeness"], unlike["reach"]["values"]) == (0.12, {"limit": 0.4})


def test_the_name_of_a_file_is_never_part_of_a_template() -> None:
    name = "{value} {0} {reason!r} <img src=x onerror=alert(1)>.jpg"
    for code in get_args(Code):
        hostile = example(code, name, other=name, reason=name, people=[{"photos": 12, "like": name}])
        assert name not in "".join(templates_of(message(hostile).for_programs()))
        assert (name in sentence(hostile)) == ("a.jpg" in sentence(example(code)) or "b.jpg" in sentence(example(code)))
    for problem in PROBLEMS:
        assert str(caption_words.message(replace(problem, photo=name))).replace(
            name, "a.jpg"
        ) == caption_words.sentence(problem)
