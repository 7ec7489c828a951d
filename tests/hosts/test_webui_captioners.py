"""The webui's BLIP and tagger: asked as the webui asks them, and nothing fetched without a yes.

The stand-in has the names, signatures and ways of modules/interrogate.py and modules/deepbooru.py of A1111 1.10.1 and
of Forge. The last test asks the real ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import transformers.utils
from faults import raises
from PIL import Image

from lib_lora.hosts.webuis.webui_captioners import BLIP, NAMES, TAGS, offered, webui_captioner

BLIP_FILE, TAGS_FILE = "BLIP/some.pth", "torch_deepdanbooru/some.pt"


class Model:
    """A torch module's few methods that the webui uses."""

    def __init__(self, events: list[str], name: str) -> None:
        self.events, self.name, self.dtype, self.device = events, name, "float32", "nowhere"

    def half(self) -> Model:
        self.dtype = "float16"
        return self

    def to(self, device: str, dtype: str | None = None) -> Model:
        self.device, self.dtype = device, dtype or self.dtype
        self.events.append(f"{self.name} to {device}")
        return self

    def parameters(self) -> Any:
        return iter([SimpleNamespace(dtype=self.dtype)])


class Interrogator:
    """A1111's ``InterrogateModels``."""

    blip_model: Any = None
    clip_model: Any = None
    dtype: Any = None
    running_on_cpu = False
    said: Any = "a woman wearing a red coat"

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def load_blip_model(self) -> Model:
        self.events.append("load blip")
        return Model(self.events, "blip")

    def load(self) -> None:
        raise AssertionError("this would load CLIP too")

    def send_blip_to_ram(self) -> None:
        if self.blip_model is not None:
            self.blip_model = self.blip_model.to("cpu")

    def generate_caption(self, pil_image: Image.Image) -> str:
        assert pil_image.mode == "RGB"
        assert self.dtype == self.blip_model.dtype
        self.events.append(f"say on {self.blip_model.device} in {self.dtype}")
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Tagger:
    """``DeepDanbooru``."""

    model: Any = None
    said: Any = r"1girl, red coat, hat \(red\)"

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def start(self) -> None:
        if isinstance(self.said, IndexError):  # as where no file was fetched
            raise self.said
        self.model = self.model or Model(self.events, "tagger")
        self.model.to("cuda")

    def stop(self) -> None:
        self.model.to("cpu")

    def tag_multi(self, pil_image: Image.Image, force_disable_ranks: bool = False) -> str:
        assert force_disable_ranks
        assert self.model.device == "cuda"
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Webui(SimpleNamespace):
    """The stand-in: what happened, its models, and its folder of models."""

    events: list[str]
    interrogator: Any
    tagger: Tagger
    models: Path

    def put(self, *names: str) -> None:
        for name in names:
            (self.models / name).parent.mkdir(parents=True, exist_ok=True)
            (self.models / name).write_bytes(b"weights")


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Whether BERT's vocabulary is in the hub's cache: there is one until `there` is False."""
    state = SimpleNamespace(there=True)

    def cached_file(name: str, file: str, **options: Any) -> str:
        assert (name, file, options) == ("bert-base-uncased", "vocab.txt", {"local_files_only": True})
        if not state.there:
            raise OSError("We couldn't connect to the hub")
        return "vocab.txt"

    monkeypatch.setattr(transformers.utils, "cached_file", cached_file)
    return state


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary: SimpleNamespace) -> Webui:
    """A1111's modules in ``sys.modules``."""
    events: list[str] = []
    here = Webui(events=events, interrogator=Interrogator(events), tagger=Tagger(events), models=tmp_path / "models")

    def load_models(
        model_path: str,
        model_url: str | None = None,
        command_path: str | None = None,
        ext_filter: list[str] | None = None,
        download_name: str | None = None,
        ext_blacklist: list[str] | None = None,
        hash_prefix: str | None = None,
    ) -> list[str]:
        assert model_url is None, "this would be fetched"
        return [str(path) for path in Path(model_path).rglob("*") if path.suffix in (ext_filter or [])]

    parts: dict[str, dict[str, Any]] = {
        "shared": {"interrogator": here.interrogator, "cmd_opts": SimpleNamespace(no_half=False)},
        "paths": {"models_path": str(here.models)},
        "modelloader": {"load_models": load_models},
        "devices": {"device_interrogate": "cuda", "cpu": "cpu", "torch_gc": lambda: events.append("gc")},
        "lowvram": {"send_everything_to_cpu": lambda: events.append("all to cpu")},
        "deepbooru": {"model": here.tagger},
        "interrogate": {},
    }
    package = ModuleType("modules")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "modules", package)
    for name, content in parts.items():
        module = ModuleType(f"modules.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, f"modules.{name}", module)
    return here


def picture() -> Image.Image:
    return Image.new("RGBA", (30, 40), "red")


def test_blip_is_loaded_asked_and_sent_away_as_the_webui_does(webui: Webui) -> None:
    webui.put(BLIP_FILE)
    blip = webui_captioner(BLIP)
    assert (blip.id, webui.events) == (BLIP, [])
    assert blip.phrases(picture()) == ["wearing a red coat"]
    once = ["blip to cuda", "say on cuda in float16", "blip to cpu", "gc"]
    assert webui.events == ["all to cpu", "gc", "load blip", *once]
    assert blip.phrases(picture()) == ["wearing a red coat"]
    assert webui.events[7:] == ["all to cpu", "gc", *once]


@pytest.mark.parametrize(("no_half", "on_cpu"), [(True, False), (False, True)])
def test_blip_is_as_precise_as_the_webui_wants(no_half: bool, on_cpu: bool, webui: Webui) -> None:
    sys.modules["modules.shared"].cmd_opts.no_half = no_half  # type: ignore[attr-defined]
    webui.interrogator.running_on_cpu = on_cpu
    webui.put(BLIP_FILE)
    webui_captioner(BLIP).phrases(picture())
    assert "say on cuda in float32" in webui.events


def test_the_tagger_is_sent_away_after_each_picture(webui: Webui) -> None:
    webui.put(TAGS_FILE)
    tags = webui_captioner(TAGS)
    assert tags.id == TAGS
    assert tags.phrases(picture()) == ["red coat", "hat red"]
    assert webui.events == ["tagger to cuda", "tagger to cpu"]


def test_nothing_is_ever_fetched(webui: Webui, vocabulary: SimpleNamespace) -> None:
    with raises(
        "captioner-download-needed", has=("model_base_caption_capfilt_large.pth (0.9 GB) yet", "Interrogate CLIP")
    ):
        webui_captioner(BLIP).phrases(picture())
    with raises("captioner-download-needed", has=("model-resnet_custom_v3.pt (0.6 GB) yet", "Interrogate DeepBooru")):
        webui_captioner(TAGS).phrases(picture())
    webui.put(BLIP_FILE)
    vocabulary.there = False
    with raises("captioner-download-needed", has="not downloaded the vocabulary bert-base-uncased (0.3 MB) yet"):
        webui_captioner(BLIP).phrases(picture())
    assert webui.events == []


def test_what_is_offered_says_what_is_missing(webui: Webui, vocabulary: SimpleNamespace) -> None:
    tags, blip = offered()
    assert ([tags.name, blip.name], [tags.text, blip.text]) == (list(NAMES), list(NAMES.values()))
    assert "model-resnet_custom_v3.pt" in tags.why
    assert "model_base_caption_capfilt_large.pth" in blip.why
    webui.put(BLIP_FILE, TAGS_FILE)
    assert [one.why for one in offered()] == ["", ""]
    assert webui.events == []  # nothing was loaded for that


def test_a_file_that_has_gone_since_is_not_fetched_either(webui: Webui) -> None:
    webui.put(BLIP_FILE, TAGS_FILE)
    made = [webui_captioner(name) for name in (BLIP, TAGS)]
    for name in (BLIP_FILE, TAGS_FILE):
        (webui.models / name).unlink()
    for captioner in made:
        with raises("captioner-download-needed", has="has not downloaded"):
            captioner.phrases(picture())


def test_once_a_model_is_loaded_its_file_is_not_looked_for(webui: Webui) -> None:
    webui.put(BLIP_FILE, TAGS_FILE)
    for name in (BLIP, TAGS):
        assert webui_captioner(name).phrases(picture())
    for name in (BLIP_FILE, TAGS_FILE):
        (webui.models / name).unlink()
    for name in (BLIP, TAGS):
        assert webui_captioner(name).phrases(picture())
    assert [one.why for one in offered()] == ["", ""]


def test_an_error_in_the_webui_is_a_sentence_and_the_model_is_sent_away(webui: Webui) -> None:
    webui.put(BLIP_FILE, TAGS_FILE)
    blip, tags = webui_captioner(BLIP), webui_captioner(TAGS)
    webui.interrogator.said = webui.tagger.said = RuntimeError("CUDA out of memory")
    for captioner in (blip, tags):
        with raises("webui-captioner-failed", has=("could not use webui-", "RuntimeError: CUDA out of memory")):
            captioner.phrases(picture())
    assert webui.interrogator.blip_model.device == webui.tagger.model.device == "cpu"
    webui.tagger.model, webui.tagger.said = None, IndexError("list index out of range")
    with raises("webui-captioner-failed", has="IndexError"):
        tags.phrases(picture())


@pytest.mark.parametrize("manager", ["memory_management", "model_management"])
def test_forge_moves_the_model_itself(manager: str, webui: Webui) -> None:
    interrogator, events = webui.interrogator, webui.events
    interrogator.blip_patcher, interrogator.dtype = None, "float16"
    interrogator.load_device, interrogator.offload_device = "cuda", "cpu"

    def load_models_gpu(patchers: list[Any]) -> None:
        for patcher in patchers:
            patcher.model.to(patcher.load_device)

    module = sys.modules["modules.interrogate"]
    module.ModelPatcher = lambda model, load_device, offload_device: SimpleNamespace(  # type: ignore[attr-defined]
        model=model, load_device=load_device, offload_device=offload_device
    )
    setattr(module, manager, SimpleNamespace(load_models_gpu=load_models_gpu))
    del sys.modules["modules.lowvram"]
    webui.put(BLIP_FILE)
    blip = webui_captioner(BLIP)
    assert blip.phrases(picture()) == blip.phrases(picture()) == ["wearing a red coat"]
    once = ["blip to cuda", "say on cuda in float16"]
    assert events == ["load blip", "blip to cpu", *once, *once]


def _without(name: str) -> Callable[[Webui], None]:
    def take_out(_: Webui) -> None:
        sys.modules[name] = None  # type: ignore[assignment]

    return take_out


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_without("modules.shared"), BLIP),
        (_without("modules.deepbooru"), TAGS),
        (lambda webui: setattr(sys.modules["modules.shared"], "interrogator", None), BLIP),
        (lambda webui: setattr(webui.interrogator, "generate_caption", None), BLIP),
        (lambda webui: setattr(webui.tagger, "tag_multi", None), TAGS),
    ],
)
def test_a_webui_that_lacks_it_is_said(change: Callable[[Webui], None], name: str, webui: Webui) -> None:
    change(webui)
    with raises("webui-captioner-missing", has=name):
        webui_captioner(name)
    assert [one.name for one in offered()] == [other for other in NAMES if other != name]


