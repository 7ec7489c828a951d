"""Makes the optimizers, each from the library that the field uses.

All of them keep their state in `state_dict()` as tensors and plain values, so that a run is resumed bit for bit from
`torch.load(weights_only=True)`. The module knows no model and no schedule. Torch is imported when one is made, so
the names can be listed without it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from lib_lora.errors import UserError
from lib_lora.models.withheld_packages import import_withheld

if TYPE_CHECKING:
    import torch

OptimizerName = Literal["adamw", "adamw8bit", "adafactor", "prodigy", "lion"]

# Each library's own, but for Prodigy's second (.99, not .999: Hugging Face's guide to SDXL LoRAs). Adafactor has none.
DEFAULT_BETAS: dict[str, tuple[float, float]] = {
    "adamw": (0.9, 0.999),
    "adamw8bit": (0.9, 0.999),
    "adafactor": (0.0, 0.0),
    "prodigy": (0.9, 0.99),
    "lion": (0.9, 0.99),
}


def make_optimizer(
    name: str,
    groups: Iterable[dict[str, Any]],
    lr: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] | None = None,
    eps: float = 1e-8,
) -> tuple[torch.optim.Optimizer, str | None]:
    """An optimizer for some groups of weights.

    Args:
        name: "adamw", "adamw8bit" (bitsandbytes), "adafactor" (transformers, with the given rate and not its own),
            "prodigy" (prodigyopt; finds the rate itself, `lr` is a factor and should be 1), "lion" (lion-pytorch;
            wants a rate 3 to 10 times smaller than AdamW's).
        groups: torch's parameter groups, e.g. {"params": [...], "lr": 5e-5}; a group without "lr" gets `lr`.
        lr: learning rate, above 0.
        weight_decay: decoupled, 0 or more.
        betas: of the moving averages, each 0 .. below 1; None takes `DEFAULT_BETAS`. Adafactor has none.
        eps: AdamW's and Prodigy's guard against division by 0.

    Returns:
        The optimizer, and a sentence for the user if it is not quite what was asked for, else None.

    Raises:
        UserError: an unknown name, a library that is not installed (8-bit AdamW falls back to AdamW instead),
            a number out of range, or different rates under Prodigy.
    """
    known = get_args(OptimizerName)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"Unknown optimizer {name!r}; "
            + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."),
            code="optimizer-unknown",
            optimizer=name,
        )
    betas = DEFAULT_BETAS[name] if betas is None else betas
    groups = [{**group, "params": list(group["params"])} for group in groups]
    rates = [float(group.get("lr", lr)) for group in groups]
    if not all(0 < rate < float("inf") for rate in [lr, *rates]):
        raise UserError(
            f"The learning rate must be greater than 0, not {min([lr, *rates])}.", code="learning-rate-invalid"
        )
    if weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(
            f"Weight decay must be 0 or more and betas between 0 and 1, not {weight_decay} and {tuple(betas)}.",
            code="optimizer-setting-invalid",
        )
    if name == "adamw8bit":
        return _adamw_8bit(groups, lr, weight_decay, betas, eps)
    if name == "adafactor":
        return _adafactor(groups, lr, weight_decay), None
    if name == "prodigy":
        return _prodigy(groups, rates, lr, weight_decay, betas, eps)
    if name == "lion":
        lion = _library("lion_pytorch", "lion-pytorch", name)
        made: torch.optim.Optimizer = lion.Lion(groups, lr=lr, betas=betas, weight_decay=weight_decay)
        return made, None
    return _adamw(groups, lr, weight_decay, betas, eps), None


def _adamw(
    groups: list[dict[str, Any]], lr: float, weight_decay: float, betas: tuple[float, float], eps: float
) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def _adamw_8bit(
    groups: list[dict[str, Any]], lr: float, weight_decay: float, betas: tuple[float, float], eps: float
) -> tuple[torch.optim.Optimizer, str | None]:
    params = [param for group in groups for param in group["params"]]
    trouble = trouble_with_8bit(params[0].device)
    if trouble is None:
        bnb = _bitsandbytes()
        made: torch.optim.Optimizer = bnb.optim.AdamW8bit(
            groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay
        )
        return made, None
    # AdamW keeps two numbers for each weight: 4 bytes each, or 1 in 8 bit.
    more = sum(param.numel() for param in params) * 6 / 2**20
    cost = f", which needs about {more:,.0f} MB more memory" if more >= 1 else ""
    return _adamw(groups, lr, weight_decay, betas, eps), f"adamw8bit: {trouble}; using AdamW in 32 bit instead{cost}."


def trouble_with_8bit(device: torch.device | str) -> str | None:
    """Why 8-bit AdamW does not work on this device, or None after it has taken two real steps there.

    Being installed says little: bitsandbytes may lack the card's or the driver's version, and fails only in a step.
    """
    import torch

    try:
        bnb = _bitsandbytes()
    except ImportError:
        return "bitsandbytes is not installed"
    except Exception as error:  # its import looks for CUDA's libraries and may fail in any way; the reason is told
        return f"bitsandbytes does not start ({_first_line(error)})"
    try:
        # Below 4,096 numbers bitsandbytes stays at 32 bit, which would prove nothing.
        weights = torch.nn.Parameter(torch.linspace(-1, 1, 8192, device=device).view(64, 128))
        probe = bnb.optim.AdamW8bit([weights], lr=0.1)
        for _ in range(2):
            weights.grad = weights.detach().clone()
            probe.step()
        moved = float(weights.detach().abs().mean())
    except Exception as error:  # anything at all here means "not on this machine"; the reason is told to the user
        return f"bitsandbytes does not work on {torch.device(device).type} ({_first_line(error)})"
    # The mean distance from 0 is 0.5 at the start; two steps of 0.1 towards 0 leave about 0.32.
    return None if 0.2 < moved < 0.4 else f"bitsandbytes gives wrong numbers on {torch.device(device).type}"


def _bitsandbytes() -> Any:
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks of kernels that are not used here
    return import_withheld("bitsandbytes")


def _adafactor(groups: list[dict[str, Any]], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """With the rate that was asked for: not relative to the step or the weights' size, and no warm-up of its own."""
    library = _library("transformers.optimization", "transformers", "adafactor")
    made: torch.optim.Optimizer = library.Adafactor(
        groups, lr=lr, weight_decay=weight_decay, scale_parameter=False, relative_step=False, warmup_init=False
    )
    return made


def _prodigy(
    groups: list[dict[str, Any]],
    rates: Sequence[float],
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
) -> tuple[torch.optim.Optimizer, str | None]:
    library = _library("prodigyopt", "prodigyopt", "prodigy")
    if len(set(rates)) > 1:
        raise UserError(
            "Prodigy finds one learning rate for all parts, so the UNet and the text encoders must have "
            f"the same factor (1 is usual), not {', '.join(f'{rate:g}' for rate in rates)}.",
            code="prodigy-unequal-rates",
        )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line when weights decay
        made: torch.optim.Optimizer = library.Prodigy(
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            use_bias_correction=True,
            safeguard_warmup=True,
        )
    rate = rates[0] if rates else lr
    if 0.1 <= rate <= 10:
        return made, None
    return made, f"prodigy finds the learning rate itself and multiplies it by yours: {rate:g} is far from the usual 1."


def _library(module: str, package: str, optimizer: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"The optimizer {optimizer} needs the package {package}: install it with `pip install {package}`, "
            "or choose adamw.",
            code="optimizer-package-missing",
            optimizer=optimizer,
            package=package,
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
