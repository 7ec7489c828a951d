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
from lib_lora.training.plan.run_file import IdentifiedBase, create_run
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
from lib_lora import __main__, bootstrap
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

# the command, its exit status, and what it says
WRONG = [
    ("train nobody --base {base}", 2, "There is no character in "),
    ("train nobody --base {tmp}/nope", 2, "There is no character in "),
    ("train mara --base {tmp}/nope", 2, "nope"),
    ("train mara --base {tmp}/text.safetensors", 2, "text.safetensors is not a safetensors file"),
    ("train mara --base {tmp}/empty.ckpt", 2, "empty.ckpt is an empty file"),
    ("train mara --base {base} --set lora.rnak=8", 2, "there is no setting 'lora.rnak'; did you mean lora.rank?"),
    ("train mara --base {base} --set lora.rank=x", 2, "rank: expected a whole number, found 'x'"),
    ("train mara --base {base} --set steps=-1", 2, "steps is -1; it must be at least 0."),
    ("train mara --base {base} --set class_photos={tmp}/empty", 2, "There is no picture of the class in "),
    ("train mara --base {base} --preset sd15_face", 2, "There is no preset 'sd15_face'"),
    ("train mara --base {base} --preset sdxl-face", 2, "is for another family of base models"),
    ("train mara --base {base} --out {tmp}/text.safetensors", 2, "is a file, not a folder"),
    ("train mara --base {base}", 2, "'mara' has 2 photos in use, and 8 are the least"),
    ("train bare --base {base} --few", 2, "There is no photo in "),
    ("train shy --base {base}", 2, "Record consent for 'shy' first"),
    (f"run {{tmp}}/empty --name a {WHO} --base {{base}}", 2, "There is no photo in "),
    (f"run {{tmp}}/gone --name a {WHO} --base {{base}}", 2, "There is no file or folder "),
    (f"run {{photos}} --name a {WHO} --base {{tmp}}/nope", 2, "nope"),
    (f"run {{photos}} --name a {WHO}x --base {{base}}", 2, "'fictionalx' is not a kind of consent"),
    (f"run {{photos}} --name a {WHO} --base {{base}} --set lora.rnak=8", 2, "did you mean lora.rank?"),
    (f"run {{photos}} --name mara {WHO} --base {{base}}", 2, "'mara' already exists with the trigger"),
    (f"run {{photos}} --name few {WHO} --base {{base}} --out {{tmp}}/out", 2, "'few' has 2 photos in use, and 8 are"),
    ("resume nobody", 2, "There is no character in "),
    ("resume {tmp}/empty", 2, "empty is not a run folder"),
    ("resume {tmp}/gone", 2, "is neither a run's folder nor a character in "),
    ("resume mara/7", 2, "mara has no run 7; there are: 001."),
    ("resume mara --base {tmp}/nope", 2, "The base model {tmp}/nope is missing"),
    ("resume mara/1 --base {tmp}/text.safetensors", 2, "is not the base model that the run "),
    ("grid nobody", 2, "There is no character in "),
    ("grid bare", 2, "bare has no run yet"),
    ("grid mara --run 7", 2, "mara has no run 7; there are: 001."),
    ("grid mara/001 --run 2", 2, "mara/001 and --run 2 name two runs"),
    ("grid mara", 2, "has no checkpoint yet; train it first."),
    ("choose nobody", 2, "There is no character in "),
    ("choose mara/001", 2, "has no checkpoint yet; train it first."),
    ("score nobody {photos}", 2, "There is no character in "),
    ("score mara {tmp}/gone", 2, "There is no picture {tmp}/gone."),
    ("score mara {tmp}/empty", 2, "There is no picture in {tmp}/empty."),
    ("score mara {photos} --engine insightface:{tmp}/gone --accept-licence", 2, "gone"),
    ("compare {tmp}/gone {tmp}/empty", 2, "{tmp}/gone is neither a grid's folder nor a folder of pictures."),
    ("compare mara/001 {tmp}/empty", 2, "has no test grid yet; paint one with: "),
    ("caption nobody", 2, "There is no character in "),
    ("caption mara --only gone.jpg", 2, "There is no photo gone.jpg in "),
    ("caption mara --fill --captioner blip:{tmp}/gone", 2, "gone"),
    ("invent a --describe woman --base {tmp}/nope", 2, "nope"),
    (
        "invent a --describe woman",
        2,
        "Describe the person with --describe and name the checkpoint",
    ),
    ("invent nobody --more", 2, "nobody"),
    ("audit nobody", 2, "There is no character in "),
    ("audit mara --drop gone.jpg", 2, "gone.jpg"),
    ("import nobody {photos}", 2, "There is no character in "),
    ("import mara {tmp}/gone", 1, "There is no file or folder {tmp}/gone; check the name."),
    ("new a --trigger x1 --class woman --photos {tmp}/empty", 2, "There is no photo in "),
    ("scorer nobody", 2, "There is no character in "),
    ("forget nobody", 2, "There is no character in "),
    ("consent mara nope", 2, "'nope' is not a kind of consent"),
    ("info {tmp}/gone.safetensors", 2, "gone.safetensors"),
    ("info {base}", 2, "is a checkpoint; expected a LoRA"),
    ("trigger word --base {tmp}/nope", 2, "nope"),
    ("list nobody", 2, "There is no character in "),
    ("settings lora.rnak", 2, "did you mean lora.rank?"),
    ("trian mara", 2, "there is no command 'trian'; did you mean train?"),
    ("train mara --bsae x", 2, "there is no option --bsae; did you mean --base?"),
    ("train", 2, "the following arguments are required"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the commands name, and a data folder with three characters, one of whom has a run."""
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
    create_run(folder.runs, load(folder), IdentifiedBase(identify(BASE), "0" * 64), TrainSettings(), [])
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
    return run([command for command, _, _ in WRONG])


@pytest.mark.parametrize(("command", "status", "said"), WRONG)
def test_wrong_input_is_refused_without_torch(refused, place, command, status, said):
    code, out, err = refused[command]
    assert (code, out + err) == (status, out + err)
    assert said.replace("{tmp}", str(place)) in out + err
    assert "Traceback" not in err


def test_what_looks_only_needs_no_torch(run, place):
    """And its answer is the JSON alone."""
    commands = ["list", "list mara", "settings", "consent shy myself", "caption mara", "trigger mrxq", "forget mara"]
    commands += [f"new b {WHO}", "import b {photos}", "audit mara"]
    for command, (code, out, err) in run([f"{command} --json" for command in commands]).items():
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
