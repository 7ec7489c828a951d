"""The same painted pictures are called the same, and get the same verdict, wherever they are judged.

The painter blurs what it paints, and its VAE what goes through it, as a small base model does: by the lines of the
photos alone every picture would be called something else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from faults import raises
from job_fixtures import NAME, PERSONAS, SLUG, TRIGGER
from PIL import ExifTags, Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from lib_lora.cli import NO_VERDICT
from lib_lora.errors import UserError
from lib_lora.guard.guard_judge import GuardJudge
from lib_lora.guard.guard_settings import GuardSettings
from lib_lora.hosts.standalone import Alone
from lib_lora.likeness.measure.refusals import LineRefusal
from lib_lora.pictures import parameters, save_picture
from lib_lora.queue.queue import Queue
from lib_lora.runs.records.grid_records import planned
from lib_lora.training.plan.run_file import Run, save_run
from lib_lora.typed_settings import to_dict
from lib_lora.ui.routes import route_table
from lib_lora.workflows.judge import grid_run, picture_lines
from lib_lora.workflows.judge.choose import ChoiceRequest, choose_cell
from lib_lora.workflows.judge.compare_grids import compare_sets
from lib_lora.workflows.judge.grid_report import GridReport, read_report
from lib_lora.workflows.judge.grid_run import GridRequest
from lib_lora.workflows.judge.picture_lines import PictureLines
from lib_lora.workflows.judge.scorer import Scorer
from lib_lora.workflows.judge.scoring import Scored, judge_files, score_pictures
from lib_lora.workflows.judge.test_grid import paint_and_score

pytestmark = pytest.mark.once("which lines hold where; what measures is repeated in likeness")

OTHERS = ("clara", "lena", "viktor", "tomas")
STEP, COUNT, SIDE = 3, 8, 128


def _silent(kind, **fields):
    pass


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(1.25))


def _picture(persona: str, number: int) -> Image.Image:
    with Image.open(PERSONAS / persona / f"{number:02d}.jpg") as photo:
        return _blurred(photo.convert("RGB").resize((SIDE, SIDE)))


@pytest.fixture
def painted(judgeable, eye, monkeypatch, fake_painter) -> GridReport:
    """A test grid: with the LoRA and the trigger mara, else strangers."""

    class Painter(fake_painter):
        def picture(self, cell):
            if cell.lora is not None and TRIGGER in cell.prompt:
                return _picture("mara", 12 + cell.seed % 12)
            return _picture(OTHERS[cell.seed % len(OTHERS)], cell.seed % 2)

        def reconstruct(self, image):
            return _blurred(image)

    monkeypatch.setattr(grid_run, "DiffusersPainter", Painter)
    return paint_and_score(judgeable, GridRequest(STEP, 1.0, 1, COUNT), _silent, engine=eye)


@pytest.fixture
def root(judgeable) -> Path:
    return judgeable.workspace.root


@pytest.fixture
def moved(painted, tmp_path) -> Path:
    """The grid's pictures with the LoRA under other names in a folder of their own."""
    folder = tmp_path / "Bilder ü"
    folder.mkdir()
    for number, row in enumerate(painted.report.of("lora")):
        shutil.copy(painted.folder / row.path, folder / f"x{number:02d}.png")
    return folder


def _words(values: dict) -> list[str]:
    return [row["status"] for row in values["pictures"] if row["role"] == "lora"]


def _score(root: Path, images: Path, eye, **more) -> Scored:
    return score_pictures(root, NAME, [images], eye, **more)


# -- the doors


