"""What a delivered LoRA says of itself: consent, licence, the weight that was found, the picture that was chosen."""

import json
from dataclasses import replace

import pytest
import torch
from faults import raises
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora.character.store import Character, Consent
from lib_lora.deploy.folder import add_preview, deliver
from lib_lora.deploy.vector_files import EMBEDDINGS, vector_names, vectors_note
from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.usage_terms import licence_of
from lib_lora.lora.file.writing import write
from lib_lora.models.families.registry import family_named
from lib_lora.runs.records.origin import lora_origin
from lib_lora.training.plan.run_file import Run, RunBase, RunFile, TrainingPhoto
from lib_lora.training.plan.train_settings import TrainSettings

pytestmark = pytest.mark.once("what stands in the folder is ours; how a file is written and read is repeated in lora")


@pytest.fixture
def base(tmp_path):
    """A base model that names its licence."""
    path = tmp_path / "Basis ü.safetensors"
    save_file({"a": torch.zeros(1)}, str(path), {"modelspec.license": "CreativeML Open RAIL-M"})
    return path


@pytest.fixture
def run(base, tmp_path):
    character = Character("Mara", "mrxa", "woman", Consent("myself", "2026-01-02"))
    origin = RunBase(str(base), "0" * 64, "sd1", "epsilon", False)
    photos = [
        TrainingPhoto("a.jpg", "1", ""),
        TrainingPhoto("b.jpg", "2", ""),
        TrainingPhoto("c.jpg", "3", "", prior=True),
    ]
    file = RunFile("001", "mara-001", "2026-01-01T00:00:00+00:00", character, origin, TrainSettings(), photos, "", {})
    return Run(tmp_path / "run", file)


@pytest.fixture
def lora(tmp_path):
    """A checkpoint whose metadata know neither consent nor licence."""
    random = torch.Generator().manual_seed(1)
    path = tmp_path / "checkpoints" / "mara-001-000840.safetensors"
    tensors = {}
    for layer in family_named("sd1").adapter_paths("unet", False):
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
        tensors[f"{name}.lora_down.weight"] = torch.randn(2, 4, generator=random)
        tensors[f"{name}.lora_up.weight"] = torch.randn(4, 2, generator=random)
    write(path, tensors, build(LoraFacts(family="sd1", trigger="mrxa")))
    return path


def notes(path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_consent_and_licence_are_in_the_file_and_in_its_notes(run, lora, tmp_path):
    target = deliver(lora_origin(run), lora, tmp_path / "Lora 名前")
    texts = read(target).metadata
    assert (texts["sameface.consent"], texts["modelspec.license"]) == ("myself", "CreativeML Open RAIL-M")
    assert texts["sshs_model_hash"] == read(lora).metadata["sshs_model_hash"]
    assert notes(target)["notes"] == (
        "SameFace run 001, 2 photos, base Basis ü.safetensors; consent: myself (2026-01-02); "
        "licence: CreativeML Open RAIL-M"
    )
    assert [path for path in target.parent.iterdir() if path.suffix == ".tmp"] == []


def test_all_characters_of_a_lora_are_in_the_file_and_in_its_notes(run, lora, tmp_path):
    photos = [*run.file.photos, TrainingPhoto("../tomas/photos/d.jpg", "4", "", of="Tomas")]
    both = replace(run, file=replace(run.file, photos=photos, others=[Character("Tomas", "toxm", "man")]))
    target = deliver(lora_origin(both), lora, tmp_path / "out")
    assert "“mrxa woman” or “toxm man”" in read(target).metadata["modelspec.usage_hint"]
    assert "2 photos" in notes(target)["notes"]
    assert notes(target)["notes"].endswith("; also calls: toxm man")
    assert notes(target)["activation text"] == "mrxa woman"


def test_what_the_checkpoint_says_already_stays(run, lora, tmp_path):
    content = read(lora)
    own = {"sameface.consent": "fictional", "modelspec.license": "mine"}
    write(lora, content.tensors, {**content.metadata, **own})
    texts = read(deliver(lora_origin(run), lora, tmp_path / "out")).metadata
    assert {key: texts[key] for key in own} == own


def test_a_base_that_names_no_licence_or_is_gone(run, lora, base, tmp_path):
    base.unlink()
    target = deliver(lora_origin(run), lora, tmp_path / "out")
    assert "modelspec.license" not in read(target).metadata
    assert notes(target)["notes"].endswith("; licence: that of the base model")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"x" * 20)
    assert licence_of(damaged) == licence_of(tmp_path / "old.ckpt") == ""


