"""The test grid's cells."""

from collections import Counter
from pathlib import Path

import pytest

from lib_lora.character.store import Character, Consent
from lib_lora.grid.cells import base_cells, leak_cells, test_cells, with_lora
from lib_lora.grid.prompts import LEAK, PROMPTS, QUICK
from lib_lora.likeness.comparing import weight_curve

MARA = Character("Mara", "mrxa", "woman", Consent("fictional", "2026-11-25"))


def test_a_curve_knows_how_many_prompts_there_are():
    assert len(PROMPTS) == weight_curve.PROMPTS


def test_twenty_cells_with_own_prompts_and_seeds():
    cells = test_cells(MARA, 512)
    assert len(cells) == len(PROMPTS) == 20
    assert (
        len({cell.prompt for cell in cells}) == len({cell.seed for cell in cells}) == len({c.name for c in cells}) == 20
    )
    assert all("mrxa woman" in cell.prompt for cell in cells)
    assert all(cell.lora is None for cell in cells)


def test_the_prompts_vary_what_a_face_must_survive():
    kinds = Counter(attribute.partition(":")[0] for prompt in PROMPTS for attribute in prompt.attributes)
    assert set(kinds) == {"expression", "outfit", "light", "setting", "style", "length"}
    for prompts in (PROMPTS, PROMPTS[:QUICK]):
        assert {prompt.framing for prompt in prompts} == {"close", "half", "full"}
        assert {prompt.angle for prompt in prompts} == {"front", "turned"}
    assert min(Counter(prompt.framing for prompt in PROMPTS).values()) >= 4


@pytest.mark.parametrize(("side", "height"), [(64, 64), (128, 128), (512, 768), (1024, 1536)])
def test_a_whole_body_gets_height_where_the_model_can_paint_it(side, height):
    for cell in test_cells(MARA, side):
        assert (cell.width, cell.height) == (side, height if cell.framing == "full" else side)


def test_more_cells_than_prompts_begin_again_with_other_seeds():
    cells = test_cells(MARA, 512, first_seed=5000, count=23)
    assert [cell.seed for cell in cells] == list(range(5000, 5023))
    assert [cell.prompt for cell in cells[20:]] == [cell.prompt for cell in cells[:3]]


def test_the_leak_is_asked_with_the_lora_and_without_the_trigger():
    cells = with_lora(test_cells(MARA, 512), Path("x.safetensors"), 0.8)
    leak = leak_cells(cells, MARA)
    assert [cell.name for cell in leak] == [one.name for one in LEAK]
    assert all("mrxa" not in cell.prompt and cell.lora == Path("x.safetensors") for cell in leak)
    assert all(" woman" in cell.prompt and cell.weight == 0.8 for cell in leak)


def test_the_leak_is_asked_in_words_of_no_caption_and_no_other_prompt():
    """A LoRA with class pictures kept the character out of their one caption: leak 0.23 there, 0.55 in other words."""
    openings = {" ".join(one.text.split()[:2]) for one in PROMPTS}
    for one in LEAK:
        assert "photo of" not in one.text
        assert " ".join(one.text.split()[:2]) not in openings
    assert len({one.text for one in LEAK}) >= 4


def test_the_base_is_asked_for_the_class_with_all_else_the_same():
    cells = with_lora(test_cells(MARA, 512), Path("x.safetensors"), 0.8)
    base = base_cells(cells, MARA)
    assert {(cell.lora, cell.weight) for cell in cells} == {(Path("x.safetensors"), 0.8)}
    for ours, theirs in zip(cells, base):
        assert theirs.lora is None
        assert theirs.prompt == ours.prompt.replace("mrxa woman", "woman")
        assert (theirs.seed, theirs.width, theirs.steps) == (ours.seed, ours.width, ours.steps)


test_cells.__test__ = False  # a function of the package, not a test
