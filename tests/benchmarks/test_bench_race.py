"""The race runs to its end on a toy, counts what is to be computed exactly, and both racers do the same work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import toys

from bench.speed import plain, race

pytest.importorskip("torch.nn.attention", reason="FLOPs are counted with torch 2.3 and later")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_toy("sd1", tmp_path_factory.mktemp("race") / "toy.safetensors")


def test_race_gives_both_rows(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "PEAK_SIDE", 256)
    monkeypatch.setattr(race, "PEAK_SECONDS", 0.01)
    words = ["--cases", "sd15-1-text", "--precision", "fp32", "--steps", "1", "--resolution", "128", "--rank", "4"]
    work, file = tmp_path / "work", tmp_path / "results.json"
    words += ["--base", str(base), "--work", str(work), "--photos", "2", "--json", "--results", str(file)]
    assert race.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads(file.read_text(encoding="utf-8"))["figures"] == result
    (row,) = result["races"]
    for who in race.RACERS:
        numbers = {key: value for key, value in row[who].items() if key != "others_percent"}
        assert min(numbers.values()) > 0, numbers
        assert row[who]["steps"] == 1
    assert row["seconds_ratio"] == pytest.approx(row["plain"]["seconds"] / row["engine"]["seconds"])
    assert 1 / 3 < row["plain"]["loss"] / row["engine"]["loss"] < 3  # other noise, the same task
    assert not list(work.iterdir()), "a racer's folder was left"
    text = race.table(result)
    assert text.count("| sd15-1-text |") == 3


def test_a_racer_that_dies_is_reported(tmp_path: Path) -> None:
    recipe = plain.PlainRecipe("base.safetensors", (), 1, False, "fp32", 128)
    errors: dict[str, str] = {}
    with open(tmp_path / "log", "w+b") as log:
        child = race.Child.start("plain", recipe, tmp_path, log)
        child.process.kill()
        child.process.wait()
        log.write(b"Traceback\nRuntimeError: out of memory\n")
        assert not race._alive(child, child.prepare, errors)
        child.end()
    assert errors["plain"].startswith("The process of 'plain' ended with code ")
    assert errors["plain"].endswith("Traceback | RuntimeError: out of memory")


def test_flops_of_linear_layers_are_exact() -> None:
    """Forward and the gradient of the weights, and that of the inputs but for the first layer's."""
    with torch.device("meta"):
        layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Linear(16, 4))
        inputs = torch.zeros(3, 8)
    product = 2 * 3 * (8 * 16), 2 * 3 * (16 * 4)
    assert plain.flops_of(lambda: layers(inputs)) == sum(product)
    assert plain.flops_of(lambda: layers(inputs).sum().backward()) == 2 * product[0] + 3 * product[1]


def test_flops_grow_with_the_batch(base: Path) -> None:
    one, two = (plain.count_flops(plain.PlainRecipe(str(base), (), batch, False, "fp32", 128, 4)) for batch in (1, 2))
    assert one > 0
    assert two == 2 * one


@pytest.mark.parametrize("text", ["sd15-0", "sd14-1", "sd15", "sd15-1-words"])
def test_what_is_no_case(text: str) -> None:
    with pytest.raises(SystemExit):
        race.parse(text, None, race._parser())


def test_batches_replace_a_cases_own() -> None:
    cases = race.parse("sdxl-1-text", [1, 2, 16], race._parser())
    assert [case.name for case in cases] == ["sdxl-1-text", "sdxl-2-text", "sdxl-16-text"]
