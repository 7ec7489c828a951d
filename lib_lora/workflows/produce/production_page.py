"""Makes the page of a production: its numbers with plots, in one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

from lib_lora.files import write_text
from lib_lora.pages import template
from lib_lora.workflows.produce.production_stats import ProductionStats

PAGE_FILE = "production.html"
_WIDTH, _HEIGHT = 640.0, 180.0  # of the plot
_TEMPLATE = Path(__file__).parent / "templates" / "production_page.html.jinja"


def write_page(folder: Path, title: str, stats: ProductionStats) -> Path:
    """Write the page into a production's folder; its path.

    Args:
        folder: of the production.
        title: what stands above it.
        stats: the numbers.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / PAGE_FILE
    page = template(_TEMPLATE, lambda value: value, share=lambda value: f"{value:.0%}")
    write_text(path, page.render(title=title, stats=stats, bars=bars(stats), width=_WIDTH, height=_HEIGHT))
    return path


def bars(stats: ProductionStats) -> list[dict[str, float]]:
    """The bars of the histogram, in pixels: those that passed below those that failed."""
    most = max((passed + failed for _, _, passed, failed in stats.histogram), default=0)
    found = []
    for number, (low, _, passed, failed) in enumerate(stats.histogram):
        up = _HEIGHT / max(most, 1)
        width = _WIDTH / len(stats.histogram)
        found.append(
            {
                "x": round(number * width, 1),
                "width": round(width - 2, 1),
                "passed_y": round(_HEIGHT - passed * up, 1),
                "passed_height": round(passed * up, 1),
                "failed_y": round(_HEIGHT - (passed + failed) * up, 1),
                "failed_height": round(failed * up, 1),
                "low": round(low, 2),
            }
        )
    return found
