"""Describes graphs of ComfyUI's nodes as values, and writes them in the two forms that ComfyUI reads.

The API form is what its server runs; the UI form is what its page opens, with places and sizes of the nodes. Both are
plain values, ready for JSON. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Link = tuple[str, int]  # name of a node, and which of its outputs
_NEXT = "randomize"  # what the page does with a seed after each picture


@dataclass(frozen=True)
class _Kind:
    """A class of nodes: its inputs for links and its outputs, each with their types, in the order of the page."""

    inputs: Sequence[tuple[str, str]]
    outputs: Sequence[tuple[str, str]]
    width: int = 315
    height: int = 100


_KINDS = {
    "CheckpointLoaderSimple": _Kind([], [("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")]),
    "LoraLoader": _Kind([("model", "MODEL"), ("clip", "CLIP")], [("MODEL", "MODEL"), ("CLIP", "CLIP")], height=126),
    "CLIPSetLastLayer": _Kind([("clip", "CLIP")], [("CLIP", "CLIP")], height=58),
    "ModelSamplingDiscrete": _Kind([("model", "MODEL")], [("MODEL", "MODEL")], height=82),
    "CLIPTextEncode": _Kind([("clip", "CLIP")], [("CONDITIONING", "CONDITIONING")], width=400, height=180),
    "EmptyLatentImage": _Kind([], [("LATENT", "LATENT")], height=106),
    "LoadImage": _Kind([], [("IMAGE", "IMAGE"), ("MASK", "MASK")], height=314),
    "ImageScale": _Kind([("image", "IMAGE")], [("IMAGE", "IMAGE")], height=130),
    "VAEEncode": _Kind([("pixels", "IMAGE"), ("vae", "VAE")], [("LATENT", "LATENT")], width=210, height=46),
    "KSampler": _Kind(
        [("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT")],
        [("LATENT", "LATENT")],
        height=262,
    ),
    "VAEDecode": _Kind([("samples", "LATENT"), ("vae", "VAE")], [("IMAGE", "IMAGE")], width=210, height=46),
    "SaveImage": _Kind([("images", "IMAGE")], [], width=400, height=450),
    "PreviewImage": _Kind([("images", "IMAGE")], [], width=400, height=450),
}


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        kind: ComfyUI's ``class_type``.
        links: what comes from other nodes, by the name of the input.
        values: what is set in the node itself, by the name of the input, in the order of the page.
        title: above it on the page; empty = its kind.
        column: on the page, from the left.
    """

    kind: str
    links: Mapping[str, Link] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    column: int = 0


Graph = Mapping[str, Node]  # by their names, which are whole numbers as texts


def api_form(graph: Graph) -> dict[str, Any]:
    """What ``POST /prompt`` takes, and what stands in the PNG text ``prompt``."""
    return {
        name: {
            "class_type": node.kind,
            "inputs": {**node.values, **{key: list(link) for key, link in node.links.items()}},
            "_meta": {"title": node.title or node.kind},
        }
        for name, node in graph.items()
    }


def ui_form(graph: Graph, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ComfyUI's page opens, and what stands in the PNG text ``workflow``.

    Args:
        graph: the nodes.
        extra: kept with the workflow by ComfyUI and not looked at.
    """
    links: list[list[Any]] = []
    into: dict[tuple[str, str], int] = {}
    out: dict[Link, list[int]] = {}
    for name, node in graph.items():
        inputs = [key for key, _ in _KINDS[node.kind].inputs]
        for key, (source, slot) in node.links.items():
            number = len(links) + 1
            kind = _KINDS[graph[source].kind].outputs[slot][1]
            links.append([number, int(source), slot, int(name), inputs.index(key), kind])
            into[name, key] = number
            out.setdefault((source, slot), []).append(number)
    return {
        "last_node_id": max(map(int, graph)),
        "last_link_id": len(links),
        "nodes": _drawn(graph, into, out),
        "links": links,
        "groups": [],
        "config": {},
        "extra": dict(extra or {}),
        "version": 0.4,
    }


def _drawn(graph: Graph, into: Mapping[tuple[str, str], int], out: Mapping[Link, list[int]]) -> list[dict[str, Any]]:
    """The nodes in columns, one below the other."""
    lefts, tops = _lefts(graph), dict.fromkeys((node.column for node in graph.values()), 100)
    nodes = []
    for order, (name, node) in enumerate(graph.items()):
        kind = _KINDS[node.kind]
        nodes.append(
            {
                "id": int(name),
                "type": node.kind,
                "pos": [lefts[node.column], tops[node.column]],
                "size": [kind.width, kind.height],
                "flags": {},
                "order": order,
                "mode": 0,
                "inputs": [{"name": key, "type": what, "link": into.get((name, key))} for key, what in kind.inputs],
                "outputs": [
                    {"name": key, "type": what, "links": out.get((name, slot), []), "slot_index": slot}
                    for slot, (key, what) in enumerate(kind.outputs)
                ],
                "properties": {"Node name for S&R": node.kind},
                "widgets_values": _widgets(node),
                **({"title": node.title} if node.title else {}),
            }
        )
        tops[node.column] += kind.height + 90
    return nodes


def _lefts(graph: Graph) -> dict[int, int]:
    """Where each column begins."""
    widths: dict[int, int] = {}
    for node in graph.values():
        widths[node.column] = max(widths.get(node.column, 0), _KINDS[node.kind].width)
    lefts, left = {}, 50
    for column in sorted(widths):
        lefts[column] = left
        left += widths[column] + 60
    return lefts


def _widgets(node: Node) -> list[Any]:
    """The values as the page keeps them: it has one more after each seed, and after a picture to be loaded."""
    found: list[Any] = []
    for key, value in node.values.items():
        found += [value, _NEXT] if key == "seed" else [value, "image"] if node.kind == "LoadImage" else [value]
    return found
