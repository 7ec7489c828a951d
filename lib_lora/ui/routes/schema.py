"""The list of all routes, made from the routes themselves: for programs as JSON, for people as a page, and as types for
the page's scripts."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from lib_lora.ui.http.request_context import MB, PREFIX, Nothing, Route

_HEAD = f"""\
# The HTTP routes

All routes are below `{PREFIX}`. This page is made from the routes themselves: `python -m lib_lora.ui.routes.schema`.

Answers are JSON. A request that changes something is a POST with the Content-Type `application/json`. What goes wrong
is answered with a status (400 wrong, 401 not logged in, 403 not from here, 404 not there, 408 too slow, 409 not now,
413 too large, 415 no JSON, 428 needs a code, 429 too many uploads, 500 failed, 507 no room on the disk) and
`{{"error": "one sentence", "code": "kind-of-fault"}}`; the sentence repeats no more than 200 characters of the request,
and the code stays the same when the sentence is reworded. Where one field is wrong, `"field"` names it (dotted where it
lies in another).

Whoever may use the webui may use the routes: with its login (`--gradio-auth` cookie, `--api-auth` credentials), or with
the page's token (header `X-SameFace`, or `?token=`). The page alone always needs its token; while it runs, it is in the
file `page-PORT.token` in the data folder, which only its owner can read. After 428, send the same again with the `code`
that is shown where SameFace runs: in its terminal, or the webui's console.

Characters are named by their slug, photos by the SHA-256 of their bytes, jobs by number, runs and grids by identifier.
Times are unix seconds; a tone is "good", "warn", "bad" or "none".
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
    kind = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
    return {"name": field.name, "type": kind, "required": required, "default": None if required else made}


def as_markdown(routes: Sequence[Route]) -> str:
    """The page for people."""
    return "\n".join([_HEAD, *(_section(route) for route in routes)]).rstrip() + "\n"


def _section(route: Route) -> str:
    lines = [f"## {route.method} {route.path}", "", says(route), ""]
    if route.query:
        lines += [f"After the question mark: {', '.join(f'`{name}`' for name in route.query)}.", ""]
    if route.body and route.body is not Nothing:
        about = (inspect.getdoc(route.body) or "").split("\n\n")[0].replace("\n", " ")
        lines += [f"Body: {about}", "", "| field | type | if left out |", "|---|---|---|"]
        for field in _fields(route.body):
            default = "needed" if field["required"] else f"`{field['default']!r}`"
            lines.append(f"| `{field['name']}` | `{field['type']}` | {default} |".replace(" | None`", " \\| None`"))
        lines.append("")
        if route.limit != MB:
            lines += [f"Up to {route.limit // MB} MB.", ""]
    return "\n".join(lines)


_TYPES_HEAD = """\
/** The paths and bodies of the routes. Made from them: `python -m lib_lora.ui.routes.schema --types`. */

/** What a GET may ask for. */
type GetPath =
{gets};

/** What is posted where. */
interface Posts {{
{posts}
}}

type PostPath = Posts[keyof Posts]['path'];

/** The body that a path takes. */
type BodyOf<P extends PostPath> = {{
  [K in keyof Posts]: [P, Posts[K]['path']] extends [Posts[K]['path'], P] ? Posts[K]['body'] : never;
}}[keyof Posts];
"""
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "any"}


def as_types(routes: Sequence[Route]) -> str:
    """The same for the type checker of the page's scripts, as a TypeScript declaration."""
    gets = [route for route in routes if route.method == "GET"]
    asked = [_pattern(route.path) + ("" if not route.query else "${string}") for route in gets]
    posts = [
        f"  /** {says(route)} */\n  '{route.path}': {{ path: `{_pattern(route.path)}`; body: {_typed(route.body)} }};"
        for route in routes
        if route.method == "POST"
    ]
    return _TYPES_HEAD.format(gets="\n".join(f"  | `{path}`" for path in asked), posts="\n".join(posts))


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
        return f"Record<string, {_typed(arguments[1])}>"
    if not dataclasses.is_dataclass(hint):
        raise TypeError(f"{hint} has no counterpart in TypeScript yet")
    hints = typing.get_type_hints(hint)
    fields = [
        f"{field.name}{'' if _field(field, str)['required'] else '?'}: {_typed(hints[field.name])}"
        for field in dataclasses.fields(hint)
    ]
    return f"{{ {'; '.join(fields)} }}" if fields else "{}"


if __name__ == "__main__":
    import sys

    from lib_lora.ui.routes.route_table import all_routes

    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write((as_types if "--types" in sys.argv else as_markdown)(all_routes()))
