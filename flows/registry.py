"""Finds every node: each module of flows.nodes with a NODE."""

import importlib
import pkgutil

from flows import nodes
from flows.nodes.ports import Node


def all_nodes() -> dict[str, Node]:
    """Import every node module; by name."""
    found: dict[str, Node] = {}
    for module in pkgutil.iter_modules(nodes.__path__):
        node = getattr(importlib.import_module(f"flows.nodes.{module.name}"), "NODE", None)
        if node is not None:
            found[node.name] = node
    return found
