"""What training computes on, for each kind of machine: chosen from plain facts, with the reason and what to do."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lib_lora.messages.message import Message
from lib_lora.training import distributed
from lib_lora.training.plan import graphics_cards
from lib_lora.training.plan.device_choice import MachineFacts, TorchFacts, choose, runs, templates
from lib_lora.training.plan.graphics_cards import NvidiaCard

NVIDIA = MachineFacts("linux", frozenset({"nvidia", "intel"}), "GeForce RTX 4090", "550.54.14")
NO_DRIVER = MachineFacts("win32", frozenset({"nvidia"}))
AMD = MachineFacts("linux", frozenset({"amd"}))
AMD_WINDOWS = MachineFacts("win32", frozenset({"amd"}))
MAC, OLD_PYTHON = (
    MachineFacts("darwin", frozenset({"apple"})),
    MachineFacts("darwin", frozenset({"apple"}), "", "", True),
)
NOTHING, OFFICE = MachineFacts(), MachineFacts("win32", frozenset({"intel"}))
CUDA = TorchFacts("2.7.1+cu128", cuda="12.8", gpu="GeForce RTX 4090", architecture="sm_89", architectures=("sm_86",))
BLIND = TorchFacts("2.15.0+cu130", cuda="13.0")
CPU = TorchFacts("2.13.0+cpu")
RX = TorchFacts(
    "2.7.1+rocm6.3", rocm="6.3", gpu="Radeon RX 7900 XTX", architecture="gfx1100", architectures=("gfx1100",)
)
ROCM = TorchFacts("2.7.1+rocm6.3", rocm="6.3")
OLD_CARD_BESIDE = MachineFacts("linux", frozenset({"nvidia", "amd"}), "GeForce GTX 750", "550.54.14")
A1111_TORCH = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")  # of 2.1.2+cu121, no intermediate code
BLACKWELL = TorchFacts("2.1.2+cu121", "12.1", "", "GeForce RTX 5090", "sm_120", A1111_TORCH)


def limited(*variables: str) -> TorchFacts:
    return TorchFacts("2.13.0+cu130", cuda="13.0", limits=variables)


@pytest.mark.parametrize(
    ("torch", "machine", "kind", "code", "tone", "words"),
    [
        (CUDA, NVIDIA, "cuda", "cuda", "good", "uses GeForce RTX 4090 (CUDA 12.8)"),
        (RX, AMD, "cuda", "rocm", "good", "uses Radeon RX 7900 XTX (ROCm 6.3)"),
        (TorchFacts("2.13.0", mps=True), MAC, "mps", "mps", "good", "Apple GPU"),
        (TorchFacts("2.13.0+xpu", xpu=True), OFFICE, "xpu", "xpu", "good", "Intel GPU"),
        (CPU, NOTHING, "cpu", "no-gpu", "warn", "no GPU"),
        (CPU, OFFICE, "cpu", "torch-without-xpu", "warn", "the only GPU found is one of Intel's"),
        (BLIND, OFFICE, "cpu", "torch-without-xpu", "warn", "would train for days"),
        (
            TorchFacts("2.13.0+xpu"),
            OFFICE,
            "cpu",
            "xpu-no-device",
            "warn",
            "built for Intel GPUs (XPU), but finds none",
        ),
        (BLIND, NOTHING, "cpu", "no-gpu", "warn", "no GPU"),
        (
            CPU,
            NVIDIA,
            "cpu",
            "torch-without-cuda",
            "bad",
            "(2.13.0+cpu) is built without CUDA, and this machine has an N",
        ),
        (CPU, NO_DRIVER, "cpu", "cuda-and-driver-missing", "warn", "an NVIDIA GPU, whose driver is missing"),
        (ROCM, NVIDIA, "cpu", "torch-without-cuda", "bad", "without CUDA"),
        (
            BLIND,
            NVIDIA,
            "cpu",
            "driver-outdated",
            "bad",
            "CUDA 13.0 and cannot use GeForce RTX 4090 with its driver 550",
        ),
        (BLIND, NO_DRIVER, "cpu", "driver-missing", "bad", "NVIDIA's driver is missing"),
        (BLACKWELL, NVIDIA, "cuda", "architecture-unknown", "bad", "contains no code for sm_120"),
        (CPU, AMD, "cpu", "torch-without-rocm", "warn", "an AMD GPU"),
        (BLIND, AMD_WINDOWS, "cpu", "torch-without-rocm", "warn", "without ROCm"),
        (ROCM, AMD, "cpu", "rocm-no-device", "bad", "finds no GPU"),
        (ROCM, OLD_CARD_BESIDE, "cpu", "rocm-no-device", "bad", "finds no GPU"),
        (CPU, OLD_CARD_BESIDE, "cpu", "torch-without-cuda", "bad", "without CUDA"),
        (
            TorchFacts("2.4.1+cpu", directml=True),
            AMD_WINDOWS,
            "cpu",
            "directml",
            "bad",
            "cannot train through DirectML",
        ),
        (TorchFacts("2.4.1+cpu", directml=True), NVIDIA, "cpu", "torch-without-cuda", "bad", "without CUDA"),
        (
            TorchFacts("2.7.1", "11.8", gpu="AMD Radeon [ZLUDA]"),
            AMD_WINDOWS,
            "cuda",
            "zluda",
            "warn",
            "not been tested",
        ),
        (CPU, OLD_PYTHON, "cpu", "translated", "bad", "Intel processors"),
        (TorchFacts("2.1.0"), MAC, "cpu", "mps-unavailable", "bad", "cannot use the Apple GPU"),
        (limited("CUDA_VISIBLE_DEVICES=-1"), NVIDIA, "cpu", "gpus-hidden", "warn", 'is "-1", which hides every GPU'),
        (limited("CUDA_VISIBLE_DEVICES="), NVIDIA, "cpu", "gpus-hidden", "warn", 'CUDA_VISIBLE_DEVICES is ""'),
        (limited("CUDA_VISIBLE_DEVICES=none"), NVIDIA, "cpu", "gpus-hidden", "warn", 'is "none"'),
        (limited("CUDA_VISIBLE_DEVICES=NoDevFiles"), NO_DRIVER, "cpu", "gpus-hidden", "warn", 'is "NoDevFiles"'),
        (limited("CUDA_VISIBLE_DEVICES=1"), NVIDIA, "cpu", "no-visible-gpu", "warn", 'is "1", and this torch (2.13.0'),
        (limited("HIP_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=-1"), NVIDIA, "cpu", "gpus-hidden", "warn", "CUDA_V"),
        (TorchFacts("2.13.0+cpu", limits=("CUDA_VISIBLE_DEVICES=0",)), NOTHING, "cpu", "no-gpu", "warn", "no GPU"),
        (
            TorchFacts("2.7.1", "12.8", gpu="H100", cpu_asked=True),
            NVIDIA,
            "cpu",
            "cpu-asked",
            "warn",
            "ACCELERATE_USE_CPU",
        ),
        (TorchFacts(), NVIDIA, "cpu", "torch-missing", "bad", "no torch"),
    ],
)
def test_what_is_used_and_why(torch, machine, kind, code, tone, words) -> None:
    choice = choose(torch, machine)
    text, mend = str(choice.text), str(choice.mend or "")
    assert (choice.kind, choice.code, choice.tone, choice.text.code) == (kind, code, tone, code)
    assert words in text
    others = {"architecture-unknown": "GeForce RTX 5090 cannot compute", "torch-missing": "Training cannot start"}
    assert text.startswith(others.get(code, "Training uses "))
    assert text.endswith(".")
    assert "\n" not in text
    assert (mend == "") == (tone == "good")
    assert mend.endswith(".") or not mend
    parts = [choice.text, choice.mend, choice.text.values.get("why")]
    assert {part.template for part in parts if isinstance(part, Message)} <= {*templates()}


@pytest.mark.parametrize(
    ("architecture", "held", "does"),
    [
        ("sm_86", ("sm_80",), True),
        ("sm_80", ("sm_86",), False),
        ("sm_89", ("sm_86", "sm_90"), True),
        ("sm_120", ("sm_90", "compute_90"), True),  # the driver translates intermediate code
        ("sm_61", ("sm_70", "compute_70"), False),
        ("sm_90", ("sm_90a",), True),
        ("sm_121", ("sm_100", "sm_120"), True),
        ("gfx1030", ("gfx900", "gfx1030"), True),
        ("gfx1031", ("gfx900", "gfx1030"), False),
        ("gfx90a", ("gfx90a:xnack+",), True),
        ("gfx1201", ("gfx1100", "gfx12-generic"), True),
        ("gfx1250", ("gfx12-generic",), False),
        ("gfx1151", ("gfx11-generic",), True),
        ("gfx1201", ("gfx11-generic",), False),
        ("gfx1031", ("gfx10-3-generic",), True),
        ("gfx1010", ("gfx10-3-generic",), False),
        ("gfx942", ("gfx9-4-generic",), True),
        ("gfx908", ("gfx9-4-generic", "gfx9-generic"), False),
        ("gfx1300", ("gfx13-generic",), True),  # of an unknown form
        ("amdgcnspirv", ("gfx1100",), True),
        ("", ("sm_80",), True),
        ("sm_75", (), True),
        ("sm_75", ("odd",), False),
    ],
)
def test_whether_a_torch_has_code_for_a_gpu(architecture: str, held: tuple[str, ...], does: bool) -> None:
    assert runs(architecture, held) is does


# ------------------------------------------------------------------------------------------- where the facts come from


class FakeTorch:
    """A torch of which only what is asked for the facts is there."""

    def __init__(self, available: bool = False, hip: str | None = None, mps: bool = False) -> None:
        self.__version__ = "2.7.1"
        self.version = SimpleNamespace(cuda=None if hip or not available else "12.8", hip=hip)
        self.cuda = SimpleNamespace(
            is_available=lambda: available,
            get_device_name=lambda: "Some GPU",
            get_arch_list=lambda: ["gfx1100"] if hip else ["sm_90"],
            get_device_capability=lambda: (9, 0),
            mem_get_info=lambda: (8 << 30, 12 << 30),
            get_device_properties=lambda _: SimpleNamespace(gcnArchName="gfx1100:sramecc-:xnack-"),
        )
        self.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch):
    for name in ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def of(torch: object) -> TorchFacts:
        monkeypatch.setitem(sys.modules, "torch", torch)
        return distributed.torch_facts()

    return of


def test_torch_is_asked_for_cuda_and_rocm(facts) -> None:
    cuda = facts(FakeTorch(available=True))
    assert (cuda.version, cuda.cuda, cuda.rocm, cuda.gpu, cuda.architecture) == (
        "2.7.1",
        "12.8",
        "",
        "Some GPU",
        "sm_90",
    )
    rocm = facts(FakeTorch(available=True, hip="6.3"))
    assert (rocm.cuda, rocm.rocm, rocm.architecture, rocm.architectures) == ("", "6.3", "gfx1100", ("gfx1100",))


def test_a_driver_in_disorder_still_leaves_a_gpu(facts) -> None:
    torch = FakeTorch(available=True)
    torch.cuda.get_device_name = lambda: 1 / 0
    assert facts(torch).gpu == "a GPU"


def test_a_torch_that_is_lost_or_broken_has_no_version(facts) -> None:
    assert facts(None) == TorchFacts()  # None in sys.modules: an import of it fails


def test_variables_that_keep_torch_from_the_gpu_are_facts(facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    found = facts(FakeTorch())
    assert (found.limits, found.cpu_asked) == (("CUDA_VISIBLE_DEVICES=-1",), True)


def test_variables_of_another_build_are_not_blamed(facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0")
    assert facts(FakeTorch()).limits == ()
    assert facts(FakeTorch(hip="6.3")).limits == ("HIP_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=0")


def test_memory_is_that_of_the_card_that_torch_names(facts) -> None:
    facts(FakeTorch(available=True))
    assert distributed.torch_facts().memory == 0  # asking takes memory of the GPU
    found = distributed.torch_facts(with_memory=True)
    assert (found.gpu, found.memory, found.free) == ("Some GPU", 12 << 30, 8 << 30)
    choice = choose(found, NVIDIA)
    assert (choice.memory, choice.free) == (12 << 30, 8 << 30)
    full = FakeTorch(available=True)
    full.cuda.mem_get_info = lambda: 1 / 0
    facts(full)
    found = distributed.torch_facts(with_memory=True)
    assert (found.gpu, found.architecture, found.memory) == ("Some GPU", "sm_90", 0)


def test_torch_directml_is_seen_and_not_loaded(facts, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts(FakeTorch()).directml is False
    (tmp_path / "torch_directml.py").write_text("raise SystemExit", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert facts(FakeTorch()).directml is True


def test_a_training_says_that_a_gpu_is_left_unused(facts) -> None:
    facts(FakeTorch())
    said = distributed.gpu_left_unused(lambda: NVIDIA)
    assert said.startswith("Training uses the CPU: this torch (2.7.1) is built without CUDA")
    assert "Install a torch with CUDA" in said
    assert "an AMD GPU" in distributed.gpu_left_unused(lambda: AMD)
    assert distributed.gpu_left_unused(lambda: NOTHING) == ""
    assert distributed.gpu_left_unused(lambda: OFFICE) == ""  # nearly every Intel processor contains a small GPU
    facts(FakeTorch(mps=True))
    assert distributed.gpu_left_unused(lambda: NVIDIA) == ""


def test_cards_of_linux_are_known_without_their_drivers(tmp_path) -> None:
    rows = [
        ("0x10de", "0x030000"),
        ("0x8086", "0x030000"),
        ("0x8086", "0x020000"),
        ("0x1002", "0x038000"),
        ("0x1af4", "0x03"),
    ]
    for number, (vendor, kind) in enumerate(rows):
        device = tmp_path / f"0000:0{number}:00.0"
        device.mkdir()
        (device / "vendor").write_text(f"{vendor}\n", encoding="ascii")
        (device / "class").write_text(f"{kind}\n", encoding="ascii")
    (tmp_path / "0000:09:00.0").mkdir()  # whose files cannot be read
    assert list(graphics_cards._linux_makers(tmp_path)) == ["nvidia", "intel", "amd"]


@pytest.mark.parametrize(
    ("said", "card"),
    [
        ("NVIDIA T4, 550.54\nSecond, 1\n", NvidiaCard("NVIDIA T4", "550.54")),
        ("", None),
        ("No devices were found\n", None),
    ],
)
def test_nvidias_tool_is_read(monkeypatch: pytest.MonkeyPatch, said: str, card: NvidiaCard | None) -> None:
    monkeypatch.setattr(graphics_cards, "run", lambda *_: said)
    assert graphics_cards.nvidia_card() == card
    facts = graphics_cards.machine_facts()
    assert facts.nvidia == (card.name if card else "")
    assert "nvidia" in facts.makers or card is None
