"""Answers what works here, for the tab's Doctor."""

from __future__ import annotations

from typing import Any

from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.views.doctor.check_result import as_text
from lib_lora.ui.views.doctor.doctor_checks import checks
from lib_lora.workspace.workspace import Workspace


def routes() -> list[Route]:
    """The route of the doctor."""
    return [get("/doctor", doctor)]


def doctor(context: RequestContext, _call: Call) -> dict[str, Any]:
    """What works here, and where things are stored."""
    roots = context.host.roots()
    loras = str(roots.loras[0]) if roots.loras else ""
    found = checks(context.host, context.root, context.supervisor)
    return {
        "checks": [one.for_programs() for one in found],
        "text": as_text(context.host, found),
        "folders": {"data": str(context.root), "loras": loras, "log": str(Workspace(context.root).jobs)},
    }
