"""The list of what SameFace asks of a webui: it is whole, the stand-ins are like it, and each of it may go missing."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faults import raises
from PIL import Image

from hosts.standin.stage import stand_in
from lib_lora.errors import UserError
from lib_lora.hosts import webui_attributes
from lib_lora.hosts.webui_attributes import (
    ATTRIBUTES,
    BASES,
    CAPTIONS,
    CARDS,
    GONE,
    GPU,
    GUARD,
    LORAS,
    PAINTING,
    PROMPT,
    QUEUE,
    SETTINGS,
    START,
    VAE,
    Feature,
    full_name,
    lacking,
)
from lib_lora.hosts.webuis import detect
from lib_lora.pictures import Cell
from lib_lora.setup import environment
from lib_lora.ui.page import attach as attaching
from lib_lora.ui.views.doctor.doctor_checks import checks

pytestmark = pytest.mark.once("what a missing attribute costs is ours; test_webui_host.py meets each gradio")

KINDS = ("a1111", "forge", "neo", "reforge")
HOSTS = environment.ROOT / "lib_lora" / "hosts"
FEATURES = (BASES, LORAS, CARDS, PROMPT, SETTINGS, PAINTING, GPU, QUEUE, VAE, CAPTIONS, GUARD)
ASKED = [(kind, name) for kind in KINDS for name in dict.fromkeys(one.name for one in ATTRIBUTES if kind in one.hosts)]


@pytest.fixture(scope="module")
def webui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A stand-in with SameFace as its extension, which is not loaded yet."""
    data = tmp_path_factory.mktemp(request.param)
    with stand_in(request.param, data, extensions=[environment.ROOT]) as here:
        here.kind = request.param
        yield here


@pytest.fixture(scope="module", autouse=True)
def _routes_of_gradio_once() -> Iterator[None]:
    """They are the same for each page, nobody opens one here, and making them takes most of a page's time."""
    from gradio.routes import App  # here, since each worker collects this file

    made: list[App] = []
    make = App.create_app

    def create_app(*words: Any, **options: Any) -> App:
        made[:] = made or [make(*words, **options)]
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "create_app", staticmethod(create_app))
        yield


@contextmanager
def without(name: str) -> Iterator[None]:
    """The webui without an attribute, for a while."""
    *way, last = name.partition(":")[2].split(".")
    place: Any = webui_attributes._module(name.partition(":")[0])
    for step in way:
        place = getattr(place, step)
    values: tuple[Any, Any] = (None, None)
    if "data_labels" in getattr(place, "__dict__", {}):  # its options
        values = place.data.pop(last, None), place.data_labels.pop(last, None)
        owner: Any = next((one for one in (place, type(place)) if last in vars(one)), None)
    else:
        owner = next(one for one in (place, type(place)) if last in vars(one))
    kept = vars(owner)[last] if owner is not None else None
    if owner is not None:
        object.__delattr__(owner, last) if owner is place and not isinstance(owner, type) else delattr(owner, last)
    try:
        yield
    finally:
        if owner is not None:
            type.__setattr__(owner, last, kept) if isinstance(owner, type) else object.__setattr__(owner, last, kept)
        if "data_labels" in vars(place) and values[1] is not None:
            place.data[last], place.data_labels[last] = values


def opened(webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], Any]:
    """The extension loaded as the webui does it: its tabs, and the host. Nothing runs in the background."""
    monkeypatch.setattr(detect, "_known", {})
    monkeypatch.setattr(attaching, "_kept", {})
    webui.events.clear()
    webui.scripts.load_scripts()
    webui.script_callbacks.ui_settings_callback()
    return webui.script_callbacks.ui_tabs_callback(), detect.host()


def texts(tab: Any) -> dict[str, str]:
    """The values of a tab's elements that have an id."""
    return {one.elem_id: str(one.value) for one in tab.blocks.values() if getattr(one, "elem_id", None)}


def test_nothing_of_a_webui_is_reached_but_through_the_list() -> None:
    known, sources = {one.name for one in ATTRIBUTES}, {}
    for path in HOSTS.rglob("*.py"):
        sources[path.name] = path.read_text(encoding="utf-8")
        for call in (node for node in ast.walk(ast.parse(sources[path.name])) if isinstance(node, ast.Call)):
            called = getattr(call.func, "id", getattr(call.func, "attr", ""))
            given = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
            if called in ("ask", "ask_or", "put", "_asked_for") and given:
                assert given in known, path.name
            if called == "import_module" and path.name != "webui_attributes.py":
                assert ast.unparse(call.args[0]) == "'gradio'", path.name
    rest = "\n".join(text for name, text in sources.items() if name != "webui_attributes.py")
    rest += sources["webui_attributes.py"].partition("def ask(")[2]
    assert [name for name in known if f'"{name}"' not in rest and not put_together(name, rest)] == []


READ_OFF_AN_OBJECT = {"networks:available_networks", "shared:state.stopping_generation"}


def put_together(name: str, source: str) -> bool:
    """Whether a name is asked for in parts: an f-string and a word for its field, or others within it."""
    if name in READ_OFF_AN_OBJECT or any(one.name.startswith(f"{name}.") for one in ATTRIBUTES):
        return True
    for before, after in re.findall(r'f"([a-z_.:]*){[a-zA-Z_.]+}(:?[a-z_]*)"', source):
        word = name.removeprefix(before).removesuffix(after)
        if before + after and f"{before}{word}{after}" == name and f'"{word}"' in source:
            return True
    return False


