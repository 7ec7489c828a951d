"""The doctor: everything is looked at, nothing is hidden, and each trouble comes with what mends it."""

import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from faults import raises

import lib_lora
from lib_lora import cli
from lib_lora.errors import UserError
from lib_lora.files import write_json
from lib_lora.hosts.host_protocol import Checkpoint, Roots
from lib_lora.hosts.standalone import Alone
from lib_lora.messages.message import Message
from lib_lora.remote import places
from lib_lora.setup import environment, packages
from lib_lora.training.plan import graphics_cards
from lib_lora.training.plan.device_choice import DeviceChoice
from lib_lora.training.plan.graphics_cards import NvidiaCard
from lib_lora.ui.views import machine, translatable_texts
from lib_lora.ui.views.doctor import check_texts, doctor_checks, package_checks
from lib_lora.ui.views.doctor.check_result import CheckResult, as_text
from lib_lora.ui.views.doctor.check_texts import OUTCOMES, result
from lib_lora.ui.views.doctor.doctor_checks import checks

NAMES = ["Python that trains", "Packages", "GPU", "Disk", "Data folder", "LoRA folder", "Face models", "Base models"]
CUDA = DeviceChoice("cuda", "cuda", "good", Message("Training uses the GPU.", {}, "cuda"), None, 12 << 30, 8 << 30)
ASKED = machine.training_device
posix = pytest.mark.skipif(os.name == "nt", reason="uses shell scripts of POSIX")


class Webui(Alone):
    """A webui with folders of its own."""

    name = "a1111"
    loras: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()

    def roots(self):
        return Roots(self._data, list(self.loras), [Path("/models/Stable-diffusion")])

    def checkpoints(self):
        return [Checkpoint(path.name, path) for path in self.models]


@pytest.fixture(autouse=True)
def _looked_at_anew(monkeypatch):
    machine._lacks.clear()
    machine._training_device.clear()
    monkeypatch.setattr(machine, "training_device", lambda *_: CUDA)
    monkeypatch.delenv("SAMEFACE_MODELS", raising=False)
    monkeypatch.setattr(packages, "note", lambda: "")


@pytest.fixture
def undone():
    """The function that the fixture above replaces in every test."""
    return ASKED


@pytest.fixture
def absent(monkeypatch):
    """A function that says what the worker's Python lacks."""
    monkeypatch.setattr(machine, "lacks", lambda *_: ("3.10.13", []))
    return lambda *names: monkeypatch.setattr(machine, "lacks", lambda *_: ("3.10.13", list(names)))


def by_name(found):
    """The results as plain values, by name; each has a code, and each of its sentences can be translated."""
    rows = [one.for_programs() for one in found]
    assert len({row["name"] for row in rows}) == len(rows)
    listed = {*translatable_texts.of_server(), "{problem}", "Training uses the GPU.", "Metal.", "The CPU.", "Mend."}
    for row in rows:
        assert row["tone"] in ("good", "warn", "bad", "none")
        assert row["code"] == row["message"]["code"] != ""
        assert row["text"]
        assert "\n" not in row["text"]
        assert "Traceback" not in row["text"]
        messages = [row[key] for key in ("title", "message", "remedy") if row[key]]
        assert {part["template"] for one in messages for part in parts_of(one)} <= listed
    json.dumps(rows)
    return {row["name"]: row for row in rows}


def parts_of(message):
    """A message as plain values, and all messages within it."""
    yield message
    for value in message["values"].values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from parts_of(one)


def test_where_all_is_well_all_is_said_to_be(tmp_path):
    model = tmp_path / "models" / "base.safetensors"
    model.parent.mkdir()
    with open(model, "wb") as stream:
        stream.truncate(8 << 20)
    supervisor = SimpleNamespace(active=True, reason="")
    found = by_name(checks(Alone(tmp_path / "Daten ü", [model.parent]), tmp_path / "Daten ü", supervisor))
    assert list(found) == [*NAMES, "Queue"]
    tones = {name: one["tone"] for name, one in found.items() if name != "Disk"}
    assert set(tones.values()) == {"good"}, found
    assert sys.executable in found["Python that trains"]["text"]
    assert (tmp_path / "Daten ü" / "loras").is_dir()
    assert list((tmp_path / "Daten ü" / "loras").iterdir()) == []


