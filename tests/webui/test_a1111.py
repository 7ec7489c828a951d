"""LoRAs of this engine in a real A1111, against the engine's own painting of the same seeds.

Runs where SAMEFACE_WEBUI names the folder of an A1111 1.10 and SAMEFACE_WEBUI_PYTHON its interpreter (default: the
one in its venv); other webuis know no model as small as these. The webui gets a data folder of its own, so nothing in
its own tree changes.
"""

import base64
import io
import json
import os
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import webui_under_test
import yaml
from PIL import Image
from transformers import CLIPTextConfig

from lib_lora.character.photo_files import open_photo
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.writing import write
from lib_lora.models.clip_tokens import write_tokenizer
from lib_lora.models.families.identify import identify
from lib_lora.models.textual_inversion import TextualInversion
from lib_lora.pictures import Cell
from lib_lora.runs.events import EventLog
from lib_lora.training.loop import train
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import start_run
from tools.mini.webui import put

MINI = Path(__file__).parents[1] / "data" / "mini-face" / "mini-face.safetensors"
pytestmark = pytest.mark.webui
CPU = torch.device("cpu")
PROMPT = "photo of mrxa woman, smiling"
LONG = PROMPT + ", wearing a long red coat in the autumn park" * 12
KINDS = {
    "lora": {},
    "locon": {"conv_rank": 4, "conv_alpha": 2},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "vectors": {},  # with vectors of its own for the trigger
}


class Webui:
    """A running webui's API."""

    def __init__(self, port):
        self.port = port
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}
        )
        with self.opener.open(request, timeout=120) as answer:
            return json.load(answer)

    def paint(self, prompt, cell, model="toy"):
        answer = self.get(
            "/sdapi/v1/txt2img",
            {
                "prompt": prompt,
                "negative_prompt": cell.negative,
                "seed": cell.seed,
                "width": cell.width,
                "height": cell.height,
                "steps": cell.steps,
                "cfg_scale": cell.cfg,
                "sampler_name": cell.sampler,
                "scheduler": "Automatic",
                "override_settings": {"sd_model_checkpoint": model},
                "override_settings_restore_afterwards": False,
            },
        )
        picture = Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))).convert("RGB")
        return np.asarray(picture).astype(int), json.loads(answer["info"])["infotexts"][0]


def _config(webui, clip):
    """A1111's own SD1 config, narrowed to the toy."""
    config = yaml.safe_load((webui / "configs" / "v1-inference.yaml").read_text())
    parts = config["model"]["params"]
    parts["unet_config"]["params"].update(model_channels=32, channel_mult=[1, 2, 1, 1], context_dim=64, num_heads=8)
    parts["first_stage_config"]["params"]["ddconfig"].update(ch=32, ch_mult=[1, 2, 1, 1])
    parts["cond_stage_config"]["params"] = {"version": str(clip), "device": "cpu"}
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def home(toy, tmp_path_factory):
    """A data folder for the webui: the toy, its config, a tokenizer, and a LoRA of each kind."""
    if webui_under_test.kind() != "a1111":
        pytest.skip(f"{webui_under_test.kind()} does not load a model as small as the toy")
    home = tmp_path_factory.mktemp("webui")
    clip = home / "clip"
    write_tokenizer(clip)
    CLIPTextConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=12, num_attention_heads=1, vocab_size=49408
    ).save_pretrained(clip)
    models, loras = home / "models" / "Stable-diffusion", home / "models" / "Lora"
    models.mkdir(parents=True)
    loras.mkdir(parents=True)
    put(MINI, models)
    checkpoint = models / "toy.safetensors"
    checkpoint.write_bytes(toy("sd1").read_bytes())
    checkpoint.with_suffix(".yaml").write_text(_config(Path(os.environ["SAMEFACE_WEBUI"]), clip))
    info = identify(checkpoint)
    for name, kind in KINDS.items():
        torch.manual_seed(3)
        parts = {"unet": info.load_denoiser(torch.float32, CPU), "te1": info.load_text(torch.float32, CPU).encoders[0]}
        adapter = attach(parts, "sd1", LoraSettings(rank=4, alpha=2, **kind))
        for layer in adapter.layers:
            torch.nn.init.normal_(layer.up, std=0.3)
            if layer.magnitude is not None:
                layer.magnitude.data.mul_(1 + 0.1 * torch.randn_like(layer.magnitude))
        if name == "vectors":
            adapter.trigger = TextualInversion("mrxa", (torch.nn.Parameter(torch.randn(3, 64).half().float()),))
        write(loras / f"{name}.safetensors", adapter.export(), build(LoraFacts(family="sd1", trigger="mrxa")))
    _train(checkpoint, home / "data", loras / "trained.safetensors")
    return home


