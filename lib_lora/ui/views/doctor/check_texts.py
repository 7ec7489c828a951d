"""Lists what the Doctor's own checks can find, by code: the tone, the sentence and what to do, as templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lib_lora.messages.message import Message
from lib_lora.messages.tone import Tone
from lib_lora.ui.views.doctor.check_result import CheckResult

TYPE = "Type: {command}"
SKIPPED = "Start the webui without --skip-install and --skip-prepare-environment, or type: {command}"
LOST = "The webui itself has lost {lost}: start it without --skip-install, so that it installs its own packages again."
ALONE_BASES = "Start with --models FOLDER, the folder of your base models."
WEBUI_BASES = "Put a Stable Diffusion checkpoint into {folder}."
_DISK, _ROOM = "{free} are free where {folder} is.", "Free some space, or move the data folder to another disk."
_FOLDER_REFUSED = "{folder} cannot be written ({problem}).", "Change its permissions, or choose another folder."
_TITLES = (
    *("Webui", "Python that trains", "Packages", "Last installation", "GPU", "Disk", "Data folder", "LoRA folder"),
    *("Face models", "Base models", "Queue", "Machine {name}"),
)


@dataclass(frozen=True)
class CheckOutcome:
    """What a check can find.

    Attributes:
        tone: how it is shown.
        text: template of the sentence.
        mend: template of what to do; empty = nothing, or it depends on more than the code.
    """

    tone: Tone
    text: str
    mend: str = ""


OUTCOMES: dict[str, CheckOutcome] = {
    "check-failed": CheckOutcome("warn", "This could not be checked ({problem})."),
    "webui": CheckOutcome("good", "{webui}."),
    "python-runs": CheckOutcome("good", "Python {version}: {program}"),
    "packages-installed": CheckOutcome("good", "All packages needed for training are installed."),
    "packages-missing": CheckOutcome("bad", "Missing for training: {packages}."),
    "packages-not-installed": CheckOutcome(
        "bad", "Missing for training: {packages}. The last installation failed: {problem}"
    ),
    "packages-missing-elsewhere": CheckOutcome("bad", "Missing from the Python that trains: {packages}.", TYPE),
    "installation-failed": CheckOutcome("warn", "{problem}"),
    "gpu-memory-free": CheckOutcome("good", "{device} It has {memory} of memory, {free} free now."),
    "gpu-memory-small": CheckOutcome(
        "warn",
        "{device} It has {memory} of memory; {needed} GB are needed for {family}.",
        "Train with batch size 1, gradient checkpointing and a small resolution.",
    ),
    "disk-free": CheckOutcome("good", _DISK),
    "disk-low": CheckOutcome("warn", _DISK, _ROOM),
    "disk-full": CheckOutcome("bad", _DISK, _ROOM),
    "folder-writable": CheckOutcome("good", "{folder} can be written."),
    "folder-not-writable": CheckOutcome("bad", *_FOLDER_REFUSED),
    "loras-writable": CheckOutcome("good", "{folder} can be written."),
    "loras-not-writable": CheckOutcome("bad", *_FOLDER_REFUSED),
    "loras-not-shown": CheckOutcome(
        "warn",
        "The webui shows no LoRAs: its built-in extension Lora is turned off.",
        "Turn it on under Extensions, and restart the webui.",
    ),
    "face-models-installed": CheckOutcome("good", "YuNet and SFace are installed, and work offline."),
    "face-models-damaged": CheckOutcome(
        "bad", "Faces cannot be compared: {files} in {folder} is missing or cut off.", "Install SameFace again."
    ),
    "base-model": CheckOutcome("good", "1 base model."),
    "base-models": CheckOutcome("good", "{n} base models."),
    "base-model-only-small": CheckOutcome("warn", "There is only the small test model, which paints 128 x 128 pixels."),
    "base-model-missing": CheckOutcome("bad", "There is no base model to train on."),
    "queue-active": CheckOutcome("good", "Jobs are run by this process."),
    "queue-waiting": CheckOutcome("warn", "{reason}"),
    "queue-inactive": CheckOutcome("bad", "Jobs are not run."),
    "queue-elsewhere": CheckOutcome("bad", "{reason}"),
    "machine-checked": CheckOutcome("good", "{machine}."),
    "machine-unchecked": CheckOutcome(
        "none", "{machine}.", "On the computer where SameFace runs, press Check beside it, under Other machines."
    ),
}


def result(title: str | Message, code: str, mend: str = "", typed: str = "", **values: object) -> CheckResult:
    """What a check found.

    Args:
        title: what was looked at.
        code: one of `OUTCOMES`.
        mend: template of what to do, instead of that in `OUTCOMES`.
        typed: what to type in a terminal, instead of that.
        values: of all the templates.
    """
    outcome = OUTCOMES[code]
    heading = title if isinstance(title, Message) else Message(title)
    mend = mend or outcome.mend
    text = Message(outcome.text, values, code)
    return CheckResult(heading, outcome.tone, text, Message(mend, values) if mend else None, typed)


def templates() -> Iterator[str]:
    """All of them."""
    yield from _TITLES
    yield from (TYPE, SKIPPED, LOST, ALONE_BASES, WEBUI_BASES)
    yield from (text for one in OUTCOMES.values() for text in (one.text, one.mend) if text)
