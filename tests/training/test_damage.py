"""What the disk has damaged: a run ends with the same LoRA as without it, or it is said; never another in silence."""

import io
import random
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import raises
from safetensors.torch import load
from toy_fixtures import flow_toy_of

from lib_lora.lora.file.integrity import check_whole
from lib_lora.runs.reopen import reopen, trained_lora
from lib_lora.training import loop
from lib_lora.training import state as states
from lib_lora.training.data.encoding_cache import cached
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import altered, load_run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.session import open_session
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import start_run

pytestmark = pytest.mark.once("what is done with a damaged file is ours; test_loop.py saves with these versions")

PHOTO = Path(__file__).parents[1] / "data" / "personas" / "mara" / "00.jpg"
QUICK = {
    "samples": 0,
    "steps": 2,
    "save_every": 1,
    "batch_size": 1,
    "resolution": 128,
    "precision": "fp32",
    "optimizer": "adamw",
    "unet_lr": 1e-3,
    "lora": {"rank": 32, "alpha": 32},  # in the middle of a state there are numbers, and no gap between files
}


def a_state(step=4):
    numbers = torch.arange(200.0).reshape(20, 10) * step
    optimizer = {"state": {0: {"exp_avg": numbers / 2, "step": torch.tensor(4.0)}}, "param_groups": [{"lr": 1e-3}]}
    return states.State(step, {"unet.down": numbers, "unet.up": numbers + 1}, optimizer, None, None, 0.5)


def of_another_version(path):
    content = io.BytesIO()
    torch.save({"layout": states.LAYOUT + 1}, content)
    path.write_bytes(states._head(content.getvalue()) + content.getvalue())


def as_before_digests(path):
    """The file as older versions wrote it."""
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"PK\x03\x04") :])


def same_state(one, other):
    return (one.step, one.loss_average, one.optimizer["param_groups"]) == (
        other.step,
        other.loss_average,
        other.optimizer["param_groups"],
    ) and all(
        torch.equal(a, b)
        for a, b in [
            *((one.adapter[key], other.adapter[key]) for key in other.adapter),
            (one.optimizer["state"][0]["exp_avg"], other.optimizer["state"][0]["exp_avg"]),
            (one.optimizer["state"][0]["step"], other.optimizer["state"][0]["step"]),
        ]
    )


def damages(content, count, seed):
    """Flipped bits, zeros, noise, pieces left out and files cut off, all over the file."""
    draw = random.Random(seed)
    for number in range(count):
        changed, at = bytearray(content), draw.randrange(len(content))
        match number % 6:
            case 0 | 1 | 2:
                changed[at] ^= 1 << draw.randrange(8)
            case 3:
                end = min(at + draw.choice((1, 16, 4096)), len(content))
                changed[at:end] = bytes(end - at)
            case 4:
                end = min(at + 8, len(content))
                changed[at:end] = draw.randbytes(end - at)
            case 5:
                del changed[at : draw.choice((at + 1, len(content)))]
        yield bytes(changed)


@pytest.mark.parametrize("old", [False, True], ids=["with digest", "of an older version"])
def test_a_damaged_state_is_never_taken_for_a_whole_one(tmp_path, old):
    expected, found = a_state(), {"same": 0, "damaged": 0}
    path = states.save(tmp_path, expected, keep=1)
    if old:
        as_before_digests(path)
    assert same_state(states.load(path), expected)
    for content in damages(path.read_bytes(), 300, seed=3):
        path.write_bytes(content)
        try:
            assert same_state(states.load(path), expected)
            found["same"] += 1  # in what fills the zip up, say
        except states.DamagedError:
            found["damaged"] += 1
    assert found["damaged"] > 150
    if not old:
        assert found["same"] <= 300 // 6  # zeros written over zeros


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"SameFace training state\nsha256 "])
def test_what_is_no_state_is_damaged(tmp_path, content):
    (tmp_path / "000002.pt").write_bytes(content)
    with pytest.raises(states.DamagedError):
        states.load(tmp_path / "000002.pt")
    (tmp_path / "000003.pt").mkdir()
    with pytest.raises(states.UnreadableError):
        states.load(tmp_path / "000003.pt")


