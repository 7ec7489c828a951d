"""One finished main job, in folders whose names have spaces, umlauts and kanji, and how commands are run in tests."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from faults import check_sentence
from PIL import Image
from remembering import Remembering
from shared import Shared

from lib_lora.errors import UserError
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.pictures import Cell
from lib_lora.training.plan.run_file import Run, load_run, save_run

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
NAME = "Mara Müller 名前"
TRIGGER = "mrxa"
SLUG = "mara-müller-名前"
QUICK = [
    f"--set={item}" for item in ("resolution=128", "precision=fp32", "optimizer=adamw", "lora.rank=4", "samples=0")
] + ["--few"]


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status; `code` of the error that ended it, empty where none did."""

    status: int
    out: str
    err: str
    code: str = ""


@dataclass(frozen=True)
class Finished:
    """A finished main job.

    Attributes:
        root, photos, out, base: its folders and its base model, all given on the command line.
        said: by the command.
        command: the arguments.
    """

    root: Path
    photos: Path
    out: Path
    base: Path
    said: Said
    command: list[str]

    @property
    def character(self) -> Path:
        return self.root / "characters" / SLUG

    @property
    def run(self) -> Path:
        return self.character / "runs" / "001"

    @property
    def lora(self) -> Path:
        return self.out / f"{SLUG}.safetensors"


def _main(*arguments: object) -> Said:
    from lib_lora import __main__
    from lib_lora.setup import bootstrap

    out, err = io.StringIO(), io.StringIO()
    command, code = __main__._run, ""

    def run(argv: list[str]) -> int:
        nonlocal code
        try:
            return command(argv)
        except UserError as error:
            code = error.code
            check_sentence(str(error), code)
            raise

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(bootstrap, "enter", lambda *_, **__: None)  # never leave for another interpreter
        patch.setattr(__main__, "_run", run)
        status = __main__.main([str(argument) for argument in arguments])
    return Said(status, out.getvalue(), err.getvalue(), code)


@pytest.fixture(scope="session")
def main() -> Callable[..., Said]:
    """Run a command through the entry, as a shell does."""
    return _main


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """Settings with which a toy trains in seconds."""
    return list(QUICK)


@pytest.fixture(scope="session")
def some_photos(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that makes a folder of persona photos: some_photos("mara", 3)."""

    def make(persona: str, count: int, folder: Path | None = None) -> Path:
        folder = folder or tmp_path_factory.mktemp("photos") / f"Fotos von {persona} ü"
        folder.mkdir(parents=True)
        for number in range(count):
            shutil.copy(PERSONAS / persona / f"{number:02d}.jpg", folder / f"Bild ü {number:02d}.jpg")
        return folder

    return make


@pytest.fixture(scope="session")
def finished(toy: Callable[[str], Path], shared: Shared, some_photos: Callable[..., Path]) -> Finished:
    """The main job with every argument, done once a run. Do not change its folders; copy them (see `copied`)."""

    def make(home: Path) -> None:
        photos = some_photos("mara", 4, home / "Fotos von mara ü")
        (photos / "broken.jpg").write_bytes((photos / "Bild ü 00.jpg").read_bytes()[:2000])
        (photos / "Bild ü 01.txt").write_text("photo of mrxa woman, laughing", encoding="utf-8")
        classes = some_photos("ines", 2, home / "class #1 ü")
        base = shutil.copy(toy("sd1"), home / "Basis 名前.safetensors")
        root, out = home / "Daten 名前", home / "Ergebnis ü" / "Lora"
        options = {
            "--base": base,
            "--name": NAME,
            "--trigger": TRIGGER,
            "--class": "woman",
            "--consent": "fictional",
            "--preset": "sd15-face",
            "--steps": 3,
            "--out": out,
            "--data": root,
            "--grid-steps": 2,
        }
        command = ["run", str(photos), *(str(word) for pair in options.items() for word in pair), *QUICK]
        command += ["--set", "save_every=2", "--set", "face_weight=3", "--set", f"class_photos={classes}"]
        said = _main(*command)
        assert said.status == 0, said.err
        job = Finished(root, photos, out, Path(base), said, command)
        (home / "finished.pickle").write_bytes(pickle.dumps(job))

    made: Finished = pickle.loads((shared.made("main job ü 名前", make) / "finished.pickle").read_bytes())
    return made


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Finished:
    """The finished job with its data folder copied to another place, and an --out of its own that is not there yet."""
    copy = replace(finished, root=tmp_path / "umgezogen 名前", out=tmp_path / "out ü")
    shutil.copytree(finished.root, copy.root)
    run = load_run(copy.run)
    save_run(Run(run.folder, replace(run.file, out=str(copy.out))))
    return copy


@pytest.fixture(scope="session")
def eye() -> Remembering:
    """The engine, which looks at each picture once."""
    return Remembering(SFaceEngine())


@pytest.fixture
def judgeable(copied: Finished) -> Run:
    """A copied run, checkpoints 2 and 3, whose character has twelve photos: enough for a verdict. It is as long as is
    proposed for its own photos, and without class pictures, with which the verdict asks more of the prompts' effect
    than stand-in painters give."""
    made = load_run(copied.run)
    settings = replace(made.file.settings, passes=1, class_photos="")
    save_run(replace(made, file=replace(made.file, settings=settings)))
    made = load_run(copied.run)
    for number in range(4, 12):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", made.character_folder.photos / f"more {number:02d}.jpg")
    return made


@cache
def _photo(persona: str) -> Image.Image:
    with Image.open(PERSONAS / persona / "02.jpg") as photo:
        picture: Image.Image = photo.convert("RGB")
    return picture


class FakePainter:
    """Paints at once: a photo of mara in the cells of `faces` with the LoRA and the trigger, else plain grey."""

    faces: Sequence[str] = ("coat in the park",)

    def __init__(self, info: ModelInfo, device: object, dtype: object, clip_skip: int = 1) -> None:
        self.info = info

    def photo(self, persona: str) -> Image.Image:
        """One of a persona, RGB."""
        return _photo(persona)

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """Nothing: there is no VAE."""
        return None

    def picture(self, cell: Cell) -> Image.Image:
        """Of one cell."""
        seen = cell.lora is not None and TRIGGER in cell.prompt and cell.name in self.faces
        return self.photo("mara") if seen else Image.new("RGB", (cell.width, cell.height), "grey")

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """One after the other, as `picture` has them."""
        pictures: list[Image.Image] = []
        for number, cell in enumerate(cells):
            pictures.append(self.picture(cell))
            if each:
                each(number, pictures[-1])
        return pictures


@pytest.fixture
def fake_painter(monkeypatch: pytest.MonkeyPatch) -> type[FakePainter]:
    """No picture is really painted; the third one with the LoRA shows the character."""
    monkeypatch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", FakePainter)
    return FakePainter
