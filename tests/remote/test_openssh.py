"""What is given to OpenSSH are lists of arguments, and what it says becomes one sentence."""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from faults import check_sentence, misfit, raises

from lib_lora.remote import openssh
from lib_lora.remote.connection import Unreachable, failure
from lib_lora.remote.places import Place, known_hosts

PLACE = Place("workshop", "gpu.example.org", "mara", 2222, "/home/me/my keys/50%d ü", "data ü", "python3.11")
NEEDS_SOCKETS = pytest.mark.skipif(sys.platform == "win32", reason="Windows' ssh cannot share a connection")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A folder for sockets, whose path must be short."""
    with tempfile.TemporaryDirectory(prefix="sf") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


@pytest.fixture
def started(monkeypatch):
    """The commands that would be started."""
    found = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: found.append((command, options)))
    monkeypatch.setattr(openssh.shutil, "which", lambda name: f"/usr/bin/{name}")
    return found


def test_no_shell_reads_what_a_user_says(tmp_path, started):
    openssh.start(tmp_path, PLACE, ["python3.11", "-c", "'x'"])
    openssh.start_transfer(tmp_path, PLACE, ["put a b"], tmp_path)
    (ssh, ssh_options), (sftp, sftp_options) = started
    for options in (ssh_options, sftp_options):
        assert "shell" not in options
    assert ssh[ssh.index("--") :] == ["--", "gpu.example.org", "python3.11", "-c", "'x'"]
    assert sftp[sftp.index("--") :] == ["--", "gpu.example.org"]
    for command, port in ((ssh, "-p"), (sftp, "-P")):
        assert all(isinstance(word, str) for word in command)
        assert command[command.index(port) + 1] == "2222"
        key = Path(PLACE.key).absolute().as_posix().replace("%", "%%")
        assert f'IdentityFile="{key}"' in command
        for word in ("User=mara", "BatchMode=yes", "StrictHostKeyChecking=accept-new", "ForwardAgent=no"):
            assert word in command
        assert not any("ProxyCommand" in word for word in command)
    assert "-q" not in sftp  # else ssh would not say why it fails


def test_an_address_of_ipv6(tmp_path, started):
    place = Place("workshop", "::1")
    openssh.start(tmp_path, place, ["true"])
    openssh.start_transfer(tmp_path, place, [], tmp_path)
    assert started[0][0][-2:] == ["::1", "true"]
    assert started[1][0][-1] == "[::1]"  # sftp takes what stands behind a : for a folder


@NEEDS_SOCKETS
def test_only_who_shares_key_and_host_key_shares_a_connection(tmp_path):
    def socket(root, place):
        return next(word for word in openssh.options(root, place) if word.startswith("ControlPath="))

    one = socket(tmp_path, PLACE)
    assert socket(tmp_path, PLACE) == one
    fields = ({"name": "b"}, {"key": ""}, {"user": "ada"}, {"host": "gpu"}, {"port": 22})
    others = [replace(PLACE, **one) for one in fields]
    assert len({one, *(socket(tmp_path, place) for place in others), socket(tmp_path / "other", PLACE)}) == 7


@NEEDS_SOCKETS
def test_a_folder_for_sockets_that_is_not_ours(tmp_path, short):
    folder = short / f"sameface-{os.getuid()}"
    openssh.options(tmp_path, PLACE)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    with raises("folder-not-ours", has=folder):
        openssh.options(tmp_path, PLACE)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with raises("folder-not-ours", has=folder):
        openssh.options(tmp_path, PLACE)
    folder.unlink()
    folder.write_text("")
    with raises("file-inaccessible", has=folder):
        openssh.options(tmp_path, PLACE)


@NEEDS_SOCKETS
def test_a_folder_for_sockets_of_another_user(tmp_path, short, monkeypatch):
    openssh.options(tmp_path, PLACE)
    folder = short / f"sameface-{os.getuid()}"
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    folder.rename(short / f"sameface-{mine + 1}")
    with raises("folder-not-ours", has=f"sameface-{mine + 1}"):
        openssh.options(tmp_path, PLACE)


@NEEDS_SOCKETS
def test_where_a_socket_has_no_room_no_connection_is_shared(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    assert not any("Control" in word for word in openssh.options(tmp_path, PLACE))


def test_the_clients_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(openssh.shutil, "which", lambda name: None)
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    with raises("openssh-missing", has="sftp"):
        openssh.program("sftp")


def test_names_in_a_batch():
    assert openssh.quoted("a b") == '"a b"'
    assert openssh.quoted('a"b\\c*[') == '"a\\"b\\\\c*["'
    for name in ("a\nb", "a\rb", "a\0b"):
        with misfit("name"):
            openssh.quoted(name)


CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /data/hosts/workshop:1
Host key for sameface-workshop has changed and you have requested strict checking.
Host key verification failed.
"""
REFUSED = "mara@gpu: Permission denied (publickey)."
# What clients of OpenSSH 7.6 to 10.0, Apple's and Windows' own say, each with the code that it is.
RECORDED = [
    (CHANGED, 255, "host-key-changed"),
    (CHANGED.replace("\n", "\r\n"), 255, "host-key-changed"),
    ("Host key verification failed.\r\nConnection closed\r\n", 255, "host-key-changed"),
    ("mara@gpu: Permission denied (publickey).\r\n", 255, "ssh-login-refused"),
    (
        "root@127.0.0.1: Permission denied (publickey,keyboard-interactive).\nConnection closed\n",
        255,
        "ssh-login-refused",
    ),
    ("Permission denied, please try again.\nmara@gpu: Permission denied (password).", 255, "ssh-login-refused"),
    (
        f"Warning: Identity file /k not accessible: No such file or directory.\n{REFUSED}",
        255,
        "ssh-login-refused",
    ),
    (
        f"no such identity: /k: No such file or directory\n{REFUSED}",
        255,
        "ssh-login-refused",
    ),
    ("Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\r\n", 255, "ssh-login-refused"),
    (
        '@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\nLoad key "C:/k": bad permissions\n'
        "mara@gpu: Permission denied (publickey).",
        255,
        "ssh-login-refused",
    ),
    ("ssh: Could not resolve hostname gpu: Name or service not known\r\n", 255, "host-unknown"),
    ("ssh: Could not resolve hostname gpu: No such host is known. \r\n", 255, "host-unknown"),
    ("ssh: Could not resolve hostname gpu: nodename nor servname provided, or not known", 255, "host-unknown"),
    ("ssh: Could not resolve hostname gpu: Temporary failure in name resolution\r\n", 255, "host-unreachable"),
    ("ssh: connect to host gpu port 22: Connection refused\r\nConnection closed\r\n", 255, "host-unreachable"),
    ("ssh: connect to host gpu port 22: Connection timed out\r\n", 255, "host-unreachable"),
    ("ssh: connect to host gpu port 22: Operation timed out\n", 255, "host-unreachable"),
    ("ssh: connect to host gpu port 22: No route to host\r\n", 255, "host-unreachable"),
    ("kex_exchange_identification: Connection closed by remote host\r\n", 255, "host-unreachable"),
    ("Connection to gpu closed by remote host.\r\n", 255, "host-unreachable"),
    ("client_loop: send disconnect: Broken pipe\r\n", 255, "host-unreachable"),
    ("Timeout, server gpu not responding.\r\n", 255, "host-unreachable"),
    ("Connection closed", None, "host-unreachable"),
    ("bash: line 1: python3.11: command not found\n", 127, "remote-python-missing"),
    ("bash: Zeile 1: python3.11: Kommando nicht gefunden.\n", 127, "remote-python-missing"),
    ("sh: 1: python3.11: not found\n", None, "remote-python-missing"),
    ("zsh:1: command not found: python3.11\n", None, "remote-python-missing"),
    ("fish: Unknown command: python3.11\n", None, "remote-python-missing"),
    ("python3.11: Command not found.\n", 1, "remote-python-missing"),
    ("bash: line 1: /opt/python: Permission denied\n", 126, "remote-python-missing"),
    ("bash: line 1: /opt/python: No such file or directory\n", 127, "remote-python-missing"),
    ('  File "<string>", line 1\nSyntaxError: invalid syntax\n', 1, "remote-python-unfit"),
    ("AttributeError: 'file' object has no attribute 'buffer'\n", 1, "remote-python-unfit"),
    ('write remote "/d/a.part": Failure\n', 1, "remote-disk-full"),
    ('write remote "/d/a.part": No space left on device\n', 1, "remote-disk-full"),
    ('write local "a": No space left on device\n', 1, "disk-full"),
    ('open local "a": Permission denied\n', 1, "transfer-unwritable"),
    ('dest open "/d/a.part": Permission denied\n', 1, "remote-folder-denied"),
    ('remote open "/d/a.part": Permission denied\n', 1, "remote-folder-denied"),
    ('dest open "/d/a.part": No such file or directory\n', 1, "ssh-failed"),
    ('File "/d/a" not found.\n', 1, "ssh-failed"),
    ("TypeError: 'type' object is not subscriptable\n", 1, "remote-python-unfit"),
    ('command-line line 0: unsupported option "accept-new".\r\n', 255, "ssh-settings-unusable"),
    ("command-line: line 0: Bad configuration option: nope\n", 255, "ssh-settings-unusable"),
    ("Bad owner or permissions on C:\\Users\\me/.ssh/config\r\n", 255, "ssh-settings-unusable"),
    (
        "Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa\r\n",
        255,
        "ssh-settings-unusable",
    ),
    ("", 255, "ssh-failed"),
    ("\x1b[31mstrange\x07\n\n", 1, "ssh-failed"),
]


