"""Without a webui: where things are, what there is to train on, and who may come in."""

import os
import subprocess
from pathlib import Path

import pytest
from faults import raises

from lib_lora.hosts import standalone
from lib_lora.hosts.host_protocol import Host
from lib_lora.hosts.standalone import Alone
from lib_lora.models.families.registry import families
from lib_lora.setup import environment


def model(path: Path, size: int = 8 << 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        stream.truncate(size)
    return path


@pytest.fixture(autouse=True)
def _no_models(monkeypatch, tmp_path):
    monkeypatch.delenv("SAMEFACE_MODELS", raising=False)
    monkeypatch.setattr(standalone, "_BUNDLED", tmp_path / "nowhere")


def test_it_is_a_host(tmp_path):
    host: Host = Alone(tmp_path)
    public = [name for name in dir(Host) if not name.startswith("_") and callable(getattr(Host, name))]
    assert len(public) > 10
    assert [name for name in public if not callable(getattr(host, name, None))] == []
    assert (host.name, host.busy(), host.paints()) == ("alone", False, False)


def test_base_models_are_found_in_folders_and_named_files(tmp_path, monkeypatch):
    given, named = tmp_path / "Modelle ü", tmp_path / "名前"
    first = model(given / "XL" / "b.safetensors")
    second = model(given / "a.CKPT")
    model(given / "small.safetensors", 1000)
    model(given / "._c.safetensors")
    (given / "gone.safetensors").symlink_to(given / "nowhere")
    third = model(named / "c.safetensors")
    single = model(tmp_path / "elsewhere" / "d.safetensors")
    monkeypatch.setenv("SAMEFACE_MODELS", os.pathsep.join([str(named), "", str(single), str(tmp_path / "not there")]))
    host = Alone(tmp_path / "data", [given])
    assert [(one.title, one.path) for one in host.checkpoints()] == [
        ("a.CKPT", second),
        ("XL/b.safetensors", first),
        ("c.safetensors", third),
        ("d.safetensors", single),
    ]
    assert host.current_checkpoint() == second
    assert host.roots().checkpoints == [given, named, single.parent, tmp_path / "data" / "models"]
    assert host.roots().data == tmp_path / "data"
    assert host.roots().loras == [tmp_path / "data" / "loras"]
    assert not host.roots().data.exists()


def test_the_bundled_model_comes_last_and_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(standalone, "_BUNDLED", environment.ROOT / "tests" / "data" / "mini-face")
    assert [one.title for one in Alone(tmp_path).checkpoints()] == ["mini-face.safetensors"]
    own = model(tmp_path / "own" / "x.safetensors")
    assert [one.path.name for one in Alone(tmp_path, [own]).checkpoints()] == ["x.safetensors", "mini-face.safetensors"]
    assert Alone(tmp_path, [own]).current_checkpoint() == own


def test_a_fetched_base_model_goes_into_the_data_folder_and_is_found_there(tmp_path):
    own = Alone(tmp_path).roots().checkpoints[0]
    assert own == tmp_path / "models"
    fetched = model(own / "x.safetensors")
    assert [one.path for one in Alone(tmp_path).checkpoints()] == [fetched]


def test_without_any_model_nothing_is_chosen(tmp_path):
    assert (Alone(tmp_path).checkpoints(), Alone(tmp_path).current_checkpoint()) == ([], None)


def test_its_samplers_are_those_of_its_painter(tmp_path):
    samplers = set(Alone(tmp_path).samplers())
    assert all(one.sampling and samplers <= set(one.sampling.samplers) for one in families())
    assert Alone(tmp_path).samplers()[0] == "Euler"


@pytest.mark.parametrize("listening", [False, True])
def test_who_has_the_token_comes_in_from_here_and_from_elsewhere(tmp_path, listening):
    open_one = Alone(tmp_path, listening=listening, token="geheim ü")
    assert open_one.remote() == listening
    assert open_one.admits({}, {open_one.cookie: "geheim ü"})
    for cookies in (
        {},
        {open_one.cookie: ""},
        {open_one.cookie: "geheim"},
        {open_one.cookie: "\ud800"},
        {"other": "geheim ü"},
    ):
        assert not open_one.admits({}, cookies)
    nobody = Alone(tmp_path, listening=listening)  # no token given: one nobody knows
    assert not nobody.admits({}, {nobody.cookie: ""})
    assert nobody.cookie != open_one.cookie


def test_it_paints_nothing_and_shows_nothing(tmp_path):
    host = Alone(tmp_path)
    with raises("webui-missing"):
        host.paint([], None, lambda *_: None, lambda: False)
    assert host.reconstruct(None) is None
    assert host.captioners() == []
    with raises("webui-missing"):
        host.caption("webui-blip", None)
    assert not host.shows("sd1").shown
    assert "models/Lora" in host.shows("sd1").why
    with host.gpu_session():
        host.refresh_loras("x")


def test_the_worker_runs_in_this_python_and_finds_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("COMMANDLINE_ARGS", "--listen")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    host = Alone(tmp_path)
    code = "import lib_lora, os, sys; print(lib_lora.__file__, os.environ.get('COMMANDLINE_ARGS'), sys.flags.utf8_mode)"
    command = [*host.worker_command(), "-c", code]
    said = subprocess.run(
        command, env=host.worker_environment(), cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    assert said.stdout.split() == [str(environment.ROOT / "lib_lora" / "__init__.py"), "None", "1"]