def test_a_state_that_may_be_whole_is_not_deleted(tmp_path, monkeypatch):
    """One that a virus scanner holds for a moment, or that a newer version has written."""
    for step in (1, 2, 3, 4):
        states.save(tmp_path, a_state(step), keep=4)
    with monkeypatch.context() as newer:
        newer.setattr(states, "LAYOUT", states.LAYOUT + 1)
        states.save(tmp_path, a_state(5), keep=5)
    flip(tmp_path / "000004.pt")
    held = tmp_path / "000003.pt"

    def refusing(path, *how, **more):
        if path == held:
            raise PermissionError(13, "in use")
        return open(path, *how, **more)

    monkeypatch.setattr(states, "open", refusing, raising=False)
    found = states.newest(tmp_path)
    assert found.path == tmp_path / "000002.pt"
    assert [path.name for path, _ in found.damaged] == ["000005.pt", "000004.pt", "000003.pt"]
    assert [path.name for path in found.useless] == ["000004.pt"]
    states.save(tmp_path, a_state(2), 1, found.useless)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002.pt", "000003.pt", "000005.pt"]


@pytest.mark.parametrize(
    "names", [b"_rebuild_tensor_v2", b"torch._utils", b"FloatStorage", b"OrderedDict", b"adapter", b"optimizer", b"lr"]
)
def test_damaged_names_in_an_old_state(tmp_path, names):
    """Also where the zip's checksum was made of the damage."""
    path = states.save(tmp_path, a_state(), keep=1)
    as_before_digests(path)
    with zipfile.ZipFile(path) as parts:
        content = {name: parts.read(name) for name in parts.namelist()}
    pickled = next(name for name in content if name.endswith("data.pkl"))
    at = content[pickled].index(names)
    for noise in (b"\xff\xfe", b"\x00\x00", b"zz"):
        changed = bytearray(content[pickled])
        changed[at : at + 2] = noise
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as parts:
            for name, data in {**content, pickled: bytes(changed)}.items():
                parts.writestr(name, data)
        path.write_bytes(written.getvalue())
        try:
            state = states.load(path)
        except states.DamagedError:
            continue
        assert names == b"lr"  # a name within the optimizer's numbers, which it looks at itself
        assert state.step == 4


def flip(path, at=-300):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def zeros(path):
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def once(shared, tmp_path_factory):
    """The data folder of a run that was trained for two steps, with a state of each."""
    home = tmp_path_factory.mktemp("once ü")
    (home / "source").mkdir()
    shutil.copy(PHOTO, home / "source")
    new_character(home / "data", NewCharacter("Mara", "mrxa", "woman", "fictional"), home / "source")
    with flow_toy_of(shared) as base:
        train(start_run(home / "data", "Mara", TrainingRequest(base, None, QUICK, few=True)), lambda *_, **__: None)
    return home / "data"


@pytest.fixture
def run(once, flow_toy, tmp_path):
    """A copy of it."""
    shutil.copytree(once, tmp_path / "moved 名前")
    return load_run(tmp_path / "moved 名前" / "characters" / "mara" / "runs" / "001")


def numbers_of(path):
    return load(path.read_bytes())  # not mapped: the file is going to be damaged


def same_numbers(path, expected):
    made = numbers_of(path)
    return made.keys() == expected.keys() and all(torch.equal(made[key], expected[key]) for key in expected)