def test_every_door_says_the_same(judgeable: Run, painted, moved, root, eye, main, monkeypatch, tmp_path):
    monkeypatch.setattr("lib_lora.cli.judge_commands.engine_of", lambda options: eye)
    words = [row.status for row in painted.report.of("lora")]
    kind = painted.report.verdict.kind
    status = 0 if not painted.report.verdict.drift else 3
    files = sorted(moved.iterdir())
    as_photos = _score(root, moved, eye, base="photos")
    assert (_words(as_photos.values), as_photos.values["verdict"]["kind"]) != (words, kind)  # else nothing is tested

    for images in (moved, painted.folder):
        said = main("score", NAME, images, "--json", "--data", root)
        assert (_words(json.loads(said.out)), json.loads(said.out)["verdict"]["kind"]) == (words, kind), images
        assert said.status == status
        assert json.loads(said.out)["subject"] == to_dict(painted.report.subject)

    scorer = Scorer(root, NAME, eye)
    alone = [scorer.answer(json.dumps({"image": str(path)})) for path in files]
    assert [answer["status"] for answer in alone] == words
    together = scorer.answer(json.dumps({"images": [str(path) for path in files]}))
    assert (_words(together), together["verdict"]["kind"]) == (words, kind)

    guard = GuardJudge(lambda: root, lambda: eye)
    for line, fails in (("keep", {"lost": "lost", "drift": "below the line"}), ("same", {"lost": "lost"})):
        settings = GuardSettings(True, NAME, line)
        for path, word in zip(files, words, strict=True):
            with Image.open(path) as image:
                assert guard(image, image.info["parameters"], settings).reason == fails.get(word, ""), (path, word)

    other = tmp_path / "without"
    other.mkdir()
    for row in painted.report.of("base"):
        shutil.copy(painted.folder / row.path, other)
    compared = compare_sets(root, moved, other, NAME, eye)
    assert compared.values["kind_a"] == kind
    report, _ = judge_files(eye, judgeable.character_folder, NAME, files, named=True)  # as `compare` does
    assert [row.status for row in report.pictures] == words
    assert compare_sets(root, painted.folder, other, NAME, eye).values["kind_a"] == kind

    chosen = choose_cell(judgeable, _silent, ChoiceRequest([STEP], (1.0,), 1, COUNT), eye)
    screened = [read_report(path.parent).report for path in sorted(judgeable.grids.glob("*/report.json"))]
    (same,) = [one for one in screened if [row.path for row in one.pictures] == [
        row.path for row in painted.report.pictures] and one.of("lora")[0].asked.seed == 1000]  # fmt: skip
    assert ([row.status for row in same.of("lora")], same.verdict.kind) == (words, kind)
    assert {one.calibration.lines.keep for one in screened if one.calibration.lines} == {
        painted.report.calibration.lines.keep
    }
    assert chosen.values["kind"] == kind

    app = FastAPI()
    host = Alone(root, token="known")
    app.include_router(route_table.router(host, Queue(root), None, "token"))
    with TestClient(app, "http://127.0.0.1", cookies={host.cookie: "known"}) as client:
        told = client.get(f"/sameface/v1/characters/{SLUG}/runs/001/grids/{painted.folder.name}").json()
    assert [row["status"] for row in told["rows"] if row["role"] == "lora"] == words
    assert told["verdict"]["kind"] == kind


def _a1111(path: Path, cell, seed: int, base: str) -> None:
    """As a webui would paint another prompt, as JPEG."""
    exif = Image.Exif()
    text = parameters(cell, base).replace(f"Seed: {cell.seed}", f"Seed: {seed}").replace("photo", "holiday snapshot")
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"UNICODE\0" + text.encode("utf-16-be")}
    _picture("mara", 12 + seed).save(path, quality=95, exif=exif)


def _comfy(path: Path, cell, seed: int, base: str) -> None:
    graph = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": f"sd1/{base}.safetensors"}},
        "3": {"class_type": "KSampler", "inputs": {"seed": seed, "model": ["4", 0], "cfg": 7}},
        "7": {"class_type": "LoraLoader", "inputs": {"lora_name": f"{cell.lora.stem}.safetensors",
                                                     "strength_model": 1.0}},
    }  # fmt: skip
    about = PngInfo()
    about.add_text("prompt", json.dumps(graph))
    _picture("mara", 12 + seed).save(path, pnginfo=about)


