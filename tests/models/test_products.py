"""Products of matrices by either library."""

import pytest
import torch
from torch.nn import functional

from lib_lora.models.fast import products
from lib_lora.models.fast.products import add_product, product


@pytest.fixture(autouse=True)
def amd(monkeypatch):
    monkeypatch.setattr(products, "is_amd", lambda: True)


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products(monkeypatch, library, dtype):
    monkeypatch.setattr(products, "_LARGE", 0)
    if not library:
        monkeypatch.setattr(products, "_onednn", lambda: None)
    torch.manual_seed(0)
    a, b, bias = torch.randn(5, 7).to(dtype), torch.randn(3, 7).to(dtype), torch.randn(3).to(dtype)
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    expected = functional.linear(a.float(), b.float(), bias.float())
    for left in (a, a.t().contiguous().t()):
        for right in (b, b.t().contiguous().t()):
            torch.testing.assert_close(product(left, right, bias).float(), expected, **near)
            start = torch.ones(5, 3).to(dtype)
            torch.testing.assert_close(add_product(start, left, right).float(), 1 + expected - bias.float(), **near)


def test_a_torch_without_the_operator_is_recognised(monkeypatch):
    class Nothing:
        def __getattr__(self, name):
            raise AttributeError(name)

    products._onednn.cache_clear()
    monkeypatch.setattr(torch.ops, "mkldnn", Nothing(), raising=False)
    try:
        assert products._onednn() is None
        monkeypatch.setattr(products, "_LARGE", 0)
        torch.testing.assert_close(product(torch.eye(3), torch.ones(2, 3)), torch.ones(3, 2))
    finally:
        products._onednn.cache_clear()


def test_matrices_with_gaps_between_their_rows_are_closed_up_first(monkeypatch):
    """oneDNN would take its reference loop for them, a hundred times slower."""
    monkeypatch.setattr(products, "_LARGE", 0)
    asked = []

    def operation(a, b, bias, *_):
        asked.append((a, b))
        return functional.linear(a, b, bias)

    monkeypatch.setattr(products, "_onednn", lambda: operation)
    wide = torch.randn(6, 20)
    a, b = wide[:, :5], wide[:, 5:10]
    torch.testing.assert_close(product(a, b), a @ b.t())
    product(wide, wide.t().contiguous().t())
    assert all(one.is_contiguous() or one.t().is_contiguous() for pair in asked for one in pair)
    assert asked[1][0] is wide


def test_another_processor_keeps_torch_s_own(monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 0)
    monkeypatch.setattr(products, "is_amd", lambda: False)
    monkeypatch.setattr(products, "_onednn", lambda: pytest.fail("it was asked"))
    torch.testing.assert_close(product(torch.eye(3), torch.ones(2, 3)), torch.ones(3, 2))
