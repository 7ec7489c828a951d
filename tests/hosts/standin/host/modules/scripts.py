"""Loading of extensions as the webui does it, and the runner of scripts."""

import importlib.util
import os
import sys
from collections import namedtuple

from modules import errors, paths, script_callbacks
from modules.standin_setup import EXTENSIONS, KIND

ScriptFile = namedtuple("ScriptFile", ["basedir", "filename", "path"])
current_basedir = paths.script_path
scripts_data = []


def basedir():
    return current_basedir


class PostprocessImageArgs:
    def __init__(self, image):
        self.image = image


class Script:
    alwayson = False

    def title(self):
        raise NotImplementedError


class ScriptRunner:
    def __init__(self):
        self.scripts, self.alwayson_scripts, self.selectable_scripts = [], [], []

    def before_process(self, p):
        pass

    def process(self, p):
        self._each("process", p)

    def postprocess_image(self, p, pp):
        self._each("postprocess_image", p, pp)

    def _each(self, hook, p, *more):
        for script in self.alwayson_scripts:
            try:
                getattr(script, hook)(p, *more, *p.script_args[script.args_from : script.args_to])
            except Exception:
                errors.report(f"Error running {hook}", exc_info=True)

    def postprocess(self, p, processed):
        pass


scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()


def list_scripts(scriptdirname, extension, *, include_extensions=True):
    found = []
    for root in EXTENSIONS:
        folder = os.path.join(root, scriptdirname)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found += [ScriptFile(root, n, os.path.join(folder, n)) for n in names if os.path.splitext(n)[1] == extension]
    return found


def list_files_with_name(filename):
    return [path for root in EXTENSIONS if os.path.isfile(path := os.path.join(root, filename))]


def load_scripts():
    """Each with its extension's root on the path for as long as it runs (Forge and reForge: for ever)."""
    global current_basedir
    script_callbacks.clear_callbacks()
    if KIND in ("forge", "neo", "reforge"):
        sys.path[:0] = [root for root in EXTENSIONS if root not in sys.path]
    before = sys.path
    for script in list_scripts("scripts", ".py"):
        try:
            sys.path = [script.basedir, *sys.path]
            current_basedir = script.basedir
            spec = importlib.util.spec_from_file_location(script.filename, script.path)
            spec.loader.exec_module(importlib.util.module_from_spec(spec))  # not in sys.modules, as there
        except Exception:
            errors.report(f"Error loading script: {script.filename}", exc_info=True)
        finally:
            sys.path = before
            current_basedir = paths.script_path
