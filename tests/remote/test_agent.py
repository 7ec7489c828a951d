"""The far end: names that lead out, full disks, and workers that end, crash, hang, are killed, or are not theirs."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from become_true import eventually

from lib_lora.remote import agent
from lib_lora.remote.agent import Agent, RequestRefused, serve

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it runs on Linux alone"),
    pytest.mark.once("it uses the standard library alone"),
]
JOB = "home-1"
SECRET = b"what lies outside"
LEADING_OUT = (
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "//x",
    "a//b",
    ".",
    "./a",
    "a/.",
    "",
    "a\0b",
    "a\nb",
    "a\\b",
    "\\x",
)
LEADING_OUT += ("C:\\x", "a" * 300, "a/" + "b" * 300)
NO_HASHES = ("", "x", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "../" + "a" * 61, "a" * 64 + "\n", 7, None, ["a" * 64])
NO_KEYS = ("", "..", "../x", "a/b", "A", "a b", "a\0", "a\n", "ü", "x" * 65, 7, ["a"])


def _sha(content):
    return hashlib.sha256(content).hexdigest()


def _arrived(here, content, job=None):
    """Put a file there as a transfer does."""
    sha = _sha(content)
    folder = Path(here.expect([[sha, len(content)]], job)["folder"])
    (folder / f"{sha}.part").write_bytes(content)
    assert here.accept([sha], job) == {"wrong": []}
    return sha


def _refused(ask, *words):
    with pytest.raises(RequestRefused) as caught:
        ask(*words)
    assert caught.value.code == "name"


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("name", LEADING_OUT)
def test_no_name_leads_out(here, home, name):
    (home / "x").write_bytes(SECRET)
    sha = _arrived(here, b"content", JOB)
    here.arrange(JOB, {}, {})
    before = sorted(home.rglob("*"))
    _refused(here.arrange, JOB, {name: sha}, {})
    _refused(here.offer, JOB, [name])
    if name:  # without a name it is the log
        _refused(here.read, JOB, name, 0)
    if "/" not in name or name.startswith("/"):
        _refused(here.arrange, JOB, {}, {name: _arrived(here, b"shared")})
    assert (home / "x").read_bytes() == SECRET
    after = [path for path in sorted(home.rglob("*")) if "outgoing" not in path.parts and "named" not in path.parts]
    assert [path for path in after if path not in before and path.parent.name not in ("files", "same face")] == []


@pytest.mark.parametrize("sha", NO_HASHES)
def test_no_hash(here, sha):
    for ask in (
        lambda: here.expect([[sha, 1]], None),
        lambda: here.sizes([sha], None),
        lambda: here.accept([sha], None),
        lambda: here.arrange(JOB, {"a": sha}, {}),
        lambda: here.arrange(JOB, {}, {"a": sha}),
        lambda: here.fetched(JOB, [sha]),
        lambda: here.start(JOB, sha, []),
        lambda: here.install(sha, "a.whl"),
        lambda: here.installed(sha),
    ):
        _refused(ask)


@pytest.mark.parametrize("key", NO_KEYS)
def test_no_key(here, key):
    for ask in (
        lambda: here.expect([], key),
        lambda: here.sizes([_sha(b"")], key),
        lambda: here.accept([_sha(b"")], key),
        lambda: here.arrange(key, {}, {}),
        lambda: here.start(key, _sha(b""), []),
        lambda: here.state(key),
        lambda: here.wish(key, "stop"),
        lambda: here.kill(key),
        lambda: here.made(key),
        lambda: here.offer(key, []),
        lambda: here.fetched(key, [_sha(b"")]),
        lambda: here.read(key, "a", 0),
        lambda: here.erase(key),
    ):
        _refused(ask)


def test_links_that_were_planted_lead_nowhere(here, home):
    outside = home / "outside"
    outside.mkdir()
    (outside / "key").write_bytes(SECRET)
    sha = _arrived(here, b"content", JOB)
    here.arrange(JOB, {"in/a": sha}, {})
    data = here._data(JOB)
    (data / "file").symlink_to(outside / "key")
    (data / "folder").symlink_to(outside)
    (data / "up").symlink_to("..")
    for name in ("file", "folder/key", "up/log.txt", "up/../exit.json"):
        _refused(here.offer, JOB, [name])
        _refused(here.read, JOB, name, 0)
        _refused(here.arrange, JOB, {name: sha}, {})
    assert (outside / "key").read_bytes() == SECRET
    assert set(here.made(JOB)) == set()


def test_a_pipe_is_no_file(here):
    """It would be waited for without end."""
    here.arrange(JOB, {}, {})
    os.mkfifo(here._data(JOB) / "pipe")
    (here._data(JOB) / "folder").mkdir()
    for name in ("pipe", "folder", "none"):
        assert here.offer(JOB, [name])["files"] == {}
        assert here.read(JOB, name, 0) == ({"size": 0}, b"")
    assert here.made(JOB) == {}


# ------------------------------------------------------------------------------------------------ files


def test_what_comes_is_kept_once_its_hash_is_right(here):
    one, other = b"one" * 1000, b"other"
    asked = [[_sha(one), len(one)], [_sha(other), len(other)], [_sha(b""), 0]]
    found = here.expect(asked, JOB)
    assert found["missing"] == {_sha(one): 0, _sha(other): 0, _sha(b""): 0}
    folder = Path(found["folder"])
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / f"{_sha(one)}.part").write_bytes(one[:100])
    assert here.expect(asked, JOB)["missing"][_sha(one)] == 100
    assert here.sizes([_sha(one), _sha(other)], JOB) == {_sha(one): 100, _sha(other): 0}
    assert here.accept([_sha(one), _sha(other)], JOB)["wrong"] == [_sha(one), _sha(other)]
    assert here.expect(asked, JOB)["missing"][_sha(one)] == 0  # what was wrong is gone
    for content in (one, other, b""):
        (folder / f"{_sha(content)}.part").write_bytes(content)
    assert here.accept([sha for sha, _ in asked], JOB) == {"wrong": []}
    assert here.expect(asked, JOB)["missing"] == {}
    assert here.expect(asked, None)["missing"] != {}  # a job's files are not shared
    assert here.expect(asked, "home-2")["missing"] != {}


def test_a_part_that_is_too_long_is_dropped(here):
    sha = _sha(b"content")
    part = Path(here.expect([[sha, 7]], None)["folder"]) / f"{sha}.part"
    part.write_bytes(b"content and more")
    assert here.expect([[sha, 7]], None)["missing"] == {sha: 0}
    assert not part.exists()


def test_no_room_for_what_shall_come(here, monkeypatch):
    usage = shutil.disk_usage(here.folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    sha = _sha(b"x" * 1500)
    with pytest.raises(RequestRefused) as caught:
        here.expect([[sha, 1500]], None)
    assert caught.value.code == "disk-full"
    assert all(number in str(caught.value) for number in ("1,500", "1,000"))
    (here.folder / "files" / f"{sha}.part").write_bytes(b"x" * 600)  # the rest has room
    assert here.expect([[sha, 1500]], None)["missing"] == {sha: 600}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up(here, monkeypatch, number):
    sha = _arrived(here, b"content", JOB)

    def full(*words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfile", full)
    said, _ = _asked(here, {"do": "arrange", "job": JOB, "files": {"a": sha}, "shared": {}})
    assert said["error"] == "disk-full"
    monkeypatch.undo()


def test_a_job_is_laid_out(here):
    one, shared = _arrived(here, b"one", JOB), _arrived(here, b"shared")
    names = {"characters/mara ü/photos/0001.jpg": one, "jobs.sqlite": one, "-x [a]*": one}
    found = here.arrange(JOB, names, {"Basis 名前.safetensors": shared})
    data = Path(found["data"])
    assert {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()} == set(names)
    path = Path(found["shared"]["Basis 名前.safetensors"])
    assert (path.name, path.read_bytes()) == ("Basis 名前.safetensors", b"shared")
    (data / "jobs.sqlite").write_bytes(b"changed")
    assert here.expect([[one, 3]], JOB)["missing"] == {}  # the data folder holds copies
    assert (here._files(JOB) / one).read_bytes() == b"one"
    assert set(here.made(JOB)) == {"jobs.sqlite"}


def test_what_a_worker_made(here):
    sha = _arrived(here, b"run", JOB)
    data = Path(here.arrange(JOB, {"a/run.yaml": sha, "a/b": sha}, {})["data"])
    (data / "a" / "new ü").write_bytes(b"new")
    (data / "a" / "half.tmp").write_bytes(b"h")
    (data / "a" / "run.yaml").write_bytes(b"changed")
    made = here.made(JOB)
    assert set(made) == {"a/new ü", "a/run.yaml"}
    assert made["a/new ü"][0] == 3
    found = here.offer(JOB, ["a/new ü", "a/run.yaml", "a/gone"])
    assert found["files"] == {"a/new ü": [_sha(b"new"), 3], "a/run.yaml": [_sha(b"changed"), 7]}
    assert (Path(found["folder"]) / _sha(b"new")).read_bytes() == b"new"
    here.fetched(JOB, [_sha(b"new"), _sha(b"gone")])
    assert [path.name for path in Path(found["folder"]).iterdir()] == [_sha(b"changed")]


def test_reading(here):
    data = Path(here.arrange(JOB, {}, {})["data"])
    (data / "events").write_bytes(b"0123456789")
    assert here.read(JOB, "events", 0) == ({"size": 10}, b"0123456789")
    assert here.read(JOB, "events", 7) == ({"size": 10}, b"789")
    for offset, rest in ((10, b""), (99, b""), (-3, b"0123456789")):
        assert here.read(JOB, "events", offset)[1] == rest
    (data / "long").write_bytes(b"x" * (3 << 20))
    assert len(here.read(JOB, "long", 0)[1]) == 1 << 20
    assert here.read(JOB, "", 0) == ({"size": 0}, b"")
    (here._job(JOB) / "log.txt").write_bytes(b"a" * 100_000 + b"end")
    said = here.read(JOB, "", 0)[1]
    assert (len(said), said[-3:]) == (1 << 16, b"end")


def test_erasing_looks(here, home, monkeypatch):
    sha = _arrived(here, b"photo", JOB)
    here.arrange(JOB, {"a": sha}, {"base": _arrived(here, b"base")})
    (here._data(JOB) / "broken").symlink_to("/nowhere")
    outside = home / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    (here._data(JOB) / "link").symlink_to(outside)
    assert here.jobs() == {"jobs": [JOB]}
    monkeypatch.setattr(shutil, "rmtree", lambda path, **options: None)
    left = here.erase(JOB)["left"]
    assert str(here._data(JOB) / "a") in left
    assert str(here._data(JOB) / "broken") in left
    monkeypatch.undo()
    monkeypatch.setattr(Path, "home", lambda: home)
    assert here.erase(JOB) == {"left": []}
    assert here.jobs() == {"jobs": []}
    assert here.state(JOB)["here"] is False
    assert (outside / "file").read_bytes() == SECRET
    assert b"photo" not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert here.erase(JOB) == {"left": []}  # nothing is there


def test_erasing_a_link_in_the_place_of_a_job(here, home):
    outside = home / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    (here.folder / "jobs").mkdir(parents=True)
    here._job(JOB).symlink_to(outside)
    assert here.erase(JOB) == {"left": []}
    assert (outside / "file").read_bytes() == SECRET


# ------------------------------------------------------------------------------------------------ workers


def _running(here):
    return here.state(JOB)["running"]


def _log(here):
    return here.read(JOB, "", 0)[1]


def test_nothing_is_known_of_what_was_never_here(here):
    found = here.state(JOB)
    assert abs(found.pop("time") - time.time()) < 10
    assert found == {"here": False, "began": False, "running": False, "exit": None}
    for ask in (lambda: here.kill(JOB), lambda: here.made(JOB)):
        assert ask() == {}


@pytest.mark.parametrize(("code", "status"), [("", 0), ("sys.exit(3)", 3), ("raise ValueError('ü')", 1)])
def test_a_worker_that_ends(here, worker, code, status):
    assert worker(f"print(sys.argv[1:], os.environ['SAMEFACE_JOB'], file=sys.stderr)\n{code}") == {"started": True}
    eventually(lambda: here.state(JOB)["exit"] is not None)
    found = here.state(JOB)
    assert (found["began"], found["running"], found["exit"]) == (True, False, status)
    said = _log(here).decode()
    assert f"['-m', 'lib_lora', 'worker', '7', '--data', '{here._data(JOB)}']" in said
    assert str(here._job(JOB)) in said
    assert ("ValueError" in said) == (status == 1)


def test_what_is_there_is_its_owners_alone(here, worker, home):
    """Also what a worker makes, whatever the account's habits are."""
    before = os.umask(0)
    try:
        worker("os.makedirs('data/made')\nopen('data/made/file', 'w').close()")
        eventually(lambda: here.state(JOB)["exit"] == 0)
    finally:
        os.umask(before)
    for path in (here.folder, *here._job(JOB).parent.rglob("*")):
        if path.is_dir() or path.name in ("file", "exit.json", "beat.json"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_worker_that_crashes(here, worker):
    worker("os.kill(os.getpid(), signal.SIGSEGV)")
    eventually(lambda: here.state(JOB)["exit"] is not None)
    assert here.state(JOB)["exit"] == -signal.SIGSEGV


def test_a_worker_that_cannot_be_started(here):
    here.arrange(JOB, {}, {})
    began = time.monotonic()
    assert here.start(JOB, _sha(b"no such version"), []) == {"started": True}
    assert time.monotonic() - began < 10
    assert here.state(JOB)["exit"] == 127
    assert b"cannot be started" in _log(here)


def test_a_worker_gets_a_wish(here, worker):
    """Once for each; and it is not started again while it runs."""
    worker("for line in sys.stdin:\n    print(line, file=sys.stderr, flush=True)\n    if 'stop' in line: sys.exit(5)")
    assert _running(here)
    assert here.start(JOB, _sha(b"a wheel"), []) == {"started": False}
    here.wish(JOB, "pause")
    eventually(lambda: b"pause" in _log(here))
    time.sleep(0.4)  # beats of its keeper
    here.wish(JOB, "stop")
    eventually(lambda: here.state(JOB)["exit"] == 5)
    assert _log(here).count(b'{"wish": "pause"}') == 1
    assert not _running(here)


def test_a_new_worker_gets_no_old_wish(here, worker):
    worker("sys.stdin.readline()")
    here.wish(JOB, "stop")
    eventually(lambda: here.state(JOB)["exit"] == 0)
    worker("time.sleep(60)")
    assert _running(here)
    assert here.state(JOB)["exit"] is None


def test_a_worker_that_hangs_is_killed_with_all_it_has_started(here, worker):
    worker(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
        "print('child', child.pid, file=sys.stderr, flush=True)\ntime.sleep(60)"
    )
    child = int(eventually(lambda: _log(here).partition(b"child ")[2]))
    beat = json.loads((here._job(JOB) / "beat.json").read_text())
    here.wish(JOB, "stop")
    here.kill(JOB)
    eventually(lambda: not any(_alive(pid) for pid in (child, beat["worker"], beat["keeper"])))
    found = here.state(JOB)
    assert (found["began"], found["running"], found["exit"]) == (True, False, None)
    assert here.kill(JOB) == {}


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_worker_is_told_by_the_end_of_its_input_that_its_keeper_is_gone(here, worker):
    worker("sys.stdin.read()\nprint('alone', file=sys.stderr, flush=True)\ntime.sleep(0.5)")
    beat = json.loads((here._job(JOB) / "beat.json").read_text())
    os.kill(beat["keeper"], signal.SIGKILL)
    eventually(lambda: b"alone" in _log(here))
    assert _running(here)  # it still saves
    eventually(lambda: not _running(here))
    assert here.state(JOB)["exit"] is None


def test_a_worker_outlives_a_full_disk(here, worker, monkeypatch):
    """Its keeper cannot say that it lives, and says at last how it ended."""
    worker("while not os.path.exists('go'): time.sleep(0.02)")
    folder = here._job(JOB)
    keeper = json.loads((folder / "beat.json").read_text())["keeper"]
    (folder / f"beat.json.{keeper}.tmp").mkdir()  # nothing can be written there
    (folder / f"exit.json.{keeper}.tmp").mkdir()
    time.sleep(0.4)
    assert _running(here)
    (folder / "go").touch()
    time.sleep(0.4)
    assert _running(here)
    (folder / f"exit.json.{keeper}.tmp").rmdir()
    eventually(lambda: here.state(JOB)["exit"] == 0)


def test_a_number_that_is_another_process_by_now(here):
    """It is neither taken for the keeper nor killed."""
    here.arrange(JOB, {}, {})
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        try:
            for pid in (other.pid, os.getpid(), 1, 0, -1, True, 2**40, "7", None, [1]):
                (here._job(JOB) / "beat.json").write_text(json.dumps({"keeper": pid, "worker": pid}))
                found = here.state(JOB)
                assert (found["began"], found["running"]) == (True, False)
                here.kill(JOB)
            assert other.poll() is None
            similar = subprocess.Popen(
                ["sleep", "60"], env={"SAMEFACE_JOB": f"{here._job(JOB)}0"}, start_new_session=True
            )
            (here._job(JOB) / "beat.json").write_text(json.dumps({"keeper": similar.pid}))
            assert not _running(here)  # a job of a longer name
            similar.kill()
            similar.wait()
        finally:
            other.kill()


def test_what_is_written_of_a_worker_may_be_damaged(here):
    here.arrange(JOB, {}, {})
    for text in (b"", b"{", b"7", b"[]", b"\xff"):
        for name in ("beat.json", "exit.json", "marks.json"):
            (here._job(JOB) / name).write_bytes(text)
        assert here.state(JOB)["began"] is False
        assert here.made(JOB) == {}


def test_erasing_ends_what_runs(here, worker):
    folder = here._data(JOB)
    worker(f"while True:\n    os.makedirs({str(folder)!r}, exist_ok=True)\n    time.sleep(0.001)")
    assert here.erase(JOB) == {"left": []}
    time.sleep(0.1)
    assert not here._job(JOB).exists()


# ------------------------------------------------------------------------------------------------ requests


def _asked(here, *requests):
    """The answer to the last of these requests, and what follows it."""
    incoming = b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in requests)
    outgoing = io.BytesIO()
    serve(str(here.folder), here.text, io.BytesIO(incoming), outgoing)
    rest = outgoing.getvalue()
    for _ in requests:
        line, _, rest = rest.partition(b"\n")
        answer = json.loads(line)
        data, rest = rest[: answer.get("bytes", 0)], rest[answer.get("bytes", 0) :]
    assert rest == b""
    return answer, data


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"\n", "failed"),
        (b"{\n", "failed"),
        (b"\xff\n", "failed"),
        (b"7\n", "failed"),
        (b"[" * 100_000 + b"\n", "failed"),
        ({}, "failed"),
        ({"do": ["probe"]}, "failed"),
        ({"do": "nothing"}, "request"),
        ({"do": "__init__", "folder": "/", "text": ""}, "request"),
        ({"do": "_job", "key": "a"}, "request"),
        ({"do": "_detached", "words": [], "output": "/tmp/x"}, "request"),
        ({"do": "folder"}, "request"),
        ({"do": "state"}, "failed"),
        ({"do": "state", "job": JOB, "more": 1}, "failed"),
        ({"do": "state", "job": "../x"}, "name"),
        ({"do": "expect", "files": 7, "job": None}, "failed"),
        ({"do": "start", "job": JOB, "version": "a" * 64, "arguments": []}, "file"),
        ({"do": "wish", "job": JOB, "wish": "stop"}, "file"),
    ],
)
def test_a_request_that_cannot_be_met(here, request_, code):
    answer, _ = _asked(here, request_)
    assert answer["error"] == code
    assert isinstance(answer["say"], str)
    after, _ = _asked(here, request_, {"do": "state", "job": JOB})  # the connection goes on
    assert after["ok"]["here"] is False


