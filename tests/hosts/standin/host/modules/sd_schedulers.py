"""Names of schedulers."""

from types import SimpleNamespace

schedulers = [SimpleNamespace(name=name.lower(), label=name) for name in ("Automatic", "Karras", "Exponential")]
schedulers_map = {scheduler.label: scheduler for scheduler in schedulers}
