"""Makes HTML pages from templates, and escapes everything that comes from outside.

Knows no page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2


def template(file: Path, finalize: Callable[[object], object], **filters: Callable[..., Any]) -> jinja2.Template:
    """The template in a file.

    Args:
        file: ends in ``.html.jinja``; others that it includes lie beside it.
        finalize: is given every value before it is escaped.
        filters: by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters.update(filters)
    return environment.get_template(file.name)
