"""The scorer that stays: a line in, a line out, whatever the line holds."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from remembering import Remembering

from lib_lora.character.store import Character, Consent, create
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.likeness.report.report import from_values
from lib_lora.workflows.judge import scorer as scorers
from lib_lora.workflows.judge.scorer import Scorer, serve
from lib_lora.workspace.workspace import CharacterFolder

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
NO_JSON = {"error": 'This line is not JSON; send {"image": "PATH"}.'}
WRONG = {"error": 'Send {"image": "PATH"} or {"images": ["PATH", ...]}.'}
PHOTOS = 9


def _character(root: Path, name: str, photos: int) -> CharacterFolder:
    """A character with that many of mara's photos."""
    folder = create(root, Character(name, "mrxa", "woman", Consent("fictional", "2026-11-25")))
    for number in range(photos):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", folder.photos)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data folder with one character of nine photos."""
    root = tmp_path_factory.mktemp("Daten ü 名前")
    _character(root, "Mara ü", PHOTOS)
    return root


@pytest.fixture(scope="module")
def eye() -> Remembering:
    return Remembering(SFaceEngine())


@pytest.fixture(scope="module")
def scorer(root, eye) -> Scorer:
    return Scorer(root, "Mara ü", eye)


def path(persona: str, number: int) -> str:
    return str(PERSONAS / persona / f"{number:02d}.jpg")


def asked(scorer: Scorer, *lines: object) -> list[dict]:
    """The answers to lines; what is no text is sent as JSON."""
    out = io.StringIO()
    serve(scorer, [line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines], out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


# -- one picture


def test_one_picture_is_one_flat_answer(scorer):
    own, other = asked(scorer, {"image": path("mara", 12)}, {"image": path("viktor", 0)})
    assert own["image"] == path("mara", 12)
    assert (own["status"], own["reason"], own["refusal"], own["faces"]) == ("ok", "", "", 1)
    assert own["likeness"] > scorer.judge.lines.photos.lines.keep
    assert own["nearest"] in {f"{number:02d}.jpg" for number in range(PHOTOS)}
    assert own["face"]["px"] > 100
    assert other["status"] == "lost"
    assert other["likeness"] < scorer.judge.lines.photos.lines.same
    assert set(own) == set(other)


def test_what_is_no_picture_says_why(scorer, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "leer ü.png")
    names = [str(tmp_path / name) for name in ("text.jpg", "leer ü.png", "gone.png", ".")]
    found = asked(scorer, *({"image": name} for name in names))
    assert [answer["status"] for answer in found] == ["unreadable", "no face", "unreadable", "unreadable"]
    assert [answer["image"] for answer in found] == names
    assert all(answer["likeness"] is None for answer in found)
    assert found[0]["reason"].startswith("text.jpg is not a readable picture")
    assert "it is not there" in found[2]["reason"]


# -- a set


def test_a_set_is_a_whole_report(scorer, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    images = [*(path("mara", number) for number in range(12, 18)), str(tmp_path / "text.jpg")]
    (found,) = asked(scorer, {"images": images})
    report = from_values(found, "answer")
    assert [row.path for row in report.pictures] == images
    assert [row.status for row in report.pictures] == ["ok"] * 6 + ["unreadable"]
    assert (report.facts.pictures.count, report.facts.pictures.read, report.facts.pictures.counted) == (7, 6, 6)
    assert report.subject.character == "Mara ü"
    assert report.verdict.kind == "consistent"
    assert report.verdict.judged
    assert report.facts.identity.retention == pytest.approx(1, abs=0.15)
    assert report.facts.identity.retention_low < report.facts.identity.retention < report.facts.identity.retention_high


def test_another_person_is_drift(scorer):
    (found,) = asked(scorer, {"images": [path("viktor", number) for number in range(5)]})
    assert (found["verdict"]["kind"], found["verdict"]["drift"]) == ("not this person", True)


def test_a_picture_is_scored_alike_alone_and_in_a_set(scorer):
    alone, together = asked(scorer, {"image": path("mara", 12)}, {"images": [path("mara", 12)] * 2})
    for row in together["pictures"]:
        assert row["score"]["likeness"] == alone["likeness"]
        assert row["status"] == alone["status"]


# -- whatever the line holds


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("no json", NO_JSON),
        ("{", NO_JSON),
        ('{"image": "a"} {"image": "b"}', NO_JSON),
        ("[" * 200_000, NO_JSON),
        ('{"image":' * 50_000, NO_JSON),
        ("1" * 5000, NO_JSON),
        ("\ufeff[]", NO_JSON),
        ("null", WRONG),
        ("NaN", WRONG),
        ("3", WRONG),
        ('"a.png"', WRONG),
        ("[]", WRONG),
        ("{}", WRONG),
        ('{"image": 1}', WRONG),
        ('{"image": null}', WRONG),
        ('{"image": ["a.png"]}', WRONG),
        ('{"images": []}', WRONG),
        ('{"images": "a.png"}', WRONG),
        ('{"images": ["a.png", 1]}', WRONG),
        ('{"images": {"a": "b"}}', WRONG),
        ('{"Image": "a.png"}', WRONG),
        ('{"image": "a\\u0000.png"}', {"error": "'a\\x00.png' cannot be the name of a file."}),
        ('{"images": ["a.png", "b\\u0000"]}', {"error": "'b\\x00' cannot be the name of a file."}),
    ],
)
def test_a_hostile_line_is_answered_with_one_sentence(scorer, line, answer):
    assert asked(scorer, line) == [answer]