@pytest.mark.parametrize("write", [_a1111, _comfy])
def test_pictures_of_other_prompts_from_ones_own_webui_get_the_grids_answer(
    judgeable, painted, root, eye, tmp_path, write: Callable
):
    folder = tmp_path / "webui"
    folder.mkdir()
    suffix = ".jpg" if write is _a1111 else ".png"
    cell = planned(json.loads((painted.folder / "plan.json").read_text(encoding="utf-8"))["lora"][0])
    cell = type(cell)(**{**cell.__dict__, "lora": judgeable.checkpoint(STEP)})
    base = Path(judgeable.file.base.path).stem
    for number in range(COUNT):
        write(folder / f"{number}{suffix}", cell, number, base)
    result = _score(root, folder, eye)
    facts = result.values["facts"]
    assert result.values["verdict"]["kind"] == painted.report.verdict.kind
    assert facts["keep"] == painted.report.facts.lines.keep
    assert (facts["step"], facts["weight"]) == (STEP, 1.0)
    assert facts["uplift"] > 0.2
    assert facts["uplift_pairs"] == 0
    assert result.values["subject"]["base"] == Path(judgeable.file.base.path).name
    assert result.values["notes"] == [f"Judged by the lines of the test grid {painted.folder}."]


# -- what cannot be known


def test_another_size_or_base_model_is_no_verdict_but_a_sentence(judgeable, painted, root, eye, main, monkeypatch,
                                                                 tmp_path):  # fmt: skip
    monkeypatch.setattr("lib_lora.cli.judge_commands.engine_of", lambda options: eye)
    cell = planned(json.loads((painted.folder / "plan.json").read_text(encoding="utf-8"))["lora"][0])
    for name, infotext, size, what in (
        ("size", "", (192, 192), "its test grids have another size than 192 x 192"),
        ("base", parameters(cell, "dreamshaper_8"), (SIDE, SIDE), "no test grid was painted with it"),
    ):
        (tmp_path / name).mkdir()
        for number in range(COUNT):
            picture = _picture("mara", 12 + number).resize(size)
            save_picture(tmp_path / name / f"{number}.png", picture, cell, infotext)
        said = main("score", NAME, tmp_path / name, "--json", "--data", root)
        values = json.loads(said.out)
        assert said.status == NO_VERDICT
        assert set(_words(values)) == {"unjudged"}
        assert (values["verdict"]["rule"], values["verdict"]["judged"]) == ("origin unknown", False)
        assert what in values["verdict"]["because"]
        assert "--base" in values["verdict"]["advice"]
        scorer = Scorer(root, NAME, eye)
        one = scorer.answer(json.dumps({"image": str(tmp_path / name / "0.png")}))
        assert one["status"] == "unjudged"
        assert what in one["refusal"]


def test_another_vae_is_no_verdict_but_a_sentence(judgeable, painted, moved, root, eye):
    """The grid was painted with the base model's own VAE, of which the files say nothing."""
    cell = planned(json.loads((painted.folder / "plan.json").read_text(encoding="utf-8"))["lora"][0])
    base = Path(judgeable.file.base.path).stem
    files = sorted(moved.iterdir())
    for path in files:
        with Image.open(path) as picture:
            picture.load()
        save_picture(
            path, picture, cell, parameters(cell, base) + ", VAE hash: 235745af8d, VAE: vae-ft-mse.safetensors"
        )
    found = _score(root, moved, eye)
    assert not found.judged
    assert f"with {base} and the VAE vae-ft-mse," in found.values["verdict"]["because"]
    assert "no test grid was painted with it" in found.values["verdict"]["because"]
    with Image.open(files[0]) as picture:
        picture.load()
    save_picture(files[0], picture, cell, parameters(cell, base))
    mixed = _score(root, moved, eye).values["verdict"]["because"]
    assert f"different base models or VAEs ({base}; {base} and the VAE vae-ft-mse)" in mixed


def _stripped(moved: Path) -> None:
    for path in moved.iterdir():
        with Image.open(path) as picture:
            picture.load()
            plain = Image.new("RGB", picture.size)
            plain.paste(picture)
        plain.save(path)


