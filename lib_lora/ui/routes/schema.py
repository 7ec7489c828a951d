"""Generates the list of all routes: JSON for programs, a page for people, types for the page's scripts."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from lib_lora import typed_settings
from lib_lora.character import store
from lib_lora.civitai import licence_lights
from lib_lora.likeness.report import four_numbers
from lib_lora.likeness.verdict import facts
from lib_lora.messages import tone
from lib_lora.queue import job_types, queue_rows
from lib_lora.ui.http.request_context import MB, PREFIX, Nothing, Route
from lib_lora.ui.routes.library import library_tasks
from lib_lora.ui.views.page_limits import PageLimits
from lib_lora.ui.views.page_words import PageWords
from lib_lora.workflows.produce import production

_HEAD = f"""\
# The HTTP routes

All routes are below `{PREFIX}`. This page is generated from the routes: `python -m lib_lora.ui.routes.route_table`.

Responses are JSON. A request that changes something is a POST with the Content-Type `application/json`. Errors return a
status (400 invalid, 401 not logged in, 403 not allowed from here, 404 not found, 408 too slow, 409 not possible now,
413 too large, 415 not JSON, 428 code required, 429 too many uploads, 500 failed, 507 disk full) and
`{{"error": "one sentence", "code": "kind-of-error"}}`. The sentence repeats at most 200 characters of the request; the
code stays the same when the sentence is reworded. If a single field is wrong, `"field"` names it (dotted if it is
nested in another).

Anyone who may use the webui may use the routes: with its login (`--gradio-auth` cookie, `--api-auth` credentials), or
with the page's token (header `X-SameFace`, or `?token=`). The standalone page always requires its token; while it runs,
the token is in the file `page-PORT.token` in the data folder, which only its owner can read. After a 428, repeat the
request with the `code` that is shown where SameFace runs: in its terminal, or the webui's console.

Texts about photos, captions, test grids and the state of each step come twice: as English sentences, and as messages
(`message`, `messages`) that can be translated: `{{"code": ..., "template": ..., "values": {{...}}}}`. The template has
the values in braces, with Python's format specifications. A value is a number, a text, a message (a part of the
sentence, whose code is empty) or a list of these; the code stays the same when the sentence is reworded. Where a
message is null or missing, as in what an earlier version kept, only the sentence is sent.

Characters are identified by their slug, photos by the SHA-256 of their bytes, jobs by number, runs and grids by
identifier. Times are in Unix seconds; a tone is "good", "warn", "bad" or "none".
"""


def described(routes: Sequence[Route]) -> list[dict[str, Any]]:
    """Every route with its fields."""
    return [
        {
            "method": route.method,
            "path": f"{PREFIX}{route.path}",
            "text": says(route),
            "query": list(route.query),
            "body": _fields(route.body) if route.body else None,
            "limit": route.limit if route.body else 0,
        }
        for route in routes
    ]


def says(route: Route) -> str:
    """What a route does, in one line."""
    return (inspect.getdoc(route.answer) or "").split("\n\n")[0].replace("\n", " ")


def _fields(body: type[Any]) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(body)
    return [_field(field, hints[field.name]) for field in dataclasses.fields(body)]


def _field(field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if dataclasses.is_dataclass(made):
        made = typed_settings.to_dict(made)
    kind = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
    return {"name": field.name, "type": kind, "required": required, "default": None if required else made}


def as_markdown(routes: Sequence[Route]) -> str:
    """The page for people."""
    return "\n".join([_HEAD, *(_section(route) for route in routes)]).rstrip() + "\n"


def _section(route: Route) -> str:
    lines = [f"## {route.method} {route.path}", "", _wrapped(says(route)), ""]
    if route.query:
        lines += [f"Query parameters: {', '.join(f'`{name}`' for name in route.query)}.", ""]
    if route.body and route.body is not Nothing:
        about = (inspect.getdoc(route.body) or "").split("\n\n")[0].replace("\n", " ")
        lines += [_wrapped(f"Body: {about}"), "", "| field | type | default |", "|---|---|---|"]
        for field in _fields(route.body):
            default = "required" if field["required"] else f"`{field['default']!r}`"
            lines.append(f"| `{field['name']}` | `{field['type']}` | {default} |".replace(" | None`", " \\| None`"))
        lines.append("")
        if route.limit != MB:
            lines += [f"Up to {route.limit // MB} MB.", ""]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


_TYPES_HEAD = """\
/** The paths and bodies of the routes. Generated from them: `python -m lib_lora.ui.routes.route_table --types`. */

