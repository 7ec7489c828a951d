"""Wrong input is refused before anything is loaded that takes seconds: each command runs where torch cannot be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib_lora.character.store import load
from lib_lora.models.families.identify import identify
from lib_lora.training.plan.run_file import IdentifiedBase, TrainingSet, create_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workspace.workspace import Workspace

DATA = Path(__file__).parents[1] / "data"
BASE = DATA / "mini-face" / "mini-face.safetensors"
CHILD = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
class Refused:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "diffusers", "peft", "transformers", "accelerate"):
            raise RuntimeError(f"{name} was loaded")
sys.meta_path.insert(0, Refused)
sys.argv = ["sameface"]
from lib_lora import __main__
from lib_lora.setup import bootstrap
bootstrap.enter = lambda *_, **__: None  # never leave for another interpreter
from lib_lora.errors import UserError
inner, codes = __main__._run, []
def run(argv):
    try:
        return inner(argv)
    except UserError as error:
        codes.append(error.code)
        raise
__main__._run = run
said = []
for command in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    codes.clear()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = __main__.main(command)
        except SystemExit as end:
            status = end.code
        except RuntimeError as error:
            status = str(error)
    said.append([status, out.getvalue(), err.getvalue(), "".join(codes)])
print(json.dumps(said))
"""
WHO = "--trigger x1 --class woman --consent fictional"

