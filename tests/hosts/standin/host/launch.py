"""What an install script asks."""

import importlib.util


class args:  # noqa: N801
    skip_install = False


def is_installed(package):
    return importlib.util.find_spec(package) is not None
