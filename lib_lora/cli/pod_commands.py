"""The commands about rented GPUs: pods list and end, and key, which keeps the API key that renting needs."""

from __future__ import annotations

import argparse
import getpass
import sys

from lib_lora.cli.arguments import Answer, Commands
from lib_lora.errors import UserError, typed
from lib_lora.remote.runpod import api_key_store
from lib_lora.workspace.workspace import data_root

_WHERE = {
    api_key_store.ENVIRONMENT: f"the environment variable {api_key_store.VARIABLES[api_key_store.RUNPOD]}",
    api_key_store.KEYRING: "the system's keyring",
    api_key_store.FILE: "a file of the data folder that only you can read",
}
_LONGEST = 4096  # letters that are read as a key


def add(command: Commands) -> None:
    """Add these commands."""
    pods = command("pods", _pods, "The GPUs that are rented at RunPod now: list them, or end one or all.")
    pods.add_argument("does", choices=("list", "end"), metavar="list|end")
    pods.add_argument("name", nargs="?", metavar="NAME", help="with end: which, as 'pods list' names it")
    pods.add_argument("--all", action="store_true", help="with end: all that SameFace has rented")

    key = command("key", _key, "The API key of RunPod: set it (from a prompt, or standard input), or forget it.")
    key.add_argument("does", choices=("set", "forget"), metavar="set|forget")
    key.add_argument("service", choices=(api_key_store.RUNPOD,), metavar="runpod")


def _pods(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.train import renting

    root = data_root(options.data)
    if options.does == "list":
        living = renting.costing_pods(root)
        text = "\n".join(one.line() for one in living) or "No pod of SameFace lives."
        return Answer(text, [one.values() for one in living])
    if bool(options.name) == options.all:
        raise UserError(
            f"Name one pod, or say --all: {typed('pods', 'end', 'NAME')}", "name", code="pod-to-end-not-named"
        )
    ended = renting.end_pods(root, options.name)
    text = "\n".join(f"{one.name} is deleted." for one in ended) or "No pod of SameFace lives."
    return Answer(text, [one.values() for one in ended])


def _key(options: argparse.Namespace) -> Answer:
    root = data_root(options.data)
    if options.does == "forget":
        api_key_store.forget(root, options.service)
        left = api_key_store.kept_in(root, options.service)
        still = f" One is still in {_WHERE[left]}." if left else ""
        return Answer(f"The key is forgotten here; delete it in RunPod's console too.{still}", {"kept_in": left})
    if sys.stdin.isatty():
        given = getpass.getpass("API key of RunPod (it is not shown): ")
    else:
        given = sys.stdin.readline(_LONGEST)
    kept = api_key_store.save(root, given, options.service)
    used = api_key_store.kept_in(root, options.service)
    before = f" But the one in {_WHERE[used]} comes before it." if used != kept else ""
    return Answer(f"The key is kept in {_WHERE[kept]}.{before}", {"kept_in": kept})