@pytest.mark.parametrize("side", [SIDE, 192, 203])
def test_where_files_say_nothing_and_it_matters_there_is_no_verdict(judgeable, painted, moved, root, eye, side):
    """Also of a size that no test grid has: pictures are enlarged and cropped."""
    _stripped(moved)
    if side != SIDE:
        for path in moved.iterdir():
            with Image.open(path) as picture:
                enlarged = picture.resize((side, side))
            enlarged.save(path)
        assert not _score(root, moved, eye).judged
        assert _score(root, moved, eye, base="photos").judged
        return
    unknown = _score(root, moved, eye)
    assert not unknown.judged
    assert "do not say whether these pictures were painted" in unknown.values["verdict"]["because"]
    told = _score(root, moved, eye, base=judgeable.file.base.path)
    assert told.values["verdict"]["kind"] == painted.report.verdict.kind
    assert _words(told.values) == [row.status for row in painted.report.of("lora")]
    assert _score(root, moved, eye, base="photos").judged


_TRACE = np.tile(np.random.default_rng(0).choice([-2, 2], (8, 8)), (SIDE // 8, SIDE // 8))[..., None]


def _traced(image: Image.Image) -> Image.Image:
    """With what a VAE leaves in each cell of eight pixels."""
    return Image.fromarray(np.clip(np.asarray(image, int) + _TRACE, 0, 255).astype(np.uint8))


def _decoded(image: Image.Image) -> Image.Image:
    """After such a VAE."""
    return _traced(_blurred(image))


def _silent_and_traced(moved: Path) -> None:
    _stripped(moved)
    for path in moved.iterdir():
        with Image.open(path) as picture:
            _traced(picture).save(path)


def test_the_base_models_vae_knows_pictures_whose_files_say_nothing(judgeable, painted, moved, root, eye, monkeypatch):
    asked = []
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: asked.append(base) or _decoded)
    said = moved.parent / "said"
    shutil.copytree(moved, said)
    _silent_and_traced(moved)
    told = _score(root, moved, eye, base=judgeable.file.base.path).values
    words = _words(told)
    found = _score(root, moved, eye)
    assert (_words(found.values), found.values["verdict"]["kind"]) == (words, told["verdict"]["kind"])
    [note] = found.values["notes"]
    base = Path(judgeable.file.base.path).name
    assert note.startswith(f"Not all files say so, but {base}, or a model with the same VAE, painted these pictures")
    assert note.endswith(f"Judged by the lines of the test grid {painted.folder}.")
    assert asked == [Path(judgeable.file.base.path)]
    scorer = Scorer(root, NAME, eye)
    assert [scorer.answer(json.dumps({"image": str(path)}))["status"] for path in sorted(moved.iterdir())] == words
    assert len(asked) == 2  # once for all of them

    shutil.copy(said / "x00.png", moved)  # one that says it among others that do not
    assert _words(_score(root, moved, eye).values) == words
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    _picture("mara", 13).save(moved / "x00.png", exif=exif)
    because = _score(root, moved, eye).values["verdict"]["because"]
    assert because.startswith(f"{COUNT - 1} of these pictures were painted and 1 taken by a camera")


def test_of_eight_pictures_one_may_be_unknown_to_the_vae(painted, moved, root, eye, monkeypatch):
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: _decoded)
    _silent_and_traced(moved)
    words = _words(_score(root, moved, eye).values)
    [first, second, *others] = sorted(moved.iterdir())
    _picture("mara", 13).save(first)
    found = _score(root, moved, eye)
    assert found.judged
    assert _words(found.values)[1:] == words[1:]
    scorer = Scorer(root, NAME, eye)
    alone = [scorer.answer(json.dumps({"image": str(path)}))["status"] for path in (first, second, *others)]
    assert alone == ["unjudged", *words[1:]]
    _traced(_picture("mara", 13)).save(first)  # the scorer sees that the file is another
    assert scorer.answer(json.dumps({"image": str(first)}))["status"] != "unjudged"
    for path in (first, second):
        _picture("mara", 13).save(path)
    assert not _score(root, moved, eye).judged


def _drawn(root: Path, moved: Path, eye, monkeypatch, files: list[Path], *others: dict) -> PictureLines:
    """The lines for files of which every VAE knows the silent ones, where there are grids like the only one besides,
    with other origins or sizes."""
    lines = Scorer(root, NAME, eye).judge.lines
    [grid] = lines._judged_grids()
    more = []
    for other in others:
        painted = replace(grid.painted, **{key: value for key, value in other.items() if key != "side"})
        cells = [replace(cell, width=other.get("side", SIDE), height=other.get("side", SIDE)) for cell in grid.cells]
        more.append(replace(grid, painted=painted, cells=cells))
    monkeypatch.setattr(lines, "_judged_grids", lambda: [grid, *more])
    monkeypatch.setattr(lines._check, "painted_by", lambda grid, files: bool(files))
    pictures = Scorer(root, NAME, eye).judge.measure(files)
    return lines.of(pictures, picture_lines.origins_of(files), files)


