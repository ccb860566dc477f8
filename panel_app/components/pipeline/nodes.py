"""nodes: every step of the graph as a card that is a button, with what it drains off below."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from panel_app.components.pipeline.samples import Sample, dots, rate, rates
from panel_app.components.pipeline.sparkline import sparkline
from panel_app.components.pipeline.text import milliseconds, per_second, per_second_said, width
from panel_app.words import NOTHING, number

ENDED = ("duplicate", "dropped")
"""Counts that are fates of readings: they end in the node."""

_UNITS = {"devices": ("device", "devices"), "dirty": ("span", "spans"), "open": ("alert", "alerts")}


class Drain(msgspec.Struct, frozen=True):
    """What leaves the pipe at a node.

    amount : how many since the start; pace: a rate where it leads to a sink and something flows.
    parts  : by reason. sinks: where it goes, () where it is counted and ends.
    """

    name: str
    amount: str
    pace: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    sinks: tuple[str, ...] = ()
    is_dead: bool = False


class Card(msgspec.Struct, frozen=True):
    """A node as it is drawn. width: of the edge that leads to it. [px]; dots: that move on it now."""

    step: str
    label: str
    pace: str
    spark: Markup
    rows: tuple[tuple[str, str], ...]
    p99: str
    drains: tuple[Drain, ...]
    width: float
    dots: int
    passed: int
    waiting: bool
    failing: bool
    selected: bool

    @property
    def has_dead(self) -> bool:
        """Whether something of it can become a dead letter."""
        return any(drain.is_dead for drain in self.drains)


def cards(answer: Mapping[str, Any], samples: Sequence[Sample], selected: str) -> list[Card]:
    """Make the cards, in the order of the pipe. selected: a step's id, or "" for none."""
    return [_card(node, answer, samples, selected) for node in answer["nodes"]]


def _card(node: Mapping[str, Any], answer: Mapping[str, Any], samples: Sequence[Sample], selected: str) -> Card:
    step = node["step"]
    pace = rate(samples, f"in {step}", node["rate"])
    moves = dots(samples, f"in {step}")
    waiting = bool(answer["store"]["waiting"]) and not moves
    pipe = next(iter(node["out"]), "")
    dead = sum(node["dead"].values())
    p99 = NOTHING if waiting else milliseconds(node["p99_ms"])
    failing = bool(answer["conservation"]["unexplained"]) and answer.get("astray") == step
    label = ", ".join(
        part
        for part in (
            step,
            "waiting" if waiting else per_second_said(pace),
            f"{number(dead)} dead" if dead else "",
            "its sum does not close" if failing else "",
        )
        if part
    )
    return Card(
        step=step,
        label=label,
        pace="waiting" if waiting else per_second(pace),
        spark=sparkline(rates(samples, f"in {step}")),
        rows=(
            ("in", number(node["in"])),
            ("out", number(node["out"].get(pipe, 0))),
            ("p99", p99),
            *_state(node["state"]),
        ),
        p99=p99,
        drains=tuple(_drains(node, pipe, samples)),
        width=width(pace),
        dots=moves,
        passed=node["in"],
        waiting=waiting,
        failing=failing,
        selected=step == selected,
    )


def _state(sizes: Mapping[str, int]) -> list[tuple[str, str]]:
    """Say how large the state is: devices under `state`, the rest by their own names."""
    said = [(name, _sized(name, count)) for name, count in sizes.items() if name != "devices"]
    return [("state", _sized("devices", sizes["devices"]) if sizes.get("devices") else "none"), *said]


def _sized(name: str, count: int) -> str:
    one, many = _UNITS.get(name, ("", ""))
    unit = one if count == 1 else many
    return f"{number(count)}\u00a0{unit}" if unit else number(count)


def _drains(node: Mapping[str, Any], pipe: str, samples: Sequence[Sample]) -> list[Drain]:
    ports = [port for port in node["out"] if port != pipe]
    drains = [_port(node, port, samples) for port in sorted(ports, key=lambda port: port != "dead")]
    drains += [Drain(name, number(node["counts"][name])) for name in ENDED if node["counts"].get(name)]
    removed = node["removed"]
    if removed:
        drains.insert(
            1 if ports and "dead" in ports else 0,
            Drain("fields removed", number(sum(removed.values())), parts=_parts(removed)),
        )
    return drains


def _port(node: Mapping[str, Any], port: str, samples: Sequence[Sample]) -> Drain:
    count = node["out"][port]
    if port == "dead":
        return Drain(port, number(sum(node["dead"].values())), parts=_parts(node["dead"]), is_dead=True)
    pace = rate(samples, f"{node['step']}.{port}")
    sinks = tuple(node["sinks"].get(port, ()))
    return Drain(port, number(count), per_second(pace) if pace >= 0.005 else "", sinks=sinks)


def _parts(counts: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return tuple((reason, number(count)) for reason, count in ordered)
