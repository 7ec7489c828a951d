"""A package that libraries would import without need is withheld, also after whoever needs it has found it broken."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from lib_lora.models import withheld_packages


@pytest.fixture
def package(tmp_path, monkeypatch):
    name = "broken_package_of_a_test"
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('CUDA Setup failed')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(withheld_packages, "PACKAGES", (name,))
    monkeypatch.setattr(withheld_packages, "_withheld", set())
    yield name
    sys.modules.pop(name, None)


def test_a_broken_package_stays_withheld(package):
    withheld_packages.withhold_packages()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            withheld_packages.import_withheld(package)
        assert importlib.util.find_spec(package) is None


def test_one_that_is_there_meanwhile_is_given(package):
    withheld_packages.withhold_packages()
    sys.modules[package] = sys
    assert withheld_packages.import_withheld(package) is sys


def test_a_package_that_is_needed_is_imported(package, tmp_path):
    (tmp_path / f"{package}.py").write_text("here = True", encoding="utf-8")
    withheld_packages.withhold_packages()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(package)
    assert withheld_packages.import_withheld(package).here
    assert importlib.import_module(package).here