def test_bytes_follow_the_answer(here):
    here.arrange(JOB, {}, {})
    (here._data(JOB) / "a").write_bytes(b"\n{}\n")
    answer, data = _asked(here, {"do": "read", "job": JOB, "name": "a", "offset": 0})
    assert (answer["ok"], data) == ({"size": 4}, b"\n{}\n")


def test_a_folder_that_cannot_be(here, home):
    (home / "file").write_bytes(b"")
    for folder in (str(home / "file"), str(home / "file" / "below"), "~nobody-of-that-name/x", "/proc/x", "a\ud800"):
        outgoing = io.BytesIO()
        serve(folder, here.text, io.BytesIO(b'{"do": "probe"}\n' * 2), outgoing)
        answers = [json.loads(line) for line in outgoing.getvalue().splitlines()]
        assert [set(one) for one in answers] == [{"error", "say"}] * 2


def test_what_this_machine_has(here, home, monkeypatch):
    answer, _ = _asked(here, {"do": "probe"})
    found = answer["ok"]
    assert found["python"] == "{}.{}.{}".format(*sys.version_info)
    assert found["system"] == "linux"
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory"] > 1 << 28
    assert found["disk_free"] > 0
    assert (home / "same face").stat().st_mode & 0o777 == 0o700
    smi = home / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    monkeypatch.setenv("PATH", str(smi.parent), prepend=os.pathsep)
    two = "NVIDIA RTX A4000, 16376\\nTwo, words, 8000\\n"
    for said, gpus in (
        (two, [("NVIDIA RTX A4000", 16376 << 20), ("Two, words", 8000 << 20)]),
        ("No devices were found\\n", []),
        ("x, [N/A]\\n\\n,\\n", []),
    ):
        smi.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        smi.chmod(0o755)
        assert [(one["name"], one["memory"]) for one in here.probe()["gpus"]] == gpus
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert here.probe()["gpus"] == []