def _saying(judgeable: Run, painted: GridReport, moved: Path) -> Path:
    """One of the pictures, whose file names the base model."""
    said, cell = moved.parent / "said.png", planned(json.loads((painted.folder / "plan.json").read_text())["lora"][0])
    with Image.open(moved / "x00.png") as picture:
        picture.load()
    save_picture(said, picture, cell, parameters(cell, Path(judgeable.file.base.path).stem))
    return said


OTHER = {"base": "other", "base_hash": "0" * 10}  # another base model with the same VAE


def test_two_base_models_with_one_vae_cannot_be_told_apart(judgeable, painted, moved, root, eye, monkeypatch):
    said = _saying(judgeable, painted, moved)
    _silent_and_traced(moved)
    files = sorted(moved.iterdir())
    assert _drawn(root, moved, eye, monkeypatch, files, OTHER).calibration.refusal == LineRefusal("base-unknown", {})
    mixed = _drawn(root, moved, eye, monkeypatch, [said, *files], OTHER)
    assert mixed.calibration.refusal == LineRefusal("some-unknown", {"count": str(COUNT)})
    alone = _drawn(root, moved, eye, monkeypatch, [said, *files])
    assert alone.grid
    assert alone.note.startswith("Not all files say so, but ")


def test_pictures_of_two_sizes_are_not_judged_by_the_lines_of_one(judgeable, painted, moved, root, eye, monkeypatch):
    said = _saying(judgeable, painted, moved)
    _stripped(moved)
    files = sorted(moved.iterdir())
    for path in files:
        with Image.open(path) as picture:
            enlarged = picture.resize((192, 192))
        enlarged.save(path)
    mixed = _drawn(root, moved, eye, monkeypatch, [said, *files], {"side": 192})
    assert mixed.calibration.refusal == LineRefusal("some-unknown", {"count": str(COUNT)})


def test_one_run_that_still_knows_where_the_base_model_is_suffices(painted, moved, root, eye, monkeypatch):
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: _decoded)
    _silent_and_traced(moved)
    lines = Scorer(root, NAME, eye).judge.lines
    [grid] = lines._judged_grids()
    gone = replace(grid, folder=moved / "runs" / "002" / "grids" / "001")
    files = sorted(moved.iterdir())
    pictures = Scorer(root, NAME, eye).judge.measure(files)
    for grids in ([grid, gone], [gone, grid]):
        monkeypatch.setattr(lines, "_judged_grids", lambda there=grids: there)
        assert lines.of(pictures, picture_lines.origins_of(files), files).grid


def _soft(judgeable: Run, painted: GridReport, moved: Path) -> None:
    """Photos that are as soft as what the VAE decodes, and have no traces of it."""
    for number, path in enumerate(sorted(moved.iterdir())):
        _picture("mara", 12 + number).save(path)


def _other_vae(judgeable: Run, painted: GridReport, moved: Path) -> None:
    plan, first = painted.folder / "plan.json", painted.folder / painted.report.of("lora")[0].path
    values = json.loads(plan.read_text(encoding="utf-8"))
    plan.write_text(json.dumps(values | {"by": "a webui"}), encoding="utf-8")
    cell = planned(values["lora"][0])
    text = parameters(cell, Path(judgeable.file.base.path).stem) + ", VAE hash: 235745af8d, VAE: vae-ft-mse.safetensors"
    with Image.open(first) as picture:
        picture.load()
    save_picture(first, picture, cell, text)


def _with_base(judgeable: Run, **changed: str) -> None:
    base = replace(judgeable.file.base, **changed)
    save_run(replace(judgeable, file=replace(judgeable.file, base=base)))


def _other_base(judgeable: Run, painted: GridReport, moved: Path) -> None:
    _with_base(judgeable, sha256="0" * 64)


