"""Settings: ranges, what a part gets, and that a typo is an error."""

import subprocess
import sys

import pytest
from faults import misfit, raises

from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.typed_settings import from_dict, to_dict


@pytest.mark.parametrize(
    "values",
    [
        *({"rank": 0}, {"te_rank": 0}, {"conv_rank": -1}, {"alpha": 0}, {"te_alpha": -1}, {"conv_alpha": 0}),
        *({"alpha": float("nan")}, {"alpha": float("inf")}, {"dropout": 1}, {"te_dropout": -0.1}),
    ],
)
def test_values_out_of_range(values):
    with misfit(*values, *values.values()):
        LoraSettings(**values)
    with raises(("setting-invalid", "setting-wrong-type"), has=next(iter(values))):
        from_dict(LoraSettings, values)


def test_a_typo_names_the_right_word():
    with raises("setting-unknown", has="did you mean 'use_dora'"):
        from_dict(LoraSettings, {"use_dorra": True})


def test_there_and_back():
    settings = LoraSettings(rank=8, alpha=3.5, conv_rank=4, te_rank=2, use_rslora=True)
    assert from_dict(LoraSettings, to_dict(settings)) == settings


def test_what_each_part_gets():
    settings = LoraSettings(rank=8, alpha=4, dropout=0.1)
    assert settings.of_part("unet") == settings.of_part("te2") == (8, 4, 0.1)
    assert not settings.convolutions
    settings = LoraSettings(rank=8, alpha=4, dropout=0.1, te_rank=2, te_alpha=1, te_dropout=0, conv_rank=1)
    assert settings.of_part("unet") == (8, 4, 0.1)
    assert settings.of_part("te1") == (2, 1, 0)
    assert settings.convolutions


def test_the_tab_may_import_it_without_torch():
    code = "import sys, lib_lora.lora.adapter_settings; sys.exit('torch' in sys.modules or 'peft' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
