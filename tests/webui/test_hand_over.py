"""SameFace as a guest of a real webui: the GPU handed over and back, and test pictures through its pipeline.

Runs where SAMEFACE_WEBUI names the folder of a webui, and SAMEFACE_WEBUI_PYTHON its interpreter (default: the one in
its venv); see `kinds` for a base model. The webui gets a data folder of its own, with `hand_over_extension.py` as an
extension in it.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import webui_under_test
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.writing import write
from lib_lora.models.families.identify import identify
from tools.mini.webui import put

PORTRAIT = Path(__file__).resolve().parents[1] / "data" / "personas" / "mara" / "15.jpg"
ADETAILER = os.environ.get("SAMEFACE_ADETAILER", "")  # a copy of it, as for test_guard_in_webui.py
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.webui
KIND = webui_under_test.kind() if os.environ.get("SAMEFACE_WEBUI") else ""
# How a version begins, and gradio's: Forge Classic is taken for reForge, and upstream's Neo tells no version.
VERSIONS = {"a1111": ({"1.10"}, 3), "forge": ({"f2.0"}, 4), "reforge": ({"f1.0", "clas"}, 3), "neo": ({"2.26", ""}, 4)}
SMALL = KIND == "a1111"
STEPS = 4 if SMALL else 2  # a full-size model takes seconds a step on a processor
SIZE = {"width": 64, "height": 64, "steps": STEPS, "cfg": 3.0, "negative": "blurry"}
PROMPT = "photo of a person, smiling"


class Webui:
    """A running webui's API, and the extension's."""

    def __init__(self, port, home):
        self.port, self.home = port, home
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        with self.opener.open(request, timeout=900) as answer:
            return json.load(answer)

    def users_own(self, prompt=PROMPT, seed=7):
        """A picture as the user's own page or API client asks for it."""
        answer = self.ask(
            "/sdapi/v1/txt2img",
            {
                "prompt": prompt,
                "negative_prompt": "blurry",
                "seed": seed,
                "width": 64,
                "height": 64,
                "steps": STEPS,
                "cfg_scale": 3.0,
                "sampler_name": "Euler",
                "scheduler": "Automatic",
            },
        )
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))).astype(int)

    def paint(self, pictures, **more):
        folder = self.home / "painted"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        answer = self.ask("/trial/paint", {"pictures": pictures, "folder": str(folder), **more})
        found = {int(path.stem): np.asarray(Image.open(path)).astype(int) for path in folder.glob("*.png")}
        return answer, found

    def until(self, what, seconds=240):
        end = time.monotonic() + seconds
        while not what(state := self.ask("/trial/state")):
            assert time.monotonic() < end, state
            time.sleep(0.2)
        return state


def _lora(path, seed):
    torch.manual_seed(seed)
    precision = torch.float32 if SMALL else torch.bfloat16
    adapter = attach(
        {"unet": identify(webui_under_test.base()).load_denoiser(precision, torch.device("cpu"))},
        "sd1",
        LoraSettings(rank=4, alpha=2),
    )
    for layer in adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.2 if SMALL else 0.02)
    write(path, adapter.export(), build(LoraFacts(family="sd1", trigger="mrxa")))


def _other(base, file):
    """Another checkpoint, which paints otherwise."""
    state = load_file(base)
    name = next(key for key in state if key.startswith("model.diffusion_model.out") and key.endswith("weight"))
    state[name] = state[name] * 0.5
    save_file(state, file)