def _no_base(judgeable: Run, painted: GridReport, moved: Path) -> None:
    _with_base(judgeable, path=str(Path("gone") / Path(judgeable.file.base.path).name))


@pytest.mark.parametrize("change", [_soft, _other_vae, _other_base, _no_base])
def test_where_the_vae_does_not_know_them_there_is_no_verdict(
    judgeable, painted, moved, root, eye, monkeypatch, change: Callable
):
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: _decoded)
    _silent_and_traced(moved)
    change(judgeable, painted, moved)
    assert "do not say whether these pictures were painted" in _score(root, moved, eye).values["verdict"]["because"]


def test_a_vae_that_cannot_be_used_knows_nothing_and_is_read_once(painted, moved, root, eye, monkeypatch):
    asked = []

    def fails(base):
        asked.append(base)
        raise UserError("No VAE.", code="base-model-missing")

    monkeypatch.setattr(picture_lines, "_vae_of", fails)
    _silent_and_traced(moved)
    scorer = Scorer(root, NAME, eye)
    alone = [scorer.answer(json.dumps({"image": str(path)}))["status"] for path in moved.iterdir()]
    assert alone.count("unjudged") > 1
    assert len(asked) == 1


def test_once_there_is_memory_again_the_vae_is_asked_again(painted, moved, root, eye, monkeypatch):
    def full(image):
        raise RuntimeError("CUDA out of memory")

    vaes = iter([full, _decoded])
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: next(vaes))
    _silent_and_traced(moved)
    scorer, line = Scorer(root, NAME, eye), json.dumps({"image": str(moved / "x00.png")})
    assert scorer.answer(line)["status"] == "unjudged"
    assert scorer.answer(line)["status"] != "unjudged"


def test_a_fault_of_the_vae_is_not_hidden(painted, moved, root, eye, monkeypatch):
    def fails(base):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(picture_lines, "_vae_of", fails)
    _silent_and_traced(moved)
    with pytest.raises(RuntimeError, match="shapes"):
        _score(root, moved, eye)


def test_where_it_does_not_matter_photos_are_judged_as_photos(painted, root, eye, tmp_path):
    for number in range(12, 20):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", tmp_path)
    result = _score(root, tmp_path, eye)
    assert result.values["verdict"]["kind"] == "consistent"
    assert result.values["notes"] == ["No picture says that it was painted; they are judged as photos."]


def test_photos_and_painted_pictures_are_not_judged_together(painted, moved, root, eye):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    _picture("mara", 13).save(moved / "camera.jpg", exif=exif)
    result = _score(root, moved, eye)
    assert not result.judged
    assert result.values["verdict"]["because"].startswith("8 of these pictures were painted and 1 taken by a camera")
    assert "apart" in result.values["verdict"]["advice"]


def test_a_camera_s_photos_are_judged_as_photos_whatever_a_test_grid_says(painted, moved, root, eye):
    """Blurred as a painter blurs them, but a camera says that it took them."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    for path in list(moved.iterdir()):
        with Image.open(path) as picture:
            picture.convert("RGB").save(path.with_suffix(".jpg"), exif=exif)
        path.unlink()
    assert _score(root, moved, eye).judged


@pytest.mark.parametrize("side", [SIDE, 192])
def test_one_painted_picture_does_not_make_the_others_painted(painted, moved, root, eye, side):
    """Blurred as a painter blurs them, but of files that do not say so: the photos' lines call them otherwise."""
    one, *others = sorted(moved.iterdir())
    for path in others:
        with Image.open(path) as picture:
            plain = picture.convert("RGB").resize((side, side))
        plain.info.clear()
        plain.save(path)
    found = _score(root, moved, eye)
    assert not found.judged
    because = found.values["verdict"]["because"]
    assert because.startswith(f"{COUNT - 1} of these pictures do not say whether they were painted")
    assert "--base" in found.values["verdict"]["advice"]
    assert _score(root, one, eye).values["notes"] == [f"Judged by the lines of the test grid {painted.folder}."]


