"""Work for the main thread. Here whoever asks does it, but it is noted."""

from modules.errors import report
from modules.standin_setup import note


def run_and_wait_result(func, *args, **kwargs):
    note("on the main thread")
    try:
        return func(*args, **kwargs)
    except Exception as error:  # printed, and the result is None
        report(f"{type(error).__name__}: {error}")
        return None
