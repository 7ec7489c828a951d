"""Productions, with a painter and a judge that are only pretended: what is painted, again, never twice, and counted."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from become_true import eventually
from faults import raises
from PIL import Image

from lib_lora.character.store import Character, create
from lib_lora.errors import UserError
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.provenance.source_type import says_generated
from lib_lora.provenance.xmp_files import xmp_of
from lib_lora.workflows.produce import produce_command, production_store
from lib_lora.workflows.produce.picture_check import Checked
from lib_lora.workflows.produce.produce import Producer
from lib_lora.workflows.produce.production import ProductionPlan, cell_of, has_words, seed_of, similar
from lib_lora.workflows.produce.production_export import export
from lib_lora.workflows.produce.production_page import write_page
from lib_lora.workflows.produce.production_stats import as_text, stats_of
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workflows.produce.prompts.wildcards import Wildcards

LORA = Path("mara.safetensors")
PLAN = ProductionPlan(
    "001", 100, 1.0, "0" * 64, [PromptRow("in a café"), PromptRow("at the sea")], count=6, tries=3, side=64,
    trigger="mrxa", before="photo of mrxa woman",
)  # fmt: skip


class FakePainter:
    """Paints the seed as a colour, and notes what it was asked for."""

    def __init__(self, dies_after=None):
        self.cells, self.dies_after = [], dies_after

    def paint(self, cells, each=None):
        for number, cell in enumerate(cells):
            if self.dies_after is not None and len(self.cells) >= self.dies_after:
                raise UserError("The painter has died.", code="painter-died")
            self.cells.append(cell)
            each(number, Image.new("RGB", (8, 8), (cell.seed % 256, cell.seed // 256 % 256, 0)))


class FakeCheck:
    """Judges by the seed: those in `bad` fail, with the reason given there."""

    def __init__(self, bad=None):
        self.bad, self.seen, self.threads = bad or {}, [], set()

    def __call__(self, path):
        self.threads.add(threading.get_ident())
        red, green, _ = Image.open(path).convert("RGB").getpixel((0, 0))
        seed = red + 256 * green
        self.seen.append(path.name)
        reason = self.bad.get(seed, "")
        return Checked(reason, "", ImageScore(path.name, 0.2 if reason else 0.8, "", 1), seed << 8)


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path, Character(name="Mara", trigger="mrxa", class_word="woman"))


def produced(made, painter=None, check=None, stopping=lambda: False, together=2, in_turn=lambda: False):
    painter, check, said = painter or FakePainter(), check or FakeCheck(), []
    producer = Producer(
        made,
        LORA,
        lambda: painter,
        lambda: check,
        Wildcards(),
        lambda kind, **fields: said.append(fields),
        stopping,
        together,
        in_turn=in_turn,
    )
    return producer.run(), painter, check, said


def test_every_item_gets_a_picture(folder):
    made = production_store.make(folder, PLAN)
    progress, painter, check, said = produced(made)
    assert [one.item for one in progress.kept] == [1, 2, 3, 4, 5, 6]
    prompts = [cell.prompt for cell in painter.cells]
    assert prompts == ["photo of mrxa woman, in a café", "photo of mrxa woman, at the sea"] * 3
    assert len({cell.seed for cell in painter.cells}) == 6
    assert threading.get_ident() not in check.threads  # judged beside the painting
    assert (said[-1]["done"], said[-1]["total"], said[-1]["kept"], said[-1]["failed"]) == (6, 6, 6, 0)
    again, painter, check, _ = produced(made)
    assert (len(again.kept), painter.cells, check.seen) == (6, [], [])


def test_what_fails_is_painted_again_with_another_seed_up_to_a_limit(folder):
    bad = {seed_of(PLAN, 2, 1): "lost", seed_of(PLAN, 4, 1): "no face"}
    bad |= {seed_of(PLAN, 5, attempt): "below the line" for attempt in (1, 2, 3)}
    progress, painter, _, said = produced(production_store.make(folder, PLAN), check=FakeCheck(bad))
    assert [one.item for one in progress.kept] == [1, 2, 3, 4, 6]
    assert progress.given_up() == [5]
    assert [one.attempt for one in progress.tried[2]] == [1, 2]
    assert len(painter.cells) == 6 + 1 + 1 + 2
    assert len({cell.seed for cell in painter.cells}) == 10
    second = [cell for cell in painter.cells if cell.prompt.endswith("at the sea")]
    assert len({cell.prompt for cell in second}) == 1  # the same words
    assert (said[-1]["kept"], said[-1]["failed"], said[-1]["painted"]) == (5, 1, 10)


@pytest.mark.parametrize(("in_turn", "waited"), [(True, True), (False, False)])
def test_a_painter_on_the_same_processor_waits_for_the_judging(folder, in_turn, waited):
    class Watched(FakeCheck):
        def __call__(self, path):
            done = super().__call__(path)
            more = len(self.seen) if in_turn else len(self.seen) + 1  # as many as are painted meanwhile, if any may be
            eventually(lambda: len(painter.cells) >= min(more, 6))
            painted.append(len(painter.cells))
            return done

    painter, painted = FakePainter(), list[int]()
    progress, _, check, _ = produced(
        production_store.make(folder, PLAN), painter, Watched(), together=6, in_turn=lambda: in_turn
    )
    assert len(progress.kept) == 6
    assert (painted == [1, 2, 3, 4, 5, 6]) is waited
    assert threading.get_ident() not in check.threads  # the face engine's networks belong to the judge's thread


@pytest.mark.parametrize(("painter", "device", "shares"), [(None, "cpu", True), (None, "cuda", False), ("", "", False)])
def test_which_painter_computes_on_the_same_processor(painter, device, shares, monkeypatch):
    monkeypatch.setattr(produce_command.distributed, "device", lambda: SimpleNamespace(type=device))
    assert produce_command.shares_processor(None if painter is None else FakePainter()) is shares


def test_what_was_judged_around_a_judge_that_failed_is_noted(folder, monkeypatch):
    class Fails(FakeCheck):
        def __call__(self, path):
            if path.name == "00005-01.png":
                raise UserError("The judge has failed.", code="judge-failed")
            return super().__call__(path)

    written = []
    note = ProductionFolder.note
    monkeypatch.setattr(ProductionFolder, "note", lambda made, *ones: (written.append(len(ones)), note(made, *ones)))
    made = production_store.make(folder, PLAN)
    with raises("judge-failed"):
        produced(made, check=Fails(), together=6, in_turn=lambda: True)
    assert written == [4, 1]
    assert [one.item for one in made.progress().kept] == [1, 2, 3, 4, 6]
    progress, painter, _, _ = produced(made)
    assert (len(progress.kept), painter.cells) == (6, [])


@pytest.mark.parametrize("dies_after", range(6))
def test_a_painter_that_dies_loses_nothing(folder, dies_after):
    made = production_store.make(folder, PLAN)
    first = FakePainter(dies_after=dies_after)
    with raises("painter-died"):
        produced(made, first)
    assert len(made.progress().kept) == dies_after  # what was painted is judged and noted
    progress, second, _, _ = produced(made)
    assert len(progress.kept) == 6
    assert len(first.cells) + len(second.cells) == 6
    assert {cell.seed for cell in first.cells} & {cell.seed for cell in second.cells} == set()


def test_stopping_ends_after_the_picture(folder):
    made, painter = production_store.make(folder, PLAN), FakePainter()
    with raises("painting-stopped"):
        produced(made, painter, stopping=lambda: len(painter.cells) == 3, together=4)
    assert len(made.progress().kept) == 3
    progress, rest, _, _ = produced(made)
    assert (len(progress.kept), len(rest.cells)) == (6, 3)


def test_what_the_user_decides_meanwhile_counts_at_once(folder):
    bad = {seed_of(PLAN, 1, attempt): "lost" for attempt in (1, 2, 3)}
    made = production_store.make(folder, PLAN)

    class Deciding(FakePainter):
        def paint(self, cells, each=None):
            super().paint(cells, each)
            if not made.decisions():  # the first two are there, judged or not
                made.decide({"00001-01.png": "keep", "00002-01.png": "drop"})

    progress, painter, _, said = produced(made, Deciding(), FakeCheck(bad))
    tries = {item: len(progress.tried[item]) for item in (1, 2)}
    assert tries == {1: 1, 2: 2}  # none after what is kept by hand, another one in place of what is dropped
    assert (said[-1]["kept"], said[-1]["failed"], progress.done) == (6, 0, 6)
    assert len(painter.cells) == progress.painted


def test_a_picture_that_was_painted_and_not_judged_is_judged(folder):
    made = production_store.make(folder, PLAN)
    produced(made)
    lines = made.log.read_bytes().splitlines(keepends=True)
    made.log.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while it wrote
    progress, painter, check, _ = produced(made)
    assert (len(progress.kept), painter.cells, len(check.seen)) == (6, [], 3)
    assert len(made.progress().kept) == 6


def test_a_picture_that_vanished_is_painted_again(folder):
    made = production_store.make(folder, PLAN)
    produced(made)
    gone = made.progress().kept[2]
    (made.pictures / gone.file).unlink()
    (made.pictures / "99999-01.png").write_bytes(b"not ours")
    (made.pictures / "notes.png").write_bytes(b"not ours")
    progress, painter, _, _ = produced(made)
    assert [cell.seed for cell in painter.cells] == [gone.seed]
    assert len(progress.kept) == 6


def test_tries_that_vanished_are_painted_again_where_they_were(folder):
    bad = {seed_of(PLAN, 1, attempt): "lost" for attempt in (1, 2, 3)}
    made = production_store.make(folder, PLAN)
    produced(made, check=FakeCheck(bad))
    for attempt in (1, 2):
        (made.pictures / f"00001-0{attempt}.png").unlink()
    assert made.progress().next_attempt(1) == 1
    good = {seed_of(PLAN, 1, attempt): "lost" for attempt in (1, 3)}
    progress, painter, _, _ = produced(made, check=FakeCheck(good))
    assert [cell.seed for cell in painter.cells] == [seed_of(PLAN, 1, 1), seed_of(PLAN, 1, 2)]
    assert [one.attempt for one in progress.kept if one.item == 1] == [2]
    assert made.progress().next_attempt(1) == 0  # the newest line of a picture counts


def test_a_log_of_nonsense_is_passed_over(folder):
    made = production_store.make(folder, PLAN)
    produced(made)
    good = made.log.read_bytes().splitlines()[0]
    lines = [b"[1", b"[]", b"{}", good, good, b"\xff\xfe", b"x" * 70_000, json.dumps({"item": -1}).encode()]
    lines += [good.replace(b'"item": 1', b'"item": 2')]
    made.log.write_bytes(b"\n".join(lines) + b"\n")
    assert [one.item for one in made.progress().kept] == [1]


def test_a_plan_that_is_damaged_is_one_sentence(folder):
    made = production_store.make(folder, PLAN)
    path = made.path / production_store.PLAN_FILE
    for content in ("[1", "[]", '{"version": 2}', '{"version": 1, "plan": {"run": 1}}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(UserError):
            made.plan()


def test_productions_are_numbered_and_found(folder):
    first, second = production_store.make(folder, PLAN), production_store.make(folder, replace(PLAN, seed=5))
    assert [one.id for one in production_store.productions(folder)] == ["002", "001"]
    assert production_store.named(folder, "1").path == first.path
    assert production_store.named(folder, "").path == second.path
    assert second.plan() == replace(PLAN, seed=5)
    with raises("production-not-found"):
        production_store.named(folder, "3")


def test_what_a_prompt_asks_for_goes_before_what_the_production_has():
    row = PromptRow("a {red|blue} coat, MRXA", "bad", 7, 96, 128, 0.5, 9, 3.0)
    plan = replace(PLAN, prompts=[row, PromptRow("x")], count=4)
    cell = cell_of(plan, 1, 2, LORA, Wildcards())
    assert (cell.negative, cell.seed, cell.width, cell.height) == ("bad", 8, 96, 128)
    assert (cell.weight, cell.steps, cell.cfg) == (0.5, 9, 3.0)
    assert not cell.prompt.startswith("photo of")  # it has the trigger word itself
    assert cell_of(plan, 1, 1, LORA, Wildcards()).prompt == cell.prompt
    assert seed_of(plan, 3, 1) == 7 + plan.tries  # the list begins anew with other seeds
    plain = cell_of(plan, 2, 1, LORA, Wildcards())
    assert (plain.width, plain.weight, plain.negative) == (64, 1.0, PLAN.negative)


@pytest.mark.parametrize(
    ("prompt", "has"),
    [
        ("a mrxa woman", True),
        ("(mrxa:1.2)", True),
        ("Mrxa,", True),
        ("mrxas", False),
        ("xmrxa mrxa", True),
        ("", False),
    ],
)
def test_the_trigger_is_known_as_a_word(prompt, has):
    assert has_words(prompt, "mrxa") is has


def test_seeds_are_never_used_twice():
    plan = replace(PLAN, count=50, tries=4, seed=2**32 - 20)
    seeds = [seed_of(plan, item, attempt) for item in range(1, 51) for attempt in range(1, 5)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_the_numbers(folder):
    bad = {seed_of(PLAN, 2, 1): "lost", seed_of(PLAN, 4, 1): "lost"}
    bad |= {seed_of(PLAN, 6, attempt): "no face" for attempt in (1, 2, 3)}
    made = production_store.make(folder, PLAN)
    progress, _, _, _ = produced(made, check=FakeCheck(bad))
    stats = stats_of(progress)
    assert (stats.wanted, stats.begun, stats.kept, stats.given_up, stats.painted) == (6, 6, 5, 1, 10)
    assert stats.first_try.value == 3 / 6
    assert stats.tries == 10 / 5
    assert stats.reasons == [("no face", 3), ("lost", 2)]
    assert stats.likeness == (0.8, 0.8, 0.8)
    assert [(one.prompt, one.kept, one.items) for one in stats.prompts] == [("in a café", 3, 3), ("at the sea", 2, 3)]
    assert sum(passed + failed for _, _, passed, failed in stats.histogram) == 10
    text = as_text(stats)
    assert "5 of 6 pictures are kept; 10 were painted." in text
    assert "2 of 3 kept: at the sea (no face)" in text
    page = write_page(made.path, "Mara <1>", stats).read_text(encoding="utf-8")
    assert "Mara &lt;1&gt;" in page
    assert "at the sea" in page
    nothing = stats_of(production_store.make(folder, PLAN).progress())
    assert (nothing.first_try, nothing.tries, nothing.likeness, nothing.histogram) == (None, None, None, [])
    write_page(made.path, "x", nothing)


def test_pictures_that_are_nearly_the_same_are_a_pile(folder):
    made = production_store.make(folder, PLAN)
    kept = produced(made)[0].kept
    hashes = [0, 1, 3, (1 << 40) - 1, (1 << 40) - 1, None]
    shown = [replace(one, hash="" if it is None else f"{it:016x}") for one, it in zip(kept, hashes, strict=True)]
    assert [[one.item for one in pile] for pile in similar(shown, 6)] == [[1, 2, 3], [4, 5], [6]]


def test_an_export_loses_what_is_dropped(folder, tmp_path):
    made = production_store.make(folder, PLAN)
    progress, _, _, _ = produced(made)
    out = tmp_path / "out"
    export(made, "Mara", progress.kept, out)
    (out / "mara-001-own.png").touch()
    made.decide({"00002-01.png": "drop"})
    export(made, "Mara", made.progress().kept, out)
    names = {path.name for path in out.iterdir()}
    assert names.isdisjoint({"mara-001-00002.png", "mara-001-00002.txt"})
    assert {"mara-001-00001.png", "mara-001-00001.txt", "mara-001-own.png"} <= names
    assert says_generated(xmp_of(out / "sheet-001.jpg"))


def test_what_passed_is_copied_with_captions(folder, tmp_path):
    plan = replace(PLAN, prompts=[PromptRow("=1+1, mrxa"), PromptRow("名前, mrxa")], count=2)
    made = production_store.make(folder, plan)
    kept = produced(made)[0].kept
    out = export(made, "Mara Müller", kept, tmp_path / "aus ü")
    names = sorted(path.name for path in out.iterdir())
    pictures = [f"mara-müller-001-0000{n}.{ending}" for n in (1, 2) for ending in ("png", "txt")]
    assert names == sorted([*pictures, "pictures-001.csv", "pictures-001.json", "sheet-001.jpg"])
    assert (out / "mara-müller-001-00002.txt").read_text(encoding="utf-8") == "名前, mrxa"
    table = (out / "pictures-001.csv").read_text(encoding="utf-8-sig")
    assert "'=1+1, mrxa" in table  # no formula
    rows = json.loads((out / "pictures-001.json").read_text(encoding="utf-8"))
    assert [row["seed"] for row in rows] == [one.seed for one in kept]
    assert Image.open(out / "sheet-001.jpg").size == (320, 160)
    source = Image.open(made.pictures / kept[0].file)
    assert Image.open(out / pictures[0]).text == source.text  # how it was painted, and that it was
    with raises("production-empty"):
        export(made, "Mara", [], tmp_path / "none")
    (made.pictures / kept[0].file).unlink()
    with raises("file-missing"):
        export(made, "Mara", kept, out)