def test_where_both_lines_say_the_same_the_painted_ones_count(painted, moved, root, eye, tmp_path):
    """Strangers are strangers by the photos' lines and by the grid's."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    shutil.copy(min(moved.iterdir()), folder / "0.png")
    for number in range(6):
        _picture(OTHERS[number % len(OTHERS)], number % 2).save(folder / f"x{number}.png")
    found = _score(root, folder, eye)
    assert found.judged
    assert found.values["notes"] == [f"Judged by the lines of the test grid {painted.folder}."]


def test_a_base_model_without_a_grid_is_asked_for_its_vae(judgeable, painted, moved, root, eye, monkeypatch):
    other = judgeable.folder / "another.safetensors"
    other.write_bytes(b"weights")
    asked = []
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: asked.append(base) or _blurred)
    found = _score(root, moved, eye, base=str(other))
    assert asked == [other]
    assert found.values["calibration"]["ceiling"]["median"] < painted.report.calibration.photos.median - 0.05
    assert found.judged
    with raises("base-model-missing", has="gone.safetensors"):
        _score(root, moved, eye, base="gone.safetensors")


def test_a_scorer_asks_the_vae_once_for_faces_of_one_size(judgeable, painted, moved, root, eye, monkeypatch):
    other = judgeable.folder / "another.safetensors"
    other.write_bytes(b"weights")
    asked = []
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: lambda image: asked.append(image) or _blurred(image))
    scorer = Scorer(root, NAME, eye, str(other))
    line = json.dumps({"image": str(min(moved.iterdir()))})
    first = scorer.answer(line)
    assert len(asked) == len(painted.report.ceiling)
    assert scorer.answer(line) == first
    assert len(asked) == len(painted.report.ceiling)


def test_a_base_model_is_known_by_its_content_not_by_its_name(
    judgeable, painted, moved, root, eye, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: asked.append(base) or _blurred)
    renamed = tmp_path / "renamed.safetensors"
    shutil.copy(judgeable.file.base.path, renamed)
    found = _score(root, moved, eye, base=str(renamed))
    assert found.values["notes"] == [f"Judged by the lines of the test grid {painted.folder}."]
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / Path(judgeable.file.base.path).name
    other.write_bytes(b"weights")  # of the same name
    assert _score(root, moved, eye, base=str(other)).judged
    assert asked == [other]


def test_pictures_of_another_size_know_the_runs_earlier_tests(judgeable, painted, moved, root, eye, monkeypatch):
    """No grid has their size, but its base model is the one that was named."""
    monkeypatch.setattr(picture_lines, "_vae_of", lambda base: _blurred)
    cell = planned(json.loads((painted.folder / "plan.json").read_text(encoding="utf-8"))["lora"][0])
    cell = replace(cell, lora=judgeable.checkpoint(STEP - 1))
    for path in sorted(moved.iterdir()):
        with Image.open(path) as picture:
            larger = picture.resize((192, 192))
        save_picture(path, larger, cell)
    found = _score(root, moved, eye, base=judgeable.file.base.path).values
    assert found["subject"]["base"] == Path(judgeable.file.base.path).name
    assert {one["step"] for one in found["tested"]} == {STEP - 1, STEP}


def test_the_vae_of_a_checkpoint_is_loaded(toy):
    from lib_lora.workflows.judge.picture_lines import _vae_of

    assert _vae_of(toy("sd1"))(Image.new("RGB", (64, 64), "grey")).size == (64, 64)


# -- which lines hold


def test_the_grid_with_the_most_pictures_draws_the_lines_of_all(judgeable, painted, root, eye):
    """A first grid of few prompts draws its own; a larger one draws new ones, by which the first is judged again."""
    few = painted.report
    many = paint_and_score(judgeable, GridRequest(STEP, 1.0, 1, 10), _silent, engine=eye).report
    assert len(many.of("base")) == 10
    assert many.calibration != few.calibration
    again = paint_and_score(judgeable, GridRequest(STEP, 1.0, 1, COUNT), _silent, again=False, engine=eye)
    assert again.folder == painted.folder
    assert again.report.calibration == many.calibration
    weak = paint_and_score(judgeable, GridRequest(STEP, 0.4, 1, 10), _silent, engine=eye).report
    assert weak.calibration == many.calibration
    assert weak.ceiling == many.ceiling
