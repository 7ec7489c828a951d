"""Says what a model is on Civitai and what may be done with it: lines for people, plain values for programs.

Pure functions.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from typing import Any

from lib_lora.civitai.api.civitai_answers import TAKEN_DOWN, VersionFile
from lib_lora.civitai.api.licence_flags import statements
from lib_lora.civitai.api.site_address import host_of
from lib_lora.civitai.civitai_sidecars import summary
from lib_lora.civitai.licence_lights import PURPOSES, Assessment, levels, together
from lib_lora.civitai.model_lookup import FoundModel
from lib_lora.errors import plural
from lib_lora.files import printable, size

NO_ADVICE = "This shows what pages and licences say; it is not legal advice, and decides nothing."
_HOW = {
    "sha256": "by its SHA-256",
    "autov3": "by the hash of its tensors (AutoV3): its metadata were edited, or the site has another SHA-256",
    "hash": "by the hash",
    "address": "by the address",
}
_ALLOWED = {True: "yes", False: "no", None: "not known"}
_WIDTH = 110


def lines_of(found: FoundModel) -> list[str]:
    """What is known of a model, for people."""
    if not found.known and found.trouble and not (found.sha256 or found.asked):
        return [f"{found.name}: {found.trouble}"]
    if not found.known:
        sha256 = [f"  Its SHA-256 is {found.sha256}."] if found.sha256 else []
        return [unknown_line(found), *sha256, *([f"  {found.trouble}"] if found.trouble else [])]
    subject = found.subject()
    title = f"{found.title}{f' ({found.kind})' if found.kind else ''}"
    lines = [f"{title}{f' by {subject.creator}' if subject.creator else ''}"]
    lines += [f"  !! {warning}" for warning in found.assessment.warnings]
    if found.assessment.refused:
        lines.append("  !! It is refused, so its trigger words and what its page permits are left out here.")
    elif doubt := _doubt(found):
        lines.append(f"  !! {doubt}")
    if found.page:
        lines.append(f"  {found.page}")
    lines.append(f"  Found {_HOW.get(found.how, 'there')}; {host_of(found.site)} was asked {age_words(found.asked)}.")
    if found.trouble:
        lines.append(f"  The answer could not be refreshed: {found.trouble}")
    if file := _file_of(found):
        lines.append(f"  File: {printable(file.name)}, {size(file.bytes, 1000) if file.bytes else 'size not known'}")
    if found.assessment.refused:
        return lines
    licence = subject.licence
    base = f"{licence.name}, {licence.address}" if licence else "its licence is not known"
    lines.append(f"  Made for {found.base or 'what is not said'}: {base}")
    if licence:
        lines += _wrapped(licence.note, "    ")
    if found.version and found.version.words:
        lines += _wrapped(f"Trigger words: {', '.join(found.version.words)}", "  ")
    lines.append("  What you may do:")
    lines += _lights(found.assessment)
    lines.append("  This model permits users to (its page):")
    lines += [f"    {_ALLOWED[allowed]:<9} {text}" for text, allowed in statements(subject.permissions)]
    lines.append(f"  Its page shows: {', '.join(levels(subject.level)) or 'not said what'}")
    return lines


def _doubt(found: FoundModel) -> str:
    """Why what a page permits cannot be relied on; empty = nothing speaks against it."""
    subject = found.subject()
    if subject.poi:
        return "Do not rely on what its page permits below: it shows a real person, so no use counts as permitted."
    if subject.mode == TAKEN_DOWN:
        return "Do not rely on what its page permits below: it was taken down, so this may no longer hold."
    return ""


def _file_of(found: FoundModel) -> VersionFile | None:
    """The file that was looked up, else the one that the page's button fetches; None = none is listed."""
    files = found.version.files if found.version else ()
    same = [one for one in files if found.sha256 and one.sha256 == found.sha256]
    return next(iter([*same, *(one for one in files if one.primary), *files]), None)


def together_lines(found: Sequence[FoundModel]) -> list[str]:
    """What may be done with several models in one picture, or one training."""
    there = [one for one in found if one.known or one.sha256 or not one.trouble]
    without = "" if len(there) == len(found) else ", without what could not be looked up"
    both = together([one.assessment for one in there])
    return [f"Together, in a picture or a training{without}:", *_lights(both)]


def unknown_line(found: FoundModel) -> str:
    """What is said of what Civitai does not know, or was not asked."""
    if found.unknown_there:
        there = f"{host_of(found.site)} does not know it (asked {age_words(found.asked)})"
        return f"{found.name}: {there}; so its licence is unknown."
    return f"{found.name}: Civitai has not said anything of it; so its licence is unknown."


def values_of(found: FoundModel) -> dict[str, Any]:
    """What is said of a model as plain values, for programs."""
    subject = found.subject()
    return {
        "name": found.name,
        "known": found.known,
        "asked": found.asked or None,
        "age_days": round((time.time() - found.asked) / 86400, 2) if found.asked else None,
        "how": found.how or None,
        "sha256": found.sha256 or None,
        "title": found.title,
        "kind": found.kind or None,
        "levels": levels(subject.level),
        "trained_words": list(found.version.words) if found.version else [],
        "poi": subject.poi,
        "minor": subject.minor,
        "nsfw": subject.nsfw,
        "permits": [{"text": text, "allowed": allowed} for text, allowed in statements(subject.permissions)],
        "summary": summary(found),
        "assessment": found.assessment.values(),
        "trouble": {"code": found.trouble.code, "message": str(found.trouble)} if found.trouble else None,
    }


def age_words(asked: float) -> str:
    """How long ago something was asked.

    >>> age_words(0), age_words(time.time() - 3 * 86400)
    ('never', '3 days ago')
    """
    if not asked:
        return "never"
    days = max(int((time.time() - asked) / 86400), 0)
    return f"{plural(days, 'day')} ago" if days else "today"


def _lights(assessment: Assessment) -> list[str]:
    lines = []
    for purpose, text in PURPOSES.items():
        shown = assessment.lights[purpose]
        lines.append(f"    {shown.light:<8} {text}")
        for reason in shown.reasons:
            lines += _wrapped(str(reason), " " * 13)
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
