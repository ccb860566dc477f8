"""What a node says of itself: its docstring in parts, its lines of the graph file."""

import re
from pathlib import Path
from typing import Any

import msgspec

from flows.graph import Step

_PART = re.compile(r"(In|Out|State) {2,}(.*)")
_PORT = re.compile(r"(\w+) +(.*)")


def node_text(step: Step) -> dict[str, Any]:
    """Take a node's docstring apart.

    summary : its first sentence, without the name; text: what follows the table.
    in, state : as written; out: [{port, text}].
    """
    head, _, rest = step.node.doc.strip().partition("\n")
    parts: dict[str, list[str]] = {"In": [], "Out": [], "State": []}
    text: list[str] = []
    part = ""
    for line in rest.splitlines():
        found = _PART.match(line)
        if found:
            part, line = found.groups()
            parts[part].append(line)
        elif part and line.startswith(" "):
            parts[part].append(line.strip())
        else:
            part = ""
            text.append(line)
    return {
        "summary": head.removeprefix(f"{step.node.name}:").strip(),
        "text": "\n".join(text).strip(),
        "in": " ".join(parts["In"]),
        "out": _ports(parts["Out"], step.node.out),
        "state": " ".join(parts["State"]),
    }


def _ports(lines: list[str], ports: tuple[str, ...]) -> list[dict[str, str]]:
    said: list[dict[str, str]] = []
    for line in lines:
        found = _PORT.match(line)
        if found and found[1] in ports:
            said.append({"port": found[1], "text": found[2]})
        elif said:
            said[-1]["text"] += f" {line}"
    return said


class GraphText:
    """A graph file as it was when the flow began."""

    def __init__(self, path: Path) -> None:
        self.name, self._lines = path.name, path.read_text().splitlines()

    def parameters(self, step: Step) -> dict[str, Any]:
        """Give a step's lines: [{number, text}] with the file's name, and what is in force, defaults too."""
        section = re.compile(rf"\[step\.{re.escape(step.id)}(\.[^\]]*)?\]")
        lines: list[dict[str, Any]] = []
        inside = False
        for number, line in enumerate(self._lines, 1):
            if line.lstrip().startswith("["):
                inside = bool(section.match(line.strip()))
            if inside:
                lines.append({"number": number, "text": line})
        while lines and (not lines[-1]["text"].strip() or lines[-1]["text"].startswith("#")):
            lines.pop()
        return {"file": self.name, "lines": lines, "in_force": msgspec.to_builtins(step.params, enc_hook=str)}