def test_an_attribute_that_only_one_place_needs_does_not_say_that_nothing_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webui_attributes, "_value", lambda _: webui_attributes._NOTHING)
    with raises("webui-attribute-missing", has=("modules.devices.cpu", "update SameFace")) as error:
        webui_attributes.ask("devices:cpu")
    assert START.lost not in str(error.value)


@pytest.mark.parametrize("webui", KINDS, indirect=True)
def test_a_stand_in_has_what_its_webui_has(webui: SimpleNamespace) -> None:
    assert lacking(webui.kind) == {}
    here = [one.name for one in ATTRIBUTES if webui.kind in one.hosts and "sameface" not in one.name]
    assert [name for name in here if not webui_attributes._there(name)] == []
    assert [name for name in GONE[webui.kind] if webui_attributes._there(name)] == []


@pytest.mark.parametrize(("webui", "name"), ASKED, indirect=["webui"])
def test_each_may_be_missing(webui: SimpleNamespace, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("package_checks.python", "doctor_checks._gpu"):  # they start processes, and look at no webui
        monkeypatch.setattr(f"lib_lora.ui.views.doctor.{look}", lambda *_: iter(()))
    with without(name):
        tabs, host = opened(webui, monkeypatch)
        here = lacking(webui.kind)
        if name == "script_callbacks:on_ui_tabs":  # there is no tab then, and the console says why
            assert tabs == []
            assert any("Error loading script: train_lora.py" in event for event in webui.events)
            return
        [(tab, title, element)] = tabs
        assert (title, element) == ("Train LoRA", "sameface")
        if START in here:
            said = texts(tab)["sameface_broken"]
            assert full_name(name) in said
            assert "What to do:" in said
            return
        assert "sameface_mount" in texts(tab), texts(tab)
        assert all(one == name or one.startswith(f"{name}.") for names in here.values() for one in names)
        rows = {str(one.title): one for one in checks(host, webui.data / "sameface")}
        for feature in here:
            assert full_name(here[feature][0]) in str(rows[feature.name].text)
            assert feature.lost in str(rows[feature.name].text)
            assert str(rows[feature.name].mend) == feature.mend
            where(feature, host, webui)
        assert {one.name for one in FEATURES} & set(rows) - {one.name for one in here} <= {BASES.name, LORAS.name}


def where(feature: Feature, host: Any, webui: SimpleNamespace) -> None:
    """What is seen where the feature is used; nothing of it raises anything but a sentence."""
    if feature is PAINTING:
        assert not host.paints()  # so the worker does
        with raises("webui-attribute-missing"):
            host.paint([Cell("photo", "", 1, width=64, height=64, steps=1)], None, lambda *_: None, lambda: False)
    elif feature in (CARDS, PROMPT):
        card = host.shows("sd1")
        assert not card.shown
        assert feature.lost in card.why
    elif feature is LORAS:
        assert webui.data / "models" / "Lora" not in host.roots().loras
    elif feature is BASES:
        assert isinstance(host.checkpoints(), list)
        host.current_checkpoint()
    elif feature in (GPU, QUEUE):
        with host.gpu_session():
            assert not host.busy()
        assert not host.busy()
    elif feature is VAE:
        assert host.reconstruct(Image.new("RGB", (64, 64))) is None
    elif feature is CAPTIONS:
        for one in host.captioners():
            with pytest.raises(UserError):
                host.caption(one.name, Image.new("RGB", (64, 64)))
    elif feature is SETTINGS:
        assert "sameface_data_dir" not in getattr(getattr(webui.shared, "opts", None), "data_labels", {})


@pytest.mark.parametrize("webui", ["reforge"], indirect=True)
def test_a_webui_that_dropped_all_captioners_lacks_none(
    webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forge Classic has neither module, and ``shared.interrogator`` is None there."""
    monkeypatch.setitem(sys.modules, "modules.deepbooru", None)
    assert lacking("reforge") == {CAPTIONS: ["deepbooru:model"]}
    monkeypatch.setitem(sys.modules, "modules.interrogate", None)
    monkeypatch.setattr(webui.shared, "interrogator", None)
    assert lacking("reforge") == {}
    assert detect.host().captioners() == []  # type: ignore[union-attr]


@pytest.mark.parametrize("webui", ["a1111"], indirect=True)
def test_a_data_folder_that_is_not_known_is_the_tabs_sentence(
    webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with without("paths_internal:data_path"), without("paths:data_path"):
        [(tab, _, _)] = opened(webui, monkeypatch)[0]
    said = texts(tab)["sameface_broken"]
    assert "modules.paths_internal.data_path" in said
    assert "Update SameFace under Extensions" in said.partition("What to do:")[2]


@pytest.mark.parametrize("webui", ["neo"], indirect=True)
def test_many_folders_are_understood_as_one_is(webui: SimpleNamespace, tmp_path: Path) -> None:
    flags = webui.shared.cmd_opts
    flags.ckpt_dirs, flags.lora_dirs = [str(tmp_path / "a"), "b"], [str(tmp_path / "c")]
    try:
        roots = detect.host().roots()  # type: ignore[union-attr]
    finally:
        flags.ckpt_dirs, flags.lora_dirs = [], []
    assert roots.checkpoints == [webui.data / "models" / "Stable-diffusion", tmp_path / "a", webui.data / "b"]
    assert roots.loras == [webui.data / "models" / "Lora", tmp_path / "c"]