def test_packages_that_install_py_brings_come_with_its_command(tmp_path, absent, monkeypatch):
    absent("diffusers", "peft")
    monkeypatch.setattr(packages, "note", lambda: "pip could not reach its package index.")
    packages_check = by_name(checks(Webui(tmp_path), tmp_path))["Packages"]
    assert packages_check["tone"] == "bad"
    assert packages_check["text"].startswith(
        "Missing for training: diffusers, peft. The last installation failed: pip could"
    )
    assert "--skip-install" in packages_check["mend"]
    assert str(environment.ROOT / "install.py") in packages_check["mend"]
    assert sys.executable in packages_check["mend"]


def test_packages_of_the_webui_itself_are_the_webuis_business(tmp_path, absent):
    absent("peft", "scipy")
    mend = by_name(checks(Webui(tmp_path), tmp_path))["Packages"]["mend"]
    assert mend.startswith("The webui itself has lost scipy:")
    assert by_name(checks(Alone(tmp_path), tmp_path))["Packages"]["mend"] == "Type: python -m lib_lora try"


def test_a_note_of_an_installation_that_matters_no_more(tmp_path, absent, monkeypatch):
    monkeypatch.setattr(packages, "note", lambda: "The disk was full.")
    assert by_name(checks(Webui(tmp_path), tmp_path))["Last installation"]["tone"] == "warn"


@posix
def test_another_python_is_run_and_its_packages_are_named(tmp_path):
    python = tmp_path / "my python"
    python.write_text('#!/bin/sh\necho \'[[3, 12, 1], ["torch", "diffusers"]]\'\n', encoding="utf-8")
    python.chmod(0o755)
    write_json(tmp_path / "settings.json", {"worker_python": str(python)})
    found = by_name(checks(Webui(tmp_path), tmp_path))
    assert found["Python that trains"]["text"] == f"Python 3.12.1: {python}"
    assert found["Packages"]["text"] == "Missing from the Python that trains: torch, diffusers."
    assert "-m pip install 'torch>=2.1' 'diffusers>=0.31'" in found["Packages"]["mend"]
    python.write_text("#!/bin/sh\necho I am no Python\n", encoding="utf-8")
    machine._lacks.clear()
    found = by_name(checks(Webui(tmp_path), tmp_path))
    assert found["Python that trains"]["tone"] == "bad"
    assert "does not run as Python 3.10 or newer" in found["Python that trains"]["text"]
    python.unlink()
    found = by_name(checks(Webui(tmp_path), tmp_path))
    assert "does not exist" in found["Python that trains"]["text"]


def test_the_python_that_trains_is_really_asked():
    said = machine.lacks([sys.executable], dict(os.environ))
    assert said == (".".join(map(str, sys.version_info[:3])), packages.absent())


@pytest.mark.parametrize(
    ("choice", "tone", "word"),
    [
        (replace(CUDA, memory=4 << 30, free=1), "warn", "4.0 GB of memory; 6 GB are needed"),
        (replace(CUDA, memory=80 << 30, free=79 << 30), "good", "GPU. It has 80 GB of memory, 79.0 GB free now."),
        (replace(CUDA, memory=0, free=0), "good", "Training uses the GPU."),
        (DeviceChoice("mps", "mps", "good", Message("Metal.", {}, "mps")), "good", "Metal."),
        (DeviceChoice("cpu", "x", "bad", Message("The CPU.", {}, "x"), Message("Mend.")), "bad", "The CPU."),
    ],
)
def test_the_gpu(tmp_path, absent, monkeypatch, choice, tone, word):
    monkeypatch.setattr(machine, "training_device", lambda *_: choice)
    found = by_name(checks(Alone(tmp_path), tmp_path))["GPU"]
    assert (found["tone"], word in found["text"]) == (tone, True)
    assert found["mend"].startswith(str(choice.mend or ""))


def test_the_python_that_trains_is_asked_for_its_devices(undone):
    variables = {**os.environ, "ACCELERATE_USE_CPU": "1"}
    choice = undone([sys.executable], variables)
    assert (choice.kind, choice.code) == ("cpu", "cpu-asked")
    with raises("devices-unknown", program="no such program"):
        undone(["no such program"], variables)


@pytest.mark.parametrize(
    ("card", "name"),
    [(NvidiaCard("H100", "550"), "H100"), (None, "")],
)
def test_the_drivers_tool_is_read(monkeypatch, card, name):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setattr(machine, "nvidia_card", lambda: card)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine.gpu_name() == name


