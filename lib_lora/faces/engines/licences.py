"""Records in the data folder that the user was shown a face engine's licence and agreed to it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from lib_lora.files import explained, write_json

FILE = "licences.json"
NOTICE = """\
InsightFace's face models are not SameFace's and do not come with it. Their authors permit non-commercial research
only, whether the files were downloaded by the package or by hand. For anything else, such as work for a customer or
pictures that you sell, you need a licence from InsightFace (https://www.insightface.ai). SameFace's own engine, sface,
has no such limit.
The models compute biometric data from faces. Measure only faces that are invented, your own, or of adults who agreed;
everything is computed on this machine and nothing is sent anywhere.
By confirming you say that your use is non-commercial research or that you hold a licence. The date is noted in your
data folder, and reports name the engine and its licence."""


def confirm(root: Path, engine_id: str) -> None:
    """Note in the data folder `root` that the user read `NOTICE` today (UTC) and agreed, for one engine's models.

    Raises:
        UserError: the file cannot be written.
    """
    today = datetime.now(timezone.utc).date().isoformat()
    write_json(root / FILE, {**_confirmed(root), engine_id: {"confirmed": today}})


def is_confirmed(root: Path, engine_id: str) -> bool:
    """Whether `confirm` was called for this engine. A damaged file confirms nothing, so that the user is asked again.

    Raises:
        UserError: the file is there but cannot be read.
    """
    return engine_id in _confirmed(root)


def _confirmed(root: Path) -> dict[str, object]:
    path = root / FILE
    if not path.is_file():
        return {}
    with explained(path, "read"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return {}
    return content if isinstance(content, dict) else {}