def test_half_a_surrogate_pair_is_an_answer_too(scorer):
    """Windows allows it in names, Linux does not; either way it can be written out again."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    serve(scorer, ['{"image": "\\ud800.png"}\n', '{"image": "\\udcff.png"}\n'], out)
    out.seek(0)
    first, second = (json.loads(line) for line in out)
    assert "cannot be the name of a file" in first.get("error", "") or first["status"] == "unreadable"
    assert second["status"] == "unreadable"
    assert second["image"] == "\udcff.png"


def test_a_line_that_is_too_long(scorer):
    assert asked(scorer, '{"image": "' + "a" * scorers.LONGEST + '"}') == [{"error": "The line is too long."}]
    (found,) = asked(scorer, '{"image": "' + "a" * 5000 + '"}')
    assert found["status"] == "unreadable"


def test_one_bad_line_costs_no_other(scorer):
    good = {"image": path("mara", 12)}
    found = asked(scorer, good, "nonsense\n", "\n", "   \n", {"image": "gone.png"}, good)
    assert len(found) == 4  # an empty line asks nothing
    assert found[0] == found[3]
    assert [found[1], found[2]["status"]] == [NO_JSON, "unreadable"]


def test_other_keys_are_let_be_and_an_image_of_a_wrong_kind_does_not_hide_the_set(scorer):
    plain, more, both = asked(
        scorer, {"image": "gone.png"}, {"image": "gone.png", "id": 7}, {"image": 7, "images": ["gone.png"]}
    )
    assert plain == more
    assert both["facts"]["pictures"] == 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["image", "images", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=60), JSON.map(json.dumps)))
def test_any_line_has_an_answer_on_one_line(scorer, line):
    out = io.StringIO()
    serve(scorer, [line], out)
    text = out.getvalue()
    if not line.strip():
        assert text == ""
        return
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1
    answer = json.loads(text)
    assert answer.keys() & {"error", "image", "verdict"}


def test_each_answer_is_sent_at_once(scorer):
    class Watched(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed += 1

    out = Watched()

    def lines():
        for number in range(3):
            assert out.flushed == number
            yield "{}\n"

    serve(scorer, lines(), out)
    assert out.flushed == 3


# -- without lines, without a character


def test_few_photos_give_likeness_without_a_status(root, eye):
    _character(root, "few", 3)
    one, many = asked(Scorer(root, "few", eye), {"image": path("mara", 12)}, {"images": [path("mara", 12)] * 5})
    assert one["likeness"] > 0.6
    assert one["status"] == "unjudged"
    assert one["refusal"].startswith("only 3 photos show a face")
    assert (many["verdict"]["kind"], many["verdict"]["judged"]) == ("not measurable", False)


def test_no_character_and_no_photo_are_one_sentence(root, eye):
    with raises("character-not-found"):
        Scorer(root, "nobody", eye)
    _character(root, "bare", 0)
    with raises("no-measurable-face", has="photo"):
        Scorer(root, "bare", eye)


def test_a_base_model_that_is_gone_or_none_is_one_sentence(root, eye, tmp_path):
    with raises("base-model-missing", has="gone.safetensors"):
        Scorer(root, "Mara ü", eye, base="gone.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"no checkpoint")
    scorer = Scorer(root, "Mara ü", eye, base=str(tmp_path / "none.safetensors"))
    one, many = asked(scorer, {"image": path("mara", 12)}, {"images": [path("mara", 12)]})
    assert list(one) == ["error"]
    assert "none.safetensors" in one["error"]
    assert many == one


# -- as a program


def test_through_the_command_line(root, scorer):
    """Umlauts go in and out whatever the terminal's code page, and nothing but answers is on standard output."""
    lines = [json.dumps({"image": path("mara", 12)}), '{"image": "gelöscht 名前.png"}', "nonsense", ""]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora", "scorer", "Mara ü", "--data", str(root)],
        input="\n".join(lines).encode("utf-8"), capture_output=True, cwd=Path(__file__).parents[3], env=environment,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    first, second, third = (json.loads(line) for line in done.stdout.decode("utf-8").splitlines())
    assert first["likeness"] == pytest.approx(scorer.answer(lines[0])["likeness"], abs=1e-5)
    assert (second["image"], second["status"]) == ("gelöscht 名前.png", "unreadable")
    assert third == NO_JSON


def test_bytes_that_are_no_text_cost_one_line_only(root):
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora", "scorer", "Mara ü", "--data", str(root)],
        input=b'{"image": "M\xfcller.png"}\n{}\n', capture_output=True, cwd=Path(__file__).parents[3], timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert json.loads(done.stdout.splitlines()[1]) == WRONG


def test_the_command_names_a_missing_character(root):
    from lib_lora import cli

    with raises("character-not-found"):
        cli.main(["scorer", "nobody", "--data", str(root)])