def test_one_look_at_a_time_and_its_answer_is_kept(monkeypatch):
    now, looks, go = [0.0], [], Event()
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])

    def look(what):
        looks.append(what)
        assert go.wait(60)
        now[0] += 50  # how long it takes does not count
        if what == "broken":
            raise UserError("It did not answer.", code="devices-unknown")
        return len(looks)

    kept = machine._Kept(look)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(kept, "torch") for _ in range(4)]
        go.set()
        assert {one.result() for one in asked} == {1}
    now[0] += 59
    assert kept("torch") == 1
    now[0] += 1
    assert kept("torch") == 2
    for _ in range(2):
        with raises("devices-unknown"):
            kept("broken")
    assert looks == ["torch", "torch", "broken"]
    kept.clear()
    assert kept("torch") == 4


def test_a_command_to_copy_is_quoted_for_its_shell():
    words = ["C:\\My Pythons\\python.exe", "-m", "pip", "install", "torch>=2.1", "peft"]
    quoted = '"C:\\My Pythons\\python.exe" -m pip install "torch>=2.1" peft'
    assert package_checks.quoted(*words, system="nt") == quoted
    assert package_checks.quoted(*words[2:], system="posix") == "pip install 'torch>=2.1' peft"


def test_a_command_that_is_not_there_says_nothing():
    assert graphics_cards.run(["no such program at all"]) == ""
    assert graphics_cards.run([sys.executable, "-c", "print(1); raise SystemExit(1)"]) == ""
    assert graphics_cards.run([sys.executable, "-c", "print('ü')"], {**os.environ, "PYTHONUTF8": "1"}) == "ü\n"


@pytest.mark.parametrize(("free", "tone"), [(1, "bad"), (5, "warn"), (50, "good")])
def test_the_disk(tmp_path, absent, monkeypatch, free, tone):
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda path: SimpleNamespace(free=free << 30))
    found = by_name(checks(Alone(tmp_path), tmp_path / "not" / "yet"))["Disk"]
    assert (found["tone"], bool(found["mend"])) == (tone, tone != "good")


def test_folders_that_cannot_be_written(tmp_path, absent):
    (tmp_path / "file").touch()
    webui = Webui(tmp_path)
    webui.loras = (tmp_path / "file" / "Lora",)
    found = by_name(checks(webui, tmp_path / "file" / "data"))
    assert [found[name]["tone"] for name in ("Data folder", "LoRA folder")] == ["bad", "bad"]
    assert "cannot be written" in found["LoRA folder"]["text"]
    webui.loras = ()
    assert "turned off" in by_name(checks(webui, tmp_path))["LoRA folder"]["text"]


def test_face_models_that_are_gone(tmp_path, absent, monkeypatch):
    for name in doctor_checks._FACES[1:]:
        (tmp_path / name).write_bytes(b"version https://git-lfs")
    monkeypatch.setattr(doctor_checks, "_LIKENESS", tmp_path)
    assert by_name(checks(Alone(tmp_path), tmp_path))["Face models"]["tone"] == "bad"


def test_base_models(tmp_path, absent):
    found = by_name(checks(Alone(tmp_path), tmp_path))["Base models"]
    assert (found["tone"], "--models" in found["mend"]) == ("warn", True)  # the bundled one is there
    webui = Webui(tmp_path)
    found = by_name(checks(webui, tmp_path))["Base models"]
    assert (found["tone"], "/models/Stable-diffusion" in found["mend"].replace("\\", "/")) == ("bad", True)
    webui.models = (Path("a.safetensors"), Path("b.safetensors"))
    assert by_name(checks(webui, tmp_path))["Base models"]["text"] == "2 base models."


@pytest.mark.parametrize(
    ("active", "reason", "tone"),
    [(True, "", "good"), (True, "The disk is full.", "warn"), (False, "Another one.", "bad")],
)
def test_the_queue(tmp_path, absent, active, reason, tone):
    found = by_name(checks(Alone(tmp_path), tmp_path, SimpleNamespace(active=active, reason=reason)))["Queue"]
    assert found["tone"] == tone
    assert reason in found["text"]