def _deepbooru_that_fails_to_load(webui: Webui) -> None:
    folder = webui.models.parent / "modules"
    folder.mkdir()
    (folder / "deepbooru.py").write_text("raise RuntimeError('no libcuda')", encoding="utf-8")
    del sys.modules["modules.deepbooru"]
    sys.modules["modules"].__path__ = [str(folder)]


@pytest.mark.parametrize(
    ("change", "name", "why"),
    [
        (lambda webui: delattr(Interrogator, "blip_model"), BLIP, "AttributeError"),
        (_deepbooru_that_fails_to_load, TAGS, "RuntimeError: no libcuda"),
    ],
)
def test_one_that_fails_unexpectedly_is_offered_with_the_reason(
    change: Callable[[Webui], None], name: str, why: str, webui: Webui, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrogator, "blip_model", None)  # is put back afterwards
    webui.put(BLIP_FILE, TAGS_FILE)
    change(webui)
    found = {one.name: one.why for one in offered()}
    other = next(one for one in NAMES if one != name)
    assert (list(found), found[other]) == (list(NAMES), "")
    assert f"could not use {name} ({why}" in found[name]


def test_outside_a_webui_there_are_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modules", None)
    for name in (BLIP, TAGS):
        with raises("webui-captioner-missing"):
            webui_captioner(name)
    assert offered() == []
    with raises("captioner-unknown", has="'blip'"):
        webui_captioner("blip")


