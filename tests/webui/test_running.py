"""What the tests of a running webui read in its console."""

from running import tracebacks

# A webui that cannot read where an extension comes from indents its report; ours is not in its frames.
CONSOLE = """*** Failed reading extension data from Git repository (sameface)
    Traceback (most recent call last):
      File "modules/extensions.py", line 166, in do_read_info_from_repo
        self.remote = next(repo.remote().urls, None)
    ValueError: Remote named 'origin' didn't exist

---
Loading weights from sameface.safetensors
Traceback (most recent call last):
  File "lib_lora/hosts/webuis/webui.py", line 1, in roots
AttributeError: ckpt_dir
Startup time: 3 s
"""


def test_a_traceback_ends_with_its_exception():
    foreign, ours = tracebacks(CONSOLE)
    assert foreign.endswith("ValueError: Remote named 'origin' didn't exist\n")
    assert "sameface" not in foreign
    assert "lib_lora" in ours
    assert ours.endswith("AttributeError: ckpt_dir")
    assert tracebacks("Startup time: 3 s\n") == []
