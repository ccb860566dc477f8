"""The graph file: read, checked, described. build.py makes a Bytewax dataflow of it.

A mistake is a ConfigError that names file and line: an unknown node, a wrong port, a port that leads nowhere, a
cycle, a merge upstream of state.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from flows.errors import ConfigError
from flows.nodes.ports import Node
from flows.registry import all_nodes

SOURCE = "journal"
SINKS = ("store", "live", "end")


class Step(msgspec.Struct, frozen=True):
    """One step: a node with its params, fed by the pipe port `up` of another (None: by the journal)."""

    id: str
    node: Node
    params: Any
    up: str | None


class Edge(msgspec.Struct, frozen=True):
    """One port that ends in a sink."""

    step: str
    port: str
    sink: str

    @property
    def name(self) -> str:
        """`step.port`, as in the graph file."""
        return f"{self.step}.{self.port}"


class Graph(msgspec.Struct, frozen=True):
    """A checked graph: steps in the order of the pipe, edges to sinks as listed."""

    steps: list[Step]
    edges: list[Edge]
    hash: str

    def edges_to(self, sink: str) -> list[Edge]:
        """List the ports that end in a sink."""
        return [edge for edge in self.edges if edge.sink == sink]


class _File:
    """The text of a graph file, to name lines in errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text()
            self.tables = tomllib.loads(self.text)
        except OSError as error:
            raise ConfigError("HEATPUMP_GRAPH", str(path), f"cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(path.name, "", f"is no TOML: {error}") from None

    def error(self, section: str, key: str, value: object, allowed: str) -> ConfigError:
        """Make an error that names the line of a key, or of its section."""
        lines = self.text.splitlines()
        start = next((n for n, line in enumerate(lines) if line.strip() == f"[{section}]"), 0)
        end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
        needle = f'"{value}"' if isinstance(value, str) and key == "up" else key
        line = next((n for n in range(start, end) if needle in lines[n]), start)
        return ConfigError(f"{self.path.name}:{line + 1} [{section}] {key}", value, allowed)


def load_graph(path: Path) -> Graph:
    """Read and check a graph file. Raises ConfigError."""
    file = _File(path)
    unknown = set(file.tables) - {"step", "sink"}
    if unknown:
        name = min(unknown)
        raise file.error(name, "", name, "is no part of a graph; [step.*] and [sink.*] are")
    for kind in ("step", "sink"):
        for name, body in _tables(file, kind).items():
            if not isinstance(body, dict):
                raise file.error(kind, name, body, f"is no table; write [{kind}.{name}]")
    steps = _steps(file)
    edges = _edges(file, steps)
    ordered = _ordered(file, steps)
    _every_port_ends(file, ordered, edges)
    return Graph(ordered, edges, hashlib.sha256(file.text.encode()).hexdigest()[:16])


def _tables(file: _File, kind: str) -> dict[str, Any]:
    tables = file.tables.get(kind, {})
    if not isinstance(tables, dict):
        raise file.error(kind, kind, tables, f"is no table; write [{kind}.NAME]")
    return tables


def _steps(file: _File) -> dict[str, Step]:
    nodes, steps = all_nodes(), {}
    for name, body in _tables(file, "step").items():
        section = f"step.{name}"
        node = nodes.get(str(body.get("node")))
        if node is None:
            known = ", ".join(sorted(nodes))
            raise file.error(section, "node", body.get("node"), f"is no node; there are {known}")
        up = body.get("up")
        if not isinstance(up, str):
            raise file.error(
                section, "up", up, "must name one port: merging branches upstream of state would lose the order"
            )
        params = {key: value for key, value in body.items() if key not in ("node", "up")}
        try:
            steps[name] = Step(name, node, msgspec.convert(params, node.Params), None if up == SOURCE else up)
            node.recover(steps[name].params, None)  # the node's own checks, before anything runs
        except (msgspec.ValidationError, ConfigError) as error:
            raise file.error(section, next(iter(params), "node"), params, f"cannot be used: {error}") from None
    if not steps:
        raise file.error("step", "", "", "has no [step.*]; a graph needs at least one")
    for step in steps.values():
        if step.up is not None:
            above, port = _port(file, f"step.{step.id}", step.up, steps)
            if port != above.node.out[0]:
                allowed = f"is a side port, it may lead only to sinks; the pipe is {above.id}.{above.node.out[0]}"
                raise file.error(f"step.{step.id}", "up", step.up, allowed)
    return steps


def _port(file: _File, section: str, name: str, steps: dict[str, Step]) -> tuple[Step, str]:
    step_id, _, port = name.partition(".")
    if step_id not in steps:
        known = ", ".join([SOURCE, *steps])
        raise file.error(section, "up", name, f"names no step; there are {known}")
    step = steps[step_id]
    if port not in step.node.out:
        raise file.error(section, "up", name, f"names no port of {step_id}; it has {', '.join(step.node.out)}")
    return step, port


def _edges(file: _File, steps: dict[str, Step]) -> list[Edge]:
    edges: list[Edge] = []
    for sink, body in _tables(file, "sink").items():
        if sink not in SINKS:
            raise file.error(f"sink.{sink}", "", sink, f"is no sink; there are {', '.join(SINKS)}")
        names = body.get("up")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise file.error(f"sink.{sink}", "up", names, 'must be a list of ports such as ["decode.dead"]')
        for name in names:
            step, port = _port(file, f"sink.{sink}", name, steps)
            edges.append(Edge(step.id, port, sink))
    return edges


def _ordered(file: _File, steps: dict[str, Step]) -> list[Step]:
    """Put the steps in the order of the one pipe."""
    below: dict[str | None, list[Step]] = {}
    for step in steps.values():
        below.setdefault(step.up and step.up.partition(".")[0], []).append(step)
    ordered: list[Step] = []
    above: str | None = None
    while above in below:
        if len(below[above]) > 1:
            fork = below[above][1]
            allowed = "already feeds another step: there is one pipe"
            raise file.error(f"step.{fork.id}", "up", fork.up or SOURCE, allowed)
        ordered += below.pop(above)
        above = ordered[-1].id
    if below:
        lost = next(iter(below.values()))[0]
        raise file.error(f"step.{lost.id}", "up", lost.up, "is part of a cycle that the journal never reaches")
    return ordered


def _every_port_ends(file: _File, steps: list[Step], edges: list[Edge]) -> None:
    wired = {edge.name for edge in edges} | {step.up for step in steps}
    for step in steps:
        for port in step.node.out:
            if f"{step.id}.{port}" not in wired:
                allowed = f"leads nowhere; name it in the up of a sink ({', '.join(SINKS)})"
                raise file.error(f"step.{step.id}", "node", f"{step.id}.{port}", allowed)


def describe(path: Path, form: str = "text") -> str:
    """Draw a checked graph for people. form: text or mermaid. Raises ConfigError."""
    graph = load_graph(path)
    return _mermaid(graph) if form == "mermaid" else _text(graph)


def _text(graph: Graph) -> str:
    lines = [SOURCE]
    for step in graph.steps:
        summary = step.node.doc.splitlines()[0]
        lines += ["  ▼", summary]
        lines += [f"  ├─ {edge.port} ─► {edge.sink}" for edge in graph.edges if edge.step == step.id]
    return "\n".join([*lines[:-1], lines[-1].replace("├", "└")])


def _mermaid(graph: Graph) -> str:
    lines = ["flowchart LR", f"  {SOURCE}[(journal)]"]
    for step in graph.steps:
        above, _, port = (step.up or SOURCE).partition(".")
        lines.append(f"  {above} -->|{port or 'frames'}| {step.id}")
    lines += [f"  {edge.step} -->|{edge.port}| {edge.sink}_([{edge.sink}])" for edge in graph.edges]
    return "\n".join(lines)