def _train(checkpoint, data, target):
    """A LoRA that is trained on the toy, by the main job's own steps."""
    photos = Path(__file__).parents[1] / "data" / "personas" / "mara"
    new_character(data, NewCharacter("mara", "mrxa", "woman", "fictional"), photos)
    settings = {"steps": 40, "resolution": 128, "precision": "fp32", "optimizer": "adamw", "batch_size": 1}
    settings |= {"unet_lr": 5e-3, "te_lr": 5e-3, "save_every": 40}
    run = start_run(
        data,
        "mara",
        TrainingRequest(
            checkpoint, None, {**settings, "lora": {"rank": 16, "conv_rank": 8, "conv_alpha": 8}}, few=True
        ),
    )
    shutil.copy(train(run, EventLog(run.events)), target)


@pytest.fixture(scope="module")
def webui(home):
    with webui_under_test.started(home, home / "models" / "Stable-diffusion" / "toy.safetensors") as port:
        yield Webui(port)


@pytest.fixture(scope="module")
def painter(home):
    info = identify(home / "models" / "Stable-diffusion" / "toy.safetensors")
    return DiffusersPainter(info, CPU, torch.float32)


def _agree(theirs, ours):
    """The same picture: a level off by one at most (rounding), in less than one number of a hundred."""
    difference = np.abs(theirs - np.asarray(ours).astype(int))
    return difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize("prompt", [PROMPT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("kind", [*KINDS, "trained"])
def test_what_it_paints_is_what_the_engine_paints(webui, painter, home, kind, prompt):
    lora = home / "models" / "Lora" / f"{kind}.safetensors"
    cell = Cell(prompt, "blurry", seed=1234, width=128, height=192, steps=12)
    base, _ = webui.paint(prompt, cell)
    assert _agree(base, painter.paint([cell])[0])
    change = {}
    for weight in (0.0, 0.5, 1.0):
        theirs, infotext = webui.paint(f"{prompt} <lora:{kind}:{weight}>", cell)
        mine = Cell(**{**vars(cell), "lora": lora, "weight": weight})
        assert _agree(theirs, painter.paint([mine])[0]), weight
        assert weight == 0 or "Lora hashes" in infotext
        change[weight] = np.abs(theirs - base).mean()
    assert (change[0.0] == 0) == (kind != "vectors")  # which stand in the prompt whatever the weight is
    assert 1 < change[0.5] < change[1.0] * 1.5
    assert change[1.0] > 2


def test_vectors_mean_something_with_their_lora_alone(webui, painter, home):
    """The trigger calls them by itself; a prompt without it does not; without the LoRA it is an ordinary word."""
    lora = home / "models" / "Lora" / "vectors.safetensors"
    for words, heard in (("mrxa", True), ("photo of woman", False)):
        cell = Cell(words, "blurry", seed=77, width=128, height=128, steps=8)
        before, _ = webui.paint(words, cell)
        theirs, _ = webui.paint(f"{words} <lora:vectors:0>", cell)
        after, _ = webui.paint(words, cell)
        assert np.array_equal(before, after)
        assert np.array_equal(before, theirs) != heard
        assert _agree(theirs, painter.paint([Cell(**{**vars(cell), "lora": lora, "weight": 0.0})])[0])


def test_it_knows_the_files_as_sd1_under_their_own_names(webui):
    found = {entry["name"]: entry for entry in webui.get("/sdapi/v1/loras")}
    assert set(KINDS) <= set(found)
    for name in KINDS:
        assert found[name]["alias"] == name
        assert found[name]["metadata"]["ss_base_model_version"] == "sd_v1"
        assert found[name]["metadata"]["modelspec.architecture"] == "stable-diffusion-v1/lora"


def test_the_small_base_paints_faces_in_it_too(webui, home):
    """After the others: changing the model takes a while."""
    info = identify(MINI)
    torch.manual_seed(4)
    adapter = attach({"unet": info.load_denoiser(torch.float32, CPU)}, "sd1", LoraSettings(rank=4, alpha=2))
    for layer in adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.2)
    lora = home / "models" / "Lora" / "small.safetensors"
    write(lora, adapter.export(), build(LoraFacts(family="sd1", trigger="mrxa")))
    webui.get("/sdapi/v1/refresh-loras", {})
    painter = DiffusersPainter(info, CPU, torch.float32)
    pictures = []
    for file, extra in ((None, ""), (lora, " <lora:small:1>")):
        cell = Cell("photo of a person, smiling", "", seed=7, lora=file, width=128, height=128, cfg=3.0)
        theirs, _ = webui.paint(cell.prompt + extra, cell, "mini-face")
        assert _agree(theirs, painter.paint([cell])[0])
        pictures.append(theirs)
    assert np.abs(pictures[1] - pictures[0]).mean() > 2
    assert len(SFaceEngine().faces(Image.fromarray(pictures[0].astype(np.uint8)))) == 1


def test_the_trained_trigger_is_the_person_with_its_lora_alone(webui, home):
    """Two vectors and an adapter of the UNet alone, trained on the small base: the word calls the person, other words
    less, and without the LoRA the word does not. By the photos that were not trained on."""
    photos = sorted((Path(__file__).parents[1] / "data" / "personas" / "mara").iterdir())
    trained = home / "trained photos"
    trained.mkdir()
    for path in photos[:16]:
        shutil.copy(path, trained)
    new_character(home / "faces", NewCharacter("mara", "mrxa", "woman", "fictional"), trained)
    settings = {"trigger_vectors": 2, "preservation_weight": 1.0, "te_lr": 0.0, "save_every": 1000}
    run = start_run(home / "faces", "mara", TrainingRequest(MINI, "mini-face", settings, few=True))
    shutil.copy(train(run, EventLog(run.events)), home / "models" / "Lora" / "face.safetensors")
    webui.get("/sdapi/v1/refresh-loras", {})
    engine = SFaceEngine()
    looks = np.mean([engine.faces(open_photo(path))[0].embedding for path in photos[16:]], axis=0)
    looks /= np.linalg.norm(looks)

    def likeness(prompt):
        found = []
        for seed in range(8):
            cell = Cell(prompt, "", seed=seed, width=128, height=128, steps=12, cfg=3.0)
            faces = engine.faces(Image.fromarray(webui.paint(prompt, cell, "mini-face")[0].astype(np.uint8)))
            found += [float(face.embedding @ looks) for face in faces[:1]]
        assert len(found) >= 6
        return np.mean(found)

    word = {"alone": "mrxa", "with its class": "photo of mrxa woman", "none": "photo of woman"}
    ours = {name: likeness(f"{prompt} <lora:face:1>") for name, prompt in word.items()}
    base = {name: likeness(prompt) for name, prompt in word.items()}
    assert min(ours["alone"], ours["with its class"]) > max(base.values()) + 0.3
    assert ours["none"] < ours["with its class"] - 0.1  # captions that only say who it is leave half of the leak
    assert max(base.values()) < 0.4
