"""Settings, presets, run folders and states."""

import platform
import shutil
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from faults import raises

from lib_lora import typed_settings
from lib_lora.models.families import identify as identifying
from lib_lora.models.families.identify import identify
from lib_lora.models.fast import memory
from lib_lora.training import precision
from lib_lora.training import state as states
from lib_lora.training.plan.presets import asked_in_run, preset, presets
from lib_lora.training.plan.run_file import Run, load_run, save_run
from lib_lora.training.plan.train_settings import TrainSettings, as_begun

FAMILIES = {"sd15-face": "sd1", "sd2-face": "sd2", "sdxl-face": "sdxl", "mini-face": "sd1"}


@pytest.mark.parametrize("name", presets())
def test_presets_are_settings_and_survive_the_file(name):
    narrow = name == "mini-face"
    train = preset(name, FAMILIES[name], narrow=narrow)
    assert train.preset == name
    assert typed_settings.from_dict(TrainSettings, typed_settings.to_dict(train)) == train
    assert preset(None, FAMILIES[name], narrow=narrow) == train


def test_presets_hold_the_reference_values():
    sd1, sdxl = preset("sd15-face", "sd1"), preset("sdxl-face", "sdxl")
    assert (sd1.lora.rank, sd1.lora.alpha, sd1.unet_lr, sd1.te_lr) == (32, 16, 1e-4, 5e-5)
    assert (sd1.batch_size, sd1.objective.noise_offset, sd1.objective.min_snr_gamma) == (2, 0.05, 5)
    assert (sdxl.lora.rank, sdxl.lora.alpha, sdxl.unet_lr, sdxl.trains_text) == (32, 16, 1e-4, False)
    assert (sdxl.gradient_checkpointing, sdxl.objective.noise_offset) == (True, 0.0357)
    assert sd1.total_steps(24) == 1200
    assert sd1.checkpoint_interval(1200) == 120
    assert replace(sd1, steps=7).total_steps(24) == 7
    assert sd1.total_steps(24, processes=2) == 600


def test_wrong_presets_and_settings():
    with raises("preset-of-other-family", has=("'sdxl-face'", "'sd15-face'")):
        preset("sdxl-face", "sd1")
    with raises("preset-of-other-family", has=("'mini-face'", "'sdxl-face'")):
        preset("mini-face", "sdxl")
    with raises("preset-of-other-family", has=("'mini-face'", "'sd15-face'")):
        preset("mini-face", "sd1")
    with raises("preset-unknown", has="'face'"):
        preset("face", "sd1")
    with raises("setting-unknown", has="unknown setting 'rnk'; did you mean 'rank'"):
        preset(None, "sd1", {"lora": {"rnk": 3}})
    assert preset(None, "sd1", {"lora": {"rank": 8}}).lora.alpha == 16


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": 0},
        {"steps": -1},
        {"warmup": 1.0},
        {"unet_lr": 0},
        {"te_lr": -1},
        {"resolution": 500.5},
        {"resolution": 513},
        {"bucket_step": 12},
        {"keep_states": 0},
        {"precision": "fp8"},
        {"optimizer": "sgd"},
        {"face_weight": 0.5},
        {"phrase_share": 0},
        {"preservation_painted": 1.5},
        {"preservation_painted": -0.5},
        {"phrase_timesteps": 1000, "phrase_weight": 1.0},
        {"phrase_timesteps": 700, "phrase_weight": 1.0, "objective": {"max_timestep": 700}},
        {"lora": {"rank": 0}},
        {"objective": {"huber_c": 0}},
    ],
    ids=str,
)
def test_values_out_of_range(values):
    with raises(("setting-invalid", "setting-not-a-choice", "setting-wrong-type"), has=next(iter(values))):
        typed_settings.from_dict(TrainSettings, values, "x")


def test_a_run_is_read_back_and_numbered(make_run):
    first, second = make_run(), make_run()
    assert (first.file.id, second.file.id) == ("001", "002")
    assert (first.file.stem, second.file.stem) == ("mara-001", "mara-002")
    assert load_run(first.folder).file == first.file
    assert first.file.data_hash == second.file.data_hash
    assert first.file.base.sha256 == second.file.base.sha256
    assert len(first.file.base.sha256) == 64
    assert first.file.versions["torch"] == torch.__version__.split("+")[0] or "+" in torch.__version__
    assert all(first.photo_path(photo).is_file() for photo in first.file.photos)
    assert {photo.caption for photo in first.file.photos} == {"photo of mrxa woman"}
    with raises("not-a-run-folder", has="run.yaml"):
        load_run(first.folder.parent)


