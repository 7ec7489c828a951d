"""Fetching a model: version and file, refusals, names, what lies beside it and what other programs wrote there."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace

import pytest
from fake_civitai import TOKEN, file_row, safetensors
from faults import raises
from PIL import Image

from lib_lora.civitai import civitai_sidecars, model_fetch
from lib_lora.civitai.api.checked_download import Patience
from lib_lora.civitai.api.site_address import pointer_of
from lib_lora.civitai.civitai_sidecars import permissions_beside
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.lora.file import sidecars
from lib_lora.lora.file.named_loras import stems_in

BODY = safetensors()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "loras"


@pytest.fixture
def choose(civitai, api, tmp_path):
    def chosen(what="401", **more):
        lookup = ModelLookup(tmp_path / "data", api=api, refresh=True)
        return model_fetch.choose(lookup, pointer_of(what, civitai.site), what, **more)

    return chosen


@pytest.fixture
def get(choose, api, folder, pauses, tmp_path):
    def fetched(what="401", **more):
        choice = choose(what, **more)
        patience = Patience(timeout=2, attempts=2, pause=pauses.append)
        return model_fetch.fetch_choice(tmp_path / "data", choice, folder, api, patience=patience)

    return fetched


def picture(size=(8, 8), kind="JPEG"):
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, kind)
    return stream.getvalue()


def beside(path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_lora_is_fetched_with_what_lies_beside_it(civitai, get, folder, tmp_path):
    images = [
        {"url": f"{civitai.files}/adult.jpg", "type": "image", "nsfwLevel": 16},
        {"url": f"{civitai.files}/clip.mp4", "type": "video", "nsfwLevel": 1},
        {"url": f"{civitai.files}/p.jpg", "type": "image", "nsfwLevel": 1},
    ]
    row = civitai.add(BODY, images=images, page={"allowNoCredit": False})
    civitai.pictures["/p.jpg"] = picture()
    path = get()
    assert path.read_bytes() == BODY
    assert sorted(one.name for one in folder.iterdir()) == [
        "style.civitai.info",
        "style.json",
        "style.png",
        "style.safetensors",
    ]
    notes = beside(path)
    assert (notes["activation text"], notes["sd version"], notes["modelId"]) == ("style of x", "SD1", 401)
    assert notes["sha256"] == hashlib.sha256(BODY).hexdigest().upper()
    kept = permissions_beside(path)
    assert (kept["model"], kept["version"], kept["creator"], kept["allowNoCredit"]) == (401, 501, "inka", False)
    assert (kept["lights"]["pictures"], kept["base_licence"]["name"]) == ("yellow", "CreativeML Open RAIL-M")
    assert json.loads(path.with_suffix(".civitai.info").read_text()) == row
    with Image.open(path.with_suffix(".png")) as shown:
        assert (shown.format, shown.size, shown.info) == ("PNG", (8, 8), {})
    assert [one.path.partition("?")[0] for one in civitai.asked_files] == ["/file/501", "/p.jpg"]
    assert TOKEN not in str(civitai.asked_files)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "loras"]


def test_the_address_of_the_download_is_our_own_and_not_the_answers(civitai, get):
    civitai.add(BODY, downloadUrl="https://evil.example/", file={"downloadUrl": "file:///etc/passwd"})
    get()
    assert civitai.asked[-1].path == "/api/download/models/501?fileId=7001"


def test_what_others_wrote_stays(civitai, get, folder):
    folder.mkdir()
    written = {
        "description": "mine",
        "activation text": "my words",
        "preferred weight": 0.7,
        "sd version": "Unknown",
        "sha256": "0" * 64,  # of the file that lay here before
        "unpackList": ["x"],
        "sameface": {"preview": "abc", "notes": "n"},
    }
    (folder / "style.safetensors").write_bytes(BODY)  # it is there, so the notes are about it
    (folder / "style.json").write_text(json.dumps(written))
    (folder / "style.civitai.info").write_text("{}")
    (folder / "style.preview.png").write_bytes(b"their picture")
    civitai.add(BODY, images=[{"url": f"{civitai.files}/p.jpg", "nsfwLevel": 1}])
    civitai.pictures["/p.jpg"] = picture()
    notes = beside(get())
    assert (notes["description"], notes["activation text"], notes["preferred weight"]) == ("mine", "my words", 0.7)
    assert (notes["unpackList"], notes["sd version"]) == (["x"], "SD1")
    assert notes["sha256"] == hashlib.sha256(BODY).hexdigest().upper()
    assert (notes["sameface"]["notes"], notes["sameface"]["civitai"]["version"]) == ("n", 501)
    assert (folder / "style.civitai.info").read_text() == "{}"
    assert not (folder / "style.png").exists()


def test_damaged_notes_are_left_alone_and_the_file_is_there(civitai, get, folder):
    folder.mkdir()
    (folder / "style.safetensors").write_bytes(BODY)
    (folder / "style.json").write_text("{ not json")
    civitai.add(BODY)
    with raises("notes-invalid-json", has="style.json"):
        get()
    assert (folder / "style.safetensors").read_bytes() == BODY
    assert (folder / "style.json").read_text() == "{ not json"


@pytest.mark.parametrize("content", [b"", b"no picture", b"<svg/>", b"%!PS-Adobe", b"\x89PNG\r\n\x1a\n" + b"\x00" * 90])
def test_what_is_no_picture_is_no_preview(civitai, get, folder, content):
    civitai.add(BODY, images=[{"url": f"{civitai.files}/p.jpg", "type": "image", "nsfwLevel": 1}])
    civitai.pictures["/p.jpg"] = content
    get()
    assert not (folder / "style.png").exists()


def test_a_large_picture_is_made_smaller():
    made = civitai_sidecars._png(picture((3000, 100), "PNG"))
    with Image.open(io.BytesIO(made)) as shown:
        assert shown.size == (1024, 34)


@pytest.mark.parametrize("level", [0, 4, 8, 16, 32, 1 | 16])
def test_a_picture_that_not_everybody_may_see_is_not_fetched(civitai, get, level):
    civitai.add(BODY, images=[{"url": f"{civitai.files}/p.jpg", "type": "image", "nsfwLevel": level}])
    get()
    assert len(civitai.asked_files) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../evil.safetensors", "evil.safetensors"),
        ("..\\..\\evil.safetensors", "evil.safetensors"),
        ("/abs/evil.safetensors", "evil.safetensors"),
        ("con.safetensors", "_con.safetensors"),
        ("a:b.safetensors", "a_b.safetensors"),
    ],
)
def test_a_hostile_name_stays_in_the_folder(civitai, get, folder, tmp_path, name, expected):
    civitai.add(BODY, file={"name": name})
    assert get() == folder / expected
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "loras"]


def test_a_name_that_is_taken_gets_a_number(civitai, get, folder):
    folder.mkdir()
    (folder / "style.safetensors").write_bytes(b"mine")
    civitai.add(BODY)
    assert get().name == "style-2.safetensors"
    assert get().name == "style-2.safetensors"  # there already
    assert (folder / "style.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "there",
    [
        "sub/deeper/style.safetensors",
        "sub/Style.ckpt",
        "style.pt",
        "Style.json",
        "style.civitai.info",
        "style.preview.png",
    ],
)
def test_a_name_that_anything_of_another_model_has_gets_a_number(civitai, get, folder, there):
    path = folder / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"activation text": "mine"}')
    civitai.add(BODY)
    assert get().name == "style-2.safetensors"
    assert path.read_bytes() == b'{"activation text": "mine"}'


def test_folders_that_lead_in_a_circle_are_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Ink.ckpt").touch()
    try:
        (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("links need a right there")
    assert stems_in([tmp_path, tmp_path / "a"]) == {"ink"}


def test_version_and_file_can_be_chosen(civitai, choose):
    civitai.add(b"old", 500, name="v0.9")
    civitai.add(b"new", 501, name="v1.0")
    assert choose().version.id == 500
    assert choose(version="501").version.id == choose(version="v1.0").version.id == 501
    assert choose(f"{civitai.site}/models/401?modelVersionId=501").version.id == 501
    assert choose(f"{civitai.site}/model-versions/501").version.id == 501
    with raises("civitai-version-unknown", has=("v0.9", "501")):
        choose(version="v7")
    files = [
        file_row(b"1", id=1, name="big.safetensors", primary=False),
        file_row(b"2", id=2, name="model.ckpt", metadata={"format": "PickleTensor"}),
        file_row(b"3", id=3, name="vae.safetensors", type="VAE", primary=False),
        file_row(b"4", id=4, name="small.safetensors", type="Pruned Model", primary=False),
    ]
    civitai.versions[501]["files"] = files
    assert choose(version="501").file.id == 1  # the primary one is a pickle
    assert choose(version="501", file="4").file.name == choose(version="501", file="small.safetensors").file.name
    with raises("civitai-file-unknown", has="big.safetensors"):
        choose(version="501", file="9")
    with raises("civitai-not-a-safetensors-file", has="model.ckpt"):
        choose(version="501", file="2")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"page": {"minor": True}}, "civitai-shows-child"),
        ({"page": {"minor": None}}, "civitai-child-unknown"),
        ({"page": {"minor": "false"}}, "civitai-child-unknown"),
        ({"page": {"mode": "Archived"}}, "civitai-model-archived"),
        ({"page": {"mode": "TakenDown"}}, "civitai-taken-down"),
        ({"page": {"mode": "Archived"}, "model": {"mode": "TakenDown"}}, "civitai-taken-down"),
        ({"usageControl": "Generation"}, "civitai-not-for-download"),
        ({"usageControl": "InternalGeneration"}, "civitai-not-for-download"),
        ({"file": {"name": "a.ckpt"}}, "civitai-not-a-safetensors-file"),
        ({"file": {"name": "a.pt", "metadata": {"format": "PickleTensor"}}}, "civitai-not-a-safetensors-file"),
        ({"file": {"metadata": {"format": "PickleTensor"}}}, "civitai-not-a-safetensors-file"),
        ({"file": {"virusScanResult": "Danger"}}, "civitai-scan-danger"),
        ({"file": {"pickleScanResult": "Danger"}}, "civitai-scan-danger"),
        ({"file": {"hashes": {}}}, "civitai-no-hash"),
        ({"file": {"hashes": {"SHA256": "../../x"}}}, "civitai-no-hash"),
        ({"file": {"hashes": {"SHA256": "0" * 64}}}, "civitai-hash-wrong"),
    ],
)
def test_what_is_not_fetched(civitai, get, folder, changes, code):
    civitai.add(BODY, **changes)
    with raises(code):
        get()
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_version_whose_page_is_gone_is_not_fetched(civitai, get, folder):
    civitai.add(BODY)
    del civitai.models[401]
    with raises("civitai-child-unknown"):
        get(f"{civitai.site}/api/download/models/501")
    assert not folder.exists()


def test_what_is_not_there(civitai, choose):
    with raises("civitai-unknown", has="404"):
        choose("404")
    civitai.add(BODY)
    civitai.versions[501]["files"] = []
    with raises("civitai-no-file"):
        choose()


def test_early_access_is_said(civitai, get, folder):
    civitai.add(BODY)
    body = json.dumps({"error": "Early Access", "deadline": "2027-01-01T00:00:00Z"}).encode()
    civitai.plant["/api/download/models/501"] = (403, {}, body)
    with raises("civitai-early-access", has="2027-01-01"):
        get()
    assert list(folder.iterdir()) == []


def test_the_newest_permissions_count(civitai, choose):
    civitai.add(BODY)
    assert choose().found.assessment.lights["sell"].light == "yellow"
    civitai.models[401]["minor"] = True
    with raises("civitai-shows-child"):
        choose()


def test_our_own_notes_forget_the_hash_of_another_file(tmp_path):
    lora = tmp_path / "mara.safetensors"
    lora.write_bytes(BODY)
    lora.with_suffix(".json").write_text(json.dumps({"sha256": "0" * 64, "x": 1}))
    sidecars.write(lora, "mrxa", 0.8, "sd1")
    assert "sha256" not in beside(lora)
    right = hashlib.sha256(BODY).hexdigest().upper()
    lora.with_suffix(".json").write_text(json.dumps({"sha256": right, "x": 1}))
    sidecars.write(lora, "mrxa", 0.8, "sd1")
    assert (beside(lora)["sha256"], beside(lora)["x"]) == (right, 1)


def test_what_was_kept_beside_a_file_is_read_without_trust(tmp_path):
    path = tmp_path / "a.safetensors"
    assert permissions_beside(path) == {}
    for text in ("{", "[]", '{"sameface": 5}', '{"sameface": {"civitai": []}}'):
        path.with_suffix(".json").write_text(text)
        assert permissions_beside(path) == {}


def test_a_model_for_something_else_is_other(civitai, get):
    civitai.add(BODY, baseModel="Flux.1 D")
    assert beside(get())["sd version"] == "Other"


def test_a_choice_without_a_usable_name_is_named_by_its_number(civitai, choose):
    civitai.add(BODY)
    choice = choose()
    assert replace(choice, file=replace(choice.file, name="///")).name == "civitai-501.safetensors"