# the command, its exit status, the code of its error (where it has one) and what its sentence names
WRONG = [
    ("train nobody --base {base}", 2, "character-not-found", ""),
    ("train nobody --base {tmp}/nope", 2, "character-not-found", ""),
    ("train mara --base {tmp}/nope", 2, "file-missing", "nope"),
    ("train mara --base {tmp}/text.safetensors", 2, "safetensors-invalid", "text.safetensors"),
    ("train mara --base {tmp}/empty.ckpt", 2, "file-empty", "empty.ckpt"),
    ("train mara --base {base} --set lora.rnak=8", 2, "setting-unknown", "'lora.rnak'"),
    ("train mara --base {base} --set lora.rank=x", 2, "setting-wrong-type", "'x'"),
    ("train mara --base {base} --set steps=-1", 2, "setting-invalid", ""),
    ("train mara --base {base} --set class_photos={tmp}/empty", 2, "class-photos-missing", ""),
    ("train mara --base {base} --preset sd15_face", 2, "preset-unknown", "'sd15_face'"),
    ("train mara --base {base} --preset sdxl-face", 2, "preset-of-other-family", ""),
    ("train mara --base {base} --out {tmp}/text.safetensors", 2, "out-is-a-file", ""),
    ("train mara --base {base}", 2, "too-few-photos", "'mara'"),
    ("train bare --base {base} --few", 2, "no-photo", ""),
    ("train shy --base {base}", 2, "consent-missing", "'shy'"),
    (f"run {{tmp}}/empty --name a {WHO} --base {{base}}", 2, "no-photo-readable", ""),
    (f"run {{tmp}}/gone --name a {WHO} --base {{base}}", 2, "no-photo-readable", ""),
    (f"run {{photos}} --name a {WHO} --base {{tmp}}/nope", 2, "file-missing", "nope"),
    (f"run {{photos}} --name a {WHO}x --base {{base}}", 2, "consent-unknown", "'fictionalx'"),
    (f"run {{photos}} --name a {WHO} --base {{base}} --set lora.rnak=8", 2, "setting-unknown", "lora.rank"),
    (f"run {{photos}} --name mara {WHO} --base {{base}}", 2, "character-exists", "'mara'"),
    (f"run {{photos}} --name few {WHO} --base {{base}} --out {{tmp}}/out", 2, "too-few-photos", "'few'"),
    ("resume nobody", 2, "character-not-found", ""),
    ("resume {tmp}/empty", 2, "not-a-run-folder", ""),
    ("resume {tmp}/gone", 2, "run-name-unknown", ""),
    ("resume mara/7", 2, "run-not-found", ": 001"),
    ("resume mara --base {tmp}/nope", 2, "base-model-missing", "{tmp}/nope"),
    ("resume mara/1 --base {tmp}/text.safetensors", 2, "base-model-changed", ""),
    ("grid nobody", 2, "character-not-found", ""),
    ("grid bare", 2, "run-none-yet", ""),
    ("grid mara --run 7", 2, "run-not-found", ": 001"),
    ("grid mara/001 --run 2", 2, "run-ambiguous", "mara/001"),
    ("grid mara", 2, "checkpoint-none-yet", ""),
    ("grid done --lora nope", 2, "lora-unknown", "nope.safetensors"),
    ("grid done --lora {tmp}/gone.safetensors:0.5", 2, "lora-file-missing", "gone.safetensors"),
    ("grid done --lora {base}:99", 2, "lora-weight-wrong", "99"),
    ("combine nobody --lora x", 2, "character-not-found", ""),
    ("combine mara --lora x", 2, "checkpoint-none-yet", ""),
    ("combine done --lora nope", 2, "lora-unknown", "nope.safetensors"),
    ("combine done --lora {base}:0.5", 2, "combined-weight-with-file", "--weights"),
    ("combine done --lora {base} --weights 0 1", 2, "combined-weights-wrong", "0.25"),
    ("combine done", 2, "", "the following arguments are required: --lora"),
    ("choose nobody", 2, "character-not-found", ""),
    ("choose mara/001", 2, "checkpoint-none-yet", ""),
    ("score nobody {photos}", 2, "character-not-found", ""),
    ("score mara {tmp}/gone", 2, "picture-missing", "{tmp}/gone"),
    ("score mara {tmp}/empty", 2, "picture-missing", "{tmp}/empty"),
    ("score mara {photos} --engine insightface:{tmp}/gone --accept-licence", 2, "face-pack-folder-missing", "gone"),
    ("compare {tmp}/gone {tmp}/empty", 2, "compare-set-missing", "{tmp}/gone"),
    ("compare mara/001 {tmp}/empty", 2, "grid-none-yet", ""),
    ("caption nobody", 2, "character-not-found", ""),
    ("caption mara --only gone.jpg", 2, "photo-not-found", "gone.jpg"),
    ("caption mara --fill --captioner blip:{tmp}/gone", 2, "blip-folder-missing", "gone"),
    ("invent a --describe woman --base {tmp}/nope", 2, "file-missing", "nope"),
    ("invent a --describe woman", 2, "invent-incomplete", ""),
    ("invent nobody --more", 2, "face-not-picked", "nobody"),
    ("audit nobody", 2, "character-not-found", ""),
    ("audit mara --drop gone.jpg", 2, "photo-not-found", "gone.jpg"),
    ("import nobody {photos}", 2, "character-not-found", ""),
    ("import mara {tmp}/gone", 1, "", "There is no file or folder {tmp}/gone; check the name."),
    ("new a --trigger x1 --class woman --photos {tmp}/empty", 2, "no-photo-readable", ""),
    ("scorer nobody", 2, "character-not-found", ""),
    ("forget nobody", 2, "character-not-found", ""),
    ("consent mara nope", 2, "consent-unknown", "'nope'"),
    ("info {tmp}/gone.safetensors", 2, "file-missing", "gone.safetensors"),
    ("info {base}", 2, "not-a-lora", ""),
    ("trigger word --base {tmp}/nope", 2, "file-missing", "nope"),
    ("list nobody", 2, "character-not-found", ""),
    ("settings lora.rnak", 2, "setting-unknown", "lora.rank"),
    ("trian mara", 2, "", "there is no command 'trian'; did you mean train?"),
    ("train mara --bsae x", 2, "", "there is no option --bsae; did you mean --base?"),
    ("train", 2, "", "the following arguments are required"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the commands name, and a data folder with four characters; one has a run, one a checkpoint."""
    tmp = tmp_path_factory.mktemp("wrong input")
    photos, root = tmp / "photos", tmp / "data"
    photos.mkdir()
    for number in range(2):
        shutil.copy(DATA / "personas" / "mara" / f"{number:02d}.jpg", photos)
    (tmp / "empty").mkdir()
    (tmp / "empty.ckpt").touch()
    (tmp / "text.safetensors").write_text("a text that is no model", encoding="utf-8")
    folder, _ = new_character(root, NewCharacter("mara", "mrxa", "woman", "fictional"), photos)
    new_character(root, NewCharacter("bare", "brxa", "woman", "fictional"))
    new_character(root, NewCharacter("shy", "shxa", "woman", None), photos)
    base = IdentifiedBase(identify(BASE), "0" * 64)
    create_run(folder.runs, load(folder), base, TrainSettings(), TrainingSet([]))
    done, _ = new_character(root, NewCharacter("done", "dnxa", "woman", "fictional"))
    tried = create_run(done.runs, load(done), base, TrainSettings(), TrainingSet([]))
    tried.checkpoint(1).parent.mkdir(exist_ok=True)
    tried.checkpoint(1).write_bytes(b"LoRA")
    return tmp


@pytest.fixture(scope="module")
def run(place):
    """A function that runs commands in one process without torch; gives the status, output and error of each."""

    def all_of(commands):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"}
        asked = json.dumps([[*_words(place, command), *_data(place, command)] for command in commands])
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=asked, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=True,
        )  # fmt: skip
        return dict(zip(commands, json.loads(done.stdout), strict=True))

    return all_of


def _words(place, command):
    words = {"tmp": place, "photos": place / "photos", "base": BASE}
    return [word.format(**words) for word in command.split()]


def _data(place, command):
    return [] if command.split()[0] == "trian" else ["--data", str(place / "data")]


@pytest.fixture(scope="module")
def refused(run):
    return run([command for command, *_ in WRONG])


@pytest.mark.parametrize(("command", "status", "code", "has"), WRONG)
def test_wrong_input_is_refused_without_torch(refused, place, command, status, code, has):
    ended, out, err, found = refused[command]
    assert (ended, found) == (status, code), out + err
    assert has.replace("{tmp}", str(place)) in out + err
    assert "Traceback" not in err


def test_what_looks_only_needs_no_torch(run, place):
    """And its answer is the JSON alone."""
    commands = ["list", "list mara", "settings", "consent shy myself", "caption mara", "trigger mrxq", "forget mara"]
    commands += [f"new b {WHO}", "import b {photos}", "audit mara"]
    for command, (code, out, err, _) in run([f"{command} --json" for command in commands]).items():
        assert code == (1 if command.startswith("audit") else 0), err
        assert isinstance(json.loads(out), dict), command


def test_a_torch_that_fails_is_never_met(place):
    """As a shell does it: the stub on the path is what a broken installation is."""
    stub = place / "stub" / "torch"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('this torch is broken')", encoding="utf-8")
    paths = os.pathsep.join([str(stub.parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora", "train", "nobody", "--base", "/nope", "--data", str(place / "data")],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1"}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sameface: There is no character in ")


def test_the_characters_are_as_they_were(refused, place):
    """What was refused has left no run, and no photo out."""
    assert [path.name for path in Workspace(place / "data").character("mara").runs.iterdir()] == ["001"]
    assert len(list(Workspace(place / "data").character("mara").photos.glob("*.jpg"))) == 2
    assert not Workspace(place / "data").character("a").file.exists()
