"""selected: what a node is, how it is set, and what it made of the last items."""

from collections.abc import Mapping
from typing import Any

import msgspec
from markupsafe import Markup

from panel_app.components.pipeline.text import clock_text, fields, moment, raw_text, size, value_text
from panel_app.components.render import render
from panel_app.words import number

MOST_LINES = 6
_TEXT = 120


class Line(msgspec.Struct, frozen=True):
    """A line of a difference. sign: −, +, ~, or → to a sink."""

    sign: str
    text: str
    why: str = ""


class Item(msgspec.Struct, frozen=True):
    """One item at one node."""

    when: str
    device: str
    brief: str
    lines: tuple[Line, ...]
    more: int = 0
    text: str = ""


def item_of(told: Mapping[str, Any]) -> Item:
    """Say what a node made of an item of the API's answer."""
    lines = lines_of(told)
    return Item(
        moment(told["arrived"]),
        told["device_id"] or told["kind"],
        _brief(told),
        tuple(lines[:MOST_LINES]),
        max(0, len(lines) - MOST_LINES),
        told["text"][:_TEXT] if told["kind"] == "message" or not told["device_id"] else "",
    )


def lines_of(told: Mapping[str, Any]) -> list[Line]:
    """Write the difference, what was removed first."""
    lines = [Line("−", f"{gone['field']} {raw_text(gone['value'])}", gone["reason"]) for gone in told["removed"]]
    lines += [
        Line(
            "~",
            f"{changed['field']} {value_text(changed['field'], changed['value'])}",
            f"was {raw_text(changed['was'])}",
        )
        for changed in told["changed"]
    ]
    if told.get("time"):
        lines.append(Line("+", f"time {moment(told['time'])}", clock_text(told.get("clock"))))
    if told["fields_before"] is not None:
        lines += [Line("+", f"{new['field']} {value_text(new['field'], new['value'])}") for new in told["added"]]
    lines += [Line("→", f"{side['port']}: {side['text'] or side['kind']}") for side in told["sides"]]
    return lines


def _brief(told: Mapping[str, Any]) -> str:
    before, after = told["fields_before"], told["fields_after"]
    if told["port"] == "dead":
        return "dead"
    if before is not None and after is not None:
        changed = told["removed"] or told["added"] or told["changed"] or told.get("time")
        if before != after:
            return f"{before} → {fields(after)}"
        return fields(after) if changed else f"{fields(after)}, unchanged"
    if told["kind"] == "message":
        made = f"{number(told['made'])} items, " if told["made"] > 1 else ""
        return f"{size(told['bytes'])} → {made}{fields(after) if after is not None else 'no reading'}"
    if told["port"]:
        return told["text"] or f"{told['kind']}, unchanged"
    return "waits" if before is not None else f"{told['kind']}, ends here"


def selected_node(
    detail: Mapping[str, Any], counts: Mapping[str, int], letters: Markup, held: bool, problem: str = ""
) -> Markup:
    """Draw the panel. Says back: `hold`, `close`, and what `letters` says.

    detail : of GET /api/pipeline/nodes/{step}.
    counts : of the node, of GET /api/pipeline: what it did, by a word.
    letters : its dead letters, drawn. held: the items are not to move. problem: why there is no newer answer.
    """
    parameters = detail["parameters"]
    lines = parameters["lines"]
    return render(
        "pipeline/selected",
        step=detail["step"],
        node=detail["node"],
        summary=_capital(detail["summary"]),
        text=detail["text"],
        table=[
            ("In", detail["in"]),
            *((f"Out {out['port']}", out["text"]) for out in detail["out"]),
            ("State", detail["state"]),
        ],
        file=f"{parameters['file']}:{lines[0]['number']}" if lines else parameters["file"],
        lines=lines,
        in_force=_in_force(parameters["in_force"]),
        counts=[(word, number(count)) for word, count in counts.items() if count],
        items=[item_of(told) for told in detail["items"]],
        letters=letters,
        held=held,
        problem=problem,
    )


def asking(step: str, problem: str = "") -> Markup:
    """Draw the panel before there is anything to show of a step, or where there is no such step."""
    return render("pipeline/asking", step=step, problem=problem)


def _in_force(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say which parameters are in force, defaults too; an empty one is left out."""
    return [
        (name, msgspec.json.encode(value).decode())
        for name, value in parameters.items()
        if value not in ({}, [], None, "")
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
