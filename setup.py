"""What pyproject.toml cannot say: the page's scripts and style, and the photos and the base model of ``try``, lie
beside the package in the source folder (a webui wants them there) and go into it when it is built.

`lib_lora.setup.environment.bundled` finds them in both places.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = ("javascript", "style.css", "tests/data/mini-face", "tests/data/personas/mara")


class BuildWithBundled(build_py):
    """Copies `BUNDLED` into ``lib_lora/bundled`` of what is built. An editable installation finds the originals."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for name in BUNDLED:
            source, target = Path(name), Path(self.build_lib, "lib_lora", "bundled", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithBundled})