def test_a_damaged_state_is_named_and_the_one_before_it_is_used(run, events):
    expected = numbers_of(run.checkpoint(2))
    first, second = run.states / "000001.pt", run.states / "000002.pt"
    assert sorted(run.states.iterdir()) == [first, second]
    kept = run.folder.with_name("kept")
    shutil.copytree(run.states, kept)
    session = open_session(run, events)

    def again(damage=lambda: None):
        """The step that it goes on from, and what is said."""
        shutil.rmtree(run.states, ignore_errors=True)
        shutil.copytree(kept, run.states)
        damage()
        events.clear()
        at = loop._Position()
        loop._Loop(session, events, at).restore()
        return at.step, [(event["code"], event["text"]) for event in events.of("warning")]

    assert again() == (2, [])
    for damage in (flip, zeros):
        step, ((code, warning),) = again(lambda: damage(second))  # noqa: B023 - called at once
        assert (step, code) == (1, "state-damaged")
        assert warning.startswith(f"{second} is damaged: its SHA-256")
        assert warning.endswith("from the state before it, 000001.pt.")
    step, ((code, warning),) = again(lambda: (flip(second), zeros(first)))
    assert (step, code) == (0, "state-lost")
    assert str(second) in warning
    assert str(first) in warning
    step, ((code, warning),) = again(lambda: shutil.rmtree(run.states))
    assert (step, code) == (0, "state-lost")
    assert warning.startswith("There is no saved state")
    with raises("state-unusable", has="000002.pt is of another version of SameFace, and no other state is left"):
        again(lambda: (flip(first), of_another_version(second)))  # it may be whole, so its steps are not thrown away
    assert second.exists()
    assert again(lambda: of_another_version(second))[0] == 1
    assert again(lambda: flip(first)) == (2, [])  # nobody needs it
    as_before_digests(kept / "000002.pt")
    assert again() == (2, [])
    step, (warning,) = again(lambda: flip(second, second.stat().st_size // 2))
    assert step == 1
    assert any("000002.pt is damaged: BadZipFile" in text for text in warning)

    run.checkpoint(2).unlink()
    train(run, events)  # the whole way, after the last damage
    assert [event["step"] for event in events.of("step")] == [2]
    assert same_numbers(run.checkpoint(2), expected)
    assert not states.newest(run.states).damaged


def test_a_run_file_that_is_not_as_it_was_written_is_said(run, events):
    file = run.folder / "run.yaml"
    assert not altered(run.folder)
    whole = file.read_text(encoding="utf-8")
    file.write_bytes(whole.replace("\n", "\r\n").encode("utf-8"))  # as some editors save it
    assert not altered(run.folder)
    file.write_text(whole.partition("\n")[2], encoding="utf-8")  # of an older version
    assert not altered(run.folder)
    file.write_text(whole.replace("\n  unet_lr: 0.001", "\n  unet_lr: 0.003"), encoding="utf-8")
    assert whole != file.read_text(encoding="utf-8")
    train(load_run(run.folder), events)
    (warning,) = events.of("warning")
    assert (warning["code"], str(file) in warning["text"]) == ("run-file-changed", True)
    more = reopen(run.folder, steps=3)  # which writes the file
    assert altered(run.folder)
    assert more.file.settings.unet_lr == 0.003


def test_settings_that_no_longer_fit_the_state_are_one_sentence(run, events):
    lora = replace(run.file.settings.lora, rank=8)
    other = replace(run, file=replace(run.file, settings=replace(run.file.settings, lora=lora)))
    with raises("state-of-other-adapter"):
        train(other, events)


def test_the_last_checkpoint_is_written_anew_where_it_is_damaged(run, events):
    path = run.checkpoint(2)
    expected = numbers_of(path)
    run.events.write_text('{"t": 1, "kind": "state", "state": "trained", "step": 2}\n', encoding="utf-8")
    assert trained_lora(run) == path
    flip(path)
    assert trained_lora(run) is None
    with raises("checkpoint-damaged", has="000002.safetensors"):
        check_whole(path)
    assert train(run, events) == path
    check_whole(path)
    assert same_numbers(path, expected)
    (warning,) = events.of("warning")
    assert (warning["code"], str(path) in warning["text"]) == ("checkpoint-rewritten", True)
    assert not events.of("step")


def test_cached_latents_that_are_damaged_are_computed_again(tmp_path):
    tensors = {"mean": torch.arange(40.0).reshape(4, 10), "std": torch.ones(3, dtype=torch.int64)}

    def fetch():
        return cached(tmp_path, ("x",), lambda: dict(tensors))

    fetch()
    (path,) = tmp_path.iterdir()
    for content in damages(path.read_bytes(), 200, seed=5):
        path.write_bytes(content)
        found = fetch()
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], tensors[key]) for key in tensors)
