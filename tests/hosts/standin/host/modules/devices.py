"""Names of devices; nothing is on them."""

from modules.standin_setup import note

cpu = "cpu"
device = device_interrogate = "cuda"
dtype = "float16"


class NansException(Exception):
    """A picture of not-a-numbers."""


def get_optimal_device():
    return device


def torch_gc():
    note("gc")