def test_a_run_from_before_the_base_painted_for_it_goes_on_without_such_pictures(make_run):
    run = make_run(preservation_weight=1.0)
    assert load_run(run.folder).file.settings.preservation_painted == 0.5
    path = run.folder / "run.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "preservation_painted" not in line), encoding="utf-8")
    assert load_run(run.folder).file.settings == replace(run.file.settings, preservation_painted=0.0)
    assert [as_begun(damaged) for damaged in (None, "text", ["a"])] == [None, "text", ["a"]]


def test_nobody_asked_for_what_runs_of_earlier_versions_lack():
    began = replace(preset("sd15-face", "sd1"), preservation_weight=1.0, preservation_painted=0.0, likeness_curve=False)
    assert asked_in_run(began, "sd1") == {"preservation_weight": 1.0}
    assert asked_in_run(replace(began, preservation_painted=0.25), "sd1")["preservation_painted"] == 0.25


def test_states_are_kept_and_damaged_ones_passed_over(tmp_path):
    def at(step):
        return states.State(step, {"a": torch.tensor([1.0, step])}, {"state": {}}, None, None, 0.5)

    assert states.newest(tmp_path / "none") == states.FoundState()
    for step in (2, 4, 6):
        states.save(tmp_path, at(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000004.pt", "000006.pt"]
    assert states.newest(tmp_path).state.step == 6
    path = tmp_path / "000006.pt"
    path.write_bytes(path.read_bytes()[:-200])
    assert states.newest(tmp_path).state.step == 4
    torch.save({"layout": 99}, tmp_path / "000008.pt")
    found = states.newest(tmp_path)
    assert found.path == tmp_path / "000004.pt"
    assert [(path.name, why[:10]) for path, why in found.damaged] == [
        ("000008.pt", "is of anot"),
        ("000006.pt", "is damaged"),
    ]
    assert torch.equal(found.state.adapter["a"], torch.tensor([1.0, 4.0]))
    damaged = [path for path, _ in found.damaged]
    states.save(tmp_path, at(5), 1, damaged)
    assert [path.name for path in tmp_path.iterdir()] == ["000005.pt"]


def test_precision():
    cpu = torch.device("cpu")
    with raises("precision-needs-gpu", has="fp16"):
        precision.resolve("fp16", cpu)
    assert precision.resolve("auto", cpu) in ("fp32", "bf16")
    assert precision.resolve("bf16", cpu) == "bf16"
    assert precision.autocast_of("fp32") is None
    assert precision.dtype_of("bf16") == precision.autocast_of("bf16") == torch.bfloat16


def test_memory_that_is_kept_goes_back_at_the_end():
    cpu, process = torch.device("cpu"), psutil.Process()
    with memory.freed_is_kept(cpu):
        held = [torch.ones(5_000_000) for _ in range(20)]  # 20 MB each
        full = process.memory_info().rss
        del held
        kept = process.memory_info().rss
    after = process.memory_info().rss
    assert full - after > 300e6
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        assert full - kept < 100e6


def test_memory_is_measured():
    cpu = torch.device("cpu")
    before = memory.peak_bytes(cpu)
    room = before - psutil.Process().memory_info().rss  # earlier tests may have used much more than is used now
    block = torch.ones((room + 240_000_000) // 4)
    assert 100e6 < memory.peak_bytes(cpu) - before < 400e6
    del block
    assert memory.free_bytes(cpu) > 1e8
    assert memory.is_out_of_memory(MemoryError())
    assert memory.is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert memory.is_out_of_memory(
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")
    )
    assert not memory.is_out_of_memory(RuntimeError("shape mismatch"))
    assert not memory.is_out_of_memory(ValueError("out of memory"))


def test_the_family_of_the_base_is_the_runs(make_run, toy):
    run = make_run("sd2v")
    info = identify(toy("sd2v"))
    assert (run.file.base.family, run.file.base.prediction) == (info.family, info.prediction) == ("sd2", "v")


def test_a_runs_checkpoint_is_read_again_only_when_it_has_changed(make_run, toy, tmp_path, monkeypatch):
    base, made, read = tmp_path / "base.safetensors", make_run("sd2v"), []
    shutil.copy(toy("sd2v"), base)
    save_run(Run(made.folder, replace(made.file, base=replace(made.file.base, path=str(base)))))
    really = identifying.open_tensors
    monkeypatch.setattr(identifying, "open_tensors", lambda path: read.append(path) or really(path))
    run = load_run(made.folder)
    first = run.model()
    assert run.model() is first
    assert read == [base]
    base.with_suffix(".yaml").write_text("model: {params: {image_size: 8}}", encoding="utf-8")
    assert (first.small_side, run.model().small_side) == (None, 64)
    shutil.copy(toy("sd1"), base)
    assert run.model().family == "sd1"
    assert read == [base] * 3
    base.unlink()
    with raises("file-missing"):
        run.model()