def test_one_look_that_fails_hides_no_other(tmp_path, absent, monkeypatch):
    def broken(*_):
        raise RuntimeError("of its own")

    monkeypatch.setattr(machine, "training_device", broken)
    found = by_name(checks(Alone(tmp_path), tmp_path))
    assert list(found) == NAMES
    assert found["GPU"]["text"] == "This could not be checked (RuntimeError: of its own)."


def test_a_report_of_a_fault_has_versions_and_what_to_do(tmp_path, absent):
    full, no_card = (
        result("Disk", "disk-full", free="1 MB", folder="/data"),
        result("GPU", "check-failed", problem="odd"),
    )
    place = result("Machine a", "machine-unchecked", typed="sameface place check a", machine="a.example.org")
    found = [result("Queue", "queue-active"), full, no_card, place]
    assert as_text(Alone(tmp_path), found).splitlines() == [
        f"SameFace {lib_lora.__version__}, without a webui",
        f"{platform.platform()}, Python {platform.python_version()}",
        "",
        "[fine] Queue: Jobs are run by this process. (queue-active)",
        "[does not work] Disk: 1 MB are free where /data is. (disk-full)",
        "    What to do: Free some space, or move the data folder to another disk.",
        "[note] GPU: This could not be checked (odd). (check-failed)",
        "[not there] Machine a: a.example.org. (machine-unchecked)",
        "    What to do: Type: sameface place check a",
    ]
    assert as_text(Webui(tmp_path), found).startswith(f"SameFace {lib_lora.__version__}, in ")
    assert len(as_text(Alone(tmp_path), checks(Alone(tmp_path), tmp_path)).splitlines()) >= 3 + len(NAMES)


def test_other_machines_are_as_they_were_when_last_checked(tmp_path, absent):
    graphics = [places.Graphics("RTX 4090", 24 << 30)]
    known = places.Machine(1.0, "3.11.4", "linux", 1, 64 << 30, 80 << 30, graphics)
    cluster = places.RayCluster(storage="/shared", gpus=-1)
    for place in (
        places.Place("attic", "attic.example.org"),
        places.Place("workshop", "workshop.example.org", user="mara", machine=known),
        places.Place("zoo", "head", port=8265, ray=cluster, machine=replace(known, cores=8, gpus=[], memory=None)),
    ):
        places.save(tmp_path, place)
    found = by_name(checks(Alone(tmp_path), tmp_path))
    attic, workshop, zoo = (found[f"Machine {name}"] for name in ("attic", "workshop", "zoo"))
    assert (attic["code"], attic["text"]) == ("machine-unchecked", "attic.example.org, not checked yet.")
    assert attic["mend"].startswith("Type: ")
    assert attic["mend"].endswith(" place check attic")
    assert "Type" not in attic["remedy"]["template"]  # the page has a button for it
    assert (workshop["code"], workshop["mend"], workshop["remedy"]) == ("machine-checked", "", None)
    gpu = "RTX 4090 (24.0 GB), 64.0 GB memory, 1 core, 80.0 GB free on the disk, Python 3.11.4."
    assert workshop["text"] == f"mara@workshop.example.org, {gpu}"
    assert zoo["text"].startswith(
        "Ray cluster http://head:8265, storage /shared; a node has no NVIDIA GPU, 8 cores, 80.0 GB free on the disk, "
        "Python 3.11.4, so jobs request no GPU"
    )


def test_every_result_is_made_of_its_own_code():
    values = dict.fromkeys(re.findall(r"\{(\w+)\}", " ".join(check_texts.templates())), "x")
    for code, outcome in OUTCOMES.items():
        found = result("GPU", code, **values)
        assert (found.code, found.tone) == (code, outcome.tone)
        assert isinstance(found, CheckResult)
        assert "{" not in f"{found.text}{found.mend}"
        assert found.mend is None or outcome.tone != "good"


def test_the_command_says_the_same(tmp_path, absent, capsys):
    status = cli.main(["doctor", "--data", str(tmp_path), "--models", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"SameFace {lib_lora.__version__}, without a webui" in said
    assert status == int("[does not work]" in said)
    assert "(disk-" in said
    assert [name for name in NAMES if f"] {name}: " not in said] == []


def test_it_loads_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from lib_lora.hosts.standalone import Alone; "
        "from lib_lora.ui.views.doctor.doctor_checks import checks; "
        "root = Path(sys.argv[1]); checks(Alone(root), root); print('torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=environment.ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert said.stdout.strip() == "False"
