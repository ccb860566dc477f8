"""trace: one reading followed through every node, with what each changed and when."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from panel_app.components.pipeline.selected import Line, lines_of
from panel_app.components.pipeline.text import fields, milliseconds, moment, size
from panel_app.components.render import render
from panel_app.words import number

MOST_LINES = 4


class Stop(msgspec.Struct, frozen=True):
    """One station. ms: since arrival, "" where not reached. lines: (text, whether the node changed something)."""

    name: str
    ms: str
    lines: tuple[tuple[str, bool], ...]
    reached: bool = True


def stops_of(trace: Mapping[str, Any]) -> list[Stop]:
    """List the stations of an answer of GET /api/pipeline/trace/{device_id}: journal, nodes, live, store."""
    stops = [_ingest(trace), *(_node(told, trace) for told in trace["steps"])]
    if trace["ended"]:
        return stops
    if trace["live_ms"] is not None:
        sent = (("heatpump-live/", False), (f"{trace['device_id']}/reading", False))
        stops.append(Stop("live", _ms(trace["live_ms"]), sent))
    rows = tuple((row, False) for row in trace["rows"][:MOST_LINES]) or (("nothing new", False),)
    if trace["stored_ms"] is not None:
        return [*stops, Stop("store", _ms(trace["stored_ms"]), rows)]
    return [*stops, Stop("store", "", (("not yet", False),), reached=False)]


def follow(
    devices: Sequence[Mapping[str, Any]],
    chosen: str,
    trace: Mapping[str, Any] | None,
    place: tuple[int, int],
    waiting: bool,
    problem: str = "",
) -> Markup:
    """Draw it. Says back: `follow` (the next), `stop`, `older`, `newer`, `follow-device` with its value.

    devices : of GET /api/devices. trace: the one shown, None before the first. place: which of how many, from 0.
    """
    names = [device["device_id"] for device in devices]
    if chosen and chosen not in names:
        names.insert(0, chosen)
    return render(
        "pipeline/trace",
        names=names,
        chosen=chosen,
        brief=_brief(trace) if trace else "",
        stops=stops_of(trace) if trace else [],
        has_older=place[0] > 0,
        has_newer=place[0] + 1 < place[1],
        waiting=waiting,
        problem=problem,
    )


def _ingest(trace: Mapping[str, Any]) -> Stop:
    lines = [
        f"{size(trace['bytes'])}, QoS {trace['qos']}{', retained' if trace['retained'] else ''}",
        f"seq {number(trace['seq'])}",
    ]
    if trace["synced_ms"] is not None:
        lines.append(f"synced at {milliseconds(trace['synced_ms'])}{', then PUBACK' if trace['qos'] else ''}")
    return Stop("ingest", _ms(0.0), tuple((line, False) for line in lines))


def _node(told: Mapping[str, Any], trace: Mapping[str, Any]) -> Stop:
    lines = [(_written(line), line.sign != "→") for line in lines_of(told)]
    if told["kind"] == "message" and told["fields_after"] is not None:
        lines.insert(0, (fields(told["fields_after"]), False))
    if told["step"] == trace["waits_in"]:
        lines.append(("waits here", False))
    if trace["ended"] and told is trace["steps"][-1]:
        lines.append((f"ended: {trace['ended']}", True))
    shown = lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        shown[-1] = (f"and {len(lines) - MOST_LINES + 1} more", False)
    return Stop(told["step"], _ms(told["ms"]), tuple(shown) or (("unchanged", False),))


def _written(line: Line) -> str:
    return f"{line.sign} {line.text}{f', {line.why}' if line.why else ''}"


def _ms(ms: float) -> str:
    return number(ms, 1)


def _brief(trace: Mapping[str, Any]) -> str:
    arrived, counted = f"arrived {moment(trace['arrived'])}", "times count from arrival, in ms"
    if trace["ended"]:
        return f"{arrived}, ended in {trace['steps'][-1]['step']} as {trace['ended']}; {counted}"
    if trace["stored_ms"] is None:
        return f"{arrived}, not stored yet; {counted}"
    return f"{arrived}, stored {milliseconds(trace['stored_ms'])} later; {counted}"