def test_what_it_may_be_used_for_is_in_the_file(run, lora, tmp_path):
    texts = read(deliver(lora_origin(run), lora, tmp_path / "out")).metadata
    assert texts["sameface.consent_date"] == "2026-01-02"
    assert texts["modelspec.usage_hint"].startswith("Put “mrxa woman” into the prompt. It shows the real person who")
    invented = replace(run.file.character, consent=Consent("fictional", "2026-01-02"))
    other = replace(lora_origin(run), character=invented)
    texts = read(deliver(other, lora, tmp_path / "invented")).metadata
    assert "invented" in texts["modelspec.usage_hint"]


def test_the_user_may_say_the_base_models_licence_where_it_does_not(run, lora, base, tmp_path):
    said = replace(lora_origin(run), licence="Fair AI\nPublic License")
    target = deliver(said, lora, tmp_path / "out")
    assert read(target).metadata["modelspec.license"] == "CreativeML Open RAIL-M"  # the file knows better
    base.unlink()
    target = deliver(lora_origin(run), lora, tmp_path / "other")
    assert "modelspec.license" not in read(target).metadata
    assert deliver(said, lora, tmp_path / "other") == target  # said later, it is added
    assert read(target).metadata["modelspec.license"] == "Fair AI Public License"
    assert notes(target)["notes"].endswith("; licence: Fair AI Public License")
    deliver(lora_origin(run), lora, tmp_path / "other")
    assert read(target).metadata["modelspec.license"] == "Fair AI Public License"


def test_what_the_base_models_page_permits_is_in_the_file_and_in_its_notes(run, lora, base, tmp_path):
    base.unlink()
    target = deliver(lora_origin(run), lora, tmp_path / "out")
    assert "sameface.base_terms" not in read(target).metadata
    page = "https://civitai.com/models/5"
    licence = {"name": "Open RAIL-M", "address": "https://a.example"}
    terms = json.dumps({"page": page, "asked": "2026-11-28", "base_licence": licence, "lights": {"pictures": "green"}})
    known = replace(lora_origin(run), terms=terms)
    assert deliver(known, lora, tmp_path / "out") == target  # known later, it is added
    texts = read(target).metadata
    assert texts["sameface.base_terms"] == terms
    assert texts["modelspec.license"] == f"Open RAIL-M (https://a.example); and what {page} permits"
    assert notes(target)["notes"].endswith(f"permits; {page} said on 2026-11-28: pictures green")
    written = target.stat().st_mtime_ns
    deliver(known, lora, tmp_path / "out")
    assert target.stat().st_mtime_ns == written
    assert lora_origin(replace(run, file=replace(run.file, base=replace(run.file.base, terms=terms)))) == known


def test_a_licence_that_was_misspelt_is_corrected_in_the_file_and_in_its_notes(run, lora, base, tmp_path):
    base.unlink()
    target = deliver(replace(lora_origin(run), licence="MTI"), lora, tmp_path / "out")
    before = read(target)
    assert before.metadata["modelspec.license"] == "MTI"
    said = replace(lora_origin(run), licence="MIT")
    assert deliver(said, lora, tmp_path / "out") == target
    texts = read(target).metadata
    changed = {key for key in texts if texts[key] != before.metadata.get(key)}
    assert (texts["modelspec.license"], changed) == ("MIT", {"modelspec.license", "sameface.header_sha256"})
    assert notes(target)["notes"].endswith("; licence: MIT")
    written = target.stat().st_mtime_ns
    deliver(said, lora, tmp_path / "out")
    assert target.stat().st_mtime_ns == written  # nothing is different


def test_a_triggers_vectors_go_with_the_file_and_lie_beside_the_checkpoint_alone(run, lora, tmp_path):
    assert "vectors" not in notes(deliver(lora_origin(run), lora, tmp_path / "plain"))["notes"]
    assert not (lora.parent / EMBEDDINGS).exists()
    vectors = torch.arange(128.0).reshape(2, 64)
    content = read(lora)
    write(lora, {**content.tensors, **bundled_tensors("mrxa", [vectors])}, content.metadata)
    target = deliver(lora_origin(run), lora, tmp_path / "out")
    (word,) = read(target).inversions
    assert torch.equal(word.vectors[0], vectors)
    alone = load_file(lora.parent / EMBEDDINGS / "mara-001-000840" / "mrxa.safetensors")
    assert torch.equal(alone.pop("emb_params"), vectors)  # by which name A1111, Forge and ComfyUI take any single one
    assert not alone
    assert "embeddings/mara-001-000840/mrxa.safetensors, found" in notes(target)["notes"]
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    add_preview(lora_origin(run), target, picture)
    assert "embeddings/mara-001-000840/mrxa.safetensors, found" in notes(target)["notes"]


