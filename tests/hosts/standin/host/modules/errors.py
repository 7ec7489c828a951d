"""Reports that go to the console in the webui; here they are noted too."""

import sys
import traceback

from modules.standin_setup import note


def report(message, *, exc_info=False):
    note(f"error: {message}")
    print("***", message, file=sys.stderr)
    if exc_info:
        traceback.print_exc()


def display(e, task, *, full_traceback=False):
    report(f"{task}: {type(e).__name__}: {e}")