@pytest.mark.webui
def test_the_real_ones_answer(tmp_path: Path) -> None:
    """The webui's own classes with random numbers; SAMEFACE_WEBUI names an A1111, SAMEFACE_WEBUI_PYTHON its Python."""
    webui = Path(os.environ["SAMEFACE_WEBUI"]).resolve()
    binary = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = os.environ.get("SAMEFACE_WEBUI_PYTHON") or str(webui / "venv" / binary)
    here = Path(__file__).resolve()
    places = os.pathsep.join([str(webui), str(here.parents[2])])
    script = str(here.with_name("in_the_webui.py"))
    flags = ["--skip-torch-cuda-test", "--use-cpu", "all", "--no-half", "--data-dir", str(tmp_path / "data")]
    answer = subprocess.run(
        [python, script, *flags, str(tmp_path)],
        cwd=webui,
        env={**os.environ, "PYTHONPATH": places, "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    said = json.loads(answer.stdout.splitlines()[-1])
    assert "model_base_caption_capfilt_large.pth" in said["webui-blip"]
    assert "bert-base-uncased" in said["webui-blip"]
    assert "model-resnet_custom_v3.pt" in said["webui-tags"]
    assert said["sentence"] == said["again"] != ""
    assert said["tags"] == ["hat red", "red coat"]
    assert said["clip"] is False
