"""A conda environment made by rattler, pixi's installer: `uv run --with py-rattler conda_environment.py PLACE ENV`.

No channel is asked: in PLACE a channel of one package is made, the Python that runs this, as conda lays it out.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

HOME = Path(sys.base_prefix)
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "site-packages", "ensurepip"}
LEFT_OUT |= {"EXTERNALLY-MANAGED"}  # of Debian, for its own
PLATFORM = "linux-64"


def _files() -> list[Path]:
    version = f"python3.{sys.version_info.minor}"
    library = [path for path in (HOME / "lib" / version).rglob("*") if LEFT_OUT.isdisjoint(path.parts)]
    found = [*(HOME / "bin").glob("python*"), *(HOME / "lib").glob("libpython*.so*"), *library]
    return sorted(path for path in found if (path.is_symlink() or path.is_file()) and path.suffix != ".a")


def _pack(channel: Path) -> None:
    """The package, and the channel's list of it."""
    version = "{}.{}.{}".format(*sys.version_info)
    index = {"name": "python", "version": version, "build": "0", "build_number": 0, "depends": [], "subdir": PLATFORM}
    folder, name, paths = channel / PLATFORM, f"python-{version}-0.tar.bz2", []
    folder.mkdir(parents=True)
    with tarfile.open(folder / name, "w:bz2", compresslevel=1) as tar:
        for path in _files():
            entry = {"_path": path.relative_to(HOME).as_posix(), "path_type": "softlink"}
            if not path.is_symlink():
                content = path.read_bytes()
                entry |= {"path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest()}
            tar.add(path, entry["_path"], recursive=False)
            paths.append(entry)
        listed = {"index.json": index, "paths.json": {"paths": paths, "paths_version": 1}, "about.json": {}}
        for file, values in listed.items():
            content, member = json.dumps(values).encode(), tarfile.TarInfo(f"info/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    packed = (folder / name).read_bytes()
    record = {**index, "sha256": hashlib.sha256(packed).hexdigest(), "size": len(packed)}
    for platform, packages in ((PLATFORM, {name: record}), ("noarch", {})):
        values = {"info": {"subdir": platform}, "packages": packages, "packages.conda": {}}
        (channel / platform).mkdir(exist_ok=True)
        (channel / platform / "repodata.json").write_text(json.dumps(values), encoding="utf-8")


async def _install(place: Path, env: Path) -> None:
    import rattler

    channel = rattler.Channel((place / "channel").as_uri())
    records = await rattler.solve([channel], ["python"], platforms=[PLATFORM, "noarch"])
    await rattler.install(records, env, cache_dir=place / "cache")


if __name__ == "__main__":
    PLACE, ENV = (Path(word).absolute() for word in sys.argv[1:])
    _pack(PLACE / "channel")
    asyncio.run(_install(PLACE, ENV))
    os._exit(0)  # rattler's threads may still end, at which a Python that is closing down aborts