def _two_small_ones(models):
    put(webui_under_test.MINI, models)
    _other(webui_under_test.MINI, models / "other.safetensors")
    (models / "other.yaml").write_text((models / "mini-face.yaml").read_text(encoding="utf-8"), encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data folder: the small base, another that paints otherwise, two LoRAs outside the Lora folder, and us."""
    home = tmp_path_factory.mktemp("hand-over")
    models = home / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    (home / "models" / "Lora").mkdir()
    if SMALL:
        _two_small_ones(models)
    else:
        shutil.copyfile(webui_under_test.base(), models / webui_under_test.base().name)
        _other(webui_under_test.base(), models / "other.safetensors")
    for number in (1, 2):
        _lora(home / f"lora {number} ü.safetensors", number)
    scripts = home / "extensions" / "sameface-trial" / "scripts"
    scripts.mkdir(parents=True)
    text = Path(__file__).with_name("hand_over_extension.py").read_text(encoding="utf-8")
    (scripts / "trial.py").write_text(text.replace("@ROOT@", ROOT.as_posix()), encoding="utf-8")
    if ADETAILER:
        shutil.copytree(ADETAILER, home / "extensions" / "adetailer")
    return home


@pytest.fixture(scope="module")
def webui(home):
    with webui_under_test.started(home, home / "models" / "Stable-diffusion" / webui_under_test.base().name) as port:
        api = Webui(port, home)
        if webui_under_test.kind() == "a1111":  # the others load their model with the first picture
            api.until(lambda state: state["loaded"], 180)
        yield api


def test_it_is_known_as_it_is(webui, home):
    facts = webui.ask("/trial/host_facts", {})
    assert facts["name"] == ("ux" if webui_under_test.with_ux() else KIND)
    versions, gradio = VERSIONS[KIND]
    assert facts["version"][:4] in versions
    assert facts["gradio"] == gradio
    assert facts["lacks"] == []
    assert facts["gone"] == []
    assert facts["data"] == str(home / "sameface")
    assert facts["loras"][0] == str(home / "models" / "Lora")
    assert str(home / "models" / "Stable-diffusion") in facts["bases"]
    assert {Path(one).name for one in facts["checkpoints"]} == {webui_under_test.base().name, "other.safetensors"}
    assert facts["samplers"][0] == "Euler"
    assert (facts["remote"], facts["paints"]) == (False, True)
    assert facts["shows"] == ([True, False, False] if SMALL else [True, True, True])
    assert not SMALL or "SDXL" in facts["why"]
    assert facts["refused"] == (["sd2"] if KIND == "neo" else [])
    dropped = KIND == "neo" or facts["version"].startswith("clas")
    assert bool(facts["captioners"]) is not dropped
    variables = facts["environment"]
    assert variables["PYTHONPATH"].split(os.pathsep)[-1] == str(ROOT)
    assert variables["HF_HUB_OFFLINE"] == "1"
    code = "import lib_lora.errors, sys; sys.exit('modules' in sys.modules)"
    ran = subprocess.run([*facts["command"], "-c", code], env=variables, cwd=home, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_while_it_is_handed_over_others_wait(webui):
    before = webui.users_own()
    webui.ask("/trial/begin", {"allow": False})
    inside = webui.until(lambda state: state["inside"])
    assert inside["away"]
    assert inside["busy"] is False  # it is we who hold the queue
    assert "training" in webui.ask("/sdapi/v1/progress")["textinfo"]
    pictures = []
    waiting = threading.Thread(target=lambda: pictures.append(webui.users_own()))
    waiting.start()
    waiting.join(3)
    assert pictures == []
    after = webui.ask("/trial/end", {})
    assert not after["inside"]
    assert after["away"] is not SMALL  # Forge brings it back with the next picture
    assert after["textinfo"] is None
    waiting.join(400)
    assert (pictures[0] == before).all()


def test_after_a_worker_that_died_it_comes_back_too(webui):
    webui.ask("/trial/begin", {"allow": False, "fail": True})
    webui.until(lambda state: state["inside"])
    after = webui.ask("/trial/end", {})
    assert after["calls"][-2:] == ["send_model_to_device" if SMALL else "unload_all_models", "error"]
    assert after["away"] is not SMALL
    webui.users_own()


def test_where_others_may_paint_the_model_comes_back_with_their_picture(webui):
    before = webui.users_own()
    webui.ask("/trial/begin", {"allow": True})
    assert webui.until(lambda state: state["inside"])["away"]
    assert (webui.users_own() == before).all()
    state = webui.ask("/trial/state")
    assert state["inside"]
    assert not state["away"]
    assert not webui.ask("/trial/end", {})["away"]
    assert (webui.users_own() == before).all()


def test_pictures_are_what_the_users_own_would_be(webui, home):
    own = {seed: webui.users_own(seed=seed) for seed in (7, 8)}
    last = (home / "params.txt").read_bytes()
    loras = [str(home / f"lora {number} ü.safetensors") for number in (1, 2)]
    pictures = [{"prompt": PROMPT, "seed": seed, **SIZE} for seed in (7, 8)]
    with_lora = [
        {**one, "lora": lora, "weight": weight} for lora in loras for weight in (0.0, 0.5, 1.0) for one in pictures
    ]
    answer, painted = webui.paint([*pictures, *with_lora])
    assert sorted(answer["numbers"]) == list(range(14))
    for number, seed in enumerate((7, 8)):
        assert (painted[number] == own[seed]).all()
        assert (painted[2 + number] == own[seed]).all(), "weight 0"
        change = [np.abs(painted[start + number] - own[seed]).mean() for start in (4, 6, 10, 12)]
        assert 0.5 < change[0] < change[1] * 1.5
        assert change[1] > (2 if SMALL else 1)
        assert np.abs(painted[6 + number] - painted[12 + number]).mean() > 1, "the second LoRA"
    assert "Lora hashes" in answer["infotexts"][6]
    assert "Lora hashes" not in answer["infotexts"][0]
    assert (home / "params.txt").read_bytes() == last
    assert not (home / "models" / "Lora" / "sameface-tests").exists()
    assert webui.ask("/sdapi/v1/loras") == []
    assert not (home / "outputs").exists() or not list((home / "outputs").rglob("*sameface*"))
    assert (webui.users_own() == own[7]).all()


def test_a_further_lora_paints_beside_the_characters(webui, home):
    first, second = (str(home / f"lora {number} ü.safetensors") for number in (1, 2))
    one = {"prompt": PROMPT, "seed": 7, **SIZE, "lora": first, "weight": 1.0}
    beside = [{**one, "more": [[second, weight]]} for weight in (0.0, 0.5, 1.0)]
    other_way = {**one, "lora": second, "more": [[first, 1.0]]}
    answer, painted = webui.paint([one, *beside, other_way])
    assert sorted(answer["numbers"]) == list(range(5)), answer
    assert (painted[1] == painted[0]).all(), "weight 0"
    change = [np.abs(painted[number] - painted[0]).mean() for number in (2, 3)]
    assert 0.5 < change[0] < change[1] * 1.5
    assert np.abs(painted[4] - painted[3]).mean() < 0.1 * change[1], "the order of two LoRAs"
    assert webui.ask("/sdapi/v1/loras") == []


def test_a_picture_is_painted_over_another_as_strongly_as_asked(webui, home):
    start = home / "Anfang ü.png"
    Image.fromarray(webui.users_own(seed=9).astype(np.uint8)).resize((100, 100)).save(start)
    begin = np.asarray(Image.open(start).resize((64, 64))).astype(int)
    strengths = (0.05, 0.5, 1.0)
    pictures = [{"prompt": PROMPT, "seed": 7, **SIZE, "start": str(start), "strength": one} for one in strengths]
    last = (home / "params.txt").read_bytes()
    _, painted = webui.paint([*pictures, {"prompt": PROMPT, "seed": 7, **SIZE}])
    assert (home / "params.txt").read_bytes() == last
    change = [np.abs(painted[number] - begin).mean() for number in range(3)]
    assert change[0] < change[1] < change[2] * 1.2
    assert np.abs(painted[2] - painted[0]).mean() > 1
    assert (painted[3] == webui.users_own(seed=7)).all(), "what was painted over leaves no trace"


def test_another_checkpoint_paints_and_the_users_own_is_back(webui, home):
    own = webui.users_own()
    before = webui.ask("/trial/state")
    picture = {"prompt": PROMPT, "seed": 7, **SIZE}
    other = home / "models" / "Stable-diffusion" / "other.safetensors"
    answer, painted = webui.paint([picture], base=str(other))
    assert "Model: other" in answer["infotexts"][0]
    assert np.abs(painted[0] - own).mean() > 2
    after = webui.ask("/trial/state")
    assert after["option"] == before["option"]
    assert after["digest"] == before["digest"]
    assert not SMALL or after["loaded"] == before["loaded"]  # Forge loads with the next picture
    assert (webui.users_own() == own).all()
    assert webui.ask("/trial/state")["loaded"] == before["loaded"]
    answer, _ = webui.paint([picture], base=str(home / "elsewhere.safetensors"))
    assert "does not know elsewhere.safetensors" in answer["error"]


def test_it_stops_between_two_pictures(webui):
    pictures = [{"prompt": PROMPT, "seed": seed, **SIZE} for seed in range(9)]
    answer, _ = webui.paint(pictures, stop_after=4)
    assert answer["numbers"] == [0, 1, 2, 3]
    webui.users_own()


def test_interrupt_costs_no_picture_that_was_whole(webui):
    pictures = [{**SIZE, "steps": 30 if SMALL else 6, "prompt": PROMPT, "seed": seed} for seed in range(8)]
    answer = {}
    thread = threading.Thread(target=lambda: answer.update(webui.paint(pictures)[0]))
    thread.start()
    end = time.monotonic() + 600
    while (told := webui.ask("/sdapi/v1/progress?skip_current_image=true")["state"])["job_no"] < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    webui.ask("/sdapi/v1/interrupt", {})
    thread.join(300)
    assert "Interrupt or Skip was pressed" in answer["error"]
    assert told["job_count"] == 4  # one progress bar for all of them
    assert answer["numbers"] == list(range(len(answer["numbers"])))
    assert told["job_no"] <= len(answer["numbers"]) < 4
    assert sorted(path.name for path in (webui.home / "painted").iterdir()) == [f"{n}.png" for n in answer["numbers"]]


def test_a_lora_that_it_does_not_know_is_said_and_nothing_is_painted(webui):
    one = {**SIZE, "seed": 7, "lora": str(webui.home / "lora 1 ü.safetensors")}
    named = {**one, "prompt": f"{PROMPT} <lora:nobody:0.5>"}
    answer, found = webui.paint([{**one, "prompt": PROMPT}, named])
    assert "<lora:nobody>" in answer["error"]
    assert found == {}


@pytest.mark.skipif(not ADETAILER, reason="SAMEFACE_ADETAILER names no copy of ADetailer")
def test_small_faces_are_painted_again_by_adetailer(webui, home):
    start, side = home / "start.png", 512
    canvas = Image.new("RGB", (side, side), (90, 110, 130))
    with Image.open(PORTRAIT) as portrait:
        canvas.paste(portrait.convert("RGB").resize((160, 160)), (300, 60))
    canvas.save(start)
    plain = {**SIZE, "width": side, "height": side, "prompt": PROMPT, "seed": 7, "start": str(start), "strength": 0.1}
    detailed = {**plain, "detail": 0.6, "detail_side": side}
    too_large = {**detailed, "detail_side": 128}  # none is smaller than a third of it
    answer, found = webui.paint([plain, detailed, too_large])
    assert answer["numbers"] == [0, 1, 2]
    assert ["ADetailer denoising strength: 0.6" in text for text in answer["infotexts"]] == [False, True, True]
    changed = np.abs(found[1] - found[0]).max(axis=2) > 8
    rows, columns = np.nonzero(changed)
    assert changed[60:220, 300:460].mean() > 0.05
    assert (rows.min() > 20, rows.max() < 260, columns.min() > 260, columns.max() < 500) == (True,) * 4
    assert np.abs(found[2] - found[0]).max() <= 8  # the VAE draws by chance what it makes of a start


def test_a_lora_that_cannot_be_read_is_said(webui, home):
    broken = home / "broken.safetensors"
    broken.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all.")
    answer, painted = webui.paint([{"prompt": PROMPT, "seed": 1, "lora": str(broken), **SIZE}])
    assert "could not load the LoRA broken.safetensors" in answer["error"]
    assert painted == {}


def test_a_picture_through_the_vae_stays_nearly_the_same(webui, home):
    file, out = home / "in.png", home / "out.png"
    Image.fromarray(webui.users_own().astype(np.uint8)).resize((130, 100)).save(file)
    assert webui.ask("/trial/reconstruct", {"file": str(file), "out": str(out)})["there"]
    before, after = (np.asarray(Image.open(path)).astype(int) for path in (file, out))
    assert before.shape == after.shape
    assert 0 < np.abs(before - after).mean() < 25
