"""What all tests share."""

import pytest
import toys


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A function that gives the path of a toy checkpoint: toy("sd1"), toy("sd2v"), toy("sdxl")."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = toys.write_toy(kind, tmp_path_factory.mktemp("toys") / f"toy-{kind}.safetensors")
        return made[kind]

    return get