@pytest.mark.parametrize(("said", "status", "code"), RECORDED)
def test_why_it_failed(said, status, code):
    error = openssh.why(said, PLACE, status)
    assert error.code == code
    assert error.parameters == {"place": "workshop"}
    check_sentence(str(error), error.code)
    assert str(error).isprintable()
    assert len(str(error)) < 600


def test_sentences_say_what_to_do():
    changed = str(openssh.why(CHANGED, PLACE))
    assert "place remove workshop" in changed
    missing = str(openssh.why("", PLACE, 127))
    assert "python3.11" in missing
    assert "place add workshop mara@gpu.example.org:2222 --python PROGRAM" in missing
    assert "mara@gpu.example.org:2222" in str(openssh.why("Connection refused", PLACE))


def test_what_may_work_later_is_tried_again(tmp_path):
    def kind(said):
        return type(failure(tmp_path, PLACE, said, 255))

    assert kind(b"Connection refused") is Unreachable
    assert kind(b"\xff what") is Unreachable
    assert kind(b"mara@gpu: Permission denied (publickey).") is not Unreachable
    unknown = b"ssh: Could not resolve hostname gpu: No such host is known."
    assert kind(unknown) is not Unreachable
    known = known_hosts(tmp_path, PLACE)
    known.parent.mkdir(parents=True)
    known.write_text("pinned")
    assert kind(unknown) is Unreachable  # it was reached before: this computer has no network now
    assert kind(CHANGED.encode()) is not Unreachable