/** The paths of GET requests. */
type GetPath =
{gets};

/** The paths of POST requests, with their bodies. */
interface Posts {{
{posts}
}}

type PostPath = Posts[keyof Posts]['path'];

/** The body that a path takes. */
type BodyOf<P extends PostPath> = P extends PostPath ? Bodies<P>[keyof Posts] : never;

type Bodies<P extends PostPath> = {{
  [K in keyof Posts]: [P, Posts[K]['path']] extends [Posts[K]['path'], P] ? Posts[K]['body'] : never;
}};

/** What the page's forms allow and propose: `limits` in the answer of `/state`. */
interface PageLimits {{
{limits}
}}

/** The words for the server's codes: `words` in the answer of `/state`. */
interface PageWords {{
{words}
}}

{names}
"""
# what the scripts compare or look up, by the name that it has there
_NAMED = {
    "Tone": tone.Tone,
    "JobState": queue_rows.State,
    "JobWish": queue_rows.Wish,
    "JobKind": job_types.Kind,
    "JobLane": job_types.Lane,
    "NumberCode": four_numbers.NumberCode,
    "LicenceLight": licence_lights.Light,
    "LicencePurpose": licence_lights.Purpose,
    "ConsentKind": store.ConsentKind,
    "PictureStatusCode": facts.Status,
    "ProductionLine": production.Line,
    "FailReason": production.Reason,
    "LibraryTaskState": library_tasks.TaskState,
}
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}


def as_types(routes: Sequence[Route]) -> str:
    """The same for the type checker of the page's scripts, as a TypeScript declaration."""
    gets = [route for route in routes if route.method == "GET"]
    asked = [_pattern(route.path) + ("" if not route.query else "${string}") for route in gets]
    posts = [
        f"  /** {says(route)} */\n  '{route.path}': {{ path: `{_pattern(route.path)}`; body: {_typed(route.body)} }};"
        for route in routes
        if route.method == "POST"
    ]
    limits, words = (
        "\n".join(f"  {name}: {_typed(hint)};" for name, hint in typing.get_type_hints(part).items())
        for part in (PageLimits, PageWords)
    )
    names = "\n".join(f"type {name} = {_typed(hint)};" for name, hint in _NAMED.items())
    gets_text = "\n".join(f"  | `{path}`" for path in asked)
    return _TYPES_HEAD.format(gets=gets_text, posts="\n".join(posts), limits=limits, words=words, names=names)


def _pattern(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "${string}", path)


def _typed(hint: Any) -> str:
    """A type hint in TypeScript."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " | ".join(f"'{one}'" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_typed, arguments))
    if origin in (list, tuple, Sequence):
        return f"({_typed(arguments[0])})[]"
    if origin in (dict, Mapping):
        return f"Record<{_typed(arguments[0])}, {_typed(arguments[1])}>"
    if not dataclasses.is_dataclass(hint):
        raise TypeError(f"{hint} has no counterpart in TypeScript yet")
    hints = typing.get_type_hints(hint)
    fields = [
        f"{field.name}{'' if _field(field, str)['required'] else '?'}: {_typed(hints[field.name])}"
        for field in dataclasses.fields(hint)
    ]
    return f"{{ {'; '.join(fields)} }}" if fields else "{}"
