"""The benchmark of transfers measures what it says, on a small file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ssh_server import MISSING, available

from bench.speed import transfer

pytestmark = pytest.mark.once("it uses the standard library and OpenSSH alone")


def test_a_table_and_its_medians() -> None:
    rounds = [{"scp": 1.0, "send": 2.0, "second": 0.1, "ratio": 0.5, "load": 0.0}] * 2
    rounds.append({"scp": 9.0, "send": 9.0, "second": 0.3, "ratio": 1.0, "load": 3.25})
    assert transfer.summary(rounds) == {"scp": 1.0, "send": 2.0, "second": 0.1, "ratio": 0.5}
    assert transfer.table(rounds).splitlines()[-1] == "| 3 | 9.00 | 9.00 | 0.30 | 1.00 | 3.25 |"


@pytest.mark.skipif(not available() or not shutil.which("scp"), reason=MISSING)
def test_a_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--gigabytes",
        "0.001",
        "--rounds",
        "2",
        "--work",
        str(tmp_path / "work"),
        "--results",
        str(tmp_path / "r"),
    ]
    assert transfer.main(words) == 0
    found = json.loads((tmp_path / "r").read_text(encoding="utf-8"))["figures"]
    assert found["bytes"] == 1_000_000
    assert all(0 < row[name] < 60 for row in found["rounds"] for name in ("scp", "send", "second"))
    assert list((tmp_path / "work").iterdir()) == []
    assert "| 2 |" in capsys.readouterr().out