def with_vectors(lora, word="mrxa", number=1.0):
    content = read(lora)
    write(lora, {**content.tensors, **bundled_tensors(word, [torch.full((2, 64), number)])}, content.metadata)
    return lora


def test_the_vectors_of_another_step_take_no_place_of_the_first_ones(run, lora, tmp_path):
    second = lora.with_name("mara-001-001680.safetensors")
    second.write_bytes(lora.read_bytes())
    first = deliver(lora_origin(run), with_vectors(lora), tmp_path / "out")
    other = deliver(lora_origin(run), with_vectors(second, number=2.0), tmp_path / "out")
    for target, stem, number in ((first, "mara-001-000840", 1.0), (other, "mara-001-001680", 2.0)):
        assert f"embeddings/{stem}/mrxa.safetensors" in notes(target)["notes"]
        alone = load_file(lora.parent / EMBEDDINGS / stem / "mrxa.safetensors")
        assert torch.equal(alone["emb_params"], torch.full((2, 64), number))


def test_vectors_that_cannot_be_written_are_a_note_and_no_error(run, lora, tmp_path):
    with_vectors(lora)
    (lora.parent / EMBEDDINGS).write_text("the user's")
    target = deliver(lora_origin(run), lora, tmp_path / "out")
    assert "which could not be written" in notes(target)["notes"]
    assert "which could not be written" in vectors_note(target, "Mara", lora)
    (lora.parent / EMBEDDINGS).unlink()
    assert deliver(lora_origin(run), lora, tmp_path / "out") == target
    assert "found beside" in notes(target)["notes"]
    assert "found beside" in vectors_note(target, "Mara", lora)


def test_a_note_turns_no_terminal_and_says_which_word_a_file_stands_for(lora):
    note = vectors_note(with_vectors(lora, "mr\x1b[1m:xa"), "Mara")
    assert note.isprintable()
    assert "mara.safetensors" in note
    assert "there the word is mara instead of mr [1m:xa" in note


def test_a_file_of_vectors_is_called_as_the_word_where_windows_lets_it():
    whole, other = ["mrxa", "Mr Xa", "mr_xa", "名前", "!!"], ["../x", "CON", "com1", "a:b", "x ", "a\nb", "x" * 300]
    assert vector_names(whole, "Mara") == {word: word for word in whole}
    assert list(vector_names(other, "Mara").values()) == ["mara", *(f"mara-{n}" for n in range(2, 8))]


def test_the_preferred_weight_stays_until_another_is_given(run, lora, tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    target = deliver(lora_origin(run), lora, tmp_path / "out", 0.8)
    assert notes(target)["preferred weight"] == 0.8
    add_preview(lora_origin(run), target, picture)
    assert deliver(lora_origin(run), lora, tmp_path / "out") == target
    assert notes(target)["preferred weight"] == 0.8
    deliver(lora_origin(run), lora, tmp_path / "out", 0.9)
    assert notes(target)["preferred weight"] == 0.9
    target.with_suffix(".json").write_text(json.dumps({**notes(target), "preferred weight": 0.5}), encoding="utf-8")
    deliver(lora_origin(run), lora, tmp_path / "out", 0.7)
    assert notes(target)["preferred weight"] == 0.5  # the user's own


def test_a_picture_may_come_at_once(run, lora, tmp_path):
    picture = tmp_path / "cell.png"
    Image.new("RGB", (8, 8), "blue").save(picture)
    target = deliver(lora_origin(run), lora, tmp_path / "out", 1.0, picture)
    with Image.open(target.with_suffix(".png")) as shown:
        assert shown.getpixel((0, 0)) == (0, 0, 255)


def test_a_damaged_checkpoint_is_not_delivered(run, lora, tmp_path):
    content = bytearray(lora.read_bytes())
    content[-3] ^= 1
    lora.write_bytes(content)
    with raises("checkpoint-damaged", has="000840.safetensors"):
        deliver(lora_origin(run), lora, tmp_path / "Lora")
    assert not list((tmp_path / "Lora").iterdir())


def test_a_preview_that_was_put_there_just_before_a_kill_is_still_ours(run, lora, tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (20, 20), "red").save(picture)
    target = deliver(lora_origin(run), lora, tmp_path / "Lora")
    before = target.with_suffix(".json").read_bytes()
    add_preview(lora_origin(run), target, picture)
    after = target.with_suffix(".json").read_bytes()
    target.with_suffix(".json").write_bytes(before)  # killed before the notes were renewed
    add_preview(lora_origin(run), target, picture)
    assert target.with_suffix(".json").read_bytes() == after
