"""The test grid's cells."""

from pathlib import Path

from lib_lora.character.store import Character, Consent
from lib_lora.grid.cells import PROMPTS, base_cells, test_cells, with_lora

MARA = Character("Mara", "mrxa", "woman", Consent("fictional", "2026-11-25"))


def test_eight_cells_with_own_prompts_and_seeds():
    cells = test_cells(MARA, 512)
    assert len(cells) == len(PROMPTS) == 8
    assert len({cell.prompt for cell in cells}) == len({cell.seed for cell in cells}) == 8
    assert all("mrxa woman" in cell.prompt for cell in cells)
    assert all(cell.lora is None for cell in cells)


def test_the_base_is_asked_for_the_class_with_all_else_the_same():
    cells = with_lora(test_cells(MARA, 512), Path("x.safetensors"), 0.8)
    base = base_cells(cells, MARA)
    assert {(cell.lora, cell.weight) for cell in cells} == {(Path("x.safetensors"), 0.8)}
    for ours, theirs in zip(cells, base):
        assert theirs.lora is None
        assert theirs.prompt == ours.prompt.replace("mrxa woman", "woman")
        assert (theirs.seed, theirs.width, theirs.steps) == (ours.seed, ours.width, ours.steps)


test_cells.__test__ = False  # a function of the package, not a test