# ------------------------------------------------------------------------------------------------ installing


@pytest.fixture
def wheel(here):
    return _arrived(here, b"a wheel")


def _state(here, wheel):
    return here.installed(wheel)["state"]


def _venv(home, monkeypatch, pip):
    """Make `python -m venv` of what is started put a script with this text in the place of the new Python."""
    site = home / "site" / "venv"
    site.mkdir(parents=True, exist_ok=True)
    (site / "__init__.py").touch()
    (site / "__main__.py").write_text(
        "import sys, pathlib\npython = pathlib.Path(sys.argv[-1], 'bin', 'python')\n"
        f"python.parent.mkdir(parents=True, exist_ok=True)\npython.write_text({pip!r})\npython.chmod(0o755)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site.parent))


def test_an_installation(here, wheel, home, monkeypatch):
    _venv(home, monkeypatch, '#!/bin/sh\necho "pip got: $*"\n')
    assert here.installed(wheel) == {"state": "none", "said": ""}
    assert here.install(wheel, "sameface-1-py3-none-any.whl") == {}
    eventually(lambda: _state(here, wheel) == "ready")
    folder = here._version(wheel)
    assert (folder / "sameface-1-py3-none-any.whl").read_bytes() == b"a wheel"
    said = (folder / "install.txt").read_text()
    assert "pip got: -m pip install --no-input --disable-pip-version-check --progress-bar off" in said
    here.install(wheel, "sameface-1-py3-none-any.whl")  # it is done
    assert (folder / "install.txt").read_text() == said
    shutil.rmtree(folder / "venv")  # somebody has tidied up
    eventually(lambda: _state(here, wheel) == "none")
    here.install(wheel, "sameface-1-py3-none-any.whl")
    eventually(lambda: _state(here, wheel) == "ready")


def test_without_a_venv_module(here, wheel, home, monkeypatch):
    broken = home / "site" / "venv"
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    (broken / "__main__.py").write_text("raise SystemExit('ensurepip is not available')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    here.install(wheel, "a.whl")
    eventually(lambda: _state(here, wheel) == "failed")
    assert "ensurepip is not available" in here.installed(wheel)["said"]


def test_without_a_network_and_again(here, wheel, home, monkeypatch):
    _venv(home, monkeypatch, "#!/bin/sh\necho 'ERROR: Could not find a version that satisfies torch' >&2\nexit 1\n")
    here.install(wheel, "a.whl")
    eventually(lambda: _state(here, wheel) == "failed")
    assert "Could not find a version" in here.installed(wheel)["said"]
    _venv(home, monkeypatch, "#!/bin/sh\nexit 0\n")
    here.install(wheel, "a.whl")
    eventually(lambda: _state(here, wheel) == "ready")


def test_an_installation_that_was_killed_half_way(here, wheel, home, monkeypatch):
    _venv(home, monkeypatch, "#!/bin/sh\nexec sleep 60\n")
    here.install(wheel, "a.whl")
    assert _state(here, wheel) == "running"
    beat = here._version(wheel) / "beat.json"
    eventually(beat.is_file)
    assert _state(here, wheel) == "running"
    here.install(wheel, "a.whl")  # it is under way
    keeper = json.loads(beat.read_text())["keeper"]
    os.killpg(keeper, signal.SIGKILL)
    eventually(lambda: _state(here, wheel) == "none")
    _venv(home, monkeypatch, "#!/bin/sh\nexit 0\n")
    here.install(wheel, "a.whl")
    eventually(lambda: _state(here, wheel) == "ready")


def test_an_installation_that_never_said_a_word(here, wheel):
    folder = here._version(wheel)
    folder.mkdir(parents=True)
    (folder / "install.txt").touch()
    assert _state(here, wheel) == "running"  # it begins
    os.utime(folder / "install.txt", (1, time.time() - 60))
    assert _state(here, wheel) == "none"


def test_a_wheel_that_has_not_come(here):
    answer, _ = _asked(here, {"do": "install", "version": "a" * 64, "file_name": "a.whl"})
    assert answer["error"] == "file"
    for name in ("../a.whl", "/a.whl", "a\\b", ""):
        _refused(here.install, "a" * 64, name)


def _old(folder, hours=48):
    """As if nothing in it had been used for hours."""
    moment = time.time() - hours * 3600
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (moment, moment), follow_symlinks=False)


def _installed_version(here, version):
    folder = here._version(version)
    (folder / "venv" / "bin").mkdir(parents=True)
    for path in (folder / "venv" / "bin" / "python", folder / "ready.json", here._files(None) / version):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


@pytest.fixture
def kept(here):
    """Two versions of SameFace, two base models of which job home-1 needs one, and a part of a third; all are old."""
    now, before = hashlib.sha256(b"a wheel").hexdigest(), hashlib.sha256(b"an older wheel").hexdigest()
    for version in (now, before):
        _installed_version(here, version)
    needed, idle, part = (hashlib.sha256(one).hexdigest() for one in (b"needed", b"idle", b"part"))
    for name in (needed, idle):
        (here._files(None) / name).write_bytes(b"model")
    here.arrange("home-1", {}, {"needed.safetensors": needed})
    here.arrange("home-2", {}, {"idle.safetensors": idle})
    here.erase("home-2")
    (here._files(None) / f"{part}.part").write_bytes(b"mod")
    _old(here.folder)
    return {"now": now, "before": before, "needed": needed, "idle": idle, "part": part}


def test_what_stays_for_the_next_job(here, kept):
    found = here.stored()
    assert {row["version"]: row["needed"] for row in found["versions"]} == {
        kept["now"][:16]: False,
        kept["before"][:16]: False,
    }
    assert {row["sha256"]: (row["names"], row["bytes"], row["needed"]) for row in found["shared"]} == {
        kept["needed"]: (["needed.safetensors"], 5, True),
        kept["idle"]: (["idle.safetensors"], 5, False),
        kept["part"]: ([], 3, False),
    }
    assert all(row["idle"] > 47 * 3600 for row in (*found["versions"], *found["shared"]))
    assert found["jobs"] == 1


def test_what_nobody_needs_is_deleted(here, kept, home):
    outside = home / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (here.folder / "versions" / ("f" * 16)).symlink_to(outside)
    (here.folder / "named" / ("e" * 64)).symlink_to(outside)
    _old(here.folder / "named")
    gone = here.clean(kept["now"])
    assert [row["version"] for row in gone["versions"]] == [kept["before"][:16]]
    assert {row["sha256"] for row in gone["shared"]} == {kept["idle"], kept["part"], "e" * 64}
    assert gone["left"] == []
    assert sorted(path.name for path in here._files(None).iterdir()) == sorted([kept["now"], kept["needed"]])
    assert (here._version(kept["now"]) / "ready.json").is_file()
    assert not here._version(kept["before"]).exists()
    assert (here.folder / "named" / kept["needed"] / "needed.safetensors").read_bytes() == b"model"
    assert (outside / "mine.txt").read_text() == "mine"
    assert here.clean(kept["now"]) == {"versions": [], "shared": [], "left": []}


def test_nothing_of_a_running_job_is_deleted(here, kept, worker):
    """Nor what was needed within the hour, nor anything where an older program's job does not say what it needs."""
    worker("time.sleep(60)", job="home-3")
    here.arrange("home-3", {}, {"idle.safetensors": kept["idle"]})
    _old(here.folder)
    other = hashlib.sha256(b"a newer wheel").hexdigest()
    gone = here.clean(other)
    assert [row["version"] for row in gone["versions"]] == [kept["before"][:16]]
    assert {row["sha256"] for row in gone["shared"]} == {kept["part"]}
    assert here.state("home-3")["running"]
    here.erase("home-3")
    here.expect([[kept["idle"], 5]], None)  # a job is about to need it
    _old(here.folder / "versions")
    assert {row["sha256"] for row in here.clean(other)["shared"]} == set()
    _old(here.folder)
    (here._job("home-1") / "uses.json").unlink()
    assert here.clean(other) == {"versions": [], "shared": [], "left": []}
    here.erase("home-1")
    assert len(here.clean(other)["shared"]) == 2


def test_its_text_needs_nothing_that_python_has_not():
    """It runs on whatever Python is there, so it imports the standard library alone."""
    lines = Path(agent.__file__).read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {*sys.stdlib_module_names, "__future__"}
    assert Agent("a", "").folder.is_absolute()
