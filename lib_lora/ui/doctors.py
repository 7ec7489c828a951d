"""The doctor's route: what works here, what does not, and what mends it."""

from __future__ import annotations

from typing import Any

from lib_lora.ui.desk import Call, Desk, Route, get


def routes() -> list[Route]:
    """The one."""
    return [get("/doctor", doctor)]


def doctor(desk: Desk, _call: Call) -> dict[str, Any]:
    """What works here, and where things lie."""
    from lib_lora.ui.doctor import checks

    roots = desk.host.roots()
    loras = str(roots.loras[0]) if roots.loras else ""
    log = str(desk.root / "jobs")
    return {
        "checks": checks(desk.host, desk.root, desk.supervisor),
        "folders": {"data": str(desk.root), "loras": loras, "log": log},
    }
