"""Names what lies in the folder of a test grid, or of other pictures with a plan, and the layouts of the reports there.

Those that write it load what paints or measures; those that only list it do not, and take the names from here too.
"""

from __future__ import annotations

PLAN_FILE = "plan.json"  # what is painted
CELLS = "cells"  # the folder of the pictures
REPORT_FILE = "report.json"  # what was measured of a test grid, and what follows
REPORT_VERSION = 1  # of its layout
COMBINED_FILE = "combined.json"  # the same of pictures with another LoRA at several weights
COMBINED_VERSION = 1  # of its layout
